"""All kinds of fuzzing, by name."""

from __future__ import annotations

from fuzzing import data_kinds, hostile, media_kinds, model_kinds, picture_kinds, request_kinds, studio_kinds
from fuzzing.case import Kind

KINDS: dict[str, Kind] = {
    **model_kinds.KINDS,
    **media_kinds.KINDS,
    **picture_kinds.KINDS,
    **data_kinds.KINDS,
    **request_kinds.KINDS,
    **hostile.KINDS,
    **studio_kinds.KINDS,
}

"""highlights.json, the list of a library's best videos: its form, and how it is read. ``cliplab scan`` writes it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from adapters.errors import DatasetError
from adapters.system import parse_json, read_regular_bytes

MAX_BYTES = 2_000_000_000

HIGHLIGHTS_FORMAT, HIGHLIGHTS_VERSION = "cliplab-highlights", 1


def read_highlights(path: Path) -> dict[str, Any]:
    """Read what a scan wrote.

    Args:
        path: A highlights.json.

    Returns:
        The JSON object, its highlights best first.

    Raises:
        DatasetError: The file cannot be read, or is not a highlights.json of this version.
    """
    try:
        text = read_regular_bytes(path, MAX_BYTES, DatasetError)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file. cliplab scan MODEL LIBRARY writes one.") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}). Give the highlights.json of a scan.") from None
    try:
        value = parse_json(text)
    except ValueError as error:
        raise DatasetError(f"{path}: is not JSON ({error}). Give the highlights.json of a scan.") from None
    if (
        not isinstance(value, dict)
        or value.get("format") != HIGHLIGHTS_FORMAT
        or value.get("version") != HIGHLIGHTS_VERSION
    ):
        raise DatasetError(
            f"{path}: is not a highlights.json of version {HIGHLIGHTS_VERSION}. Give a file that cliplab scan wrote."
        )
    import jsonschema

    try:
        jsonschema.validate(value, _schema())
    except jsonschema.ValidationError as error:
        raise DatasetError(
            f"{path}: {error.json_path} does not have the form that cliplab scan writes ({error.message:.200}). Scan "
            "again."
        ) from None
    return {**value, "highlights": sorted(value["highlights"], key=lambda row: -float(row["score"]))}


@cache
def _schema() -> Any:
    return json.loads(Path(__file__).with_name("highlights.schema.json").read_text(encoding="utf-8"))

"""What a mistyped name may have meant, as a part of a message; empty where no known name is near."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A sentence to put behind another: ' Did you mean "x"?'. cutoff: how alike it must be, 0..1."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f' Did you mean "{near[0]}"?' if near else ""


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """The end of a sentence: "; the nearest is 'x'"."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; the nearest is {near[0]!r}" if near else ""

"""Hints for mistyped names, as parts of messages; empty where none of the known names is similar."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A sentence to append to a message, such as ' Did you mean "x"?', or the empty string.

    Args:
        name: The mistyped name.
        known: The names that exist.
        cutoff: How similar a name must be, in 0..1, as ``difflib.get_close_matches`` measures it.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f' Did you mean "{near[0]}"?' if near else ""


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """The end of a sentence, such as "; the nearest is 'x'", or the empty string.

    Args:
        name: The mistyped name.
        known: The names that exist.
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; the nearest is {near[0]!r}" if near else ""

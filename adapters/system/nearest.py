"""Names as parts of messages: hints for mistyped ones, empty where no known name is similar, and lists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_MOST_EQUAL = 3  # names that are equally similar and all named


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A sentence to append to a message, such as ' Did you mean "x"?', or the empty string.

    Names that are equally similar are all named: "efficientnet_lite" may mean any of three.

    Args:
        name: The mistyped name.
        known: The names that exist.
        cutoff: How similar a name must be, in 0..1, as ``difflib.get_close_matches`` measures it.
    """
    near = difflib.get_close_matches(name, list(known), n=_MOST_EQUAL, cutoff=cutoff)
    likeness = [difflib.SequenceMatcher(None, one, name).ratio() for one in near]
    *others, last = sorted(f'"{one}"' for one, like in zip(near, likeness, strict=True) if like == likeness[0]) or [""]
    return f" Did you mean {', '.join(others) + ' or ' if others else ''}{last}?" if last else ""


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """The end of a sentence, such as "; the nearest is 'x'", or the empty string.

    Args:
        name: The mistyped name.
        known: The names that exist.
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; the nearest is {near[0]!r}" if near else ""


def quoted_list(names: Sequence[str], most: int = 5) -> str:
    """Names in quotes for a message, such as "'a', 'b' and 7 more".

    Args:
        names: The names.
        most: How many of them are shown.
    """
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown

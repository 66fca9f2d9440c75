"""Several labels of one item as one text, as the studio's store has them in a column."""

from __future__ import annotations

from collections.abc import Iterable

# ASCII's unit separator. The name of a class has no control characters, so that no name can hold it.
SEPARATOR = "\x1f"


def joined_labels(names: Iterable[str]) -> str:
    """The text of the labels that an item has: a single name as it is, several in the order of the alphabet.

    Args:
        names: The labels; none of them: the item was judged to be of none of the classes.
    """
    found = sorted(set(names))
    return found[0] if len(found) == 1 else SEPARATOR.join(found) or SEPARATOR


def parted_labels(text: str) -> tuple[str, ...]:
    """The labels of a text that ``joined_labels`` made.

    Args:
        text: The text; that of a single label is its name.
    """
    return tuple(name for name in text.split(SEPARATOR) if name)


def spoken_labels(text: str) -> str:
    """A text of ``joined_labels`` for people, such as "ad + sport".

    Args:
        text: The text.
    """
    return " + ".join(parted_labels(text)) or "none of the classes"

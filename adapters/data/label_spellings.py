"""Labels in one spelling: without spaces around, in one normal form of their letters, and in one use of capitals."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

# What people write between the words of a label: spaces, underscores, hyphens and dashes.
_BETWEEN_WORDS = re.compile(r"[\s_\-\u2010-\u2015\u2212]+")


# Whether a sign is shown as text or in colours (Unicode, variation selectors 15 and 16).
_STYLES = "\ufe0e\ufe0f"


@lru_cache(maxsize=4096)
def clean_label(label: str) -> str:
    """A label without spaces and invisible characters around it, in the normal form NFC."""
    text = unicodedata.normalize("NFC", label.strip())
    while text and (_is_invisible(text[0]) or _is_invisible(text[-1])):
        text = (text[1:] if _is_invisible(text[0]) else text[:-1]).strip()
    return text or label.strip()


def spelling_key(label: str) -> str:
    """What spellings of one label have in common.

    They differ in capitals, spaces, characters that nobody sees and normal form only.
    """
    shown = "".join(character for character in clean_label(label) if not _is_invisible(character))
    return unicodedata.normalize("NFC", " ".join(shown.split()).casefold()) or clean_label(label)


def _is_invisible(character: str) -> bool:
    """Whether a character has no width: zero-width spaces, joiners, byte order marks, marks of direction, styles."""
    return not character.isascii() and (unicodedata.category(character) == "Cf" or character in _STYLES)


def one_spelling(
    used: Iterable[str], wanted: Sequence[str] | None, listed: Sequence[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """The spelling of each label that is kept, and a warning for each label of several spellings.

    Kept is a spelling that is wanted, otherwise the cleaned form of the one that is used most, the first of equals.

    Args:
        used: The label of each clip, as written, in the order of the file.
        wanted: The order of classes that the caller gives; spellings of which it has several are kept apart.
        listed: Labels that the file lists apart from its clips.

    Returns:
        Spelling as written to the one that is kept, and the warnings.
    """
    counts = Counter(used)
    by_key: dict[str, list[str]] = {}
    for label in dict.fromkeys((*counts, *listed)):
        by_key.setdefault(spelling_key(label), []).append(label)
    for label in wanted or ():
        by_key.setdefault(spelling_key(label), [])
    kept: dict[str, str] = {}
    warnings = []
    for key, spellings in by_key.items():
        asked = [label for label in wanted or () if spelling_key(label) == key]
        merged = Counter[str]()
        for label in spellings:
            merged[clean_label(label)] += counts[label]
        best = asked[0] if len(asked) == 1 else max(merged, key=merged.__getitem__, default=key)
        kept |= {label: best if len(asked) < 2 else _of_several(label, asked) for label in spellings}
        differing = [label for label in spellings if counts[label]]
        if len(differing) > 1 and len({kept[label] for label in differing}) == 1:
            shown = ", ".join(f"{label!a} ({counts[label]} clips)" for label in differing)
            warnings.append(f"one class is spelled in several ways: {shown}. All are read as {best!r}.")
    return kept, warnings


def spelled_apart(counts: Mapping[str, int], wanted: Sequence[str] | None) -> list[str]:
    """A warning for each set of classes that differ only in what is between their words: "ski jump" and "ski_jump".

    They stay classes of their own, since they may be meant so: "10-1" is not "101".

    Args:
        counts: Clips by class.
        wanted: Classes that the caller lists, and so knows; None: none.
    """
    by_key: dict[str, list[str]] = {}
    for label in counts:
        by_key.setdefault(_words_key(label), []).append(label)
    warnings = []
    for labels in by_key.values():
        if len(labels) < 2 or set(labels) <= set(wanted or ()):
            continue
        shown = ", ".join(f"{label!a} ({counts[label]} clips)" for label in labels)
        warnings.append(
            f"classes differ only in spaces, '_' or '-': {shown}. They are read as {len(labels)} classes. If they are "
            "one class, give all of its clips the same spelling."
        )
    return warnings


def _words_key(label: str) -> str:
    """The words of a label, written together where no digits meet."""
    joined = _BETWEEN_WORDS.sub(" ", spelling_key(label)).strip()
    return re.sub(r"(?<!\d) | (?!\d)", "", joined)


def _of_several(label: str, asked: Sequence[str]) -> str:
    return next((name for name in asked if clean_label(name) == clean_label(label)), clean_label(label))

"""The names under which datasets call their splits, as folders and as values."""

from __future__ import annotations

import re
from functools import lru_cache

from adapters.data.examples import SPLITS, Split

ALIASES: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "validate", "validating", "dev", "devel", "development", "eval",
                     "evaluation", "evaluate"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "tests"), "test"),
}  # fmt: skip
# Words that may stand beside one of them: train_256, val-set, test videos, training_data_v2, train_320x240.
_BESIDE = re.compile(
    r"sets?|splits?|subsets?|datas?|datasets?|videos?|clips?|files?|media|resized|raw|full|small|mini|mp4|avi|"
    r"v?\d+|part\d*|\d+p|\d+x\d+|\d+fps|r\d+"
)
_JOINED = re.compile(rf"({'|'.join(sorted(ALIASES, key=len, reverse=True))})(sets?|splits?|data|videos?|clips?|\d+)")
_SEVERAL = frozenset({"trainval", "traindev", "traintest"})


@lru_cache(maxsize=256)
def normal_split(name: str) -> str:
    """``train``, ``validation`` or ``test`` for common names of them, such as ``val_256``; another name unchanged."""
    found = _named(name)
    return next(iter(found)) if len(found) == 1 else name


def is_split_name(name: str) -> bool:
    """Whether a name is one of a split, or of several at once such as ``train_val``.

    Args:
        name: Of a folder, or a value.
    """
    return bool(_named(name)) or re.sub(r"[\W_]", "", name.lower()) in _SEVERAL


def _named(name: str) -> set[str]:
    """The splits that a name means. None where it has a word that is not about splits, as ``test pattern`` has."""
    words = re.findall(r"[^\W_]+", name.lower())
    found: set[str] = set()
    for word in words:
        joined = _JOINED.fullmatch(word)
        if word in ALIASES:
            found.add(ALIASES[word])
        elif joined is not None:
            found.add(ALIASES[joined[1]])
        elif not _BESIDE.fullmatch(word):
            return set()
    return found


def all_splits(names: list[str]) -> bool:
    """Whether all of some labels, two or more, are names of splits, so that they cannot be meant as classes."""
    return len(names) > 1 and all(is_split_name(name) for name in names)


__all__ = ["ALIASES", "SPLITS", "all_splits", "is_split_name", "normal_split"]

"""Train, validation and test: stratified by class, whole groups, the same result for the same data and seed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from adapters.data.examples import SPLITS, Dataset, Split
from adapters.errors import DatasetError

_ATTEMPTS = 20


def split_dataset(
    dataset: Dataset, fractions: Sequence[float] = (0.7, 0.15, 0.15), seed: int = 0, reassign: bool = False
) -> Dataset:
    """Assign a split to every example so that each class has about the same fractions and no group is in two splits.

    Groups are dealt one at a time, those of the rarest class first, each to the split that is furthest below its share
    of that class (iterative stratification: Sechidis, Tsoumakas, Vlahavas, ECML PKDD 2011). They are drawn in the
    order of a hash of seed and name, so the order of the rows does not matter.

    Args:
        dataset: The clips.
        fractions: Of train, validation and test, by clips, each in 0..1 and 1 in sum; a split of 0 stays empty.
        seed: Another seed gives another division.
        reassign: Whether examples that have a split get a new one. If not, they keep it, and the rest of their group
            gets the same.

    Raises:
        DatasetError: The fractions are not allowed, a group is already in two splits, or a class has fewer groups
            than there are splits without it.
    """
    wanted = _fractions(fractions)
    groups = _groups(dataset, reassign)
    missing = {label: need for label in dataset.labels if (need := _check_enough(label, groups, wanted))}
    for attempt in range(_ATTEMPTS):
        assigned = _deal(groups, wanted, f"{seed}:{attempt}" if attempt else str(seed))
        lacking = _lacking(missing, groups, assigned)
        if not lacking:
            break
    else:
        label, where = lacking[0]
        raise DatasetError(
            f"class {label!r} cannot get a group in {where} while every other class keeps its own, because its groups "
            "hold several classes. Add clips of it from other sources, or leave a split out with a fraction of 0."
        )
    return replace(dataset, examples=tuple(replace(item, split=assigned[item.group]) for item in dataset.examples))


@dataclass
class _Group:
    """Numbers of clips in one group, in all and of each class, and the split that it already has."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    clips: int = 0
    split: Split | None = None


def _fractions(fractions: Sequence[float]) -> dict[Split, float]:
    valid = len(fractions) == len(SPLITS) and all(0 <= value <= 1 for value in fractions)
    if not valid or abs(sum(fractions) - 1) > 1e-6:
        raise DatasetError(
            f"fractions must be three numbers from 0 to 1 that sum to 1, for {', '.join(SPLITS)}; got {list(fractions)}"
        )
    return {name: float(value) for name, value in zip(SPLITS, fractions, strict=True) if value > 0}


def _groups(dataset: Dataset, reassign: bool) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for item in dataset.examples:
        group = groups.setdefault(item.group, _Group(item.group))
        group.counts.update(item.labels)
        group.clips += 1
        if item.split is not None and not reassign:
            if group.split not in (None, item.split):
                raise DatasetError(
                    f"group {item.group!r} is in {group.split} and in {item.split}: the model would be measured on "
                    "footage that it was trained on. Correct the rows, or split again with reassign."
                )
            group.split = item.split
    return list(groups.values())


def _check_enough(label: str, groups: Sequence[_Group], wanted: dict[Split, float]) -> list[Split]:
    """The splits that the class must still come into. None where nothing of the class is left to deal."""
    holding = [group for group in groups if group.counts[label]]
    free = sum(group.split is None for group in holding)
    need = [name for name in wanted if not any(group.split == name for group in holding)]
    if not free:
        return []
    if free < len(need):
        names = ", ".join(repr(group.name) for group in holding if group.split is None)
        clips = sum(group.counts[label] for group in holding)
        raise DatasetError(
            f"class {label!r} has {free} group{'s' * (free != 1)} to assign ({names}; {clips} clip{'s' * (clips != 1)} "
            f"in all) and {len(need)} splits lack it ({', '.join(need)}): it needs {len(need)} groups. "
            "Add clips from other sources, or leave a split out with a fraction of 0 (in a model's config: "
            '"split_fractions", such as [1, 0, 0])'
        )
    return need


def _deal(groups: Sequence[_Group], wanted: dict[Split, float], salt: str) -> dict[str, Split]:
    """A split for every group, greedily. Classes that a split lacks come first where groups run short."""
    totals = sum((group.counts for group in groups), Counter[str]())
    clips = sum(group.clips for group in groups)
    # How many clips of each class each split still wants, and how many clips of any class.
    desire = {name: {label: totals[label] * share for label in totals} for name, share in wanted.items()}
    room = {name: clips * share for name, share in wanted.items()}
    assigned: dict[str, Split] = {}

    def assign(group: _Group, name: Split) -> None:
        assigned[group.name] = name
        if name in wanted:
            room[name] -= group.clips
            for label, count in group.counts.items():
                desire[name][label] -= count

    for group in groups:
        if group.split is not None:
            assign(group, group.split)
    left = sorted((group for group in groups if group.split is None), key=lambda group: _draw(salt, group.name))
    held = {(label, assigned[g.name]) for g in groups if g.split is not None for label in g.counts}
    while left:
        label = _rarest(left, totals)
        batch = [group for group in left if label is None or group.counts[label]]
        # Large groups first: small ones then even out what they left uneven.
        batch.sort(key=lambda group: -(group.clips if label is None else group.counts[label]))
        for position, group in enumerate(batch):
            lacking = [] if label is None else [name for name in wanted if (label, name) not in held]
            names = lacking if lacking and len(batch) - position <= len(lacking) else list(wanted)
            need = room if label is None else {name: desire[name][label] for name in names}
            name = max(names, key=lambda name: (need[name], room[name]))
            assign(group, name)
            held.update((other, name) for other in group.counts)
        left = [group for group in left if group.name not in assigned]
    return assigned


def _rarest(left: Sequence[_Group], totals: Counter[str]) -> str | None:
    """The class with the fewest groups left, ties to the fewest clips, then by name; None where none has a label."""
    groups = Counter(label for group in left for label in group.counts)
    return min(groups, key=lambda label: (groups[label], totals[label], label), default=None)


def _draw(salt: str, name: str) -> bytes:
    return hashlib.sha256(f"{salt}:{name}".encode("utf-8", "surrogateescape")).digest()


def _lacking(
    missing: dict[str, list[Split]], groups: Sequence[_Group], assigned: dict[str, Split]
) -> list[tuple[str, Split]]:
    held = {(label, assigned[group.name]) for group in groups for label in group.counts}
    return [(label, name) for label, names in missing.items() for name in names if (label, name) not in held]

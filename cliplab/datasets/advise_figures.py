"""Figures on clips that a head never saw: the accuracy as the groups are, and where look-alikes stay together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import OnProgress
from adapters.records import Float32Array
from adapters.training import LabelledFeatures, OutOfFold, group_folds, out_of_fold_scores, right_labels, solve
from cliplab.datasets.advise_alike import LEVELS, PROPOSED, IntArray, Tree, groups_alike

BoolArray = npt.NDArray[np.bool_]

# Above it the features are turned into fewer numbers: heads of a thousand clips are then solved in hundredths of a
# second, and their accuracy is the same within its interval.
_FEW_CLIPS, _NUMBERS = 400, 256
_CONTROLS = 5
_FEWEST_GROUPS = 4
_LARGEST_GROUP = 0.6


@dataclass(frozen=True)
class AdvisedClips:
    """Clips as the advice sees them.

    Attributes:
        names: A name for each clip, for messages.
        labels: C classes in order.
        truth: bool [N, C].
        exclusive: Whether each clip has one label.
        groups: int64 [N], the groups as they are.
        features: float32 [N, D], the mean of each clip's features.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    truth: BoolArray
    exclusive: bool
    groups: IntArray
    features: Float32Array

    @property
    def largest_share(self) -> float:
        """The accuracy of always giving the most frequent answer."""
        counts = np.unique(self.truth, axis=0, return_counts=True)[1]
        return float(counts.max() / len(self.truth))

    def labelled(self, groups: IntArray | None = None) -> LabelledFeatures:
        """The clips as a head sees them.

        Args:
            groups: int64 [N], other groups; None: those of the clips.
        """
        targets, weights = self.truth.astype(np.float32), np.ones(len(self.truth), np.float32)
        chosen = self.groups if groups is None else groups
        return LabelledFeatures(self.features[:, None], targets, weights, chosen, self.exclusive)


@dataclass(frozen=True)
class Figure:
    """An accuracy on clips of unseen groups.

    Attributes:
        accuracy: In 0..1.
        interval: Its 95% interval, by resampling groups.
        clips: How many clips were judged.
        groups: In how many groups they are.
        right: bool or float [N], for each clip, how often it was decided right.
        warnings: What to know of it, in sentences.
    """

    accuracy: float
    interval: tuple[float, float]
    clips: int
    groups: int
    right: npt.NDArray[Any] = field(repr=False, compare=False)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object of everything but the single clips."""
        return {
            "accuracy": round(self.accuracy, 4),
            "interval": [round(end, 4) for end in self.interval],
            "clips": self.clips,
            "groups": self.groups,
        }


def figure_of(right: npt.NDArray[Any], groups: IntArray, warnings: Sequence[str] = ()) -> Figure:
    """The figure of clips that were decided right or wrong.

    Args:
        right: bool [N]; or float in 0..1, the share of several decisions.
        groups: int64 [N].
        warnings: What to know of it.
    """
    from adapters.evaluation import share_interval

    interval = share_interval(right, groups.tolist())
    return Figure(float(np.mean(right)), interval, len(right), len(np.unique(groups)), right, tuple(warnings))


def compact(features: Float32Array) -> Float32Array:
    """Features in fewer numbers where there are many clips: what varies most, and no direction more than another.

    Args:
        features: float32 [N, items, D].

    Returns:
        float32 [N, at most D], of the mean over items.
    """
    mean = features.mean(axis=1)
    count, size = mean.shape
    if count <= _FEW_CLIPS or size <= _NUMBERS:
        return np.asarray(mean, np.float32)
    from sklearn.decomposition import PCA

    spread = mean.std(axis=0)
    standardised = (mean - mean.mean(axis=0)) / np.where(spread > 1e-6, spread, 1.0)
    found = PCA(_NUMBERS, svd_solver="randomized", random_state=0).fit_transform(standardised)
    # The solver standardises: turned at random, all numbers vary alike, and it leaves their distances as they are.
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(_NUMBERS, _NUMBERS)))[0]
    return np.asarray(found @ turn, np.float32)


def judged(
    clips: AdvisedClips, groups: IntArray, seed: int, on_progress: OnProgress | None = None
) -> tuple[OutOfFold, Figure]:
    """Scores of each clip by a head that did not see its group, and their accuracy.

    Args:
        clips: The clips.
        groups: int64 [N].
        seed: The seed of the division.
        on_progress: Receives ("heads", folds done, folds in all).

    Raises:
        DatasetError: The clips cannot be divided.
    """
    config = {"positive_label": None}
    found = out_of_fold_scores(clips.labelled(groups), clips.labels, config, seed=seed, on_progress=on_progress)
    right = right_labels(found.probabilities, clips.truth, clips.exclusive)
    return found, figure_of(right, groups, found.warnings)


def quick_right(clips: AdvisedClips, groups: IntArray, penalty: float, seed: int) -> BoolArray:
    """Whether each clip is right by a head of a known penalty that did not see its group; no fold: all are wrong.

    Args:
        clips: The clips.
        groups: int64 [N].
        penalty: The heads' penalty.
        seed: The seed of the division.
    """
    data = clips.labelled(groups)
    logits = np.zeros(clips.truth.shape, np.float32)
    for learn, judge in group_folds(groups, data.targets, seed):
        found = solve(data.take(learn), penalty).logits(data.features[judge])[:, 0]
        logits[judge] = np.where(clips.truth[learn].any(axis=0), found, -np.inf) if clips.exclusive else found
    return decided_right(logits, clips.truth, clips.exclusive)


def decided_right(logits: Float32Array, truth: BoolArray, exclusive: bool) -> BoolArray:
    """Whether logits decide each clip right: float32 [N, C] and bool [N, C] to bool [N]."""
    return right_labels(np.asarray(logits > 0, np.float32) if not exclusive else logits, truth, exclusive)


@dataclass(frozen=True)
class Level:
    """Look-alikes kept together, at one likeness.

    Attributes:
        likeness: Clips at least this alike were joined.
        groups: How many groups that makes.
        largest: Clips in the largest of them.
        figure: The accuracy by these groups; None where they cannot be judged.
        reason: Why not, in words; empty where they can.
        member: int64 [N], the group of each clip.
    """

    likeness: float
    groups: int
    largest: int
    figure: Figure | None
    reason: str
    member: IntArray = field(repr=False, compare=False)


@dataclass(frozen=True)
class Alike:
    """What the figure is worth where clips that look alike are kept together.

    Attributes:
        levels: From nearly the same picture to the same colours.
        proposed: The level whose groups are proposed; None where none can be judged or none joins anything.
        control: The accuracy where groups of the same sizes and classes are drawn at random; None without a proposal.
        difference: How much higher the figure is than the proposed level's, with its 95% interval.
    """

    levels: tuple[Level, ...]
    proposed: Level | None
    control: float | None = None
    difference: tuple[float, float, float] | None = None


def alike_figures(
    clips: AdvisedClips, tree: Tree, naive: Figure, penalty: float, seed: int, on_progress: OnProgress | None = None
) -> Alike:
    """Judge the clips again with look-alikes kept together, at several levels of likeness.

    Args:
        clips: The clips.
        tree: The likeness of their looks.
        naive: The figure with the groups as they are.
        penalty: What suits heads of these clips.
        seed: The seed of the divisions.
        on_progress: Receives ("look-alikes", levels done, levels in all).
    """
    from adapters.evaluation import difference_interval

    levels: list[Level] = []
    for number, likeness in enumerate(LEVELS):
        if on_progress is not None:
            on_progress("look-alikes", number, len(LEVELS))
        member = groups_alike(tree, clips.groups, likeness)
        if levels and int(member.max()) + 1 == levels[-1].groups:
            levels.append(replace(levels[-1], likeness=likeness))
        else:
            levels.append(_level(clips, member, likeness, penalty, seed))
    by_likeness = {level.likeness: level for level in levels}
    proposed = next((by_likeness[at] for at in PROPOSED if by_likeness[at].figure is not None), None)
    if proposed is None or proposed.figure is None or proposed.groups == naive.groups:
        return Alike(tuple(levels), None)
    shuffled = [
        float(quick_right(clips, _drawn_groups(clips, proposed.member, seed + number), penalty, seed).mean())
        for number in range(_CONTROLS)
    ]
    difference = difference_interval(naive.right, proposed.figure.right, proposed.member.tolist())
    return Alike(tuple(levels), proposed, float(np.mean(shuffled)), difference)


def _level(clips: AdvisedClips, member: IntArray, likeness: float, penalty: float, seed: int) -> Level:
    sizes = np.bincount(member)
    reason = _cannot_judge(clips, member, sizes)
    # The same heads as for the figure: only what is held out together differs.
    figure = None if reason else figure_of(quick_right(clips, member, penalty, seed), member)
    return Level(likeness, len(sizes), int(sizes.max()), figure, reason, member)


def _cannot_judge(clips: AdvisedClips, member: IntArray, sizes: IntArray) -> str:
    if len(sizes) == 1:
        return "all clips look alike"
    alone = [
        label
        for label, column in zip(clips.labels, clips.truth.T, strict=True)
        if column.sum() > 1 and len(np.unique(member[column])) == 1
    ]
    if alone:
        more = f" and of {len(alone) - 1} more classes" if len(alone) > 1 else ""
        return f"all clips of {alone[0]!r}{more} look alike"
    if len(sizes) < _FEWEST_GROUPS:
        return f"{len(sizes)} groups are too few"
    if sizes.max() > _LARGEST_GROUP * len(member):
        return f"one group has {sizes.max()} of {len(member)} clips"
    return ""


def _drawn_groups(clips: AdvisedClips, member: IntArray, seed: int) -> IntArray:
    """Groups of the same sizes that hold as many clips of each class, the clips drawn at random."""
    rng = np.random.default_rng(seed)
    drawn = member.copy()
    kinds = np.unique(clips.truth, axis=0, return_inverse=True)[1].reshape(-1)
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        drawn[rows] = member[rng.permutation(rows)]
    return drawn

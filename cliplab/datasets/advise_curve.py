"""How accuracy grows with clips: heads trained on part of the groups, and what more clips would bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import OnProgress
from adapters.training import group_folds, solve
from cliplab.datasets.advise_alike import IntArray
from cliplab.datasets.advise_figures import AdvisedClips, decided_right

Float64Array = npt.NDArray[np.float64]

# Those between are the sizes that people ask about: 50, 200 and 500 clips.
SIZES = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_FOLDS, _REPEATS = 5, 5
_LARGE, _REPEATS_OF_LARGE = 1500, 2
_SIZES_USED = 6
_RESAMPLES = 400
_FEWEST_OF_CLASS = 4
_FITTED = 4  # sizes that the law is fitted to: with very few clips it is another one
_MORE = (5, 10, 20, 30, 60, 100, 200, 300, 600, 1000, 2000)


@dataclass(frozen=True)
class CurvePoint:
    """The accuracy of heads that learned from a number of clips.

    Attributes:
        clips: Clips learned from, on average over folds and repeats.
        accuracy: On clips of other groups, in 0..1.
        interval: Its 95% interval.
    """

    clips: int
    accuracy: float
    interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        ends = [round(end, 4) for end in self.interval]
        return {"clips": self.clips, "accuracy": round(self.accuracy, 4), "interval": ends}


@dataclass(frozen=True)
class Gain:
    """What more clips would bring, by a power law through the last points of the curve.

    Attributes:
        label: The class; None: of all classes, and accuracy in place of recall.
        clips: How many more.
        now: Clips learned from at the end of the curve.
        value: The recall or accuracy there, in 0..1.
        gain: What is added to it.
        interval: The 95% interval of the gain, over resampled groups and two ways to fit the law.
    """

    label: str | None
    clips: int
    now: int
    value: float
    gain: float
    interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        own = {"label": self.label, "more_clips": self.clips, "clips_now": self.now, "value": round(self.value, 4)}
        return own | {"gain": round(self.gain, 4), "interval": [round(end, 4) for end in self.interval]}


@dataclass(frozen=True)
class LearningCurve:
    """Points by size, and what more clips would bring.

    Attributes:
        points: From the fewest clips to all that a head can learn from while others are held out.
        overall: The gain in accuracy up to 50, 200 and 500 clips, as far as they are more than there are.
        classes: The gain in recall of each class, the largest first.
    """

    points: tuple[CurvePoint, ...]
    overall: tuple[Gain, ...]
    classes: tuple[Gain, ...]


def learning_curve(
    clips: AdvisedClips, penalty: float, seed: int, on_progress: OnProgress | None = None
) -> LearningCurve:
    """Train heads on whole groups up to several sizes, several times, and judge them on groups that they never saw.

    Args:
        clips: The clips.
        penalty: What suits heads of all of them; with fewer clips it is as much stronger.
        seed: The seed of the folds and of the order of the groups.
        on_progress: Receives ("learning curve", folds done, folds in all).

    Returns:
        The curve; without points where the clips cannot be divided.
    """
    targets = clips.truth.astype(np.float32)
    folds = group_folds(clips.groups, targets, seed, _FOLDS)
    if not folds:
        return LearningCurve((), (), ())
    whole = min(len(learn) for learn, _ in folds)
    sizes = [*[size for size in SIZES if size < 0.9 * whole][-(_SIZES_USED - 1) :], len(clips.truth)]
    repeats = _REPEATS if whole < _LARGE else _REPEATS_OF_LARGE
    right = np.zeros((len(sizes), len(targets)))
    learned = np.zeros((len(sizes), len(folds), targets.shape[1] + 1))
    for number, (learn, judge) in enumerate(folds):
        if on_progress is not None:
            on_progress("learning curve", number, len(folds))
        for at, size in enumerate(sizes):
            times = 1 if at == len(sizes) - 1 else repeats
            for repeat in range(times):
                rows = _first_groups(clips, learn, size, np.random.default_rng([seed, number, repeat]))
                right[at, judge] += _right(clips, rows, judge, penalty * whole / len(rows)) / times
                learned[at, number] += np.array([len(rows), *targets[rows].sum(axis=0)]) / times
    return _curve(clips, right, learned.mean(axis=1), seed)


def _first_groups(clips: AdvisedClips, learn: IntArray, size: int, rng: np.random.Generator) -> IntArray:
    """Rows of whole groups, up to about size clips, drawn so that each class has near its share."""
    if size >= len(learn):
        return learn
    names, member = np.unique(clips.groups[learn], return_inverse=True)
    kinds = np.unique(clips.truth[learn], axis=0, return_inverse=True)[1].reshape(-1)
    first = np.zeros(len(names), np.int64)
    first[member.reshape(-1)[::-1]] = kinds[::-1]  # the class of a group is that of its first clip
    place = np.zeros(len(names))
    for kind in np.unique(first):
        own = np.flatnonzero(first == kind)
        place[own] = (rng.permutation(len(own)) + rng.random(len(own))) / len(own)
    order = np.argsort(place)
    sizes = np.bincount(member.reshape(-1))[order]
    taken = order[: max(1, int(np.searchsorted(np.cumsum(sizes), size, side="right")))]
    return learn[np.isin(member.reshape(-1), taken)]


def _right(clips: AdvisedClips, rows: IntArray, judge: IntArray, penalty: float) -> npt.NDArray[np.bool_]:
    data = clips.labelled()
    truth = clips.truth[rows]
    if clips.exclusive and (truth == truth[0]).all():
        return np.asarray((clips.truth[judge] == truth[0]).all(axis=1))
    logits = solve(data.take(rows), penalty).logits(data.features[judge])[:, 0]
    if clips.exclusive:
        logits = np.where(truth.any(axis=0), logits, -np.inf)
    return decided_right(logits, clips.truth[judge], clips.exclusive)


def _curve(clips: AdvisedClips, right: Float64Array, learned: Float64Array, seed: int) -> LearningCurve:
    from adapters.evaluation import share_interval

    names = clips.groups.tolist()
    points = []
    keep = [0] + [at for at in range(1, len(right)) if learned[at, 0] > learned[at - 1, 0]]
    right, learned = right[keep], learned[keep]
    for row, counts in zip(right, learned, strict=True):
        points.append(CurvePoint(round(counts[0]), float(row.mean()), share_interval(row, names)))
    weights = _resampled_weights(clips.groups, seed)
    total = round(learned[-1, 0])
    overall = [
        gain
        for size in (50, 200, 500)
        if size > len(clips.truth)
        and (gain := _gain(None, size - total, right, learned[:, 0], weights, np.ones(len(names), bool))) is not None
    ]
    classes = []
    for number, (label, column) in enumerate(zip(clips.labels, clips.truth.T, strict=True)):
        if column.sum() < _FEWEST_OF_CLASS or len(np.unique(clips.groups[column])) < 2:
            continue
        more = max((size for size in _MORE if size <= max(column.sum(), _MORE[0])), default=_MORE[0])
        found = _gain(label, more, right, learned[:, number + 1], weights, column)
        if found is not None:
            classes.append(found)
    return LearningCurve(tuple(points), tuple(overall), tuple(sorted(classes, key=lambda gain: -gain.gain)))


def _resampled_weights(groups: IntArray, seed: int) -> Float64Array:
    """How often each clip is drawn where whole groups are drawn again: float64 [resamples, N], the first row all 1."""
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    return np.concatenate([np.ones((1, len(groups))), drawn[:, member.reshape(-1)]])


def _gain(
    label: str | None,
    more: int,
    right: Float64Array,
    learned: Float64Array,
    weights: Float64Array,
    column: npt.NDArray[np.bool_],
) -> Gain | None:
    """Errors fall as a power of the number of clips (Hestness et al. 2017, arXiv:1712.00409): what that adds."""
    used = np.flatnonzero(learned >= 1)[-_FITTED:]
    if len(used) < 2 or learned[used[-1]] <= learned[used[0]]:
        return None
    drawn = weights[:, column]
    drawn = drawn[drawn.sum(axis=1) > 0]
    total = drawn.sum(axis=1, keepdims=True)
    errors = 1 - (drawn @ right[used][:, column].T) / total
    # As if half a clip more were wrong, so that no error is 0.
    logs, sizes = np.log((errors * total + 0.5) / (total + 1.0)), np.log(learned[used])
    now = float(learned[used[-1]])

    def added(points: int) -> Float64Array:
        """By the last points alone."""
        x = sizes[-points:] - sizes[-points:].mean()
        power = np.clip(-(logs[:, -points:] @ x) / (x @ x), 0.0, 1.0)
        return np.asarray(errors[:, -1] * (1 - (1 + more / now) ** -power))

    gains = added(len(used))
    # How the law bends is not known: the interval holds what the last two points alone say, too.
    ends = [np.quantile(found[1:], [0.025, 0.975]) for found in (gains, added(2))]
    low, high = (float(value) for value in (min(ends[0][0], ends[1][0]), max(ends[0][1], ends[1][1])))
    return Gain(label, more, round(now), float(1 - errors[0, -1]), float(gains[0]), (low, high))

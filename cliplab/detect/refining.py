"""Edges to the frame: only the parts around a possible start or end of a break are decoded completely."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.media import Video, open_video
from adapters.records import Float64Array
from cliplab.detect.gathering import join_stretches, merge_cuts
from cliplab.detect.looks import Looks, black_stretches, shot_cuts
from cliplab.detect.observations import GRID_SECONDS, Observations
from cliplab.detect.observing import FrameScorer, OnProgress, frame_spec, one_frame

# Around an edge: a key frame may be this late, and scores of 1 Hz this wrong.
AROUND_SECONDS = 3.0
_CHANGE_SECONDS = 6.0  # before and after, over which a change of scores is looked for
_LEAST_CHANGE = 0.25  # of the mean score
# Of the recording, at most this share is decoded whole; of a short one at least some stretches.
_MOST_SHARE, _LEAST_BUDGET_SECONDS = 0.10, 90.0
_SCORES_PER_SECOND = 4.0
_SIDE_SECONDS = 0.8  # before and after a cut, over which its scores are compared
_LONG_BLACK_SECONDS = 1.0


def places_to_refine(
    observations: Observations, edges: Iterable[float] = (), suggest: bool = True
) -> list[tuple[float, float]]:
    """The stretches that may hold an edge and are not exact yet, the likeliest first within the budget.

    Args:
        observations: As far as they are known.
        edges: Where the decoder puts edges, in seconds; they come first.
        suggest: Whether places that the evidence alone suggests are added.

    Returns:
        (start, end) in seconds, in order, without overlap.
    """
    duration = observations.duration_seconds
    # Suggestions use half of the budget at most, so that what the decoder comes to later can be looked at too.
    budget = max(_MOST_SHARE * duration, _LEAST_BUDGET_SECONDS) - sum(end - start for start, end in observations.exact)
    kept = 0.5 * budget
    wanted = [(seconds, 0.0) for seconds in edges]
    if suggest:
        wanted += [(seconds, kept) for _, seconds in sorted(_possible(observations), reverse=True)]
    chosen = list[tuple[float, float]]()
    for seconds, least in wanted:
        if budget <= least:
            break
        if _inside(seconds, observations.exact) or not 0.5 < seconds < duration - 0.5:
            continue
        if any(start + 0.5 <= seconds <= end - 0.5 for start, end in chosen):
            continue
        stretch = (max(seconds - AROUND_SECONDS, 0.0), min(seconds + AROUND_SECONDS, duration))
        chosen.append(stretch)
        budget -= stretch[1] - stretch[0]
    return _without(join_stretches(chosen), observations.exact)


def _possible(observations: Observations) -> Iterator[tuple[float, float]]:
    """(how likely, seconds) of places that look like an edge to the evidence itself."""
    for seconds, strength, kind in zip(
        observations.cuts, observations.cut_strength, observations.cut_kinds, strict=True
    ):
        if "+" in kind or kind in ("black", "silence"):
            yield float(strength) + ("black" in kind) + ("silence" in kind), float(seconds)
    scores = observations.ad_scores.astype(np.float64)
    width = round(_CHANGE_SECONDS / GRID_SECONDS)
    for change, place in _changes(scores, width):
        yield 1.0 + change, float(observations.times[place])
    logo = observations.row("logo").astype(np.float64)
    for change, place in _changes(logo, width):
        yield 0.5 + change, float(observations.times[place])


def _changes(values: Float64Array, width: int) -> Iterator[tuple[float, int]]:
    """(size, place) of the largest changes of a row's mean, at least ``width`` from one to the next."""
    if len(values) < 2 * width:
        return
    known = np.isfinite(values)
    sums, counts = np.cumsum(np.append(0.0, np.where(known, values, 0.0))), np.cumsum(np.append(0, known))
    places = np.arange(width, len(values) - width + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        before = (sums[places] - sums[places - width]) / (counts[places] - counts[places - width])
        after = (sums[places + width] - sums[places]) / (counts[places + width] - counts[places])
    change = np.nan_to_num(np.abs(after - before))
    while change.size and change.max() >= _LEAST_CHANGE:
        best = int(change.argmax())
        yield float(change[best]), int(places[best])
        change[max(best - width, 0) : best + width + 1] = 0.0


def refine(
    path: str | Path,
    observations: Observations,
    stretches: Sequence[tuple[float, float]],
    key_times: Sequence[float],
    adapter: BaseModelAdapter | None = None,
    index: int | None = None,
    on_progress: OnProgress | None = None,
) -> Observations:
    """Decode every frame of some stretches, and put exact cuts in place of those known to a key frame.

    Where the model scores frames, it sees four per second there, and a cut at which the scores change is stronger.

    Args:
        path: The video.
        observations: What is known of it.
        stretches: (start, end) in seconds, in order, as ``places_to_refine`` returns them.
        key_times: When key frames are shown.
        adapter: The model; None: none.
        index: Of its label for ads.
        on_progress: Called with "edges", the stretches done and in all.

    Returns:
        The observations with these stretches among ``exact``.
    """
    if not stretches:
        return observations
    pictures: list[tuple[float, float, str]] = []
    found = _Exact()
    with open_video(path) as video:
        interval = 1 / (video.info.fps or 25.0)
        model = adapter if adapter is not None and adapter.scores_frames else None
        for done, stretch in enumerate(_look(video, stretches, key_times, model, index)):
            pictures += _exact_cuts(stretch, interval)
            found.add(stretch)
            if on_progress is not None:
                on_progress("edges", done + 1, len(stretches))
    return _replaced(observations, stretches, pictures, found)


@dataclass(eq=False)
class _Stretch:
    """What was seen in one stretch."""

    looks: Looks = field(default_factory=Looks)
    scores: list[tuple[float, float, float]] = field(default_factory=list)


@dataclass(eq=False)
class _Exact:
    """What was seen in all stretches."""

    seconds: list[float] = field(default_factory=list)
    black: list[float] = field(default_factory=list)
    uniform: list[float] = field(default_factory=list)
    scores: list[tuple[float, float, float]] = field(default_factory=list)

    def add(self, stretch: _Stretch) -> None:
        self.seconds += stretch.looks.seconds
        self.black += stretch.looks.black
        self.uniform += stretch.looks.uniform
        self.scores += stretch.scores


def _look(
    video: Video,
    stretches: Sequence[tuple[float, float]],
    key_times: Sequence[float],
    adapter: BaseModelAdapter | None,
    index: int | None,
) -> Iterator[_Stretch]:
    """Measure and score every stretch, one after the other."""
    frames = video.stretches(stretches, frame_spec(adapter), key_times=key_times)
    waiting = next(frames, None)
    for _, end in stretches:
        stretch = _Stretch()
        scorer = None if adapter is None or index is None else FrameScorer(adapter, index, stretch.scores)
        scored = -1.0
        while waiting is not None and waiting[0] < end - 1e-6:
            seconds, picture = waiting
            stretch.looks.add(seconds, picture)
            if scorer is not None and seconds >= scored + 1 / _SCORES_PER_SECOND - 1e-3:
                scored = seconds
                scorer.add(one_frame(video, seconds, picture))
            waiting = next(frames, None)
        if scorer is not None:
            scorer.finish()
        yield stretch


def _exact_cuts(stretch: _Stretch, interval: float) -> list[tuple[float, float, str]]:
    """(seconds, strength, kind) of the cuts of a stretch: shots, and the middle or the ends of black."""
    dark = black_stretches(stretch.looks, interval)
    found = []
    for seconds, strength in zip(*shot_cuts(stretch.looks), strict=True):
        # Into black and out of it is one cut.
        if not any(start - 1.5 * interval <= seconds <= end + 1.5 * interval for start, end in dark):
            found.append((float(seconds), _weighed(float(strength), float(seconds), stretch.scores), "shot"))
    for start, end in dark:
        sides = (start, end) if end - start > _LONG_BLACK_SECONDS else ((start + end) / 2,)
        found += [(side, max(0.8, _weighed(0.9, side, stretch.scores)), "shot+black") for side in sides]
    return found


def _weighed(strength: float, seconds: float, scores: Sequence[tuple[float, float, float]]) -> float:
    """The strength of a cut with what the model says of both sides; as it is without a model."""
    before = [score for start, _, score in scores if seconds - _SIDE_SECONDS <= start < seconds - 1e-3]
    after = [score for start, _, score in scores if seconds - 1e-3 <= start < seconds + _SIDE_SECONDS]
    if not before or not after or not np.isfinite([*before, *after]).all():
        return strength
    return min(0.5 * strength + 0.7 * abs(float(np.median(after)) - float(np.median(before))), 1.0)


def _replaced(
    observations: Observations,
    stretches: Sequence[tuple[float, float]],
    pictures: list[tuple[float, float, str]],
    found: _Exact,
) -> Observations:
    """The observations with the exact cuts, black frames and scores of the stretches."""
    sounds, seen = [], [seconds for seconds, _, _ in pictures]
    known = observations.cut_slack if len(observations.cut_slack) else np.zeros(len(observations.cuts))
    slack = dict(zip(observations.cuts.tolist(), map(float, known), strict=True))
    rows = zip(observations.cuts, observations.cut_strength, observations.cut_kinds, strict=True)
    for seconds, strength, kind in rows:
        late = slack.get(float(seconds), 0.0)
        if not _inside(float(seconds), stretches):
            if not late or not any(seconds - late <= at <= seconds for at in seen):  # else it is the one seen there
                pictures.append((float(seconds), float(strength), kind))
        elif "silence" in kind:
            sounds.append((float(seconds), 0.5, "silence"))
    cuts = merge_cuts(sorted(pictures), sounds, observations.duration_seconds)
    changed = dict(observations.rows)
    step = np.minimum((np.array(found.seconds) / GRID_SECONDS).astype(int), len(observations.times) - 1)
    for name, values in (("black", found.black), ("uniform", found.uniform)):
        row = observations.row(name).copy()
        for place, value in zip(step, values, strict=True):
            row[place] = value if np.isnan(row[place]) else max(row[place], value)
        changed[name] = row
    scores = observations.ad_scores.copy()
    fine = np.array([row for row in found.scores if np.isfinite(row[2])]).reshape(-1, 3)
    places = (fine[:, 0] / GRID_SECONDS).astype(int)
    for place in np.unique(places[places < len(scores)]):
        scores[place] = fine[places == place, 2].mean()
    exact = join_stretches([*observations.exact, *stretches])
    times, strength, kinds = cuts
    return replace(
        observations,
        cuts=times,
        cut_strength=strength,
        cut_kinds=kinds,
        cut_slack=np.array(
            [0.0 if _inside(each, stretches) else slack.get(each, 0.0) for each in times.tolist()], np.float32
        ),
        rows=changed,
        ad_scores=scores,
        exact=exact,
    )


def _inside(seconds: float, stretches: Sequence[tuple[float, float]]) -> bool:
    return any(start <= seconds <= end for start, end in stretches)


def _without(
    stretches: Sequence[tuple[float, float]], known: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Stretches without what is known already."""
    left = list(stretches)
    for begin, finish in known:
        pieces = []
        for start, end in left:
            if finish <= start or begin >= end:
                pieces.append((start, end))
                continue
            pieces += [(a, b) for a, b in ((start, begin), (finish, end)) if b - a > 0.2]
        left = pieces
    return left

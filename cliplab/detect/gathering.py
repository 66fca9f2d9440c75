"""What was seen and heard to observations: one value per second of each kind of evidence, and the list of cuts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from adapters.records import Float32Array, Float64Array
from cliplab.detect.adapting import Float16Array, no_features
from cliplab.detect.key_cuts import CHANGED, cut_slack, key_cuts, keys_out_of_turn
from cliplab.detect.looks import Looks
from cliplab.detect.observations import GRID_SECONDS, Observations
from cliplab.detect.sound import LEVEL_SECONDS, Sound, loudness_jumps, second_levels, silent_stretches

# A key frame is what is seen until the next one, but not for longer than this.
HOLD_SECONDS = 12.0
_RATE_SECONDS = 8.0  # around a moment in which changes of shot are counted
_MERGE_SECONDS = 0.4  # cuts of sound and picture that are one


@dataclass(eq=False)
class Seen:
    """The picture of a recording at some moments.

    Attributes:
        looks: The measures of each frame, in order of time.
        scores: The model's score of each frame, by when it is shown; empty without a model.
        features: The model's features of each frame in short, by when it is shown; empty where it gives none.
        key_times: When the key frames that were looked at are shown.
        all_keys: When any key frame is shown whose time is known, in order.
        logo: As ``LogoFinder.find`` returns it.
        notes: What is missing, in sentences without a full stop.
    """

    looks: Looks = field(default_factory=Looks)
    scores: list[tuple[float, float, float]] = field(default_factory=list)
    features: list[tuple[float, Float16Array]] = field(default_factory=list)
    key_times: list[float] = field(default_factory=list)
    all_keys: list[float] = field(default_factory=list)
    logo: tuple[Float64Array, Float32Array] | None = None
    notes: list[str] = field(default_factory=list)


def join_stretches(stretches: Iterable[tuple[float, float]], apart: float = 0.0) -> list[tuple[float, float]]:
    """Stretches in order, those that meet as one.

    Args:
        stretches: (start, end) in seconds, in any order.
        apart: Those that are at most this many seconds apart meet.
    """
    joined = list[tuple[float, float]]()
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1] + apart:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif end > start:
            joined.append((start, end))
    return joined


def gather(
    seen: Seen,
    sound: Sound,
    duration: float,
    damaged: list[tuple[float, float]],
    cues: Sequence[tuple[float, float]] | None,
    notes: Sequence[str],
) -> Observations:
    """What was seen and heard, on one grid.

    Args:
        seen: The picture.
        sound: The sound.
        duration: Length in seconds.
        damaged: Stretches that are unknown.
        cues: Breaks that the stream announces; None: it announces none.
        notes: What is missing.
    """
    steps = max(math.ceil(duration / GRID_SECONDS - 1e-6), 1)
    times = np.arange(steps, dtype=np.float64) * GRID_SECONDS
    rows = _picture_rows(seen, times) | _sound_rows(sound, times)
    if cues is not None:
        rows["cue"] = _covered(times, cues)
    scores = grid_scores(times, seen.scores)
    for start, end in damaged:
        inside = (times + GRID_SECONDS > start) & (times < end)
        scores[inside] = np.nan
        for name in rows.keys() - {"cue", "silence", "loudness_jump"}:
            rows[name][inside] = np.nan
    begun = keys_out_of_turn(seen.all_keys)
    cuts = merge_cuts(key_cuts(seen.looks, begun), silence_cuts(sound.levels, duration), duration)
    return Observations(
        times,
        scores,
        rows,
        *cuts,
        duration,
        damaged,
        GRID_SECONDS,
        tuple(dict.fromkeys(notes)),
        loudness=second_levels(sound.levels, steps),
        features=_grid_features(times, seen.features, damaged),
        cut_slack=cut_slack(cuts[0], cuts[2], seen.looks, begun, HOLD_SECONDS),
    )


def _grid_features(
    times: Float64Array, features: Sequence[tuple[float, Float16Array]], damaged: Sequence[tuple[float, float]]
) -> Float16Array:
    """Features of the last frame that began before each second's end; NaN where that was long ago, or is damaged."""
    if not features:
        return no_features()
    ordered = sorted(features, key=lambda pair: pair[0])
    at = np.array([start for start, _ in ordered])
    place = np.maximum(np.searchsorted(at, times + GRID_SECONDS - 1e-6) - 1, 0)
    found = np.stack([values for _, values in ordered])[place]
    unknown = (at[place] >= times + GRID_SECONDS) | (times - at[place] > HOLD_SECONDS)
    for start, end in damaged:
        unknown |= (times + GRID_SECONDS > start) & (times < end)
    found[unknown] = np.nan
    return found


def grid_scores(times: Float64Array, scores: Sequence[tuple[float, float, float]]) -> Float32Array:
    """Scores of clips to seconds: the mean of those that begin in a second, or what was seen last.

    Args:
        times: float64 [T], the start of each second.
        scores: (start, end, score) of each clip.

    Returns:
        float32 [T]; NaN where nothing was scored for some seconds.
    """
    if not scores:
        return np.full(len(times), np.nan, np.float32)
    ordered = np.array(sorted(scores), np.float64)
    # A window of several seconds says most about its middle.
    long = ordered[:, 1] - ordered[:, 0] > 1.5 * GRID_SECONDS
    regular = len(ordered) > 2 and float(np.median(np.diff(ordered[:, 0]))) < HOLD_SECONDS
    windows = long & regular & _overlaps(ordered)
    middles = np.where(windows, ordered[:, :2].mean(axis=1), ordered[:, 0])
    found = _held(times, middles, ordered[:, 2], np.mean)
    known = np.isfinite(ordered[:, 2])
    if windows.all() and known.any():
        # Between the middles of two windows the score goes from one to the other; held, a change would come late.
        between = np.interp(times + GRID_SECONDS / 2, middles[known], ordered[known, 2])
        found = np.where(np.isfinite(found), between, np.nan).astype(np.float32)
    return found


def _overlaps(ordered: Float64Array) -> np.ndarray:
    """Whether windows lie over one another, as those of a model of clips; key frames follow one another."""
    after = np.append(ordered[1:, 0], np.inf)
    return np.full(
        len(ordered), bool((after[:-1] < ordered[:-1, 1] - 1e-3).mean() > 0.5) if len(ordered) > 1 else False
    )


def _held(
    times: Float64Array,
    at: Float64Array,
    values: Float64Array,
    combine: Callable[..., Any],
    hold: float = HOLD_SECONDS,
) -> Float32Array:
    """Values at moments to seconds: combined within a second, and held until the next, but not for too long."""
    known = np.isfinite(values)
    at, values = at[known], values[known]
    found = np.full(len(times), np.nan, np.float32)
    if not len(at):
        return found
    first = np.searchsorted(at, times - 1e-6)
    last = np.searchsorted(at, times + GRID_SECONDS - 1e-6)
    for place in range(len(times)):
        if last[place] > first[place]:
            found[place] = combine(values[first[place] : last[place]])
        elif first[place] and times[place] - at[first[place] - 1] <= hold:
            found[place] = values[first[place] - 1]
        elif not first[place] and at[0] - times[place] <= hold:
            found[place] = values[0]
    return found


def _picture_rows(seen: Seen, times: Float64Array) -> dict[str, Float32Array]:
    looks, at = seen.looks, seen.looks.array("seconds")
    rows = {
        # Between frames nobody knows whether some of them were black.
        name: _held(times, at, looks.array(name), np.max, hold=0.0)
        for name in ("black", "uniform")
    }
    rows["shot_rate"] = _shot_rate(times, at, looks)
    rows["aspect_change"] = _aspect_changes(times, at, looks.array("aspect"))
    if seen.logo is not None:
        rows["logo"] = _held(times, seen.logo[0], seen.logo[1].astype(np.float64), np.mean)
    return rows


def _shot_rate(times: Float64Array, at: Float64Array, looks: Looks) -> Float32Array:
    """The share of the seconds around each one in which the shot changes."""
    changes = at[looks.array("recolored") > CHANGED]
    middles = times + GRID_SECONDS / 2
    around = np.searchsorted(changes, middles + _RATE_SECONDS) - np.searchsorted(changes, middles - _RATE_SECONDS)
    looked = np.searchsorted(at, middles + _RATE_SECONDS) - np.searchsorted(at, middles - _RATE_SECONDS)
    # Two changes in three seconds are fast for anything.
    rate = np.minimum(around / (2 * _RATE_SECONDS) * 1.5, 1.0)
    return np.where(looked >= 3, rate, np.nan).astype(np.float32)


def _aspect_changes(times: Float64Array, at: Float64Array, aspect: Float64Array) -> Float32Array:
    """How much the shape of the picture within its black bars changes at each second: by 15% is 1."""
    held = _held(times, at, aspect, np.median).astype(np.float64)
    width = 7
    padded = np.pad(held, width, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    with np.errstate(all="ignore"):
        medians = np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in windows])
        before, after = medians[: len(times)], medians[width : width + len(times)]
        changed = np.abs(np.log(after / before)) / 0.15
    # A dark scene is not a change: what is new must stay the same for some seconds on both sides.
    steady = np.array(
        [np.nanmax(row) / np.nanmin(row) < 1.04 if np.isfinite(row).sum() >= 3 else False for row in windows]
    )
    sure = steady[: len(times)] & steady[width : width + len(times)]
    known = np.isfinite(changed)
    return np.where(known, np.where(sure, np.clip(changed, 0, 1), 0.0), np.nan).astype(np.float32)


def _sound_rows(sound: Sound, times: Float64Array) -> dict[str, Float32Array]:
    count = len(times)
    silence = np.full(count, np.nan, np.float32)
    per_second = round(GRID_SECONDS / LEVEL_SECONDS)
    known = np.add.reduceat(np.isfinite(sound.levels), np.arange(0, len(sound.levels), per_second))[:count]
    silence[: len(known)][known >= per_second // 2] = 0.0
    for start, end in silent_stretches(sound.levels):
        # A tenth of a second of silence is an edge; a longer one is no more of one.
        for step in range(int(start), min(math.ceil(end), count)):
            share = (min(end, step + 1.0) - max(start, float(step))) / 0.16
            silence[step] = np.nanmax([silence[step], min(share, 1.0)])
    rows = {"silence": silence, "loudness_jump": loudness_jumps(sound.levels, count)}
    for name, values in (("speech", sound.speech), ("music", sound.music)):
        rows[name] = np.full(count, np.nan, np.float32)
        rows[name][: min(count, len(values))] = values[:count]
    return {name: values for name, values in rows.items() if np.isfinite(values).any()}


def _covered(times: Float64Array, stretches: Sequence[tuple[float, float]]) -> Float32Array:
    found = np.zeros(len(times), np.float32)
    for start, end in stretches:
        found = np.maximum(found, np.clip(np.minimum(end, times + 1) - np.maximum(start, times), 0, 1))
    return found.astype(np.float32)


def silence_cuts(levels: Float32Array, duration: float) -> list[tuple[float, float, str]]:
    """The middle of short silent stretches, and both ends of longer ones.

    Args:
        levels: As in ``Sound``.
        duration: Length in seconds.

    Returns:
        (seconds, strength in 0..1, "silence") of each.
    """
    found = []
    for start, end in silent_stretches(levels):
        strength = min(0.3 + (end - start), 0.8)
        if end - start > 1.0:
            found += [(start + 0.1, strength, "silence"), (end - 0.1, strength, "silence")]
        else:
            found.append(((start + end) / 2, strength, "silence"))
    return [row for row in found if 0 < row[0] < duration]


def merge_cuts(
    pictures: Sequence[tuple[float, float, str]], sounds: Sequence[tuple[float, float, str]], duration: float
) -> tuple[Float64Array, Float32Array, tuple[str, ...]]:
    """Cuts of the picture and of the sound in one list; those that fall together are at the picture's place.

    Args:
        pictures: (seconds, strength in 0..1, kind) of each cut of the picture.
        sounds: Likewise of the sound.
        duration: Length in seconds.

    Returns:
        As the attributes ``cuts``, ``cut_strength`` and ``cut_kinds`` of ``Observations``.
    """
    merged = dict[float, tuple[float, set[str]]]()
    for seconds, strength, kind in sorted(pictures):
        near = next((at for at in reversed(merged) if seconds - at <= 0.04), None)
        if near is None:
            merged[seconds] = (strength, set(kind.split("+")))
        else:
            merged[near] = (max(strength, merged[near][0]), merged[near][1] | set(kind.split("+")))
    places = np.array(list(merged))
    for seconds, strength, kind in sounds:
        place = int(np.argmin(np.abs(places - seconds))) if len(places) else -1
        if place >= 0 and abs(places[place] - seconds) <= _MERGE_SECONDS:
            at = float(places[place])
            old, kinds = merged[at]
            merged[at] = (1 - (1 - old) * (1 - strength), kinds | {kind})
        else:
            merged.setdefault(seconds, (strength, {kind}))
    ordered = sorted((at, *rest) for at, rest in merged.items() if 0 <= at <= duration)
    order = ("shot", "black", "silence")
    return (
        np.array([at for at, _, _ in ordered], np.float64),
        np.array([min(strength, 1.0) for _, strength, _ in ordered], np.float32),
        tuple("+".join(kind for kind in order if kind in kinds) for _, _, kinds in ordered),
    )

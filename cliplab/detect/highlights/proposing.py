"""Cues to peaks: moments that differ from their surroundings, found minute by minute, and the choice of the best.

Nothing has a fixed threshold. Each cue is compared with the median of the minutes around it, in units of the median
absolute deviation times 1.4826: the standard deviation of normal values, which the highlights themselves do not move
(Rousseeuw and Croux 1993). A loud stadium is therefore not one long highlight, and a quiet one is not silent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from adapters.records import Float32Array
from cliplab.detect.highlights.candidates import Kind
from cliplab.detect.highlights.cells import CELL_SECONDS, ROWS, Cells

HISTORY_SECONDS = 300.0  # before a moment, of which the usual is taken
# What comes after a moment counts too: of a file as much as this, of a live stream only what a clip may wait for.
AHEAD_SECONDS = 60.0
_LIVE_AHEAD_SECONDS = (3.0, 6.0)
_LIVE_WAIT_SECONDS = 3.0  # from the end of a clip to the decision about it, at most, tick included
_TICK_SECONDS, _LIVE_TICK_SECONDS = 5.0, 1.0  # moments that share what is usual
_LEAST_SPREAD = {  # of each cue, so that a hiss or a still picture has no peaks
    "level": 2.0,
    "onset": 0.25,
    "flux": 0.15,
    "crowd": 0.08,
    "speech": 0.10,
    "motion": 0.15,
    "effort": 0.20,
    "cuts": 0.04,
    "flash": 0.03,
    "novelty": 0.04,
    "chat": 0.35,
}
# (name, weight in its evidence, z below which it counts nothing, z over which it counts 63% of all)
_AUDIO_CUES = (
    ("level", 0.55, 1.0, 3.0),
    ("onset", 0.35, 1.5, 4.0),
    ("flux", 0.35, 1.5, 4.0),
    ("crowd", 0.60, 1.0, 3.0),
    ("speech", 0.15, 1.5, 3.0),
)
_VIDEO_CUES = (
    ("motion", 0.55, 1.0, 3.0),
    ("effort", 0.35, 1.0, 3.0),
    ("cuts", 0.25, 1.5, 4.0),
    ("flash", 0.40, 1.0, 4.0),
    ("novelty", 0.65, 1.0, 3.0),
)
_CHAT_CUES = (("chat", 0.6, 1.5, 3.0),)
_EVENTS = {
    "level": "cheer",
    "crowd": "cheer",
    "onset": "bang",
    "flux": "bang",
    "speech": "speech",
    "motion": "motion",
    "effort": "motion",
    "cuts": "cuts",
    "flash": "flash",
    "novelty": "scene",
    "chat": "chat",
}
_OTHER_SHARE = 0.6  # of the weaker of sound and picture
_PEAK_SECONDS = 2.0  # a peak is the highest within this much on both sides
_WIDE_SECONDS = 20.0  # of cells before and after a tick that smoothing reads


@dataclass(frozen=True)
class Peak:
    """A moment that stands out.

    Attributes:
        seconds: When, since the source's first frame.
        kind: "audio" or "video": which of both is stronger.
        event: As in ``Candidate``.
        score: 0..1.
        cues: How strong each cue is, 0..1.
    """

    seconds: float
    kind: Kind
    event: str
    score: float
    cues: dict[str, float]


class Proposer:
    """Finds peaks in cells, tick by tick, as they become known."""

    def __init__(self, cells: Cells, least_score: float, ahead_seconds: float | None = None) -> None:
        """Begin at the first cell.

        Args:
            cells: The measures.
            least_score: Lower peaks are left out.
            ahead_seconds: How much of a live stream after a moment decides about it, as of ``live_waits``; None: of a
                recording, a minute.
        """
        self._cells, self._least = cells, least_score
        self._ahead = round((AHEAD_SECONDS if ahead_seconds is None else ahead_seconds) / CELL_SECONDS)
        self._step = round((_TICK_SECONDS if ahead_seconds is None else _LIVE_TICK_SECONDS) / CELL_SECONDS)
        self._done = 0  # the number of the cell up to which peaks were reported

    def peaks(self, at_end: bool = False) -> Iterator[Peak]:
        """The peaks that are decided now, in the order of time.

        Args:
            at_end: Nothing comes any more.
        """
        tick, ahead = self._step, self._ahead
        # After a leap ahead, over more than is kept, nothing is known of what it passed over.
        self._done = max(self._done, self._cells.first)
        while self._done + tick + ahead <= self._cells.end or (at_end and self._done < self._cells.end):
            start, end = self._done, min(self._done + tick, self._cells.end)
            self._done = end
            yield from self._tick(start, end)

    @property
    def known_seconds(self) -> float:
        """Up to when all peaks are decided."""
        return self._done * CELL_SECONDS

    def _tick(self, start: int, end: int) -> Iterator[Peak]:
        wide = round(_WIDE_SECONDS / CELL_SECONDS)
        first = max(start - round(HISTORY_SECONDS / CELL_SECONDS), self._cells.first, 0)
        last = min(end + self._ahead, self._cells.end)
        measures = _smoothed(self._cells.rows(first, last))
        begin = max(start - wide, first)
        total, audio, video, strengths = _evidence(measures, begin - first)
        near = round(_PEAK_SECONDS / CELL_SECONDS)
        for cell in range(start, end):
            place = cell - begin
            value = total[place]
            around = total[max(place - near, 0) : place + near + 1]
            # Of equal ones the first counts.
            if value < self._least or value < around.max() or (total[max(place - near, 0) : place] >= value).any():
                continue
            here = {name: float(values[place]) for name, values in strengths.items()}
            kind: Kind = "audio" if audio[place] >= video[place] else "video"
            yield Peak(cell * CELL_SECONDS, kind, _event(here, kind), float(value), here)


def _smoothed(rows: Float32Array) -> dict[str, Float32Array]:
    """Each cue over the time in which it is felt: a cheer lasts, a bang does not. float32 [N] by name."""
    column = {name: rows[:, place] for place, name in enumerate(ROWS)}
    return {
        "level": _mean(column["level"], 1.5),
        "onset": _most(column["onset"], 0.4),
        "flux": _most(column["flux"], 0.4),
        # A crowd counts where it is loud.
        "crowd": _mean(column["crowd"] * np.clip((column["level"] + 60) / 40, 0, 1.5), 2.0),
        "speech": _mean(column["speech"] * np.clip((column["level"] + 60) / 40, 0, 1.5), 2.0),
        "motion": _mean(column["motion"], 1.2),
        "effort": _mean(column["effort"], 1.2),
        "cuts": _mean(column["cut"], 5.0),
        "flash": _most(column["flash"], 0.4),
        "novelty": _mean(column["novelty"], 2.0),
        "chat": _mean(column["chat"], 4.0),
    }


def _evidence(
    measures: dict[str, Float32Array], begin: int
) -> tuple[Float32Array, Float32Array, Float32Array, dict[str, Float32Array]]:
    """Total, audio and video evidence of the cells from begin on, 0..1, and the strength of each cue."""
    strengths: dict[str, Float32Array] = {}
    found = []
    for cues in (_AUDIO_CUES, _VIDEO_CUES, _CHAT_CUES):
        missing: Float32Array | float = 1.0
        for name, weight, least, scale in cues:
            z = _standing_out(measures[name], begin, _LEAST_SPREAD[name])
            strength = 1 - np.exp(-np.maximum(z - least, 0.0) / scale)
            strengths[name] = strength.astype(np.float32)
            missing = missing * (1 - weight * strength)
        found.append(np.asarray(1 - missing, np.float32))
    audio, video, chat = found
    weaker, stronger = np.minimum(audio, video), np.maximum(audio, video)
    total = 1 - (1 - stronger) * (1 - _OTHER_SHARE * weaker) * (1 - chat)
    return np.asarray(total, np.float32), audio, video, strengths


def _standing_out(values: Float32Array, begin: int, least_spread: float) -> Float32Array:
    """How far the values from begin on are above the usual, in robust standard deviations; 0 where unknown."""
    known = values[np.isfinite(values)]
    if not len(known):
        return np.zeros(len(values) - begin, np.float32)
    usual = float(np.median(known))
    spread = max(1.4826 * float(np.median(np.abs(known - usual))), least_spread)
    return np.asarray(np.nan_to_num((values[begin:] - usual) / spread), np.float32)


def _event(strengths: dict[str, float], kind: str) -> str:
    """What a peak is, by the cue that weighs most in its kind of evidence."""
    cues = _AUDIO_CUES if kind == "audio" else _VIDEO_CUES
    strongest = max(cues, key=lambda cue: cue[1] * strengths[cue[0]])
    if strengths["chat"] * _CHAT_CUES[0][1] > strongest[1] * strengths[strongest[0]]:
        return "chat"
    return _EVENTS[strongest[0]]


def _mean(values: Float32Array, seconds: float) -> Float32Array:
    """The mean of what is known around each cell; NaN where nothing is."""
    width = max(round(seconds / CELL_SECONDS), 1)
    known = np.isfinite(values)
    sums = _windows(np.where(known, values, 0.0).astype(np.float64), width)
    counts = _windows(known.astype(np.float64), width)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 0, sums / counts, np.nan).astype(np.float32)


def _windows(values: Float32Array, width: int) -> Float32Array:
    """The sum of ``width`` values around each."""
    left = width // 2
    sums = np.concatenate([[0.0], np.cumsum(np.pad(values, (left, width - 1 - left)))])
    return np.asarray(sums[width:] - sums[:-width])


def _most(values: Float32Array, seconds: float) -> Float32Array:
    """The largest of what is known around each cell."""
    width = max(round(seconds / CELL_SECONDS), 1)
    left = width // 2
    padded = np.pad(values, (left, width - 1 - left), constant_values=np.nan)
    return np.asarray(np.fmax.reduce(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1), np.float32)


def keep_apart(peaks: list[Peak], gap_seconds: float) -> list[Peak]:
    """The best peaks of which no two are nearer than a gap.

    Args:
        peaks: In any order.
        gap_seconds: Minimum time between two.

    Returns:
        Those that are kept, in the order of time.
    """
    kept: dict[int, list[Peak]] = {}  # by stretches of the gap's length, so that each looks at three
    length = max(gap_seconds, CELL_SECONDS)
    for peak in sorted(peaks, key=lambda one: (-one.score, one.seconds)):
        place = int(peak.seconds / length)
        near = [other for number in (place - 1, place, place + 1) for other in kept.get(number, ())]
        if all(abs(other.seconds - peak.seconds) >= gap_seconds - 1e-9 for other in near):
            kept.setdefault(place, []).append(peak)
    return sorted((peak for found in kept.values() for peak in found), key=lambda one: one.seconds)


def live_waits(after_seconds: float) -> tuple[float, float]:
    """How long a peak of a live stream waits, so that its clip is decided 3 s after its end where that can be.

    Args:
        after_seconds: How much of a clip lies after its peak, at least.

    Returns:
        How much after a moment decides about it (``Proposer``), and how long a peak then waits for a better one
        (``LiveChoice``), in seconds.
    """
    least, most = _LIVE_AHEAD_SECONDS
    ahead = min(max(after_seconds, least), most)
    return ahead, max(after_seconds + _LIVE_WAIT_SECONDS - _LIVE_TICK_SECONDS - ahead, 2.0)


class LiveChoice:
    """Keeps peaks apart as they come: a peak waits until none that is better can come near it."""

    def __init__(self, gap_seconds: float, patience_seconds: float) -> None:
        """Begin without peaks.

        Args:
            gap_seconds: Minimum time between two that are kept.
            patience_seconds: How long a peak waits for a better one, at most.
        """
        self._gap, self._patience = gap_seconds, min(gap_seconds, patience_seconds)
        self._waiting: list[Peak] = []
        self._last = -np.inf

    def add(self, peaks: list[Peak], known_seconds: float, at_end: bool = False) -> list[Peak]:
        """The peaks that are certain now.

        Args:
            peaks: New ones, in the order of time.
            known_seconds: Up to when all peaks are decided.
            at_end: Nothing comes any more.
        """
        self._waiting += peaks
        certain = []
        while self._waiting:
            best = keep_apart(self._waiting, self._gap)[0]
            if not at_end and best.seconds + self._patience > known_seconds:
                break
            self._waiting = [one for one in self._waiting if one.seconds >= best.seconds + self._gap - 1e-9]
            if best.seconds >= self._last + self._gap - 1e-9:
                certain.append(best)
                self._last = best.seconds
        return certain

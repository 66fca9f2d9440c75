"""Dwell times from schedules: how long breaks, programmes and adverts last on real television."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from adapters.errors import ConfigError
from adapters.system import MAX_DEPTH, parse_json, read_regular_text

# What viewers call the break: adverts with the trailers and the channel's jingles between them.
_MOST_BYTES = 256 * 2**20
_OF_BREAK = frozenset({"advert", "promo", "separator"})
# Longer pauses between two segments of a break do not occur in tv_segments.jsonl but for missing stretches.
_GAP_SECONDS = 3.0
_LATTICE_SECONDS = 5.0
_LENGTHS = tuple(float(seconds) for seconds in range(5, 65, 5))


@dataclass(frozen=True)
class Schedule:
    """What one recording of a channel shows.

    Attributes:
        recording: The name of the recording.
        channel: The name of the channel.
        segments: (start, end, kind) in seconds, in order; kind "advert", "promo", "separator" or of a programme.
    """

    recording: str
    channel: str
    segments: tuple[tuple[float, float, str], ...]

    def blocks(self) -> list[list[tuple[float, float, str]]]:
        """The breaks, each as its segments from the first advert to the last; at least two adverts."""
        found: list[list[tuple[float, float, str]]] = []
        current: list[tuple[float, float, str]] = []
        for segment in [*self.segments, (float("inf"), float("inf"), "end")]:
            near = not current or segment[0] - current[-1][1] <= _GAP_SECONDS
            if segment[2] in _OF_BREAK and near:
                current.append(segment)
                continue
            adverts = [place for place, each in enumerate(current) if each[2] == "advert"]
            if len(adverts) >= 2:
                found.append(current[adverts[0] : adverts[-1] + 1])
            current = [segment] if segment[2] in _OF_BREAK else []
        return found


def read_schedules(path: str | Path) -> list[Schedule]:
    """Read recordings as segments by kind, one JSON object per line.

    Args:
        path: The file; each line has "recording", "channel" and "segments" of [start, end, kind].

    Raises:
        ConfigError: A line is not such an object.
    """
    found = []
    try:
        text = read_regular_text(path, _MOST_BYTES, ConfigError)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Give a file with one JSON object per line") from None
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = parse_json(line, MAX_DEPTH)
            segments = tuple((float(start), float(end), str(kind)) for start, end, kind in row["segments"])
            found.append(Schedule(str(row["recording"]), str(row["channel"]), segments))
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f'{path}:{number}: must have "recording", "channel" and "segments" ({error})') from None
    return found


@dataclass(frozen=True)
class DwellTimes:
    """Lengths as schedules have them, in seconds; what they feed is in ``BreakProfile``.

    Attributes:
        breaks: Lengths of breaks.
        programmes: Lengths of programme between two breaks of a recording.
        adverts: From the start of each advert to the start of the next in its break.
    """

    breaks: tuple[float, ...]
    programmes: tuple[float, ...]
    adverts: tuple[float, ...]


def dwell_times(schedules: Iterable[Schedule]) -> DwellTimes:
    """Collect the lengths of breaks, programmes and adverts.

    Args:
        schedules: Recordings as segments.
    """
    breaks: list[float] = []
    programmes: list[float] = []
    adverts: list[float] = []
    for schedule in schedules:
        blocks = schedule.blocks()
        breaks += [block[-1][1] - block[0][0] for block in blocks]
        programmes += [after[0][0] - before[-1][1] for before, after in pairwise(blocks)]
        for block in blocks:
            pairs = pairwise(block)
            adverts += [b[0] - a[0] for a, b in pairs if a[2] == b[2] == "advert" and b[0] - a[1] < 1.0]
    return DwellTimes(tuple(breaks), tuple(programmes), tuple(adverts))


def log_normal(lengths: Sequence[float], prior: tuple[float, float], strength: float = 0.0) -> tuple[float, float]:
    """Median and spread of lengths, drawn towards a prior where there are few.

    Args:
        lengths: Seconds, each above 0.
        prior: Median and spread to begin from.
        strength: How many lengths the prior is worth.

    Returns:
        The median in seconds and the standard deviation of the natural logarithm.
    """
    logs = np.log(np.maximum(np.asarray(lengths, np.float64), 0.5))
    total = len(logs) + strength
    if not total:
        return prior
    mean = (logs.sum() + strength * np.log(prior[0])) / total
    variance = (((logs - mean) ** 2).sum() + strength * (prior[1] ** 2 + (np.log(prior[0]) - mean) ** 2)) / total
    return float(np.exp(mean)), float(np.sqrt(variance))


def advert_lattice(
    lengths: Sequence[float], prior: dict[str, float] | None = None, strength: float = 0.0
) -> tuple[dict[str, float], dict[str, float], float]:
    """Shares of nominal advert lengths and of gaps beyond them.

    Args:
        lengths: From the start of each advert to the start of the next, in seconds.
        prior: Shares of nominal lengths to begin from.
        strength: How many adverts the prior is worth.

    Returns:
        Shares by nominal length, shares by gap in seconds, and the share of lengths that are on no nominal one.
    """
    found: Counter[float] = Counter()
    gaps: Counter[float] = Counter()
    for length in lengths:
        nominal = round(length / _LATTICE_SECONDS) * _LATTICE_SECONDS
        gap = length - nominal
        if nominal in _LENGTHS and -0.1 <= gap <= 0.45:
            found[nominal] += 1
            gaps[round(gap / 0.04) * 0.04] += 1
    counts = {f"{seconds:g}": float(found[seconds]) for seconds in _LENGTHS}
    for key, share in (prior or {}).items():
        counts[key] = counts.get(key, 0.0) + strength * share
    total, of_gaps = sum(counts.values()), sum(gaps.values())
    shares = {key: count / total for key, count in counts.items() if total and count / total >= 0.002}
    common = {f"{gap:.2f}": count / of_gaps for gap, count in gaps.most_common(5)} if of_gaps else {}
    off = 1 - sum(found.values()) / len(lengths) if lengths else 0.06
    return _whole(shares), _whole(common), off


def _whole(shares: dict[str, float]) -> dict[str, float]:
    total = sum(shares.values())
    return {key: round(share / total, 4) for key, share in shares.items()}

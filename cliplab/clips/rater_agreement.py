"""How far raters agree: each with themselves on clips that they rated again, and all of them with one another.

Alpha is Krippendorff's for interval data (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"): 1 where all
agree, 0 where they agree as chance would have it. Stars count as numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cliplab.clips.manager import ClipManager
from cliplab.clips.rating_rows import rating_rows
from cliplab.clips.schema import RATINGS, sa

# Whoever changes a rating sooner corrects it, and does not judge the clip a second time.
AGAIN_AFTER_SECONDS = 60.0
_RESAMPLES = 1000


@dataclass(frozen=True)
class RaterFigures:
    """One rater.

    Attributes:
        rater: The name.
        clips: Clips that this rater's stars count for.
        mean: The mean of these stars.
        shared: Clips among them that somebody else has rated too.
        above_others: How many stars higher than the mean of the others, on shared clips; None without any.
        again: How often this rater rated a clip a second time, a minute or more after the first.
        again_same: In how many of these the stars were the same.
        again_near: In how many they differed by one star at most.
    """

    rater: str
    clips: int
    mean: float | None
    shared: int
    above_others: float | None
    again: int
    again_same: int
    again_near: int

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in vars(self).items()}


@dataclass(frozen=True)
class RaterAgreement:
    """All raters of a database.

    Attributes:
        clips: Clips with the stars of two raters or more.
        alpha: Krippendorff's alpha of these; None without two such clips, or where all stars are alike.
        interval: Its 95% interval, over resampled clips; None without an alpha.
        raters: Each rater, by name.
    """

    clips: int
    alpha: float | None
    interval: tuple[float, float] | None
    raters: tuple[RaterFigures, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "clips": self.clips,
            "alpha": None if self.alpha is None else round(self.alpha, 4),
            "interval": None if self.interval is None else [round(end, 4) for end in self.interval],
            "raters": [one.to_json() for one in self.raters],
        }


def rater_agreement(manager: ClipManager) -> RaterAgreement:
    """Compare the raters of a database with one another, and each with what they said before.

    Args:
        manager: The database.

    Raises:
        StorageError: The database cannot be read.
    """
    history = sa.select(RATINGS.c.rater, RATINGS.c.clip_id, RATINGS.c.stars, RATINGS.c.rated_at)
    with manager.database.reading() as connection:
        latest = [(str(row.rater), int(row.clip_id), int(row.stars)) for row in rating_rows(connection)]
        said = list(connection.execute(history.order_by(RATINGS.c.rater, RATINGS.c.clip_id, RATINGS.c.id)))
    again = {name: _again(list(rows)) for name, rows in groupby(said, key=lambda row: str(row.rater))}
    by_clip: dict[int, list[int]] = {}
    for _, clip, stars in latest:
        by_clip.setdefault(clip, []).append(stars)
    own: dict[str, list[tuple[int, int]]] = {name: [] for name in again}
    for name, clip, stars in latest:
        own[name].append((clip, stars))
    units = [stars for stars in by_clip.values() if len(stars) > 1]
    alpha, interval = interval_alpha(units)
    raters = tuple(_figures(name, own[name], by_clip, again[name]) for name in sorted(own))
    return RaterAgreement(len(units), alpha, interval, raters)


def interval_alpha(units: Sequence[Sequence[float]], seed: int = 0) -> tuple[float | None, tuple[float, float] | None]:
    """Krippendorff's alpha of numbers, with its 95% interval over resampled units.

    Args:
        units: Of each unit its two or more values.
        seed: The seed of the resampling.

    Returns:
        Alpha and its interval; None for both with fewer than two units, or where all values are alike.
    """
    if len(units) < 2:
        return None, None
    # Of each unit: how many values, their sum, the sum of their squares, and the observed disagreement.
    rows = []
    for values in units:
        count, total, squares = len(values), float(sum(values)), float(sum(value * value for value in values))
        rows.append((count, total, squares, 2 * (count * squares - total**2) / (count - 1)))
    sums = np.array(rows)
    alpha = float(_alpha(sums.sum(axis=0)[None])[0])
    if not np.isfinite(alpha):
        return None, None
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), _RESAMPLES)
    found = _alpha(drawn @ sums)
    low, high = np.nanquantile(found, [0.025, 0.975])
    return alpha, (min(float(low), alpha), max(float(high), alpha))


def _alpha(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    count, total, squares, observed = sums.T
    expected = 2 * (count * squares - total**2) / (count - 1)
    # Equal values leave a remainder of rounding where nothing should be.
    known = expected > 1e-9 * count**2
    return np.where(known, 1 - observed / np.where(known, expected, 1.0), np.nan)


def _figures(name: str, own: list[tuple[int, int]], by_clip: dict[int, list[int]], again: list[int]) -> RaterFigures:
    gaps = []
    for clip, stars in own:
        every = by_clip[clip]
        if len(every) > 1:
            gaps.append(stars - (sum(every) - stars) / (len(every) - 1))
    return RaterFigures(
        name,
        len(own),
        sum(stars for _, stars in own) / len(own) if own else None,
        len(gaps),
        sum(gaps) / len(gaps) if gaps else None,
        len(again),
        sum(gap == 0 for gap in again),
        sum(gap <= 1 for gap in again),
    )


def _again(rows: list[Any]) -> list[int]:
    """By how many stars each second judgement of one rater differs from the one before."""
    gaps = []
    for before, after in pairwise(rows):
        if before.clip_id != after.clip_id or before.stars is None or after.stars is None:
            continue
        if _seconds_between(before.rated_at, after.rated_at) >= AGAIN_AFTER_SECONDS:
            gaps.append(abs(int(after.stars) - int(before.stars)))
    return gaps


def _seconds_between(first: str, second: str) -> float:
    """-1.0 where a script wrote something else than a time."""
    try:
        return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()
    except (TypeError, ValueError):
        return -1.0

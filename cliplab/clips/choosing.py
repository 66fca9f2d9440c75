"""Which clips to rate next: half of them what teaches most, a quarter the likely best, a quarter at random.

The random ones are the unbiased test of a model. One in twenty is a clip that the same person has rated before, which
shows how well people agree with themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from cliplab.clips.feature_table import table_and_rows
from cliplab.clips.learners import size_of
from cliplab.clips.records import Clip, ClipError, read_features
from cliplab.clips.schema import CLIPS, RATINGS, sa

if TYPE_CHECKING:
    from cliplab.clips.manager import ClipManager
    from cliplab.clips.ratings import RatingBasedTrainer

Float64Array = npt.NDArray[np.float64]
Reason = Literal["informative", "likely best", "random", "again"]

_POOL = 256  # clips that are looked at: more would cost time and change little
_KNOWN = 300  # rated clips that the others are compared with
_AGAIN = 0.05
_INFORMATIVE, _BEST = 0.5, 0.25
_NOISE = 0.3  # variance of a rating in units of the kernel's


@dataclass(frozen=True)
class Suggestion:
    """A clip to rate.

    Attributes:
        clip: The clip.
        reason: Why it: "informative", "likely best", "random", or "again" for one that the rater knows.
        predicted: What the model expects, 0..1; None without a model of its type.
        own_stars: What the rater gave it before; None for a clip that is new to them.
    """

    clip: Clip
    reason: Reason
    predicted: float | None
    own_stars: int | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        others = {"reason": self.reason, "predicted": self.predicted, "own_stars": self.own_stars}
        return {**self.clip.to_json(), **others}


def next_to_rate(
    manager: ClipManager,
    trainer: RatingBasedTrainer,
    limit: int = 10,
    rater: str | None = None,
    seed: int | None = None,
) -> list[Suggestion]:
    """Choose clips for one person to rate.

    Args:
        manager: The database.
        trainer: Whose models say what is likely best.
        limit: Maximum number of clips.
        rater: The person; None: the manager's rater.
        seed: For the same choice again; None: another one each time.

    Returns:
        In a random order, so that no place says why a clip is there.

    Raises:
        ClipError: The limit is not allowed.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ClipError(f"limit must be a whole number of at least 1, got {limit!r}")
    name, rng = manager.rater if rater is None else rater, np.random.default_rng(seed)
    pool, known, again, own_stars = _candidates(manager, name, rng)
    reasons: dict[int, Reason] = {}
    repeated = int(rng.binomial(limit, _AGAIN)) if again else 0
    for row in again[:repeated]:
        reasons[row.id] = "again"
    wanted = min(limit - len(reasons), len(pool))
    features = {row.id: _features(row) for row in [*pool, *known]}  # each is read once
    predicted = _predicted(trainer, pool, features)
    for place in _likely_best(predicted, round(_BEST * wanted)):
        reasons[pool[place].id] = "likely best"
    for place in rng.permutation(len(pool)):
        if sum(reason == "random" for reason in reasons.values()) >= round((1 - _INFORMATIVE - _BEST) * wanted):
            break
        reasons.setdefault(pool[place].id, "random")
    left = [place for place in range(len(pool)) if pool[place].id not in reasons]
    missing = wanted - sum(reason != "again" for reason in reasons.values())
    for place in _most_informative(pool, known, left, missing, features):
        reasons[pool[place].id] = "informative"
    scores = {row.id: score for row, score in zip(pool, predicted, strict=True)}
    ids = [list(reasons)[place] for place in rng.permutation(len(reasons))]
    clips = manager.get_clips(ids)
    return [Suggestion(clips[one], reasons[one], scores.get(one), own_stars.get(one)) for one in ids if one in clips]


def next_pairs(
    manager: ClipManager, trainer: RatingBasedTrainer, limit: int = 10, seed: int | None = None
) -> list[tuple[Clip, Clip]]:
    """Pairs of clips of one type to compare: half of them clips that a model finds alike, the others at random.

    Args:
        manager: The database.
        trainer: Whose models say what is alike.
        limit: Maximum number of pairs.
        seed: For the same choice again; None: another one each time.
    """
    rng = np.random.default_rng(seed)
    with manager.database.reading() as connection:
        every = rng.permutation(np.array(connection.execute(sa.select(CLIPS.c.id)).scalars().all(), np.int64))
        columns = (CLIPS.c.id, CLIPS.c.clip_type, CLIPS.c.features)
        rows = list(connection.execute(sa.select(*columns).where(CLIPS.c.id.in_(every[:_POOL].tolist()))))
    scores = _predicted(trainer, rows, {row.id: _features(row) for row in rows})
    pairs: list[tuple[int, int]] = []
    for kind in sorted({row.clip_type for row in rows}):
        own = [place for place in rng.permutation(len(rows)) if rows[place].clip_type == kind]
        pairs += zip(own[::2], own[1::2], strict=False)
        known = sorted((scores[place] or 0.0, place) for place in own if scores[place] is not None)
        alike = [(one, other) for (_, one), (_, other) in zip(known[::2], known[1::2], strict=False)]
        pairs += [alike[place] for place in rng.permutation(len(alike))[: (limit + 1) // 2]]
    chosen = [pairs[place] for place in rng.permutation(len(pairs))[:limit]]
    return [(manager.get_clip(rows[one].id), manager.get_clip(rows[other].id)) for one, other in chosen]


def _candidates(
    manager: ClipManager, rater: str, rng: np.random.Generator
) -> tuple[list[Any], list[Any], list[Any], dict[int, int]]:
    """Clips that the person has not rated, clips that anybody has, some that the person has, and the person's stars."""
    latest = sa.select(sa.func.max(RATINGS.c.id)).group_by(RATINGS.c.clip_id, RATINGS.c.rater)
    counting = (RATINGS.c.id.in_(latest), RATINGS.c.stars.is_not(None))
    with manager.database.reading() as connection:
        columns = (RATINGS.c.clip_id, RATINGS.c.rater, RATINGS.c.stars)
        rated = [tuple(row) for row in connection.execute(sa.select(*columns).where(*counting))]
        own_stars = {int(clip): int(stars) for clip, by, stars in rated if by == rater}
        own = np.array(sorted(own_stars), np.int64)
        others = np.array(sorted({clip for clip, *_ in rated}), np.int64)
        new = _unrated(connection, own, rng)

        def some(ids: npt.NDArray[np.int64], most: int) -> list[Any]:
            drawn = rng.permutation(ids)[:most].tolist()
            columns = (CLIPS.c.id, CLIPS.c.clip_type, CLIPS.c.features)
            rows = {row.id: row for row in connection.execute(sa.select(*columns).where(CLIPS.c.id.in_(drawn)))}
            return [rows[number] for number in drawn if number in rows]

        return some(new, _POOL), some(others, _KNOWN), some(own, 20), own_stars


def _unrated(connection: sa.Connection, own: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """At least ``_POOL`` clips at random that are not among a person's own, or all of them where there are fewer.

    Numbers are drawn and looked up, since to list those of 100,000 clips takes longer than all the rest.
    """
    low, high = connection.execute(sa.select(sa.func.min(CLIPS.c.id), sa.func.max(CLIPS.c.id))).one()
    if low is not None and high - low > 8 * _POOL:
        drawn = np.setdiff1d(rng.integers(low, high + 1, 4 * _POOL), own).tolist()
        found = connection.execute(sa.select(CLIPS.c.id).where(CLIPS.c.id.in_(drawn))).scalars().all()
        if len(found) >= _POOL:
            return np.array(sorted(found), np.int64)
    every = np.array(connection.execute(sa.select(CLIPS.c.id)).scalars().all(), np.int64)
    return np.setdiff1d(every, own)


def _features(row: Any) -> dict[str, Any]:
    try:
        return read_features(row.features)
    except ClipError:
        return {}  # a clip without readable features can still be rated


def _predicted(
    trainer: RatingBasedTrainer, pool: list[Any], features: Mapping[int, Mapping[str, Any]]
) -> list[float | None]:
    scores: list[float | None] = [None] * len(pool)
    for kind, model in trainer.models().items():
        own = [place for place, row in enumerate(pool) if row.clip_type == kind]
        for place, score in zip(own, model.predict([features[pool[place].id] for place in own]), strict=True):
            scores[place] = float(score)
    return scores


def _likely_best(predicted: list[float | None], count: int) -> list[int]:
    known = [(score, place) for place, score in enumerate(predicted) if score is not None]
    return [place for _, place in sorted(known, reverse=True)[:count]]


def _most_informative(
    pool: list[Any],
    known: list[Any],
    left: list[int],
    count: int,
    features: Mapping[int, Mapping[str, Any]],
) -> list[int]:
    """Places in the pool that a Gaussian process is least sure of, one after the other as if it knew those before."""
    if count <= 0 or not left:
        return []
    table, rows = table_and_rows([features[row.id] for row in [*known, *(pool[place] for place in left)]])
    if not table.names:
        return left[:count]
    kinds = np.array([row.clip_type for row in [*known, *(pool[place] for place in left)]])
    squares = ((rows**2).sum(axis=1)[:, None] + (rows**2).sum(axis=1)[None] - 2 * rows @ rows.T).clip(min=0)
    likeness = np.exp(-squares / (2 * size_of(rows))) * (kinds[:, None] == kinds[None])
    first = len(known)
    lower = np.linalg.cholesky(likeness[:first, :first] + _NOISE * np.eye(first)) if first else np.zeros((0, 0))
    explained = np.zeros((0, len(left)))
    if first:
        from scipy.linalg import solve_triangular

        explained = solve_triangular(lower, likeness[:first, first:], lower=True, check_finite=False)
    unsure = 1.0 - (explained**2).sum(axis=0)
    chosen: list[int] = []
    for _ in range(min(count, len(left))):
        place = int(np.argmax(np.where(np.isin(np.arange(len(left)), chosen), -np.inf, unsure)))
        chosen.append(place)
        row = likeness[first + place, first:] - explained[:, place] @ explained
        explained = np.vstack([explained, row / np.sqrt(max(unsure[place], 0.0) + _NOISE)])
        unsure = unsure - explained[-1] ** 2
    return [left[place] for place in chosen]

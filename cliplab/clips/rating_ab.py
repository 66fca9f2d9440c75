"""Two versions of a rating model side by side: which source is ordered by which, and how people like the clips."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import BundleError, ConfigError, StorageError
from adapters.system import parse_json, read_regular_bytes, storage_error, write_json_atomic
from cliplab.clips.database import now
from cliplab.clips.manager import ClipManager
from cliplab.clips.ranking import Division, correlation_interval
from cliplab.clips.rating_model import RatingModel, read_models
from cliplab.clips.rating_rows import rating_rows
from cliplab.clips.records import ClipError, is_outdated, read_features
from cliplab.clips.schema import CLIPS, sa

_FORMAT, _MOST_BYTES, _MANY = "cliplab-rating-ab-1", 1 << 16, 500
_LIKED = 4  # stars, from which a clip is liked
ARMS = ("a", "b")


@dataclass(frozen=True)
class AbTest:
    """A comparison that is under way.

    Attributes:
        name: What draws the arms; another name draws again.
        share_b: How many sources are ordered by B, 0..1.
        started_at: Ratings from then on count; ISO 8601, UTC.
        a: The file of models A, a copy of what was named.
        b: That of models B.
    """

    name: str
    share_b: float
    started_at: str
    a: str
    b: str

    def arm(self, source: str) -> str:
        """Which models order the candidates and clips of a source: "a" or "b", for as long as this comparison runs.

        Args:
            source: A path or URL, as clips are registered with it.
        """
        text = f"{len(self.name)}:{self.name}{source}".encode("utf-8", "surrogatepass")
        place = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64
        return "b" if place < self.share_b else "a"

    def path(self, arm: str) -> Path:
        """The file of an arm's models."""
        return Path(self.a if arm == "a" else self.b)


@dataclass(frozen=True)
class AbArm:
    """What people said of one arm's clips since the comparison began.

    Attributes:
        clips: How many clips were rated.
        ratings: How many ratings they have.
        sources: How many sources they are of.
        liked: The share of ratings of 4 or 5 stars; None without ratings.
        liked_interval: Its 95% interval, over sources.
        spearman: Rank correlation of the arm's model with the mean stars, on clips that it did not learn from; None
            below three clips.
        spearman_interval: Its 95% interval, over resampled sources.
    """

    clips: int
    ratings: int
    sources: int
    liked: float | None
    liked_interval: tuple[float, float] | None
    spearman: float | None
    spearman_interval: tuple[float, float] | None


@dataclass(frozen=True)
class AbReport:
    """Both arms, and both models on the same clips.

    Attributes:
        test: The comparison.
        arms: By "a" and "b".
        lead: By how much the rank correlation of B is above that of A on all clips that neither learned from; None
            below three of them.
        lead_interval: Its 95% interval, over resampled sources.
        clips: On how many clips.
        verdict: What follows, in a sentence.
    """

    test: AbTest
    arms: dict[str, AbArm]
    lead: float | None
    lead_interval: tuple[float, float] | None
    clips: int
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class _Rated:
    """A clip that was rated since the comparison began, and what each model expects of it (NaN: it learned from it)."""

    source: str
    stars: tuple[int, ...]
    expected: dict[str, float]


def ab_path(model: str | Path) -> Path:
    """The file that says that a comparison is under way, beside the models that serve otherwise."""
    return Path(model).with_suffix(".ab.json")


def read_ab(model: str | Path) -> AbTest | None:
    """The comparison that is under way; None without one.

    Args:
        model: The file of the models that serve otherwise.

    Raises:
        BundleError: Its file is damaged.
    """
    path = ab_path(model)
    try:
        value = parse_json(read_regular_bytes(path, _MOST_BYTES, BundleError))
        if value["format"] != _FORMAT or not 0 < float(value["share_b"]) < 1:
            raise ValueError("it has another layout")
        texts = {name: str(value[name]) for name in ("name", "started_at")}
        files = {arm: str(path.with_name(Path(str(value[arm])).name)) for arm in ARMS}
        return AbTest(share_b=float(value["share_b"]), **texts, **files)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{path}: is not a comparison of models, or is damaged ({error}). End it with cliplab clips ab-stop, then "
            "start it again"
        ) from None


def start_ab(model: str | Path, b: str | Path, a: str | Path | None = None, share_b: float = 0.5) -> AbTest:
    """Begin to compare two versions. Both are copied, so that a training does not change them.

    Args:
        model: The file of the models that serve otherwise.
        b: The other version.
        a: The first version; None for ``model``.
        share_b: How many sources are ordered by B, above 0 and below 1.

    Raises:
        ConfigError: A comparison is under way, the versions are one, or the share is not allowed.
        BundleError: A file is not one of rating models.
        StorageError: The copies cannot be written.
    """
    first, second, target = Path(model if a is None else a), Path(b), ab_path(model)
    if isinstance(share_b, bool) or not 0 < share_b < 1:
        raise ConfigError(f"the share of B must be above 0 and below 1, got {share_b!r}")
    if target.exists():
        raise ConfigError(f"{target}: a comparison is already running. End it first: cliplab clips ab-stop")
    for path in (first, second):
        if not path.is_file():
            raise ConfigError(f"{path}: no such file. cliplab clips train writes one")
        read_models(path)
    if first.read_bytes() == second.read_bytes():
        raise ConfigError(f"{first} and {second} are the same models. Give two different versions")
    copies = {arm: target.with_name(f"{Path(model).stem}.{arm}.skops") for arm in ARMS}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for arm, path in (("a", first), ("b", second)):
            shutil.copyfile(path, copies[arm])
    except OSError as error:
        raise storage_error(target, error) from error
    test = AbTest(secrets.token_hex(4), float(share_b), now(), str(copies["a"]), str(copies["b"]))
    names = {arm: path.name for arm, path in copies.items()}
    write_json_atomic(target, {"format": _FORMAT, **asdict(test), **names})
    return test


def stop_ab(model: str | Path, keep: str | None = None) -> AbTest | None:
    """End a comparison.

    Args:
        model: The file of the models that serve otherwise.
        keep: "a" or "b": these models serve from now on; None: those that the last training wrote.

    Returns:
        The comparison; None where none was under way, or its file was damaged.

    Raises:
        ConfigError: ``keep`` is neither.
        StorageError: The models cannot be written.
    """
    if keep not in (None, *ARMS):
        raise ConfigError(f"keep must be a or b, got {keep!r:.20}")
    path = ab_path(model)
    try:
        test = read_ab(model)
    except BundleError:
        if keep is not None:
            raise
        test = None
    try:
        if test is not None and keep is not None:
            read_models(test.path(keep))
            part = Path(model).with_name(f"{Path(model).name}.part")
            shutil.copyfile(test.path(keep), part)
            part.replace(model)
        path.unlink(missing_ok=True)
        for arm in ARMS:
            path.with_name(f"{Path(model).stem}.{arm}.skops").unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: the comparison cannot be ended ({error.strerror}). Check the folder") from error
    return test


def measure_ab(manager: ClipManager, test: AbTest) -> AbReport:
    """What people said since a comparison began.

    Args:
        manager: The database of the clips.
        test: The comparison.

    Raises:
        BundleError: The models of an arm are damaged.
    """
    rated = _rated(manager, test, {arm: read_models(test.path(arm)) for arm in ARMS})
    by_arm = {arm: [one for one in rated if test.arm(one.source) == arm] for arm in ARMS}
    arms = {arm: _arm(arm, found) for arm, found in by_arm.items()}
    both = [one for one in rated if not np.isnan([one.expected[arm] for arm in ARMS]).any()]
    lead, interval = None, None
    if len(both) >= 3:
        first, second = (np.array([one.expected[arm] for one in both]) for arm in ARMS)
        lead, interval = correlation_interval(_division(both), second, _means(both), first)
    return AbReport(test, arms, lead, interval, len(both), _verdict(lead, interval, len(both)))


def _verdict(lead: float | None, interval: tuple[float, float] | None, clips: int) -> str:
    if lead is None or interval is None:
        return f"{clips} clips that neither version learned from were rated: too few to compare them"
    words = f"(difference of rank correlations {lead:+.2f}, {interval[0]:+.2f} to {interval[1]:+.2f}, {clips} clips)"
    if interval[0] > 0:
        return f"B ranks better than A {words}: cliplab clips ab-stop --keep b"
    if interval[1] < 0:
        return f"A ranks better than B {words}: cliplab clips ab-stop --keep a"
    return f"Neither is shown to rank better {words}. More ratings are needed"


def _arm(arm: str, found: Sequence[_Rated]) -> AbArm:
    from adapters.evaluation import share_interval

    liked = [(stars >= _LIKED, one.source) for one in found for stars in one.stars]
    share = float(np.mean([good for good, _ in liked])) if liked else None
    interval = share_interval([good for good, _ in liked], [source for _, source in liked]) if liked else None
    known = [one for one in found if not np.isnan(one.expected[arm])]
    spearman, range_ = None, None
    if len(known) >= 3:
        expected = np.array([one.expected[arm] for one in known])
        spearman, range_ = correlation_interval(_division(known), expected, _means(known))
    sources = len({one.source for one in found})
    return AbArm(len(found), len(liked), sources, share, interval, spearman, range_)


def _means(found: Sequence[_Rated]) -> npt.NDArray[np.float64]:
    return np.array([np.mean(one.stars) for one in found], np.float64)


def _division(found: Sequence[_Rated]) -> Division:
    _, units = np.unique([one.source for one in found], return_inverse=True)
    return Division(np.zeros((1, len(found)), np.int64), np.asarray(units, np.int64).reshape(-1))


def _rated(manager: ClipManager, test: AbTest, models: dict[str, dict[str, RatingModel]]) -> list[_Rated]:
    stars = dict[int, list[int]]()
    with manager.database.reading() as connection:
        for row in rating_rows(connection):
            if row.rated_at >= test.started_at:
                stars.setdefault(int(row.clip_id), []).append(int(row.stars))
        wanted, rows = sorted(stars), list[Any]()
        columns = (CLIPS.c.id, CLIPS.c.clip_type, CLIPS.c.features, CLIPS.c.source_url, CLIPS.c.filepath)
        for first in range(0, len(wanted), _MANY):
            rows += connection.execute(sa.select(*columns).where(CLIPS.c.id.in_(wanted[first : first + _MANY])))
    found = []
    for row in rows:
        expected = {arm: _expected(models[arm].get(row.clip_type), row) for arm in ARMS}
        found.append(_Rated(str(row.source_url or row.filepath), tuple(stars[row.id]), expected))
    return found


def _expected(model: RatingModel | None, row: Any) -> float:
    """What a model expects of a clip; NaN where it learned from it, or cannot know it."""
    if model is None or int(row.id) in set(model.clip_ids):
        return float("nan")
    try:
        features = read_features(row.features)
    except ClipError:
        return float("nan")
    return float("nan") if is_outdated(features) else float(model.predict([features])[0])

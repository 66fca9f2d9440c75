"""The functions of `cliplab clips`: each opens a database, does one thing and closes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.system import whole_number
from cliplab.clips.records import (
    DEFAULT_DATABASE,
    DEFAULT_MODEL,
    DEFAULT_RATER,
    MIN_SAMPLES,
    Clip,
    ClipError,
    clip_filter,
)
from cliplab.outputs import require_new

if TYPE_CHECKING:
    from cliplab.clips.manager import ClipManager
    from cliplab.clips.rating_ab import AbReport, AbTest
    from cliplab.clips.rating_files import ImportReport
    from cliplab.clips.rating_training import TrainingResult
    from cliplab.clips.remeasuring import FeaturesReport


@dataclass(frozen=True)
class ClipList:
    """A list of clips.

    Attributes:
        clips: The newest first.
        tags: By clip.
        total: How many clips the database has.
    """

    clips: tuple[Clip, ...]
    tags: dict[int, list[str]]
    total: int

    def to_json(self) -> list[dict[str, Any]]:
        """A JSON object for each clip."""
        return [{**clip.to_json(), "tags": self.tags[clip.id]} for clip in self.clips]


@dataclass(frozen=True)
class RatingsReport:
    """What came of a training.

    Attributes:
        serves: Whether a new model is used from now on.
        results: By type of clips; a type with too few rated clips has none.
        rated_clips: How many clips are rated.
        model: The file of the models.
    """

    serves: bool
    results: dict[str, TrainingResult]
    rated_clips: int
    model: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**vars(self), "results": {kind: result.to_json() for kind, result in self.results.items()}}


@dataclass(frozen=True)
class ResetReport:
    """What was removed from a database, or would be.

    Attributes:
        removed: Whether it was.
        backup: The copy that was made before; None without one.
        statistics: Of the database before.
    """

    removed: bool
    backup: Path | None
    statistics: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        copy = None if self.backup is None else str(self.backup)
        return {"removed": self.removed, "backup": copy, **self.statistics}


def clips_list(
    database: str | Path = DEFAULT_DATABASE,
    limit: int = 50,
    rating: str | None = None,
    unrated: bool = False,
    tag: str | None = None,
    clip_type: str | None = None,
) -> ClipList:
    """List clips, the newest first.

    Args:
        database: A file, or ``postgresql://...``.
        limit: Maximum number of clips.
        rating: Only clips with this rating: "4", ">=4" or "<=2".
        unrated: Only those that wait for a rating.
        tag: Only those with this tag.
        clip_type: "audio" or "video".

    Raises:
        ClipError: A filter is not allowed.
        StorageError: The database cannot be opened or read.
    """
    with _open(database) as manager:
        kinds = manager.get_statistics()["clips_by_type"]
        if clip_type is not None and clip_type not in kinds:
            raise ClipError(f"the type of a clip must be one of {', '.join(kinds)}, got {clip_type!r:.40}")
        found = manager.list_clips(
            limit,
            rating=None if rating is None else clip_filter(rating),
            rated=False if unrated else None,
            tag=tag,
            clip_type=clip_type,
        )
        tags = manager.tags([clip.id for clip in found])
        return ClipList(tuple(found), tags, manager.get_statistics()["total_clips"])


def clips_rate(
    clip: int,
    rating: int | str | None,
    database: str | Path = DEFAULT_DATABASE,
    rater: str = DEFAULT_RATER,
    confidence: float | None = None,
) -> Clip:
    """Rate a clip. An earlier rating of the same person is replaced, and stays in the history.

    Args:
        clip: The clip's id.
        rating: 1 to 5; None or "none" takes the rating back.
        database: A file, or ``postgresql://...``.
        rater: Who rates.
        confidence: How sure the rater is, above 0 and up to 1.

    Returns:
        The clip as it is now.

    Raises:
        ClipError: The rating is not allowed, or there is no such clip.
        StorageError: It cannot be stored.
    """
    if isinstance(rating, str) and rating != "none" and whole_number(rating) is None:
        raise ClipError(f"rating must be 1 to 5, or none, got {rating!r:.40}")
    stars = None if rating in (None, "none") else int(rating or 0)
    with _open(database, rater) as manager:
        manager.rate_clip(clip, stars, confidence=confidence)
        return manager.get_clip(clip)


def clips_tag(
    clip: int, tags: Sequence[str], database: str | Path = DEFAULT_DATABASE, remove: bool = False
) -> list[str]:
    """Give a clip tags, or take them away.

    Args:
        clip: The clip's id.
        tags: Names.
        database: A file, or ``postgresql://...``.
        remove: Take these tags away.

    Returns:
        The tags that it has now.

    Raises:
        ClipError: A name is not allowed, or there is no such clip.
    """
    with _open(database) as manager:
        (manager.untag if remove else manager.tag)(clip, *tags)
        return manager.tags([clip])[clip]


def clips_stats(database: str | Path = DEFAULT_DATABASE) -> dict[str, Any]:
    """Count clips and ratings, and say how far training is and how far raters agree.

    Args:
        database: A file, or ``postgresql://...``.

    Returns:
        As ``ClipManager.get_statistics``; under ``training`` as ``RatingBasedTrainer.get_training_progress``, and under
        ``agreement`` what ``rater_agreement`` found.
    """
    from cliplab.clips.rater_agreement import rater_agreement
    from cliplab.clips.ratings import RatingBasedTrainer

    with _open(database) as manager:
        progress = RatingBasedTrainer(manager, automatic=False).get_training_progress()
        agreement = rater_agreement(manager).to_json()
        return {**manager.get_statistics(), "training": progress, "agreement": agreement}


def clips_features(
    database: str | Path = DEFAULT_DATABASE,
    model: str | Path | None = None,
    all_clips: bool = False,
    dry_run: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> FeaturesReport:
    """Measure the features of clips that have none or those of another version; see ``measure_clips``.

    Args:
        database: A file, or ``postgresql://...``.
        model: A saved model whose embedding of each clip is one more feature; it measures all clips.
        all_clips: Measure every clip.
        dry_run: Only count them.
        on_progress: Receives the clip's name, how many are done, and of how many.

    Raises:
        AdapterError: As ``measure_clips`` and ``open_model``.
    """
    from cliplab.clips.remeasuring import measure_clips

    adapter = None
    if model is not None:
        from adapters.inference import open_model

        adapter = open_model(model)
    with _open(database) as manager:
        return measure_clips(
            manager, all_clips=all_clips, adapter=adapter, model=model, dry_run=dry_run, on_progress=on_progress
        )


def clips_train(
    database: str | Path = DEFAULT_DATABASE, model: str | Path = DEFAULT_MODEL, min_samples: int = MIN_SAMPLES
) -> RatingsReport:
    """Train on the ratings; see ``RatingBasedTrainer.train_from_ratings``.

    Args:
        database: A file, or ``postgresql://...``.
        model: The file of the models, X.skops.
        min_samples: Minimum number of rated clips of a type.

    Raises:
        AdapterError: As ``RatingBasedTrainer.train_from_ratings``.
    """
    from cliplab.clips.ratings import RatingBasedTrainer

    with _open(database) as manager:
        trainer = RatingBasedTrainer(manager, model, automatic=False)
        serves = trainer.train_from_ratings(min_samples)
        return RatingsReport(serves, trainer.results, manager.get_statistics()["rated_clips"], str(model))


def clips_ab_start(
    b: str | Path, a: str | Path | None = None, model: str | Path = DEFAULT_MODEL, share: float = 0.5
) -> AbTest:
    """Compare two versions of the rating models; see ``start_ab``.

    Args:
        b: The other version, X.skops.
        a: The first version; None for ``model``.
        model: The models in use when no comparison is running.
        share: How many sources are ordered by B, above 0 and below 1.

    Raises:
        AdapterError: As ``start_ab``.
    """
    from cliplab.clips.rating_ab import start_ab

    return start_ab(model, b, a, share)


def clips_ab_status(database: str | Path = DEFAULT_DATABASE, model: str | Path = DEFAULT_MODEL) -> AbReport | None:
    """Results of both versions since their comparison began; None if no comparison is running.

    Args:
        database: A file, or ``postgresql://...``.
        model: The models in use when no comparison is running.

    Raises:
        AdapterError: The database or the models cannot be read.
    """
    from cliplab.clips.rating_ab import measure_ab, read_ab

    test = read_ab(model)
    if test is None:
        return None
    with _open(database) as manager:
        return measure_ab(manager, test)


def clips_ab_stop(model: str | Path = DEFAULT_MODEL, keep: str | None = None) -> bool:
    """End a comparison; see ``stop_ab``.

    Args:
        model: The models in use when no comparison is running.
        keep: "a" or "b": these serve from now on; None: those that the last training wrote.

    Returns:
        Whether a comparison was running.

    Raises:
        AdapterError: As ``stop_ab``.
    """
    from cliplab.clips.rating_ab import stop_ab

    return stop_ab(model, keep) is not None


def clips_export(output: str | Path, database: str | Path = DEFAULT_DATABASE, force: bool = False) -> int:
    """Write all ratings as a file; see ``export_ratings``.

    Args:
        output: X.csv, X.json or X.parquet.
        database: A file, or ``postgresql://...``.
        force: Replace the file if it exists.

    Returns:
        How many ratings.

    Raises:
        StorageError: The file exists, or cannot be written.
        DatasetError: Its name ends in something else.
    """
    from cliplab.clips.rating_files import export_ratings

    require_new(output, force)
    with _open(database) as manager:
        return export_ratings(manager, output)


def clips_import(
    source: str | Path, database: str | Path = DEFAULT_DATABASE, rater: str = DEFAULT_RATER
) -> ImportReport:
    """Read ratings from a file; see ``import_ratings``.

    Args:
        source: X.csv, X.json or X.parquet.
        database: A file, or ``postgresql://...``.
        rater: Who rated where the file does not say.

    Raises:
        DatasetError: The file cannot be read.
    """
    from cliplab.clips.rating_files import import_ratings

    with _open(database, rater) as manager:
        return import_ratings(manager, source)


def clips_cleanup(database: str | Path = DEFAULT_DATABASE, dry_run: bool = False) -> int:
    """Remove the entries of clips whose files are gone; see ``ClipManager.cleanup_missing_files``.

    Args:
        database: A file, or ``postgresql://...``.
        dry_run: Only count them.

    Returns:
        How many.

    Raises:
        StorageError: Every file is gone.
    """
    with _open(database) as manager:
        return manager.cleanup_missing_files(dry_run)


def clips_backup(output: str | Path | None = None, database: str | Path = DEFAULT_DATABASE) -> Path:
    """Copy a database, also while others use it.

    Args:
        output: The copy; None: beside the database.
        database: A file.

    Returns:
        The copy.

    Raises:
        StorageError: It exists, cannot be written, or the database is on a server.
    """
    with _open(database) as manager:
        return manager.backup(output)


def clips_reset(database: str | Path = DEFAULT_DATABASE, force: bool = False, no_backup: bool = False) -> ResetReport:
    """Empty a database, after a copy of it.

    Args:
        database: A file, or ``postgresql://...``.
        force: Do it; without, only say what would be removed.
        no_backup: Make no copy first.

    Raises:
        StorageError: The copy cannot be made; then nothing is removed.
    """
    with _open(database) as manager:
        found = manager.get_statistics()
        copy = manager.reset(backup=not no_backup) if force else None
        return ResetReport(force, copy, found)


def _open(database: str | Path, rater: str = DEFAULT_RATER) -> ClipManager:
    from cliplab.clips.manager import existing_clips  # needs the clips extra

    return existing_clips(database, rater)

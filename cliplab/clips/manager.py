"""The clip database as objects: register, rate, compare and tag clips, list them, and take out what to learn from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adapters.errors import MissingExtraError, StorageError
from cliplab.clips.records import (
    DEFAULT_DATABASE,
    DEFAULT_RATER,
    STARS,
    Clip,
    ClipError,
    checked_clip,
    checked_name,
    read_features,
)

try:
    import sqlalchemy as sa

    from cliplab.clips.database import Database, now
    from cliplab.clips.listing import LISTED_COLUMNS, RatingFilter, list_rows, rows_without_rating_by, statistics
    from cliplab.clips.rating_rows import require_clip, store_comparison, store_rating, unknown_clip
    from cliplab.clips.schema import CLIPS, METADATA, SOURCES, TAGS
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "sqlalchemy", "clips") from error

_MANY = 500  # ids in one statement


class ClipManager:
    """The clips of one database. Threads may share it; processes open one each.

    Attributes:
        database: The open database.
        rater: Who rates where a call does not say.
    """

    def __init__(self, database: str | Path = DEFAULT_DATABASE, rater: str = DEFAULT_RATER) -> None:
        """Open the database; a new file is made, and one of the seed's scripts is brought up with a backup beside it.

        Args:
            database: A path of a SQLite file, or ``postgresql://...``.
            rater: Who rates where a call does not say.

        Raises:
            StorageError: The database cannot be opened, or is of a later version.
            ClipError: The rater's name is not allowed.
        """
        self.rater = checked_name(rater, "rater")
        self.database = Database(database)
        self._listeners: list[Callable[[int], object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def on_rating(self, listener: Callable[[int], object]) -> None:
        """Call a function after each stored rating.

        Args:
            listener: Receives the clip's id.
        """
        self._listeners.append(listener)

    # Clips ------------------------------------------------------------------------------------------------------------

    def register_clip(
        self,
        filepath: str | Path,
        start_time: float,
        end_time: float,
        score: float,
        clip_type: str,
        features: Mapping[str, Any],
        source_url: str | None = None,
        *,
        filename: str | None = None,
        fingerprint: str | None = None,
        source_start: float | None = None,
        source_end: float | None = None,
        model_version: str | None = None,
    ) -> int:
        """Enter a clip. The same file with the same times is entered once; its score and features are replaced.

        Args:
            filepath: The clip's file.
            start_time: Where it begins in its source, in seconds.
            end_time: Where it ends there.
            score: What the detection gave it.
            clip_type: "audio" or "video": what it was found by.
            features: Values by name, such as ``rms_mean`` and ``tempo``.
            source_url: Where the source is.
            filename: The name to show; default: the file's.
            fingerprint: Of the source's content, to find it again.
            source_start: The earliest second that the source still has for this clip.
            source_end: The latest.
            model_version: The model that proposed or scored it.

        Returns:
            The clip's id.

        Raises:
            ClipError: A value is not allowed.
            StorageError: It cannot be stored.
        """
        start, end, scored, kind, text = checked_clip(start_time, end_time, score, clip_type, features)
        path = os.fspath(filepath)
        values: dict[str, Any] = {
            "filename": filename or Path(path).name,
            "filepath": path,
            "start_time": start,
            "end_time": end,
            "duration": end - start,
            "score": scored,
            "clip_type": kind,
            "features": text,
            "source_url": source_url,
        }
        source = {
            "fingerprint": fingerprint,
            "source_start": source_start,
            "source_end": source_end,
            "model_version": model_version,
        }
        for name, value in (("filename", filename), ("filepath", path), ("source_url", source_url)):
            _require_storable(name, value)
        same = (CLIPS.c.filepath == path) & (CLIPS.c.start_time == start) & (CLIPS.c.end_time == end)
        with self.database.writing() as connection:
            found = connection.execute(sa.select(CLIPS.c.id).where(same)).scalar()
            if found is None:
                made = connection.execute(sa.insert(CLIPS).values(**values, created_at=now()))
                clip_id = int(made.inserted_primary_key[0])  # type: ignore[index]
            else:
                clip_id = int(found)
                connection.execute(sa.update(CLIPS).where(CLIPS.c.id == clip_id).values(**values))
                connection.execute(sa.delete(SOURCES).where(SOURCES.c.clip_id == clip_id))
            connection.execute(sa.insert(SOURCES).values(clip_id=clip_id, **source))
        return clip_id

    def get_clip(self, clip_id: int) -> Clip:
        """One clip.

        Args:
            clip_id: Its id.

        Raises:
            ClipError: There is no such clip.
        """
        if isinstance(clip_id, int) and not 0 < clip_id < 2**63:  # SQLite has no larger numbers
            raise unknown_clip(clip_id)
        with self.database.reading() as connection:
            row = connection.execute(sa.select(*LISTED_COLUMNS).where(CLIPS.c.id == clip_id)).first()
        if row is None:
            raise unknown_clip(clip_id)
        return self._clip(row)

    def get_clips(self, clip_ids: Sequence[int]) -> dict[int, Clip]:
        """Several clips by their ids; those that do not exist are left out.

        Args:
            clip_ids: At most 500.
        """
        with self.database.reading() as connection:
            rows = connection.execute(sa.select(*LISTED_COLUMNS).where(CLIPS.c.id.in_(list(clip_ids)))).all()
        return {int(row.id): self._clip(row) for row in rows}

    def find_clip(self, filepath: str | Path, start_time: float, end_time: float) -> Clip | None:
        """The clip that ``register_clip`` would replace; None where there is none.

        Args:
            filepath: The clip's file, as it was registered.
            start_time: Where it begins in its source, in seconds.
            end_time: Where it ends there.
        """
        same = (CLIPS.c.filepath == os.fspath(filepath)) & (CLIPS.c.start_time == start_time)
        with self.database.reading() as connection:
            row = connection.execute(sa.select(*LISTED_COLUMNS).where(same & (CLIPS.c.end_time == end_time))).first()
        return None if row is None else self._clip(row)

    def list_clips(
        self,
        limit: int = 50,
        *,
        before: Clip | None = None,
        rating: RatingFilter | None = None,
        rated: bool | None = None,
        tag: str | None = None,
        clip_type: str | None = None,
    ) -> list[Clip]:
        """Clips, the newest first, a page at a time.

        Args:
            limit: The most clips to return.
            before: The last clip of the page before; None for the first page.
            rating: Those whose latest rating is as asked, such as (">=", 4).
            rated: True for those with a rating, False for those without.
            tag: Those with this tag.
            clip_type: "audio" or "video".

        Raises:
            ClipError: The filter is not allowed.
        """
        page = None if before is None else (before.created_at, before.id)
        rows = list_rows(self.database, limit, before=page, rating=rating, rated=rated, tag=tag, clip_type=clip_type)
        return [self._clip(row) for row in rows]

    def get_clips_for_review(self, limit: int = 50, rater: str | None = None) -> list[Clip]:
        """Clips that wait for a rating, the newest first.

        Args:
            limit: The most clips to return.
            rater: Those that this person has not rated; None: those that nobody has.
        """
        if rater is None:
            return self.list_clips(limit, rated=False)
        return [self._clip(row) for row in rows_without_rating_by(self.database, rater, limit)]

    def cleanup_missing_files(self, dry_run: bool = False) -> int:
        """Remove the clips whose files are gone. Their ratings are kept in ``removed_clips``.

        Args:
            dry_run: Only count them.

        Returns:
            How many clips.

        Raises:
            StorageError: Every file is gone, as where a disk is not mounted or the working folder is another.
        """
        with self.database.reading() as connection:
            rows = connection.execute(sa.select(CLIPS.c.id, CLIPS.c.filepath)).all()
        gone = [int(row.id) for row in rows if not Path(row.filepath).exists()]
        if len(gone) == len(rows) > 1 and not dry_run:
            raise StorageError(
                f"{self.database.name}: none of the {len(rows)} files exists; the first is {rows[0].filepath}. "
                "Nothing was removed. Check that the disk is mounted and that you are in the folder that the paths "
                "are relative to"
            )
        if not dry_run and gone:
            with self.database.writing() as connection:
                for first in range(0, len(gone), _MANY):
                    connection.execute(sa.delete(CLIPS).where(CLIPS.c.id.in_(gone[first : first + _MANY])))
        return len(gone)

    # Ratings ----------------------------------------------------------------------------------------------------------

    def rate_clip(
        self,
        clip_id: int,
        rating: int | None,
        *,
        rater: str | None = None,
        confidence: float | None = None,
        client: str | None = None,
        sequence: int | None = None,
    ) -> bool:
        """Store a rating, which replaces the rater's earlier one; the earlier one stays in the history.

        Args:
            clip_id: The clip.
            rating: 1 to 5 stars; None takes the rater's rating back.
            rater: Who rates; None: the manager's rater.
            confidence: How sure the rater is, above 0 and up to 1.
            client: With ``sequence``, names the request: the same pair is stored once, however often it is sent.
            sequence: The request's number.

        Returns:
            True; False where this request was stored before.

        Raises:
            ClipError: The rating or rater is not allowed, or there is no such clip.
            StorageError: It cannot be stored.
        """
        by = self.rater if rater is None else rater
        if not store_rating(self.database, clip_id, rating, by, confidence, client, sequence):
            return False
        for listener in self._listeners:
            listener(clip_id)
        return True

    def compare_clips(
        self,
        better_id: int,
        worse_id: int,
        *,
        rater: str | None = None,
        client: str | None = None,
        sequence: int | None = None,
    ) -> bool:
        """Store that one clip is better than another.

        Args:
            better_id: The better clip.
            worse_id: The other.
            rater: As for ``rate_clip``.
            client: As for ``rate_clip``.
            sequence: As for ``rate_clip``.

        Returns:
            As ``rate_clip``.

        Raises:
            ClipError: The clips are the same, or one of them does not exist.
        """
        by = self.rater if rater is None else rater
        return store_comparison(self.database, better_id, worse_id, by, client, sequence)

    def get_statistics(self) -> dict[str, Any]:
        """Numbers of clips and ratings.

        Returns:
            ``total_clips``, ``rated_clips``, ``unrated_clips``, ``average_rating`` (None without ratings),
            ``rating_distribution`` (clips by stars, 1 to 5), ``clips_by_type``, ``ratings`` (stored ratings of all
            raters, earlier ones too) and ``raters``.
        """
        return statistics(self.database)

    def get_training_data(self, clip_type: str | None = None) -> tuple[list[dict[str, Any]], list[int]]:
        """The features and the latest stars of the rated clips, in the order of their ids.

        Args:
            clip_type: Only "audio" or "video" clips; None: all.

        Returns:
            One dict of features for each clip, and as many ratings.

        Raises:
            ClipError: Stored features are not a JSON object; the message names the clip.
        """
        query = sa.select(CLIPS.c.id, CLIPS.c.features, CLIPS.c.rating).where(CLIPS.c.rating.in_(tuple(STARS)))
        if clip_type is not None:
            query = query.where(CLIPS.c.clip_type == clip_type)
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(CLIPS.c.id)).all()
        features = []
        for row in rows:
            try:
                features.append(read_features(row.features))
            except ClipError as error:
                raise ClipError(f"{self.database.name}: clip {row.id}: {error}") from error
        return features, [int(row.rating) for row in rows]

    # Tags -------------------------------------------------------------------------------------------------------------

    def tag(self, clip_id: int, *tags: str) -> None:
        """Give a clip tags; those that it has already stay.

        Args:
            clip_id: The clip.
            tags: Names.

        Raises:
            ClipError: A name is not allowed, or there is no such clip.
        """
        names = [checked_name(name, "tag") for name in tags]
        with self.database.writing() as connection:
            require_clip(connection, clip_id)
            present = set(connection.execute(sa.select(TAGS.c.tag).where(TAGS.c.clip_id == clip_id)).scalars())
            for name in dict.fromkeys(names):
                if name not in present:
                    connection.execute(sa.insert(TAGS).values(clip_id=clip_id, tag=name))

    def untag(self, clip_id: int, *tags: str) -> None:
        """Take tags away from a clip.

        Args:
            clip_id: The clip.
            tags: Names; those that it does not have are ignored.
        """
        with self.database.writing() as connection:
            connection.execute(sa.delete(TAGS).where(TAGS.c.clip_id == clip_id, TAGS.c.tag.in_(tags)))

    def tags(self, clip_ids: Sequence[int]) -> dict[int, list[str]]:
        """The tags of clips.

        Args:
            clip_ids: The clips.

        Returns:
            Sorted names by clip.
        """
        found: dict[int, list[str]] = {clip_id: [] for clip_id in clip_ids}
        with self.database.reading() as connection:
            for first in range(0, len(clip_ids), _MANY):
                part = TAGS.c.clip_id.in_(clip_ids[first : first + _MANY])
                for row in connection.execute(sa.select(TAGS).where(part).order_by(TAGS.c.tag)):
                    found[int(row.clip_id)].append(str(row.tag))
        return found

    # The whole --------------------------------------------------------------------------------------------------------

    def backup(self, path: str | Path | None = None) -> Path:
        """Copy the database while others use it.

        Args:
            path: The copy; None: beside the database, named by the time.

        Returns:
            The copy.

        Raises:
            StorageError: It exists, cannot be written, or the database is on a server.
        """
        target = Path(path) if path is not None else self._copy_name("backup")
        self.database.backup(target)
        return target

    def reset(self, backup: bool = True) -> Path | None:
        """Empty the database.

        Args:
            backup: First copy it beside itself. On a server there is no copy: pass False.

        Returns:
            The copy; None without one.

        Raises:
            StorageError: The copy cannot be made; then nothing is removed.
        """
        copy = self._copy_name("before-reset") if backup else None
        if copy is not None:
            self.database.backup(copy)
        with self.database.writing() as connection:
            for table in METADATA.sorted_tables:
                if table.name != "facts":
                    connection.execute(sa.delete(table))
            # What the trigger kept of the clips that were just removed.
            connection.execute(sa.delete(METADATA.tables["removed_clips"]))
        return copy

    def _copy_name(self, what: str) -> Path:
        path = self.database.path
        if path is None:
            raise StorageError(f"{self.database.name}: is on a server. Back it up with pg_dump, or export the ratings")
        stamp = now().replace(":", "").replace("-", "")
        return path.with_name(f"{path.stem}.{what}-{stamp}{path.suffix}")

    def _features(self, clip_id: int) -> dict[str, Any]:
        with self.database.reading() as connection:
            text = connection.execute(sa.select(CLIPS.c.features).where(CLIPS.c.id == clip_id)).scalar()
        if text is None:
            raise unknown_clip(clip_id)
        return read_features(str(text))

    def _clip(self, row: Any) -> Clip:
        return Clip(**row._mapping, _load=self._features)


def _require_storable(name: str, value: str | None) -> None:
    """A path that is not UTF-8 has halves of characters, which no database takes."""
    with suppress(UnicodeEncodeError):
        if value is None or ("\0" not in value and value.encode()):
            return
    raise ClipError(f"{name} must be non-empty UTF-8 text, got {value!r:.80}. Rename the file")

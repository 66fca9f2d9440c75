"""The clip database as objects: register, rate, compare and tag clips, and all that ``ClipReader`` reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adapters.errors import MissingExtraError, StorageError
from cliplab.clips.records import DEFAULT_DATABASE, DEFAULT_RATER, checked_clip, checked_name
from cliplab.sql import is_postgres

try:
    from cliplab.clips.clip_reader import ClipReader
    from cliplab.clips.clip_rows import remove_everything, remove_missing, store_clip
    from cliplab.clips.database import Database, now
    from cliplab.clips.rating_rows import store_comparison, store_rating
    from cliplab.clips.tag_rows import add_tags, remove_tags
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "sqlalchemy", "clips") from error


class ClipManager(ClipReader):
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
        return store_clip(self.database, values, source)

    def cleanup_missing_files(self, dry_run: bool = False) -> int:
        """Remove the clips whose files are gone. Their ratings are kept in ``removed_clips``.

        Args:
            dry_run: Only count them.

        Returns:
            How many clips.

        Raises:
            StorageError: Every file is gone, as where a disk is not mounted or the working folder is another.
        """
        return remove_missing(self.database, dry_run)

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
        created_at: str | None = None,
    ) -> bool:
        """Store a rating, which replaces the rater's earlier one; the earlier one stays in the history.

        Args:
            clip_id: The clip.
            rating: 1 to 5 stars; None takes the rater's rating back.
            rater: Who rates; None: the manager's rater.
            confidence: How sure the rater is, above 0 and up to 1.
            client: With ``sequence``, names the request: the same pair is stored once, however often it is sent.
            sequence: The request's number.
            created_at: Of the clip that the rater saw; None: whichever clip has the id now.

        Returns:
            True; False where this request was stored before.

        Raises:
            ClipError: The rating or rater is not allowed, or there is no such clip.
            StorageError: It cannot be stored.
        """
        by = self.rater if rater is None else rater
        if not store_rating(self.database, clip_id, rating, by, confidence, client, sequence, created_at):
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
        created_at: tuple[str | None, str | None] = (None, None),
    ) -> bool:
        """Store that one clip is better than another.

        Args:
            better_id: The better clip.
            worse_id: The other.
            rater: As for ``rate_clip``.
            client: As for ``rate_clip``.
            sequence: As for ``rate_clip``.
            created_at: Of the better and the worse clip, as for ``rate_clip``.

        Returns:
            As ``rate_clip``.

        Raises:
            ClipError: The clips are the same, or one of them does not exist.
        """
        by = self.rater if rater is None else rater
        return store_comparison(self.database, better_id, worse_id, by, client, sequence, created_at)

    # Tags -------------------------------------------------------------------------------------------------------------

    def tag(self, clip_id: int, *tags: str) -> None:
        """Give a clip tags; those that it has already stay.

        Args:
            clip_id: The clip.
            tags: Names.

        Raises:
            ClipError: A name is not allowed, or there is no such clip.
        """
        add_tags(self.database, clip_id, tags)

    def untag(self, clip_id: int, *tags: str) -> None:
        """Take tags away from a clip.

        Args:
            clip_id: The clip.
            tags: Names; those that it does not have are ignored.

        Raises:
            ClipError: There is no such clip.
        """
        remove_tags(self.database, clip_id, tags)

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
        remove_everything(self.database)
        return copy

    def _copy_name(self, what: str) -> Path:
        path = self.database.path
        if path is None:
            raise StorageError(f"{self.database.name}: is on a server. Back it up with pg_dump, or export the ratings")
        stamp = now().replace(":", "").replace("-", "")
        return path.with_name(f"{path.stem}.{what}-{stamp}{path.suffix}")


def existing_clips(database: str | Path, rater: str = DEFAULT_RATER) -> ClipManager:
    """Open a database that is there: a misspelt name must not become an empty one.

    Args:
        database: A path of a SQLite file, or ``postgresql://...``.
        rater: Who rates where a call does not say.

    Raises:
        StorageError: There is no such file, or it cannot be opened.
    """
    if not is_postgres(database) and not os.path.lexists(database):
        raise StorageError(
            f"{database}: there is no clip database. Give its path with --database; cliplab generate makes one, with "
            "the clips of a recording"
        )
    return ClipManager(database, rater)

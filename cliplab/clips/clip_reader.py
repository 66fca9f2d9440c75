"""What is read of a clip database: clips one by one and in lists, numbers, tags and what to learn from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cliplab.clips.clip_rows import rated_features
from cliplab.clips.database import Database
from cliplab.clips.listing import LISTED_COLUMNS, RatingFilter, list_rows, rows_without_rating_by, statistics
from cliplab.clips.rating_rows import unknown_clip
from cliplab.clips.records import Clip, read_features
from cliplab.clips.schema import CLIPS, sa
from cliplab.clips.tag_rows import tags_of


class ClipReader:
    """The clips of one database, to read.

    Attributes:
        database: The open database.
    """

    database: Database

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
            limit: Maximum number of clips to return.
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
            limit: Maximum number of clips to return.
            rater: Those that this person has not rated; None: those that nobody has.
        """
        if rater is None:
            return self.list_clips(limit, rated=False)
        return [self._clip(row) for row in rows_without_rating_by(self.database, rater, limit)]

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
        return rated_features(self.database, clip_type)

    def tags(self, clip_ids: Sequence[int]) -> dict[int, list[str]]:
        """The tags of clips.

        Args:
            clip_ids: The clips.

        Returns:
            Sorted names by clip.
        """
        return tags_of(self.database, clip_ids)

    def _features(self, clip_id: int) -> dict[str, Any]:
        with self.database.reading() as connection:
            text = connection.execute(sa.select(CLIPS.c.features).where(CLIPS.c.id == clip_id)).scalar()
        if text is None:
            raise unknown_clip(clip_id)
        return read_features(str(text))

    def _clip(self, row: Any) -> Clip:
        return Clip(**row._mapping, _load=self._features)

"""What people said of clips, read from the database as training needs it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cliplab.clips.consensus import find_consensus, to_ratings
from cliplab.clips.manager import ClipManager
from cliplab.clips.rating_rows import first_ratings, rating_rows
from cliplab.clips.rating_training import RatedClips
from cliplab.clips.records import ClipError, is_outdated, read_features
from cliplab.clips.schema import CLIPS, COMPARISONS, sa

_MANY = 500  # ids in one statement


def load_rated_clips(manager: ClipManager) -> dict[str, RatedClips]:
    """The clips that people rated or compared, by type.

    Args:
        manager: The database.

    Raises:
        ClipError: Stored features are not a JSON object, or of another version of cliplab; the message names the clip.
    """
    with manager.database.reading() as connection:
        ratings = list(rating_rows(connection))
        pairs = [(row.better_id, row.worse_id) for row in connection.execute(sa.select(COMPARISONS))]
        wanted = sorted({row.clip_id for row in ratings} | {number for pair in pairs for number in pair})
        first_said = first_ratings(connection)
        rows: list[Any] = []
        columns = (CLIPS.c.id, CLIPS.c.clip_type, CLIPS.c.features, CLIPS.c.score, CLIPS.c.source_url, CLIPS.c.filepath)
        for first in range(0, len(wanted), _MANY):
            rows += connection.execute(sa.select(*columns).where(CLIPS.c.id.in_(wanted[first : first + _MANY])))
    if not rows:
        return {}
    place = {row.id: number for number, row in enumerate(rows)}
    # One consensus over all types: a rater is as strict with sound as with pictures.
    known = [(place[a], place[b]) for a, b in pairs if a in place and b in place]
    consensus = find_consensus(len(rows), to_ratings(ratings, place), known)
    starred = {int(row.clip_id) for row in ratings}
    found = {}
    for kind in sorted({row.clip_type for row in rows}):
        own = [number for number, row in enumerate(rows) if row.clip_type == kind]
        chosen = [rows[number] for number in own]
        found[kind] = RatedClips(
            tuple(int(row.id) for row in chosen),
            [_features(manager, row) for row in chosen],
            np.array([row.score for row in chosen], np.float64),
            [row.source_url or row.filepath for row in chosen],
            consensus.take(own),
            _order([int(row.id) for row in chosen], starred, first_said),
        )
    return found


def _order(ids: list[int], starred: set[int], first_said: dict[int, int]) -> list[int]:
    """Places of the clips that have stars, in the order of their first rating, which later ratings do not change."""
    places = [place for place, number in enumerate(ids) if number in starred]
    return sorted(places, key=lambda place: first_said[ids[place]])


def _features(manager: ClipManager, row: Any) -> dict[str, Any]:
    try:
        found = read_features(row.features)
    except ClipError as error:
        raise ClipError(f"{manager.database.name}: clip {row.id}: {error}") from error
    if is_outdated(found):
        raise ClipError(
            f"{manager.database.name}: clip {row.id}: its features were measured by another version of cliplab. "
            "Measure such clips again with cliplab clips features"
        )
    return found

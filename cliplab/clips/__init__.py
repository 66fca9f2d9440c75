"""The database of clips and ratings, and what learns from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.clips.manager import ClipManager as ClipManager
    from cliplab.clips.rating_files import ImportReport as ImportReport
    from cliplab.clips.rating_files import export_ratings as export_ratings
    from cliplab.clips.rating_files import import_ratings as import_ratings
    from cliplab.clips.ratings import RatingBasedTrainer as RatingBasedTrainer
    from cliplab.clips.records import STARS as STARS
    from cliplab.clips.records import Clip as Clip
    from cliplab.clips.records import ClipError as ClipError
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "manager": ("ClipManager",),
            "rating_files": ("ImportReport", "export_ratings", "import_ratings"),
            "ratings": ("RatingBasedTrainer",),
            "records": ("STARS", "Clip", "ClipError"),
        },
    )

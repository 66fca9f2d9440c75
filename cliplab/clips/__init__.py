"""The database of clips and ratings, and the models trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.clips.choosing import Suggestion as Suggestion
    from cliplab.clips.choosing import next_pairs as next_pairs
    from cliplab.clips.choosing import next_to_rate as next_to_rate
    from cliplab.clips.clip_sources import ClipSource as ClipSource
    from cliplab.clips.clip_sources import clip_source as clip_source
    from cliplab.clips.clip_sources import move_clip as move_clip
    from cliplab.clips.commands import ClipList as ClipList
    from cliplab.clips.commands import RatingsReport as RatingsReport
    from cliplab.clips.commands import ResetReport as ResetReport
    from cliplab.clips.commands import clips_ab_start as clips_ab_start
    from cliplab.clips.commands import clips_ab_status as clips_ab_status
    from cliplab.clips.commands import clips_ab_stop as clips_ab_stop
    from cliplab.clips.commands import clips_backup as clips_backup
    from cliplab.clips.commands import clips_cleanup as clips_cleanup
    from cliplab.clips.commands import clips_export as clips_export
    from cliplab.clips.commands import clips_features as clips_features
    from cliplab.clips.commands import clips_import as clips_import
    from cliplab.clips.commands import clips_list as clips_list
    from cliplab.clips.commands import clips_rate as clips_rate
    from cliplab.clips.commands import clips_reset as clips_reset
    from cliplab.clips.commands import clips_stats as clips_stats
    from cliplab.clips.commands import clips_tag as clips_tag
    from cliplab.clips.commands import clips_train as clips_train
    from cliplab.clips.features import clip_features as clip_features
    from cliplab.clips.manager import ClipManager as ClipManager
    from cliplab.clips.manager import existing_clips as existing_clips
    from cliplab.clips.rater_agreement import RaterAgreement as RaterAgreement
    from cliplab.clips.rater_agreement import rater_agreement as rater_agreement
    from cliplab.clips.rating_ab import AbReport as AbReport
    from cliplab.clips.rating_ab import AbTest as AbTest
    from cliplab.clips.rating_ab import measure_ab as measure_ab
    from cliplab.clips.rating_ab import read_ab as read_ab
    from cliplab.clips.rating_ab import start_ab as start_ab
    from cliplab.clips.rating_ab import stop_ab as stop_ab
    from cliplab.clips.rating_files import ImportReport as ImportReport
    from cliplab.clips.rating_files import export_ratings as export_ratings
    from cliplab.clips.rating_files import import_ratings as import_ratings
    from cliplab.clips.rating_model import read_models as read_models
    from cliplab.clips.ratings import RatingBasedTrainer as RatingBasedTrainer
    from cliplab.clips.records import DEFAULT_MODEL as DEFAULT_MODEL
    from cliplab.clips.records import FEATURES_VERSION as FEATURES_VERSION
    from cliplab.clips.records import STARS as STARS
    from cliplab.clips.records import Clip as Clip
    from cliplab.clips.records import ClipError as ClipError
    from cliplab.clips.records import UnknownClipError as UnknownClipError
    from cliplab.clips.records import clip_filter as clip_filter
    from cliplab.clips.remeasuring import FeaturesReport as FeaturesReport
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "choosing": ("Suggestion", "next_pairs", "next_to_rate"),
            "clip_sources": ("ClipSource", "clip_source", "move_clip"),
            "commands": (
                "ClipList",
                "RatingsReport",
                "ResetReport",
                "clips_ab_start",
                "clips_ab_status",
                "clips_ab_stop",
                "clips_backup",
                "clips_cleanup",
                "clips_export",
                "clips_features",
                "clips_import",
                "clips_list",
                "clips_rate",
                "clips_reset",
                "clips_stats",
                "clips_tag",
                "clips_train",
            ),
            "features": ("clip_features",),
            "manager": ("ClipManager", "existing_clips"),
            "rater_agreement": ("RaterAgreement", "rater_agreement"),
            "rating_ab": ("AbReport", "AbTest", "measure_ab", "read_ab", "start_ab", "stop_ab"),
            "rating_files": ("ImportReport", "export_ratings", "import_ratings"),
            "rating_model": ("read_models",),
            "ratings": ("RatingBasedTrainer",),
            "records": (
                "DEFAULT_MODEL",
                "FEATURES_VERSION",
                "STARS",
                "Clip",
                "ClipError",
                "UnknownClipError",
                "clip_filter",
            ),
            "remeasuring": ("FeaturesReport",),
        },
    )

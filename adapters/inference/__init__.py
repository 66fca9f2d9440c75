"""Models applied to videos: open a model, predict videos, follow streams, find segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.inference.clip_faults import ClipFunction as ClipFunction
    from adapters.inference.clip_faults import FailedClip as FailedClip
    from adapters.inference.loading import FINETUNE_KEYS as FINETUNE_KEYS
    from adapters.inference.loading import loaded_config as loaded_config
    from adapters.inference.loading import open_model as open_model
    from adapters.inference.loading import read_config as read_config
    from adapters.inference.loading import read_stored as read_stored
    from adapters.inference.loading import ready_configs as ready_configs
    from adapters.inference.loading import require_class as require_class
    from adapters.inference.loading import stored_config as stored_config
    from adapters.inference.pipeline import map_ahead as map_ahead
    from adapters.inference.pipeline import read_ahead as read_ahead
    from adapters.inference.pipeline import read_as_ready as read_as_ready
    from adapters.inference.predict import OnVideoProgress as OnVideoProgress
    from adapters.inference.predict import input_spec as input_spec
    from adapters.inference.predict import open_early as open_early
    from adapters.inference.predict import predict_examples as predict_examples
    from adapters.inference.predict import predict_videos as predict_videos
    from adapters.inference.prompts import IMAGE_FILES as IMAGE_FILES
    from adapters.inference.prompts import NEUTRAL_PROMPTS as NEUTRAL_PROMPTS
    from adapters.inference.prompts import PREPROCESSOR_FILE as PREPROCESSOR_FILE
    from adapters.inference.prompts import TEXT_FILES as TEXT_FILES
    from adapters.inference.prompts import layout_text as layout_text
    from adapters.inference.prompts import parse_prompts as parse_prompts
    from adapters.inference.prompts import prompt_config as prompt_config
    from adapters.inference.prompts import prompt_digest as prompt_digest
    from adapters.inference.segments import match_segments as match_segments
    from adapters.inference.segments import scores_to_segments as scores_to_segments
    from adapters.inference.segments import timeline as timeline
    from adapters.inference.stored_thresholds import MinScore as MinScore
    from adapters.inference.stored_thresholds import min_score_of as min_score_of
    from adapters.inference.stored_thresholds import min_scores_of as min_scores_of
    from adapters.inference.stored_thresholds import parse_min_score as parse_min_score
    from adapters.inference.stream_session import StreamSession as StreamSession
    from adapters.inference.whole_video import merge_frames as merge_frames
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "loading": (
                "FINETUNE_KEYS",
                "loaded_config",
                "open_model",
                "read_config",
                "read_stored",
                "ready_configs",
                "require_class",
                "stored_config",
            ),
            "clip_faults": ("ClipFunction", "FailedClip"),
            "pipeline": ("map_ahead", "read_ahead", "read_as_ready"),
            "predict": ("OnVideoProgress", "input_spec", "open_early", "predict_examples", "predict_videos"),
            "prompts": (
                "IMAGE_FILES",
                "NEUTRAL_PROMPTS",
                "PREPROCESSOR_FILE",
                "TEXT_FILES",
                "layout_text",
                "parse_prompts",
                "prompt_config",
                "prompt_digest",
            ),
            "segments": ("match_segments", "scores_to_segments", "timeline"),
            "stored_thresholds": ("MinScore", "min_score_of", "min_scores_of", "parse_min_score"),
            "stream_session": ("StreamSession",),
            "whole_video": ("merge_frames",),
        },
    )

"""Video-model adapters with one contract: load, save, train, predict, convert.

Importing this costs little; names below are fetched from their modules when first used, and TensorFlow only by
training and conversion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.base import BaseModelAdapter as BaseModelAdapter
    from adapters.base import TrainOptions as TrainOptions
    from adapters.config import check_config as check_config
    from adapters.config import parse_assignments as parse_assignments
    from adapters.config import trusting as trusting
    from adapters.data import ClipDataset as ClipDataset
    from adapters.errors import AdapterError as AdapterError
    from adapters.inference import open_model as open_model
    from adapters.inference import predict_videos as predict_videos
    from adapters.media import open_video as open_video
    from adapters.media import probe as probe
    from adapters.records import Clip as Clip
    from adapters.records import InputSpec as InputSpec
    from adapters.records import Prediction as Prediction
    from adapters.records import Segment as Segment
    from adapters.records import VideoResult as VideoResult
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "base": ("BaseModelAdapter", "TrainOptions"),
            "config": ("check_config", "parse_assignments", "trusting"),
            "data": ("ClipDataset",),
            "errors": ("AdapterError",),
            "inference": ("open_model", "predict_videos"),
            "media": ("open_video", "probe"),
            "records": ("Clip", "InputSpec", "Prediction", "Segment", "VideoResult"),
        },
    )

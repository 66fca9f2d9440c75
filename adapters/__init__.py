"""Video-model adapters with one contract: load, save, train, predict, convert.

Importing this costs little; names below are fetched from their modules when first used, and TensorFlow only by
training and conversion.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapters.base import BaseModelAdapter as BaseModelAdapter
    from adapters.base import StreamingAdapter as StreamingAdapter
    from adapters.config.checking import check_config as check_config
    from adapters.config.checking import parse_assignments as parse_assignments
    from adapters.errors import AdapterError as AdapterError
    from adapters.inference.loading import open_model as open_model
    from adapters.inference.predict import predict_videos as predict_videos
    from adapters.records import Clip as Clip
    from adapters.records import InputSpec as InputSpec
    from adapters.records import Prediction as Prediction
    from adapters.records import Segment as Segment
    from adapters.records import VideoResult as VideoResult

_HOME = {
    "AdapterError": "errors",
    "BaseModelAdapter": "base",
    "Clip": "records",
    "InputSpec": "records",
    "Prediction": "records",
    "Segment": "records",
    "StreamingAdapter": "base",
    "VideoResult": "records",
    "check_config": "config",
    "open_model": "loading",
    "parse_assignments": "config",
    "predict_videos": "inference",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'adapters' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"adapters.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

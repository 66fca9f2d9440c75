"""Temporal model: an EfficientNet-Lite sees each frame, an LSTM the order of the frames."""

from adapters.models.temporal.adapter import TemporalAdapter

__all__ = ["TemporalAdapter"]

"""Protocols around a model: its LiteRT program, a model on disk, an open stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from adapters.config import Config
from adapters.records import Precision, Prediction


class LiteRTProgram(Protocol):
    """The LiteRT program of a model, as its file and in memory."""

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs by name, for a batch of one."""

    @property
    def model_bytes(self) -> bytes:
        """The .tflite file."""

    @property
    def size_bytes(self) -> int:
        """The size of the .tflite file."""

    @property
    def precision(self) -> Precision:
        """Of weights and arithmetic."""


class StoredModel(Protocol):
    """A model on disk that was read and verified: a bundle, or a .tflite that describes itself."""

    @property
    def path(self) -> Path:
        """The bundle's folder or the .tflite."""

    @property
    def config(self) -> Config:
        """The model's config, complete and checked."""

    @property
    def programs(self) -> Mapping[str, Path]:
        """LiteRT files by the name of the program."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What evaluation measured when the model was made; empty where nothing was measured."""

    @property
    def has_weights(self) -> bool:
        """Whether it has weights, from which other programs can be made."""

    def weights(self) -> dict[str, Any]:
        """Arrays by the name of the variable.

        Raises:
            BundleError: The model has no weights.
        """


class OpenStream(Protocol):
    """A live stream that a model follows: frames go in as they arrive, and a running prediction comes out."""

    @property
    def fps(self) -> float:
        """Frames per second that the model consumes, whatever the source's rate."""

    def push(self, frames: Any, time_seconds: float | Sequence[float]) -> Prediction:
        """Add the next frame or frames to the stream.

        Args:
            frames: uint8 [H, W, 3] or [n, H, W, 3] RGB of any size, or a function that returns one frame, which is
                called only if the frame is consumed.
            time_seconds: When the frames are shown, in seconds, at least 0: one number, or one for each.

        Returns:
            The prediction after these frames; the same object as before where none of them was consumed. Its
            ``frame_scores`` [k, C] are the scores after each of the k frames that this call consumed.
        """

    def reset(self) -> None:
        """Forget all frames: the next one is the first of a stream."""

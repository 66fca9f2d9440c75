"""The values that pass between the parts: frozen dataclasses, checked when made.

Arrays are never copied. ``repr`` prints shapes, not pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from adapters.choices import Aggregation as Aggregation
from adapters.choices import Aspect as Aspect
from adapters.choices import Devices as Devices
from adapters.choices import KeepBest as KeepBest
from adapters.choices import Phase as Phase
from adapters.choices import Precision as Precision
from adapters.choices import RequestedPrecision as RequestedPrecision
from adapters.choices import SamplingMode as SamplingMode
from adapters.choices import ShortClip as ShortClip
from adapters.errors import ScoresError

Int8Array = npt.NDArray[np.int8]
UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "dynamic", "int8")


T = TypeVar("T")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check_array(name: str, array: object, dtype: type[np.generic], ndim: int) -> None:
    _require(
        isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == ndim,
        f"{name} must be a {np.dtype(dtype).name} array of {ndim} dimensions, got {_describe(array)}",
    )


def _check_range(start: float, end: float) -> None:
    _require(
        math.isfinite(start) and math.isfinite(end) and 0 <= start <= end,
        f"start and end must be finite seconds with 0 <= start <= end, got {start!r} and {end!r}",
    )


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype.name} {list(value.shape)}"
    return f"{type(value).__name__} {value!r:.60}"


@dataclass(frozen=True)
class InputSpec:
    """What media must deliver to a model: the size of frames and which moments of a video to take.

    A value that is not allowed is a ValueError when the spec is made.

    Attributes:
        height: Of the model's input, in pixels, at least 1.
        width: Of the model's input, in pixels, at least 1.
        n_frames: Frames per clip or window, at least 1.
        aspect: How a frame of another shape is fitted: ``crop`` (fill, cut the rest), ``pad`` (fit, black bars) or
            ``stretch`` (each side on its own).
        sampling: ``spread`` takes n_frames at the centres of n_frames equal parts of the window; ``rate`` takes
            n_frames at ``fps`` from the window's start, so that a window lasts n_frames / fps; ``every`` takes every
            moment at ``fps``, n_frames at a time where there is no window.
        fps: Frames per second, above 0; required unless sampling is ``spread``.
        window_seconds: The length of a window. None, with a stride of None: one clip of the whole range.
        stride_seconds: From the start of a window to that of the next; None: the window's length.
        short_clip: What to do where a window has fewer than n_frames: ``repeat_last``, ``wrap`` (start again from its
            first frame) or ``error``.
        crop_fraction: With ``crop``, the share of the shorter side that is kept, above 0 and at most 1: frames are
            scaled to the model's input divided by it, and the middle is cut out (torchvision's "resize 256, crop 224"
            is 0.875).
        sampling_tolerance_seconds: If moments are at least 0.5 s apart: maximum distance in seconds, >= 0, between
            a moment and a nearby reference frame used in place of the exact frame; never more than half the time
            between two moments. 0: always the exact frame.
        parts: The specs of several models that share one decoding: the moments of all of them are taken, and n_frames
            is their number.
    """

    height: int
    width: int
    n_frames: int
    aspect: Aspect = "crop"
    sampling: SamplingMode = "spread"
    fps: float | None = None
    window_seconds: float | None = None
    stride_seconds: float | None = None
    short_clip: ShortClip = "repeat_last"
    crop_fraction: float = 1.0
    sampling_tolerance_seconds: float = 0.0
    parts: tuple[InputSpec, ...] = ()

    def __post_init__(self) -> None:
        for name in ("height", "width", "n_frames"):
            value = getattr(self, name)
            _require(isinstance(value, int) and value >= 1, f"{name} must be a whole number >= 1, got {value!r}")
        for name in ("fps", "window_seconds", "stride_seconds"):
            value = getattr(self, name)
            _require(value is None or 0 < value < math.inf, f"{name} must be above 0, got {value!r}")
        _require(self.aspect in ("crop", "pad", "stretch"), f"aspect must be crop, pad or stretch, got {self.aspect!r}")
        _require(
            self.short_clip in ("repeat_last", "wrap", "error"),
            f"short_clip must be repeat_last, wrap or error, got {self.short_clip!r}",
        )
        _require(
            self.sampling in ("spread", "rate", "every"),
            f"sampling must be spread, rate or every, got {self.sampling!r}",
        )
        _require(self.sampling == "spread" or self.fps is not None, f'sampling "{self.sampling}" needs fps')
        tolerance = self.sampling_tolerance_seconds
        _require(0 <= tolerance < math.inf, f"sampling_tolerance_seconds must be at least 0, got {tolerance!r}")
        _require(
            0 < self.crop_fraction <= 1, f"crop_fraction must be above 0 and at most 1, got {self.crop_fraction!r}"
        )

    def with_windows(self, window_seconds: float | None, stride_seconds: float | None) -> InputSpec:
        """The same spec with other windows.

        Args:
            window_seconds: The new length; None keeps the present one.
            stride_seconds: The new stride; None keeps the present one.
        """
        return replace(
            self,
            window_seconds=self.window_seconds if window_seconds is None else window_seconds,
            stride_seconds=self.stride_seconds if stride_seconds is None else stride_seconds,
        )


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of one stretch of one video. Arrays of another type or shape are a ValueError.

    Attributes:
        frames: uint8 [T, H, W, 3] RGB, at least one, upright and in square pixels, near the size of the input spec.
        times: float64 [T], when each frame is shown: seconds since the video's first frame, never decreasing.
        source: The path or address of the video, for messages.
        start: Where the stretch begins, in seconds since the video's first frame, at least 0.
        end: Where it ends, at or after its start.
    """

    frames: UInt8Array
    times: Float64Array
    source: str
    start: float
    end: float

    def __post_init__(self) -> None:
        _check_array("frames", self.frames, np.uint8, 4)
        _require(self.frames.shape[3] == 3, f"frames must be RGB [T, H, W, 3], got {list(self.frames.shape)}")
        _require(self.frames.size > 0, f"frames are empty: {list(self.frames.shape)}")
        _check_array("times", self.times, np.float64, 1)
        _require(
            len(self.times) == len(self.frames),
            f"there must be one time per frame, got {len(self.times)} times for {len(self.frames)} frames",
        )
        _check_range(self.start, self.end)

    def __repr__(self) -> str:
        return f"Clip({self.source!r}, {self.start:.3f}-{self.end:.3f} s, frames {_describe(self.frames)})"


@dataclass(frozen=True)
class LabelScore:
    """One class and its score in 0..1."""

    label: str
    score: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """The scores of a model for one clip. Arrays that do not fit the labels are a ValueError.

    Attributes:
        scores: float32 [C] in 0..1, finite, one for each class in the model's order.
        labels: The C class names in that order.
        start: Where the clip begins, in seconds since the video's first frame.
        end: Where the clip ends, in the same seconds.
        source: The path or address of the video.
        frame_scores: float32 [T, C] in 0..1 of a model that scores frames; None of others.
    """

    scores: Float32Array
    labels: tuple[str, ...]
    start: float
    end: float
    source: str = ""
    frame_scores: Float32Array | None = None

    def __post_init__(self) -> None:
        _check_array("scores", self.scores, np.float32, 1)
        _require(
            len(self.scores) == len(self.labels),
            f"there must be one score per label, got {len(self.scores)} scores for {len(self.labels)} labels",
        )
        self._require_finite(self.scores)
        _check_range(self.start, self.end)
        if self.frame_scores is not None:
            _check_array("frame_scores", self.frame_scores, np.float32, 2)
            _require(
                self.frame_scores.shape[1] == len(self.labels),
                f"frame_scores {list(self.frame_scores.shape)} do not match {len(self.labels)} labels",
            )
            self._require_finite(self.frame_scores)

    def _require_finite(self, scores: Float32Array) -> None:
        if not np.isfinite(scores).all():
            raise ScoresError(
                f"{self.source or 'the clip'}: the model's scores are not finite numbers: "
                f"{int(np.size(scores) - np.isfinite(scores).sum())} of {np.size(scores)} are NaN or infinite. "
                "Its weights may be damaged: check the model with cliplab doctor, or train it again"
            )

    def top_k(self, k: int) -> list[LabelScore]:
        """The k best classes, best first; equal scores keep the model's order.

        Args:
            k: How many, at most; all classes where there are fewer.
        """
        order = np.argsort(-self.scores, kind="stable")[: max(k, 0)]
        return [LabelScore(self.labels[i], float(self.scores[i])) for i in order]

    def score_of(self, label: str) -> float:
        """The score of one class, in 0..1.

        Args:
            label: A class of the model.

        Raises:
            KeyError: The model does not know the label; the message names its labels.
        """
        if label not in self.labels:
            raise KeyError(f"{label!r} is not a label of this model; its labels: {', '.join(self.labels[:20])}")
        return float(self.scores[self.labels.index(label)])

    def __repr__(self) -> str:
        best = ", ".join(f"{item.label} {item.score:.3f}" for item in self.top_k(2))
        return f"Prediction({self.start:.2f}-{self.end:.2f} s, {best}; {len(self.labels)} labels)"


@dataclass(frozen=True)
class Segment:
    """A stretch of a video with one label.

    Attributes:
        label: The class.
        start: In seconds since the video's first frame, at least 0.
        end: In the same seconds, at or after the start.
        score: The mean score of the label over the stretch, in 0..1.
    """

    label: str
    start: float
    end: float
    score: float

    def __post_init__(self) -> None:
        _check_range(self.start, self.end)


@dataclass(frozen=True)
class VideoResult:
    """The predictions of one video, or the reason why there are none.

    Attributes:
        path: The video as the caller named it.
        predictions: In order of time; empty where the video failed.
        error: The reason of a failure, for people; None where there was none.
        warnings: Damage that was skipped, such as frames that did not decode, in sentences.
    """

    path: str
    predictions: tuple[Prediction, ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self, top_k: int) -> dict[str, Any]:
        """The JSON row that ``cliplab predict --json`` writes.

        Args:
            top_k: How many labels each prediction lists.
        """
        row: dict[str, Any] = {
            "path": self.path,
            "predictions": [
                {"start": p.start, "end": p.end, "labels": [asdict(item) for item in p.top_k(top_k)]}
                for p in self.predictions
            ],
            "error": self.error,
        }
        if self.warnings:
            row["warnings"] = list(self.warnings)
        return row


def as_precision(quantize: RequestedPrecision) -> Precision:
    """The precision that a value of ``quantize`` means: "none" is float32.

    Args:
        quantize: As in a config or a command.

    Raises:
        ValueError: The value is not one of PRECISIONS, nor "none".
    """
    precision = "float32" if quantize == "none" else quantize
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {quantize!r}")
    return precision


def expand_binary(probabilities: Float32Array, positive_index: int) -> Float32Array:
    """Sigmoid outputs of a two-class model to a score for each class.

    Args:
        probabilities: float32 [..., 1] in 0..1, of the positive class.
        positive_index: The place of the positive class among the two labels, 0 or 1.

    Returns:
        float32 [..., 2] in the order of the labels; the two add up to 1.
    """
    positive = probabilities[..., 0]
    columns = [1 - positive, positive] if positive_index == 1 else [positive, 1 - positive]
    return np.stack(columns, axis=-1).astype(np.float32)


def aggregate(frame_scores: Float32Array, how: Aggregation, top_fraction: float = 0.25) -> Float32Array:
    """The scores of a clip's frames to those of the clip.

    Args:
        frame_scores: float32 [T, C], at least one frame.
        how: ``mean``, ``max``, or ``top_mean``: for each class the mean of the best ``top_fraction`` of the frames.
        top_fraction: For ``top_mean``, above 0 and at most 1; rounded up to whole frames, at least one.

    Returns:
        float32 [C].

    Raises:
        ValueError: ``how`` is none of these, or the scores are not float32 [T, C].
    """
    _check_array("frame_scores", frame_scores, np.float32, 2)
    if how == "mean":
        return np.asarray(frame_scores.mean(axis=0, dtype=np.float64), np.float32)
    if how == "max":
        return np.asarray(frame_scores.max(axis=0), dtype=np.float32)
    if how == "top_mean":
        count = max(1, math.ceil(len(frame_scores) * top_fraction))
        best = np.sort(frame_scores, axis=0)[-count:]
        return np.asarray(best.mean(axis=0, dtype=np.float64), np.float32)
    raise ValueError(f"aggregation must be mean, max or top_mean, got {how!r}")


def take_evenly(values: Sequence[T], count: int) -> list[T]:
    """At most ``count`` of the values, evenly over the whole sequence and in its order.

    The first values alone would not do: data sets are often in the order of their classes.

    Args:
        values: Any values.
        count: How many to take, at most; at least 1.
    """
    if len(values) <= count:
        return list(values)
    return [values[position * len(values) // count] for position in range(count)]

"""What can be seen of a clip without a model: its shape, length and light, its colours, and tiny pictures of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.base import FeatureSource, OnProgress
from adapters.errors import AdapterError
from adapters.records import Clip, Float32Array, InputSpec

if TYPE_CHECKING:
    from adapters.data import Example

# One more when what is computed changes, so that stored looks of the old form are left alone.
_FORM = 1
_FRAMES = 8
_SIDE = 112
_TINY = 12
# Of lightness, green to red and blue to yellow, in OpenCV's 8-bit Lab. Few pixels lie outside of 96..160.
_BINS, _RANGES = (6, 8, 8), (0, 256, 96, 160, 96, 160)
_HISTOGRAM = int(np.prod(_BINS))

# The numbers of each property, in the order in which they are stored.
PROPERTIES: dict[str, tuple[str, ...]] = {
    "frame shape": ("log2 of width over height", "log2 of height"),
    "length": ("log2 of seconds",),
    "frame rate": ("frames per second",),
    "brightness": ("mean lightness", "spread of lightness", "change of lightness over time"),
    "sharpness": ("log of the Laplacian's variance",),
    "colour": ("green to red", "blue to yellow", "spread of green to red", "spread of blue to yellow"),
}
_NUMBERS = sum(len(names) for names in PROPERTIES.values())


@dataclass(frozen=True)
class Looks:
    """What clips look like.

    Attributes:
        properties: float32 [N, P], the numbers of ``PROPERTIES`` in order.
        colours: float32 [N, H], the square roots of a colour histogram of each clip, so that the dot product of two
            rows is their Bhattacharyya coefficient, 1 where they are equal.
        pictures: float32 [N, frames, pixels], lightness 0..255 of tiny frames.
    """

    properties: Float32Array
    colours: Float32Array
    pictures: Float32Array

    @property
    def count(self) -> int:
        """N."""
        return len(self.properties)


class LookSource:
    """Stands in for a model where features of clips are cached: its features are what the clips look like."""

    input_spec = InputSpec(_SIDE, _SIDE, _FRAMES)
    scores_frames = True

    @property
    def config(self) -> dict[str, Any]:
        """What the cache asks of a config."""
        return {"adapter": "the looks of clips", "augmentation": {}, "seed": 0}

    def feature_source(self) -> FeatureSource:
        """The looks of a clip as one row of numbers."""
        size = _NUMBERS + _HISTOGRAM + _FRAMES * _TINY**2
        return FeatureSource({"looks": _FORM}, (1, size), lambda clips: [_look(clip) for clip in clips])


def clip_looks(examples: Sequence[Example], on_progress: OnProgress | None = None) -> tuple[list[Example], Looks]:
    """Decode labelled clips, a few small frames of each, or take what they look like from the cache.

    Args:
        examples: The clips.
        on_progress: Receives ("looks", clips done, clips in all).

    Returns:
        The clips that could be read, and their looks.

    Raises:
        DatasetError: None of the clips can be read.
        StorageError: The cache cannot be written.
    """
    from adapters.training import example_features

    def report(stage: str, done: int, total: int) -> None:
        if on_progress is not None:
            on_progress("looks", done, total)

    found = example_features(LookSource(), examples, report)
    return list(found.examples), looks_of(found.features[:, 0])


def looks_of(rows: Float32Array) -> Looks:
    """Looks from their stored rows.

    Args:
        rows: float32 [N, size].
    """
    end = _NUMBERS + _HISTOGRAM
    return Looks(rows[:, :_NUMBERS], rows[:, _NUMBERS:end], rows[:, end:].reshape(len(rows), _FRAMES, -1))


def _look(clip: Clip) -> Float32Array:
    """One row [1, size] of a clip."""
    import cv2

    labs = [cv2.cvtColor(frame, cv2.COLOR_RGB2LAB) for frame in clip.frames]
    pixels = np.concatenate([lab.reshape(-1, 3) for lab in labs]).astype(np.float32)
    light = np.array([lab[..., 0].mean() for lab in labs])
    sharp = np.mean([cv2.Laplacian(lab[..., 0], cv2.CV_32F).var() for lab in labs])
    width, height, fps = _shown_as(clip)
    middle, spread = pixels.mean(axis=0), pixels.std(axis=0)
    numbers = [
        *(np.log2(width / height), np.log2(height), np.log2(max(clip.end - clip.start, 1e-3)), fps),
        *(middle[0], spread[0], light.std(), np.log(sharp + 1.0), middle[1], middle[2], spread[1], spread[2]),
    ]
    # Strong colours count as the last bin of their side.
    kept = [np.clip(lab, (0, _RANGES[2], _RANGES[4]), (255, _RANGES[3] - 1, _RANGES[5] - 1)) for lab in labs]
    histograms = [
        cv2.calcHist([lab.astype(np.uint8)], [0, 1, 2], None, [*_BINS], [*map(float, _RANGES)]) for lab in kept
    ]
    counts = np.sum(histograms, axis=0, dtype=np.float64).ravel()
    tiny = [cv2.resize(lab[..., 0], (_TINY, _TINY), interpolation=cv2.INTER_AREA).ravel() for lab in labs]
    tiny = [tiny[min(number, len(tiny) - 1)] for number in range(_FRAMES)]
    colours = np.sqrt(counts / max(counts.sum(), 1.0))
    return np.concatenate([numbers, colours, *tiny]).astype(np.float32)[None]


def _shown_as(clip: Clip) -> tuple[float, float, float]:
    """Width and height of the video, and its frames per second; as the frames are where it cannot be opened."""
    from adapters.media import probe

    try:
        info = probe(clip.source)
    except (AdapterError, OSError):  # frames prepared from a video that is gone
        return float(clip.frames.shape[2]), float(clip.frames.shape[1]), 0.0
    return float(info.width), float(info.height), float(min(info.fps or 0.0, 1000.0))


def source_names(examples: Sequence[Example]) -> list[str]:
    """What the folder and name of each clip say of where it comes from: without digits, and without its label.

    A folder or a word of a name that is the clip's own label is how the label was written down, and says nothing of
    the source.

    Args:
        examples: The clips.
    """
    spellings = {_word(label) for example in examples for label in example.labels}

    def name(example: Example) -> str:
        path = Path(example.source)
        words = [_word(part) for part in (*path.parent.parts[-2:], *re.split(r"[\d\W_]+", path.stem))]
        return " ".join(word for word in words if word and word not in spellings)

    return [name(example) for example in examples]


def _word(text: str) -> str:
    return re.sub(r"[\d\W_]+", "", text).casefold()

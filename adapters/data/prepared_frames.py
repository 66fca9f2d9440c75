"""The clip of an example: of its video or, where that is gone, of frames that ``cliplab dataset prepare`` wrote."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from adapters.data.examples import Example, PreparedFrames
from adapters.errors import MediaError
from adapters.media import (
    EPSILON_SECONDS,
    decode_picture,
    decode_size,
    fill_clip,
    one_clip_spec,
    plan_clip,
    read_clip,
    resize,
)
from adapters.records import Clip, InputSpec, UInt8Array
from adapters.system import read_regular_bytes

MAX_PICTURE_BYTES = 64 * 2**20


def prefer_video(example: Example, single_frames: bool) -> Example:
    """The example without its prepared frames where its video is to be read.

    That is so where the video exists. It is always so for a model that sees clips: one frame per second does not
    suffice to train it. A clip that is one picture has no video: a model that sees clips gets it as a still.

    Args:
        example: A clip with or without prepared frames.
        single_frames: Whether the model sees single frames.
    """
    if example.frames is None or example.is_picture or (single_frames and not os.path.isfile(example.path)):
        return example
    return replace(example, frames=None)


def read_example(
    example: Example, spec: InputSpec, start_seconds: float | None = None, end_seconds: float | None = None
) -> Clip:
    """One clip of a range, from the example's prepared frames if it has them, otherwise from its video.

    Training and ``ClipDataset`` read labelled clips with it, with the example's own start and end as the range.

    Args:
        example: A labelled clip, after ``prefer_video``.
        spec: What the model needs; windows in it are ignored.
        start_seconds: Where the range begins, in seconds since the video's first frame; None: at its start.
        end_seconds: Where it ends, likewise; None: at its end.

    Raises:
        MediaError: The frames or the video cannot be read.
    """
    if example.frames is not None:
        return read_prepared_clip(example, spec, start_seconds, end_seconds)
    return read_clip(example.path, spec, start_seconds, end_seconds)


def read_prepared_clip(
    example: Example, spec: InputSpec, start_seconds: float | None = None, end_seconds: float | None = None
) -> Clip:
    """One clip of a range of the example, as ``adapters.media.read_clip`` reads it from the video.

    The clip has, for each of the spec's moments, the prepared frame that is shown then.

    Args:
        example: A clip with prepared frames.
        spec: What the model needs.
        start_seconds: Where the range begins, in seconds of the video, moved into the example's range; None: at its
            start.
        end_seconds: Where the range ends, likewise; None: at its end.

    Raises:
        MediaError: A picture is missing or damaged, or the pictures have several sizes; names it.
    """
    frames = example.frames
    assert frames is not None
    began = example.start_seconds or 0.0
    shown = began + np.arange(len(frames.names)) / frames.fps
    ended = example.end_seconds if example.end_seconds is not None else began + len(frames.names) / frames.fps
    start = min(max(began if start_seconds is None else start_seconds, began), float(shown[-1]))
    end = min(ended if end_seconds is None else end_seconds, ended)
    window = plan_clip(spec, start, end if end > start + EPSILON_SECONDS else ended)
    at = np.maximum(np.searchsorted(shown, window.times + EPSILON_SECONDS, side="right") - 1, 0)
    source = str(example.path)
    kept, times = fill_clip(one_clip_spec(spec), window, shown[at].tolist(), frames.fps, source)
    pictures = {number: _picture(frames, number, spec) for number in np.unique(at)}
    if len({picture.shape for picture in pictures.values()}) > 1:
        raise MediaError(f"{frames.folder}: contains pictures of several sizes. Prepare the dataset again")
    return Clip(np.stack([pictures[number] for number in at[kept]]), times, source, window.start, window.end)


def _picture(frames: PreparedFrames, number: int, spec: InputSpec) -> UInt8Array:
    """uint8 [H, W, 3] RGB, of the size that a decoded frame of the video has."""
    path = frames.folder / frames.names[number]
    try:
        picture = decode_picture(read_regular_bytes(path, MAX_PICTURE_BYTES, MediaError), str(path))
    except OSError:
        picture = None
    if picture is None:
        raise MediaError(
            f"{path}: is missing or is not a picture. Restore it; if it belongs to a prepared dataset, prepare that "
            "again"
        )
    height, width = picture.shape[:2]
    return np.asarray(resize(picture[None], *decode_size(spec, width, height))[0], np.uint8)

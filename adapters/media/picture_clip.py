"""A still picture as a clip: its one frame, as often as the model asks for frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adapters.errors import MediaError
from adapters.media.preprocess import decode_picture, decode_size, resize
from adapters.records import Clip, InputSpec
from adapters.system import read_regular_bytes

# By name: an animated GIF is a video, and a JPEG stream has another ending.
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_MOST_BYTES = 200_000_000


def read_picture_clip(path: str | Path, spec: InputSpec) -> Clip:
    """Read a picture as a clip.

    Args:
        path: A file with one of ``PICTURE_SUFFIXES``.
        spec: What the model needs.

    Returns:
        A clip of ``spec.n_frames`` equal frames at time 0.

    Raises:
        MediaError: The file is missing or not a picture.
    """
    try:
        pixels = decode_picture(read_regular_bytes(Path(path), _MOST_BYTES, MediaError), str(path))
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from None
    if pixels is None:
        raise MediaError(f"{path}: not a picture that can be decoded. Give a JPEG, PNG, WebP, BMP or TIFF")
    height, width = pixels.shape[:2]
    frame = resize(pixels[None], *decode_size(spec, width, height))
    return Clip(np.repeat(frame, spec.n_frames, axis=0), np.zeros(spec.n_frames), str(path), 0.0, 0.0)

"""A clip that is a folder of pictures: the frames of a stretch of video, taken at a known rate."""

from __future__ import annotations

import os
from pathlib import Path

from adapters.data.examples import Example, PreparedFrames

DEFAULT_RATE = 30.0  # frames per second, where nothing says at which rate the pictures were taken


def frames_of_folder(folder: Path, rate: float | None) -> PreparedFrames | None:
    """The JPEG pictures of a folder in the order of their names; None where the path is not a folder or holds none.

    Args:
        folder: The folder.
        rate: Pictures per second of video; None: DEFAULT_RATE.
    """
    if not folder.is_dir():
        return None
    names = sorted(name for name in os.listdir(folder) if name.lower().endswith((".jpg", ".jpeg")))
    return PreparedFrames(folder, tuple(names), rate or DEFAULT_RATE) if names else None


def is_frame_folder(example: Example) -> bool:
    """Whether a clip is a folder of pictures itself, and not a video that has some beside the dataset.

    Args:
        example: The clip.
    """
    return example.frames is not None and example.frames.folder == example.path

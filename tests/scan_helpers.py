"""A tiny model of frames and libraries of short videos for the tests of scans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_adapter import TinyAdapter
from tiny_videos import render_video

FRAMES = {"schema_version": 1, "adapter": "scan_helpers:FramesAdapter", "n_frames": 1}


class FramesAdapter(TinyAdapter):
    """The tiny adapter as a model of single frames."""

    scores_frames = True


def save_model(path: Path, **keys: Any) -> Path:
    """A bundle of the tiny model of frames."""
    FramesAdapter({**FRAMES, **keys}).save(path)
    return path


def render_library(folder: Path, count: int, seconds: float = 0.5) -> Path:
    """Warm and cold videos by turns, each of its own content, in three folders."""
    for number in range(count):
        place = folder / f"day{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        render_video(place / f"{number:03}.mp4", ("warm", "cold")[number % 2], number, seconds=seconds)
    return folder

"""A tiny model of frames and libraries of short videos for the tests of scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters.base import model_class
from adapters.records import Clip, Prediction

FRAMES = {"schema_version": 2, "adapter": "scan_helpers:FramesAdapter", "n_frames": 1}


class FramesAdapter(TinyAdapter):
    """The tiny adapter as a model of single frames."""

    scores_frames = True


class BrokenAdapter(FramesAdapter):
    """One that cannot take a video of a certain name."""

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        if any(clip.source.endswith("boom.mp4") for clip in batch):
            raise ZeroDivisionError("the model's own fault")
        return super().predict(batch)


class StoppedAdapter(BrokenAdapter):
    """One that can take nothing more after a video of a certain name."""

    stopped = False

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        self.stopped = self.stopped or any(clip.source.endswith("boom.mp4") for clip in batch)
        if self.stopped:
            raise ZeroDivisionError("the model's own fault")
        return super().predict(batch)


def save_model(path: Path, **keys: Any) -> Path:
    """A bundle of the tiny model of frames."""
    model_class(str(keys.get("adapter", FRAMES["adapter"])))({**FRAMES, **keys}).save(path)
    return path


def render_library(folder: Path, count: int, seconds: float = 0.5) -> Path:
    """Warm and cold videos by turns, each of its own content, in three folders."""
    for number in range(count):
        place = folder / f"day{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        render_video(place / f"{number:03}.mp4", ("warm", "cold")[number % 2], number, seconds=seconds)
    return folder

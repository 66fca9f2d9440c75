"""Which stretch of a source is shown."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tiny_videos import render_video

from adapters.errors import MediaError
from cliplab.reel.sources import inspect_source


def test_a_window_ends_with_its_video_at_the_latest(tmp_path: Path) -> None:
    path = render_video(tmp_path / "v.mp4", "warm", 0, seconds=2.0)
    row = {"path": str(path), "score": 0.9, "duration": 2.1, "windows": [{"start": 1.0, "end": 2.1, "score": 0.9}]}
    clip = inspect_source(row, None, math.inf)
    assert (clip.start, clip.end) == (pytest.approx(1.0), pytest.approx(2.0))
    row["windows"] = [{"start": 1.95, "end": 2.1, "score": 0.9}]
    with pytest.raises(MediaError, match="too short"):
        inspect_source(row, None, math.inf)

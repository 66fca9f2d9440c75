"""A closed video leaves nothing behind, also where Python's collector of circles has not run."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from tiny_videos import render_video

from adapters.media import open_video


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_the_threads_of_a_decoder_end_with_its_video(tmp_path: Path) -> None:
    render_video(tmp_path / "clip.mp4", "warm", 0, seconds=1)
    gc.collect()
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/task"))
        for _ in range(4):
            with open_video(tmp_path / "clip.mp4", threads=4) as video:
                assert sum(1 for _ in video.frames()) > 4
        assert len(os.listdir("/proc/self/task")) <= before + 1
    finally:
        gc.enable()

"""Containers of cameras and editors: their frames, times and rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_patterns import number_of, numbered_frame, write_video

from adapters.media import open_video


@pytest.mark.parametrize("b_frames", [0, 2, 3])
def test_an_mxf_that_stores_times_of_decoding_alone(tmp_path: Path, b_frames: int) -> None:
    """As FFmpeg writes H.264: packets have no times of presentation, and the first frame is no longer than others."""
    pictures = [numbered_frame(number) for number in range(40)]
    path = write_video(tmp_path / "v.mxf", pictures, b_frames=b_frames, gop=12)
    with open_video(path) as video:
        frames = [(seconds, number_of(picture)) for seconds, picture in video.frames()]
        assert [number for _, number in frames] == list(range(40))
        assert np.allclose([seconds for seconds, _ in frames], np.arange(40) / 25, atol=1e-6)
        assert video.info.duration_seconds == pytest.approx(1.6, abs=0.05)
        assert not video.warnings


def test_the_rate_of_raw_dv_is_that_of_its_frames(tmp_path: Path) -> None:
    pictures = [numbered_frame(number, 720, 576) for number in range(5)]
    path = write_video(tmp_path / "v.dv", pictures, codec="dvvideo")
    with open_video(path) as video:
        assert video.info.fps == 25
        assert len(list(video.frames())) == 5

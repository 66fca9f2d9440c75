"""Stretches of a video in one pass: the same frames as a whole pass shows, in containers that jump and that do not."""

from __future__ import annotations

import numpy as np
import pytest
from media_patterns import HEIGHT, WIDTH, number_of, write_numbered

from adapters.media import open_video
from adapters.records import InputSpec

SPEC = InputSpec(height=HEIGHT, width=WIDTH, n_frames=1, aspect="stretch")
RANGES = [(0.0, 0.2), (6.0, 6.4), (6.4, 6.6), (10.03, 10.2), (12.01, 12.03), (14.52, 14.8), (30.0, 31.0)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.mpg"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_frames_of_stretches_are_those_of_a_whole_pass(tmp_path, name, b_frames):
    codec = {"a.avi": "mpeg4", "a.mpg": "mpeg2video"}.get(name, "libx264")
    # Gray bars survive any of the codecs at this quality.
    path = write_numbered(
        tmp_path / name, 400, codec=codec, gop=50, b_frames=b_frames, options={"qmin": "1", "crf": "8"}
    )
    with open_video(path) as video:
        keys = [clip.start for clip in video.key_frames(SPEC)]
        whole = list(video.frames())
        some = list(video.stretches(RANGES, SPEC, key_times=keys))
        assert not video.damaged_stretches
    ends = [*(seconds for seconds, _ in whole[1:]), whole[-1][0] + 0.04]
    wanted = [
        (seconds, number_of(picture))
        for start, end in RANGES
        for (seconds, picture), shown_until in zip(whole, ends, strict=True)
        if seconds < end - 1e-6 and shown_until > start + 1e-3
    ]
    assert [number_of(picture) for _, picture in some] == [number for _, number in wanted]
    np.testing.assert_allclose([seconds for seconds, _ in some], [seconds for seconds, _ in wanted], atol=1e-6)


def test_at_a_rate_and_out_of_order(tmp_path):
    path = write_numbered(tmp_path / "a.mkv", 100, gop=25)
    with open_video(path) as video:
        taken = list(video.stretches([(1.0, 3.0)], SPEC, fps=2.0))
        assert [round(seconds, 2) for seconds, _ in taken] == [1.0, 1.5, 2.0, 2.5]
        assert [number_of(picture) for _, picture in taken] == [25, 37, 50, 62]
        with pytest.raises(ValueError, match="order"):
            video.stretches([(2.0, 3.0), (1.0, 2.0)], SPEC)

"""GIF files that end too early, and how long their frames are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_patterns import write_video

from adapters.media import open_video
from adapters.media.gif_end import is_whole_picture


def whole_gif(path: Path, frames: int = 4) -> bytes:
    rng = np.random.default_rng(0)
    pictures = (rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(frames))
    return write_video(path, pictures, codec="gif", pixel_format="rgb8", fps=10).read_bytes()


@pytest.mark.parametrize("missing", [2, 40, 300, 900])
def test_a_gif_that_ends_within_a_picture_says_so(tmp_path: Path, missing: int) -> None:
    data = whole_gif(tmp_path / "whole.gif")
    (tmp_path / "cut.gif").write_bytes(data[:-missing])
    with open_video(tmp_path / "whole.gif") as video:
        assert len(list(video.frames())) == 4
        assert not video.warnings
    with open_video(tmp_path / "cut.gif") as video:
        assert len(list(video.frames())) == 4
        (warning,) = video.warnings
    assert "1 frame is partly damaged" in warning
    assert "0.30 s" in warning


def test_only_the_mark_of_the_end_is_missing(tmp_path: Path) -> None:
    (tmp_path / "cut.gif").write_bytes(whole_gif(tmp_path / "whole.gif")[:-1])
    with open_video(tmp_path / "cut.gif") as video:
        assert len(list(video.frames())) == 4
        assert not video.warnings


def test_each_beginning_of_a_picture_is_no_whole_one(tmp_path: Path) -> None:
    data = whole_gif(tmp_path / "one.gif", frames=1)
    assert is_whole_picture(data)
    assert is_whole_picture(data[:-1])
    for end in range(len(data) - 1):
        assert not is_whole_picture(data[:end])


def test_a_comment_behind_the_pictures_is_no_cut_one() -> None:
    assert is_whole_picture(b"\x21\xfe\x03abc\0;")
    assert not is_whole_picture(b"\x21\xfe\x03abc")

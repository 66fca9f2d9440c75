"""Matroska files with damaged blocks: all frames that can be read are, and those that cannot are said."""

from __future__ import annotations

from pathlib import Path

import pytest
from damaged_files import overwrite, packets_of
from media_patterns import number_of, write_numbered

from adapters.media import open_video

FAST = {"preset": "ultrafast"}


@pytest.mark.parametrize("place", [1, 30, 60, 97])
@pytest.mark.parametrize(
    ("back", "content"),
    [
        (0, b"\xff"),  # the number of the track
        (0, b"\x00"),
        (2, b"\x55"),  # an element of another kind, or of another size
        (1, b"\x55"),
        (2, b"\xff\xff"),
        (2, b"\x00\x00"),
    ],
)
def test_a_damaged_block_is_said(tmp_path: Path, place: int, back: int, content: bytes) -> None:
    path = write_numbered(tmp_path / "v.mkv", 100, gop=10, b_frames=0, options=FAST)
    overwrite(path, packets_of(path)[place][0] - back, content)
    with open_video(path) as video:
        numbers = [number_of(picture) for _, picture in video.frames()]
        assert numbers == sorted(numbers)
        assert len(numbers) == 100 or video.warnings


@pytest.mark.parametrize("name", ["v.mkv", "v.webm"])
def test_sound_files_are_not_called_damaged(tmp_path: Path, name: str) -> None:
    options = {"codec": "libvpx-vp9", "gop": 10} if name == "v.webm" else {"gop": 10, "b_frames": 3, "options": FAST}
    path = write_numbered(tmp_path / name, 100, **options)
    with open_video(path) as video:
        assert sum(1 for _ in video.frames()) == 100
        assert sum(1 for _ in video.frames(fps=0.5)) == 2
        assert video.warnings == ()

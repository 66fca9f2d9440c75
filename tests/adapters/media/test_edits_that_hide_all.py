"""Lists of edits that show no frame, as some cutters leave them behind, do not hide a video."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from media_patterns import number_of, write_numbered

from adapters.media import open_video

TICKS = 12_800  # per second, of FFmpeg's tracks at 25 frames per second


def with_edits(data: bytes, edits: list[tuple[int, int]]) -> bytes:
    """The list of an MP4 whose header is at its end, replaced: (length in ms, beginning in ticks)."""
    at = data.index(b"edts") - 4
    size = struct.unpack(">I", data[at : at + 4])[0]
    rows = b"".join(struct.pack(">Iii", length, start, 0x10000) for length, start in edits)
    listed = struct.pack(">I4sII", 16 + len(rows), b"elst", 0, len(edits)) + rows
    new = struct.pack(">I4s", 8 + len(listed), b"edts") + listed
    grown = bytearray(data[:at] + new + data[at + size :])
    for name in (b"moov", b"trak"):
        place = grown.index(name) - 4
        length = struct.unpack(">I", grown[place : place + 4])[0]
        grown[place : place + 4] = struct.pack(">I", length + len(new) - size)
    return bytes(grown)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_numbered(tmp_path_factory.mktemp("edits") / "a.mp4", 50, b_frames=0).read_bytes()


@pytest.mark.parametrize(
    "edits",
    [[(0, 0)], [(0, 5120)], [(2000, -1)], [(1000, 40 * TICKS)], [(500, -1), (0, 0)]],
    ids=["no length", "no length from a frame on", "a pause only", "behind the end", "a pause and no length"],
)
def test_what_they_hide_is_shown(tmp_path: Path, whole: bytes, edits: list[tuple[int, int]]) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(with_edits(whole, edits))
    with open_video(path) as video:
        assert [number_of(picture) for _, picture in video.frames()] == list(range(50))
        assert video.info.duration_seconds == pytest.approx(2.0, abs=0.05)
        assert any("edit list shows no frame" in note for note in video.warnings)


@pytest.mark.parametrize(
    ("edits", "numbers"),
    [([(2000, 0)], range(50)), ([(1000, 5120)], range(10, 35)), ([(500, -1), (1000, 0)], range(25))],
)
def test_others_are_followed(tmp_path: Path, whole: bytes, edits: list[tuple[int, int]], numbers: range) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(with_edits(whole, edits))
    with open_video(path) as video:
        assert [number_of(picture) for _, picture in video.frames()] == list(numbers)
        assert not video.warnings

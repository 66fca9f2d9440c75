"""Samples without data, as recorders write for a picture like the one before: what follows them is decoded."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from media_patterns import number_of, write_numbered
from mp4_boxes import full_box, mp4, numbers, sample_entry, track

from adapters.media import open_video
from adapters.records import InputSpec

COUNT = 20


def pictures(folder: Path) -> list[bytes]:
    source = write_numbered(folder / "source.avi", COUNT, codec="mjpeg", pixel_format="yuvj420p")
    with av.open(str(source)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def with_fillers(path: Path, data: list[bytes]) -> Path:
    """An MP4 of MJPEG with 40 ms per sample, also those that are empty."""
    boxes = [
        sample_entry(b"jpeg").replace(b"\0\x40\0\x30", b"\0\x60\0\x40"),
        full_box(b"stts", numbers(1, len(data), 40)),
        full_box(b"stsc", numbers(1, 1, len(data), 1)),
        full_box(b"stsz", numbers(0, len(data), *map(len, data))),
        full_box(b"stco", numbers(1, 28)),
    ]
    path.write_bytes(mp4(track(1, boxes, duration=40 * len(data)), data=b"".join(data)))
    return path


@pytest.mark.parametrize("fillers", [(5,), (5, 6, 7, 12), (1,), (COUNT,)])
@pytest.mark.parametrize("threads", [1, 4])
def test_what_follows_an_empty_sample_is_decoded(tmp_path: Path, fillers: tuple[int, ...], threads: int) -> None:
    data, expected, place = pictures(tmp_path), [], 0
    for number in range(COUNT + len(fillers)):
        if number in fillers:
            data.insert(number, b"")
        else:
            expected.append((round(0.04 * number, 6), place))
            place += 1
    with open_video(with_fillers(tmp_path / "fillers.mp4", data), threads=threads) as video:
        found = [(round(seconds, 6), number_of(picture)) for seconds, picture in video.frames()]
        assert found == expected
        assert video.warnings == ()
        assert video.info.duration_seconds == pytest.approx(0.04 * len(data), abs=0.041)
        keys = [round(float(clip.times[0]), 6) for clip in video.key_frames(InputSpec(16, 16, 1))]
        assert keys == [seconds for seconds, _ in expected]

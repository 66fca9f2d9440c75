"""The last segments of a stream as files: joined, whole or not there, and without waiting for the disk."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from adapters.errors import MediaError, StorageError
from cliplab.detect.highlights.hls_playlist import Segment
from cliplab.detect.highlights.recording import Kept, Recording


def recording(folder: Path, header: int = 0) -> Recording:
    """Five segments of 4 s, each of 1,000 bytes of its number after a header."""
    found = Recording(folder)
    for number in range(5):
        segment = Segment(number, f"http://127.0.0.1/{number}.ts", 4.0)
        path = found.store(number, segment, b"H" * header + bytes([number]) * 1000)
        found.add(Kept(path, number, number * 4.0, number * 4.0 + 4.0, header, ("h264",)))
    return found


@pytest.mark.parametrize("header", [0, 7])
def test_the_segments_of_a_stretch_are_joined_with_one_header(header: int, tmp_path: Path) -> None:
    found = recording(tmp_path / "stream", header)
    assert found.join(5.0, 11.0, 8.0, tmp_path / "joined.ts") == (4.0, 5.0, 11.0)
    assert (tmp_path / "joined.ts").read_bytes() == b"H" * header + b"\1" * 1000 + b"\2" * 1000
    with pytest.raises(MediaError, match="no longer stored"):
        found.join(30.0, 40.0, 35.0, tmp_path / "none.ts")
    found.close()
    assert list((tmp_path / "stream").iterdir()) == []


def test_a_segment_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_disk(_: int) -> None:
        raise AssertionError("a clip of a live stream would wait for a busy disk")

    monkeypatch.setattr(os, "fsync", slow_disk)
    found = recording(tmp_path / "stream")
    found.join(0.0, 20.0, 10.0, tmp_path / "joined.ts")
    assert (tmp_path / "joined.ts").stat().st_size == 5000


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    found = recording(tmp_path / "stream")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2500, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"joined\.ts: could not be written"):
            found.join(0.0, 20.0, 10.0, tmp_path / "joined.ts")
        with pytest.raises(StorageError, match="could not be written"):
            found.store(9, Segment(9, "http://127.0.0.1/9.ts", 4.0), b"9" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stream"]
    assert len(list((tmp_path / "stream").iterdir())) == 5

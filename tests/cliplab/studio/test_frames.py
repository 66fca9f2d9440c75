"""The frame service: exact frames by timestamp, and clear answers for files that are gone, replaced or damaged."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from media_patterns import number_of, numbered_frame
from studio_media import NTSC, VARIABLE, FileStore, write_ntsc, write_shots, write_variable
from waiting import until

from adapters.errors import MediaError
from cliplab.studio.frame_lists import FrameLists
from cliplab.studio.frames import FrameService
from cliplab.studio.media_files import FileGoneError, FileReplacedError
from cliplab.studio.picture_cache import PictureCache


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FileStore:
    folder = tmp_path_factory.mktemp("media")
    found = FileStore(folder)
    found.add(write_ntsc(folder / "ntsc.mp4"))
    found.add(write_variable(folder / "variable.mkv"))
    found.add(write_shots(folder / "shots.mp4"))
    found.add(write_ntsc(folder / "<b>\u202egpj.\nmp4.ts"))
    return found


@pytest.fixture(scope="module")
def frames(store: FileStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrameService]:
    service = FrameService(store, tmp_path_factory.mktemp("cache"), processes=3)
    yield service
    service.close()


def number_in(jpeg: bytes) -> int:
    return number_of(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("item", [1, 2, 4])
def test_a_frame_is_the_last_at_or_before_the_moment(frames: FrameService, item: int) -> None:
    times = frames.times(item, 0, 100)
    expected = np.array(VARIABLE) / 30 if item == 2 else np.arange(70) / float(NTSC)
    assert np.allclose(times, expected, atol=0.0006)  # Matroska rounds to milliseconds
    rng = np.random.default_rng(3)
    for place in rng.permutation(len(times))[:14]:
        jpeg, exact = frames.frame_jpeg(item, float(times[place]), 64)
        assert (number_in(jpeg), exact) == (place, times[place])
        shown = max(place - 1, 0)
        jpeg, exact = frames.frame_jpeg(item, float(times[place]) - 1e-4, 64)
        assert (number_in(jpeg), exact) == (shown, times[shown])
    for moment, place in ((-5.0, 0), (1e9, len(times) - 1)):
        jpeg, exact = frames.frame_jpeg(item, moment, 64)
        assert (number_in(jpeg), exact) == (place, times[place])


def test_steps_forward_and_back_and_several_at_a_time(frames: FrameService) -> None:
    times = frames.times(1, 0.5, 1.8)
    order = [*range(30), *range(29, 4, -1)]
    found = [number_in(frames.frame_jpeg(1, float(times[place]), 96)[0]) for place in order]
    assert found == [place + found[0] for place in order]
    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(frames.frame_jpeg, 1, float(time), 128) for time in times[::-1]]
        assert [number_in(job.result()[0]) for job in jobs] == [found[0] + place for place in range(len(times))][::-1]


def test_forward_steps_open_the_video_once(frames: FrameService, monkeypatch: pytest.MonkeyPatch) -> None:
    times = frames.times(2, 0, 10)
    frames.frame_jpeg(2, float(times[0]), 48)
    opened = []
    real = frames._pool.open_video
    monkeypatch.setattr(frames._pool, "open_video", lambda *given: opened.append(given) or real(*given))
    for time in times[1:]:
        frames.frame_jpeg(2, float(time), 48)
    assert opened == []


def has_ended(number: int) -> bool:
    """Whether a process is gone, or waits for its parent to look at it: then its last thread has ended, too."""
    status, threads = Path(f"/proc/{number}/stat"), Path(f"/proc/{number}/task")
    if not status.exists():
        return True
    return status.read_text().rpartition(")")[2].split()[0] == "Z" and len(list(threads.iterdir())) == 1


def test_a_decoder_that_ends_in_the_middle_is_replaced(frames: FrameService) -> None:
    times = frames.times(1, 0.2, 1.8)
    frames.frame_jpeg(1, float(times[0]), 40)
    killed = frames._pool.pids
    for number in killed:
        os.kill(number, signal.SIGKILL)
    until(lambda: all(has_ended(number) for number in killed))
    jpeg, exact = frames.frame_jpeg(1, float(times[1]), 40)
    assert (number_in(jpeg), exact) == (round(times[1] * float(NTSC)), times[1])


def test_cuts_sound_and_thumbnails(frames: FrameService) -> None:
    assert frames.next_cut(3, 0.0)[0] == pytest.approx(2.5)
    assert frames.next_cut(3, 2.5)[0] == pytest.approx(6.5)
    cut, searched_to = frames.next_cut(3, 6.5)
    assert cut is None
    assert searched_to >= 9.5
    peaks = frames.peaks(3, 10)
    assert peaks is not None
    assert peaks[30:60, 1].min() > 3 * peaks[:20, 1].max()
    assert frames.peaks(1) is None
    assert frames.thumbnail(3, 64)[:2] == b"\xff\xd8"
    with pytest.raises(ValueError, match="per_second"):
        frames.peaks(3, 0)


def test_parts_of_one_video_have_thumbnails_of_their_own(store: FileStore, frames: FrameService) -> None:
    path = store.folder / "ntsc.mp4"
    parts = [store.add(path, start=start, end=end) for start, end in ((0.0, 1.0), (1.5, 2.0), (2.0, None))]
    # A tenth into the part, a second at most; the video ends after 70 frames.
    assert [number_in(frames.thumbnail(part, 64)) for part in parts] == [2, 46, 60]


def test_requests_that_make_no_sense(frames: FrameService) -> None:
    for start, end in ((1.0, 0.0), (0.0, float("inf")), (0.0, 1e6)):
        with pytest.raises(ValueError):
            frames.times(1, start, end)
    with pytest.raises(ValueError):
        frames.frame_jpeg(1, float("nan"), 64)
    assert list(frames.times(1, 1e5, 1e5 + 1)) == [frames.times(1, 0, 100)[-1]]


def test_a_file_that_is_replaced_or_removed(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    item = store.add(write_ntsc(tmp_path / "a.mp4", 30))
    frames = FrameService(store, tmp_path / "cache", processes=2)
    try:
        frames.frame_jpeg(item, 0.1, 64)
        os.replace(tmp_path / "a.mp4", tmp_path / "elsewhere.mp4")
        with pytest.raises(FileGoneError, match="labels are kept"):
            frames.frame_jpeg(item, 0.2, 64)
        write_variable(tmp_path / "a.mp4")
        with pytest.raises(FileReplacedError, match="other content"):
            frames.frame_jpeg(item, 0.1, 64)
        os.replace(tmp_path / "elsewhere.mp4", tmp_path / "a.mp4")
        assert frames.frame_jpeg(item, 0.2, 64)[1] == pytest.approx(5 / float(NTSC))
        (tmp_path / "b.mp4").write_bytes(b"no video" * 100)
        with pytest.raises(MediaError, match=r"b\.mp4"):
            frames.frame_jpeg(store.add(tmp_path / "b.mp4"), 0.0, 64)
    finally:
        frames.close()


def test_pictures(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    frames = FrameService(store, tmp_path / "cache", processes=2)
    try:
        for name in ("a.jpg", "b.png", "c.webp"):
            cv2.imwrite(str(tmp_path / name), numbered_frame(37))
            assert number_in(frames.frame_jpeg(store.add(tmp_path / name, "frame"), 4.0, 64)[0]) == 37
        large = store.add(tmp_path / "b.png", "frame")
        cv2.imwrite(str(tmp_path / "b.png"), numbered_frame(5, 960, 640))
        with pytest.raises(FileReplacedError):
            frames.thumbnail(large, 64)
        large = store.add(tmp_path / "b.png", "frame")
        assert cv2.imdecode(np.frombuffer(frames.thumbnail(large, 60), np.uint8), 1).shape == (64, 96, 3)
        (tmp_path / "d.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:40])
        with pytest.raises(MediaError, match="damaged"):
            frames.thumbnail(store.add(tmp_path / "d.jpg", "frame"), 64)
    finally:
        frames.close()


def test_the_cache_keeps_to_its_limit_and_survives_a_full_disk(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path / "cache", 10_000)
    for number in range(30):
        cache.put(str(number), bytes(1000))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 10_000
    assert cache.get("29") == bytes(1000)
    assert cache.get("0") is None
    (tmp_path / "file").write_bytes(b"")
    full = PictureCache(tmp_path / "file" / "below", 1000)
    full.put("a", b"x")
    assert full.get("a") is None


def test_times_that_took_long_are_kept_over_a_restart(store: FileStore, frames: FrameService) -> None:
    times = frames.times(4, 0, 100)
    opened: list[bool] = []

    def open_video(file: object, slow: bool) -> object:
        opened.append(slow)
        return frames._open(file, slow)  # type: ignore[arg-type]

    again = FrameLists(open_video, frames.cache)  # type: ignore[arg-type]
    assert np.array_equal(again.times(frames.file(4), 0, 100), times)
    assert opened == [False]  # for the properties alone, not for the times

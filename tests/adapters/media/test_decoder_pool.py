"""Videos decoded in processes of their own: the same clips, and a process that dies, hangs or grows harms nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from flat_videos import flat_video
from places import ROOT
from tiny_videos import render_video
from waiting import PATIENT, until

from adapters.errors import ConfigError, MediaError
from adapters.media import ChildVideo, DecoderPool, MediaLimits, limited_reading, open_limited, open_video, read_clip
from adapters.records import InputSpec

LIMITS = MediaLimits(2_000_000)
SPEC = InputSpec(height=24, width=32, n_frames=4, window_seconds=0.5, stride_seconds=0.25)
LARGE = InputSpec(height=500, width=500, n_frames=8, window_seconds=0.5)  # more than the pipe holds


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    render_video(path, "warm", 0, seconds=2)
    return path


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    found = DecoderPool(1, memory_mb=300)
    found.start()
    yield found
    found.close()
    assert found.pids == []


def running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("limits", [None, LIMITS])
def test_a_process_decodes_where_there_are_limits_and_processes(
    pool: DecoderPool, video: Path, limits: MediaLimits | None
) -> None:
    with open_limited(video, limits, pool) as opened:
        assert isinstance(opened, ChildVideo) == (limits is not None)
        assert len(list(opened.clips(SPEC))) == 7
    with open_limited(video, limits, None) as opened:
        assert not isinstance(opened, ChildVideo)


def works(pool: DecoderPool, video: Path) -> bool:
    with pool.open_video(video, LIMITS) as opened:
        return len(list(opened.clips(SPEC))) == 7


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        InputSpec(height=20, width=20, n_frames=3),
        InputSpec(height=20, width=20, n_frames=3, sampling="every", fps=5.0, aspect="pad"),
        InputSpec(height=8, width=8, n_frames=2, window_seconds=0.5, parts=(SPEC,)),
    ],
)
def test_clips_are_the_same_as_without_a_process(pool: DecoderPool, video: Path, spec: InputSpec) -> None:
    with pool.open_video(video, LIMITS) as other, open_video(video, limits=LIMITS) as own:
        assert other.info.duration_seconds == own.info.duration_seconds
        pairs = list(zip(other.clips(spec), own.clips(spec), strict=True))
        assert other.warnings == own.warnings
    assert pairs
    for theirs, ours in pairs:
        np.testing.assert_array_equal(theirs.frames, ours.frames)
        np.testing.assert_array_equal(theirs.times, ours.times)
        assert (theirs.source, theirs.start, theirs.end) == (ours.source, ours.start, ours.end)


def test_frames_are_the_same_as_without_a_process(pool: DecoderPool, video: Path) -> None:
    with pool.open_video(video, LIMITS) as other, open_video(video, limits=LIMITS) as own:
        pairs = zip(other.frames(height=9, width=16, fps=3.0), own.frames(height=9, width=16, fps=3.0), strict=True)
        for (their_time, theirs), (our_time, ours) in pairs:
            assert their_time == our_time
            np.testing.assert_array_equal(theirs, ours)


def test_limits_for_all_clips_that_a_process_reads(pool: DecoderPool, video: Path, tmp_path: Path) -> None:
    spec = InputSpec(height=20, width=20, n_frames=3)
    expected = read_clip(video, spec, 0.5, 1.5)
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    with limited_reading(LIMITS, pool):
        found = read_clip(video, spec, 0.5, 1.5)
        with pytest.raises(MediaError, match=r"notes\.mp4: .*not a video"):
            read_clip(text, spec)
        with pytest.raises(MediaError, match=r"clip\.mp4: the range"):
            read_clip(video, spec, 7.0, 8.0)
    assert (found.source, found.start, found.end) == (expected.source, expected.start, expected.end)
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.times, expected.times)
    for decoders in (pool, None):
        with limited_reading(MediaLimits(100), decoders), pytest.raises(MediaError, match="million"):
            read_clip(video, spec)
    assert read_clip(video, spec).frames.shape == (3, 20, 20, 3)


def test_pictures(pool: DecoderPool) -> None:
    data = cv2.imencode(".png", np.arange(60, dtype=np.uint8).reshape(4, 5, 3))[1].tobytes()
    found = pool.decode_picture(data, LIMITS)
    assert found is not None
    np.testing.assert_array_equal(found[..., ::-1], np.arange(60).reshape(4, 5, 3))
    assert pool.decode_picture(b"no picture", LIMITS) is None


def test_damage_is_told_alike(pool: DecoderPool, video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    for place in range(2000, len(data) - 3000, 700):
        data[place] ^= 255
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)

    def outcome(opened: Callable[[], object]) -> object:
        try:
            with opened() as found:  # type: ignore[attr-defined]
                return len(list(found.clips(SPEC))), tuple(found.warnings)
        except MediaError as error:
            return str(error)

    assert outcome(lambda: pool.open_video(damaged, LIMITS)) == outcome(lambda: open_video(damaged, limits=LIMITS))


def test_errors_of_a_file_are_its_own_and_the_process_stays(pool: DecoderPool, video: Path, tmp_path: Path) -> None:
    pids = pool.pids
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    with pytest.raises(MediaError, match=r"notes\.mp4: .*not a video"):
        pool.open_video(text, LIMITS)
    with pytest.raises(MediaError, match="no such file"):
        pool.open_video(tmp_path / "missing.mp4", LIMITS)
    with pytest.raises(MediaError, match="million"):
        pool.open_video(video, MediaLimits(100))
    with pytest.raises(ConfigError, match="stride_seconds"), pool.open_video(video, LIMITS) as opened:
        list(opened.clips(InputSpec(height=8, width=8, n_frames=1, stride_seconds=1.0)))
    with pytest.raises(MediaError, match="windows"), pool.open_video(video, MediaLimits(10**6, windows=3)) as opened:
        list(opened.clips(SPEC))
    assert works(pool, video)
    assert pool.pids == pids


def test_a_video_that_is_left_early_frees_the_process(pool: DecoderPool, video: Path) -> None:
    pids = pool.pids
    with pool.open_video(video, LIMITS) as opened:
        next(opened.clips(LARGE))
    pool.open_video(video, LIMITS).close()
    assert works(pool, video)
    assert pool.pids == pids


def begun(pool: DecoderPool, video: Path, limits: MediaLimits = LIMITS) -> ChildVideo:
    """A video of which the process waits to send more."""
    opened = pool.open_video(video, limits)
    opened.rest = opened.clips(LARGE)  # type: ignore[attr-defined]
    next(opened.rest)  # type: ignore[attr-defined]
    return opened


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_process_that_dies_costs_its_video_only(pool: DecoderPool, video: Path, number: str) -> None:
    (pid,) = pool.pids
    with begun(pool, video) as opened:
        os.kill(pid, getattr(signal, number))
        with pytest.raises(MediaError, match=r"clip\.mp4: crashed its decoder \(signal"):
            list(opened.rest)  # type: ignore[attr-defined]
    assert works(pool, video)
    assert pool.pids != [pid]
    assert not running(pid)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_process_that_dies_between_videos_is_replaced(pool: DecoderPool, video: Path) -> None:
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG))
    assert works(pool, video)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_stop_ends_a_process_that_hangs(pool: DecoderPool, video: Path) -> None:
    (pid,) = pool.pids
    reasons: list[str] = []
    limits = MediaLimits(2_000_000, lambda: reasons[0] if reasons else None)
    with begun(pool, video, limits) as opened:
        os.kill(pid, signal.SIGSTOP)
        reasons.append("nobody waits for it.")
        start = time.monotonic()
        with pytest.raises(MediaError, match="nobody waits for it"):
            list(opened.rest)  # type: ignore[attr-defined]
        assert time.monotonic() - start < pool.seconds / 2
    assert works(pool, video)
    assert not running(pid)


def test_a_stop_ends_planning(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that begin every hundred-thousandth of a second, of 240 frames each: nothing is decoded meanwhile."""
    monkeypatch.setattr("adapters.media.decoder_child._CANCEL_SECONDS", PATIENT)
    pool = DecoderPool(1, memory_mb=4000)  # what was planned until the stop is too little to wear the process out
    pool.start()
    try:
        pids, begin = pool.pids, time.monotonic()
        limits = MediaLimits(2_000_000, lambda: "is over." if time.monotonic() > begin + 0.3 else None)
        spec = InputSpec(height=8, width=8, n_frames=240, sampling="rate", fps=240.0, stride_seconds=1e-5)
        with pytest.raises(MediaError, match="is over"), pool.open_video(video, limits) as opened:
            list(opened.clips(spec))
        assert works(pool, video)
        assert pool.pids == pids  # it was asked, and not killed
    finally:
        pool.close()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_decoding_that_takes_too_long_is_ended(video: Path) -> None:
    pool = DecoderPool(1, seconds=0.3)
    pool.start()
    try:
        with begun(pool, video) as opened:
            os.kill(pool.pids[0], signal.SIGSTOP)
            with pytest.raises(MediaError, match=r"longer than 0\.3 s"):
                list(opened.rest)  # type: ignore[attr-defined]
        pool.seconds = 60
        assert works(pool, video)
    finally:
        pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_memory_is_limited(pool: DecoderPool, video: Path, tmp_path: Path) -> None:
    (pid,) = pool.pids
    large = flat_video(tmp_path / "large.mp4", 6000, 4000)
    with pytest.raises(MediaError, match="more than the 300 MB"), pool.open_video(large, MediaLimits(10**8)) as opened:
        list(opened.clips(InputSpec(height=6000, width=6000, n_frames=9)))
    assert works(pool, video)
    until(lambda: not running(pid))


def test_a_video_waits_for_a_process_until_it_is_stopped(pool: DecoderPool, video: Path) -> None:
    limits = MediaLimits(2_000_000, lambda: "has waited long enough.")
    with begun(pool, video), pytest.raises(MediaError, match="long enough"):
        pool.open_video(video, limits)
    found: list[bool] = []
    with begun(pool, video):
        waiting = threading.Thread(target=lambda: found.append(works(pool, video)))
        waiting.start()
    waiting.join(60)
    assert found == [True]


def test_the_environment_of_a_process_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc/self/environ").exists():
        pytest.skip("needs /proc")
    for name in ("CLIPLAB_TOKEN", "LABEL_STUDIO_API_KEY", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD"):
        monkeypatch.setenv(name, "nobody may see this")
    pool = DecoderPool(1)
    pool.start()
    try:
        assert b"nobody may see this" not in Path(f"/proc/{pool.pids[0]}/environ").read_bytes()
    finally:
        pool.close()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_host_leaves_no_process(video: Path) -> None:
    code = f"""
import time
from adapters.media import DecoderPool, MediaLimits
from adapters.records import InputSpec
pool = DecoderPool(2)
pool.start()
opened = pool.open_video({str(video)!r}, MediaLimits(10**6))
next(opened.clips(InputSpec(height=500, width=500, n_frames=8, window_seconds=0.5)))
print(*pool.pids, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as host:
        assert host.stdout is not None
        pids = [int(word) for word in host.stdout.readline().split()]
        assert len(pids) == 2
        assert all(running(pid) for pid in pids)
        host.kill()
    until(lambda: not any(running(pid) for pid in pids))

"""Jumping over frames gives the same frames as decoding through, and the shown frame is the right one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_patterns import number_of, write_numbered

from adapters.media.decode import Decoder
from adapters.media.duration import find_end_seconds
from adapters.media.frame_cursor import FrameCursor

COUNT, FPS = 260, 25
OPEN_GOP = {"preset": "ultrafast", "x264-params": "open-gop=1:keyint=40:min-keyint=20:bframes=4:b-pyramid=2:scenecut=0"}
HEVC = {"preset": "ultrafast", "x265-params": "keyint=40:open-gop=1:bframes=4:log-level=none"}
FAST = {"preset": "ultrafast"}
VIDEOS: dict[str, dict[str, Any]] = {
    "b_frames.mp4": {"options": FAST, "gop": 30, "b_frames": 3},
    "long_gop.mp4": {"options": FAST, "gop": 250, "b_frames": 3},
    "open_gop.mp4": {"options": OPEN_GOP},
    "open_gop.mkv": {"options": OPEN_GOP},
    "hevc_open_gop.mp4": {"codec": "libx265", "options": HEVC},
    "mpeg2.mkv": {"codec": "mpeg2video", "gop": 15, "b_frames": 2},
    "mpeg4.mp4": {"codec": "mpeg4", "gop": 30, "b_frames": 2},
    "vp9.webm": {"codec": "libvpx-vp9", "gop": 40, "options": {"deadline": "realtime", "cpu-used": "8"}},
    # No sound index: gradual refresh has no true key frames after the first, and the others have no index at all.
    "intra_refresh.mkv": {"options": {"preset": "ultrafast", "x264-params": "intra-refresh=1:keyint=40"}},
    "stream.ts": {"options": FAST, "gop": 30, "b_frames": 3},
    "stream.mpg": {"codec": "mpeg2video", "gop": 15, "b_frames": 2},
    "fragments.mp4": {
        "options": FAST,
        "gop": 30,
        "container_options": {"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    },
}
INDEXED = ("b_frames.mp4", "open_gop.mp4", "open_gop.mkv", "hevc_open_gop.mp4", "mpeg2.mkv", "mpeg4.mp4", "vp9.webm")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[tuple[float, np.ndarray]]]]:
    folder = tmp_path_factory.mktemp("seek")
    made = {}
    for name, options in VIDEOS.items():
        path = write_numbered(folder / name, COUNT, fps=FPS, **options)
        made[name] = (path, list(decode_all(path)))
    return made


def decode_all(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    decoder = Decoder(path)
    while (decoded := decoder.read()) is not None:
        yield decoded.seconds, decoded.frame.to_ndarray(format="rgb24")
    decoder.close()


@pytest.mark.parametrize("name", VIDEOS)
def test_every_frame_once_and_in_order(name: str, videos: dict[str, Any]) -> None:
    _, frames = videos[name]
    assert [number_of(picture) for _, picture in frames] == list(range(COUNT))
    np.testing.assert_allclose(np.diff([t for t, _ in frames]), 1 / FPS, atol=0.0011)


@pytest.mark.parametrize("name", VIDEOS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments=st.lists(st.floats(0, COUNT / FPS - 0.01), min_size=1, max_size=6).map(sorted))
def test_jumping_gives_the_frames_of_decoding_through(name: str, moments: list[float], videos: dict[str, Any]) -> None:
    path, frames = videos[name]
    starts = np.array([t for t, _ in frames])
    decoder = Decoder(path)
    cursor = FrameCursor(decoder)
    for moment in moments:
        got = cursor.at(starts[0] + moment)
        assert got is not None
        wanted = int(np.searchsorted(starts, starts[0] + moment + decoder.slack, side="right")) - 1
        assert got.seconds == pytest.approx(starts[wanted], abs=1e-9)
        np.testing.assert_array_equal(got.frame.to_ndarray(format="rgb24"), frames[wanted][1])
    assert not decoder.damage.failures
    decoder.close()


@pytest.mark.parametrize("name", INDEXED)
def test_a_far_moment_is_reached_without_decoding_what_lies_between(name: str, videos: dict[str, Any]) -> None:
    path, _ = videos[name]
    decoder = Decoder(path)
    got = FrameCursor(decoder).at(9.9)
    assert got is not None
    assert number_of(got.frame.to_ndarray(format="rgb24")) == 247
    assert decoder.frame_count < 100  # since the jump; all would be 248
    decoder.close()


@pytest.mark.parametrize("name", VIDEOS)
def test_duration_is_that_of_the_frames(name: str, videos: dict[str, Any]) -> None:
    path, frames = videos[name]
    decoder = Decoder(path)
    first = decoder.read()
    assert first is not None
    end = find_end_seconds(decoder, first.seconds)
    assert end == pytest.approx(frames[-1][0] + 1 / FPS, abs=0.002)
    decoder.close()

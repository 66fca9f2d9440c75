"""Videos to clips by time: windows, ranges, short videos, odd timing, damage, and what is never opened."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from command_line import python
from loopback import serving
from media_patterns import number_of, numbered_frame, write_numbered, write_sound, write_video

from adapters.errors import MediaError
from adapters.media import Video, open_video, probe, read_clip
from adapters.media.scaling import Orientation
from adapters.records import Clip, InputSpec

FAST = {"preset": "ultrafast"}


@pytest.fixture(scope="module")
def video_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 numbered frames at 25 a second: 8 seconds."""
    return write_numbered(tmp_path_factory.mktemp("media") / "numbered.mp4", 200, options=FAST, gop=50, b_frames=2)


def spec(n_frames: int, **more: Any) -> InputSpec:
    return InputSpec(height=64, width=96, n_frames=n_frames, **more)


def numbers(clip: Clip) -> list[int]:
    return [number_of(frame) for frame in clip.frames]


def test_info_of_a_plain_video(video_path: Path) -> None:
    info = probe(video_path)
    assert (info.width, info.height, info.fps, info.frame_count, info.codec) == (96, 64, 25.0, 200, "h264")
    assert (info.duration_seconds, info.start_seconds, info.bit_depth) == (8.0, 0.0, 8)
    assert (info.has_audio, info.video_stream, info.video_streams) == (False, 0, 1)
    assert json.loads(json.dumps(info.to_json()))["color"]["matrix"] == "bt601"


def test_spread_over_the_whole_video(video_path: Path) -> None:
    clip = read_clip(video_path, spec(8))
    assert numbers(clip) == [12, 37, 62, 87, 112, 137, 162, 187]  # the frame shown at 0.5, 1.5, ... seconds
    np.testing.assert_allclose(clip.times, np.array(numbers(clip)) / 25)
    assert (clip.start, clip.end, clip.source) == (0.0, 8.0, str(video_path))


def test_rate_from_a_start(video_path: Path) -> None:
    clip = read_clip(video_path, spec(6, sampling="rate", fps=5.0), start_seconds=2.0)
    assert numbers(clip) == [50, 55, 60, 65, 70, 75]
    assert (clip.start, clip.end) == (2.0, pytest.approx(3.2))


def test_windows_overlap_and_reach_the_end(video_path: Path) -> None:
    with open_video(video_path) as video:
        clips = list(video.clips(spec(4, window_seconds=3.0, stride_seconds=2.0)))
    assert [(clip.start, clip.end) for clip in clips] == [(0, 3), (2, 5), (4, 7), (6, 8)]
    for clip in clips:
        moments = clip.start + (np.arange(4) + 0.5) * (clip.end - clip.start) / 4
        assert numbers(clip) == [int(m * 25 + 1e-6) for m in moments]


def test_windows_equal_clips_read_one_by_one(video_path: Path) -> None:
    windowed = spec(5, window_seconds=1.5, stride_seconds=0.4)
    with open_video(video_path) as video:
        clips = list(video.clips(windowed, 1.0, 7.3))
    assert len(clips) > 10
    for clip in clips[::3]:
        alone = read_clip(video_path, windowed, clip.start, clip.end)
        np.testing.assert_array_equal(clip.frames, alone.frames)
        np.testing.assert_array_equal(clip.times, alone.times)


def test_overlapping_windows_decode_each_frame_once(video_path: Path) -> None:
    with open_video(video_path) as video:
        clips = list(video.clips(spec(8, window_seconds=4.0, stride_seconds=0.25)))
        assert len(clips) == 17
        looked_at = {time for clip in clips for time in clip.times.tolist()}
        assert len(looked_at) <= video._frames_seen <= 200  # 17 windows of 100 frames each


def test_memory_is_bounded_by_the_windows_and_not_by_the_video(tmp_path: Path) -> None:
    big = write_video(
        tmp_path / "big.mp4", (np.full((480, 640, 3), i % 256, np.uint8) for i in range(200)), options=FAST, gop=20
    )
    tracemalloc.start()
    with open_video(big) as video:
        for _ in video.clips(InputSpec(480, 640, 4, window_seconds=0.5)):
            peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 640 * 480 * 3  # 200 frames went by; a window is 4 of them


def test_a_video_can_be_passed_over_again(video_path: Path) -> None:
    with open_video(video_path) as video:
        first = video.clip(spec(3))
        assert next(iter(video.frames()))[0] == 0.0
        np.testing.assert_array_equal(video.clip(spec(3)).frames, first.frames)


def test_every_frame_and_frames_at_a_rate(video_path: Path) -> None:
    with open_video(video_path) as video:
        everything = list(video.frames())
        assert [number_of(frame) for _, frame in everything] == list(range(200))
        np.testing.assert_allclose([t for t, _ in everything], np.arange(200) / 25)
        some = list(video.frames(fps=4, start_seconds=1.0, end_seconds=3.0, height=32, width=32))
        assert [number_of(frame) for _, frame in some] == [25, 31, 37, 43, 50, 56, 62, 68]
        assert [t for t, _ in some] == [1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75]
        assert some[0][1].shape == (32, 48, 3)
        middle = list(video.frames(start_seconds=7.5, end_seconds=7.6))
        assert [number_of(frame) for _, frame in middle] == [187, 188, 189]  # 187 is being shown at 7.5 s


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("repeat_last", [190, 192, 195, 197, 197, 197]), ("wrap", [190, 192, 195, 197, 190, 192])],
)
def test_rate_past_the_end(video_path: Path, policy: Any, expected: list[int]) -> None:
    clip = read_clip(video_path, spec(6, sampling="rate", fps=10.0, short_clip=policy), start_seconds=7.6)
    assert numbers(clip) == expected
    assert clip.end == 8.0
    with pytest.raises(MediaError, match=r"7.60-8.00 s has 4 frames; 6 are required"):
        read_clip(video_path, spec(6, sampling="rate", fps=10.0, short_clip="error"), start_seconds=7.6)


def test_variable_frame_rate_is_sampled_by_time(tmp_path: Path) -> None:
    ticks = [0, 100, 150, 1000, 1010, 1020, 3000]
    frames = [numbered_frame(i) for i in range(len(ticks))]
    for name in ("vfr.mkv", "vfr.mp4"):
        path = write_video(tmp_path / name, frames, options=FAST, ticks=ticks, time_base=Fraction(1, 1000))
        with open_video(path) as video:
            assert [round(t, 3) for t, _ in video.frames()] == [t / 1000 for t in ticks]
            shown = [number_of(frame) for _, frame in video.frames(fps=5, end_seconds=2.0)]
        assert shown == [0, 2, 2, 2, 2, 3, 5, 5, 5, 5]


def test_matroska_rounding_of_timestamps_loses_no_frame(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "thirty.mkv", 90, fps=30, options=FAST)  # 0, 33, 67, 100 ... ms
    assert numbers(read_clip(path, spec(60, sampling="rate", fps=30.0))) == list(range(60))


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "one.gif", 1, codec="gif", pixel_format="rgb8", fps=10)
    clip = read_clip(path, spec(4))
    assert len(clip.frames) == 4
    assert (clip.frames == clip.frames[0]).all()


def test_ranges_outside_are_refused_and_a_late_end_is_the_end(video_path: Path) -> None:
    assert read_clip(video_path, spec(2), 6.0, 99.0).end == 8.0
    for start, end in ((8.0, None), (-1.0, 2.0), (3.0, 3.0), (float("nan"), 1.0)):
        with pytest.raises(MediaError, match=r"the range .* is outside the video, which is 8.000 s long"):
            read_clip(video_path, spec(2), start, end)


def test_a_cut_short_file_says_so_and_gives_what_there_is(tmp_path: Path) -> None:
    whole = write_numbered(
        tmp_path / "whole.mp4", 200, options=FAST, gop=25, container_options={"movflags": "faststart"}
    )
    cut = tmp_path / "cut.mp4"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 6 // 10])
    with open_video(cut) as video:
        clips = list(video.clips(spec(4, window_seconds=1.0)))
        assert 2 <= len(clips) < 8  # no window is made of a frame that only lasts on
        assert any("8.00 s are declared" in text for text in video.warnings)
        assert all(numbers(clip)[0] >= clip.start * 25 - 1 for clip in clips)
        with pytest.raises(MediaError, match=r"the range has no frames: the video ends at .* of 8.00 s declared"):
            video.clip(spec(4), 7.0, 8.0)


def test_damage_is_passed_over_and_counted(video_path: Path, tmp_path: Path) -> None:
    data = bytearray(video_path.read_bytes())
    with av.open(str(video_path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    position, size = places[80]
    assert position is not None
    data[position : position + size] = b"\xff" * size
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    with open_video(broken) as video:
        assert video.warnings == ()
        times = [t for t, _ in video.frames()]
        assert len(times) == 199
        assert any(text.startswith("1 of 200 frames did not decode (invalid data at 3.") for text in video.warnings)
        list(video.frames())  # a second pass does not count it again
        assert any(text.startswith("1 of 200 ") for text in video.warnings)


def test_damage_is_located_from_the_first_frame_of_a_file_whose_clock_starts_late(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "late.mkv", 20, codec="mpeg4", gop=1, ticks=range(250, 270))
    with av.open(str(path)) as container:
        packet = bytes(list(container.demux(video=0))[10])
    path.write_bytes(path.read_bytes().replace(packet, bytes(len(packet))))
    with open_video(path) as video:
        assert [round(seconds, 2) for seconds, _ in video.frames()][:2] == [0.0, 0.04]
        assert any("did not decode (invalid data at 0.40 s)" in text for text in video.warnings)


@pytest.mark.parametrize("gap_seconds", [0, 3600])
def test_joined_recordings_are_one_video(tmp_path: Path, gap_seconds: int) -> None:
    first = write_numbered(tmp_path / "1.ts", 50, options=FAST, gop=25)
    ticks = [gap_seconds * 25 + i for i in range(75)]
    second = write_numbered(tmp_path / "2.ts", 75, options=FAST, gop=25, ticks=ticks)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with open_video(joined) as video:
        frames = list(video.frames())
        assert [number_of(frame) for _, frame in frames] == [*range(50), *range(75)]
        np.testing.assert_allclose(np.diff([t for t, _ in frames]), 1 / 25, atol=0.002)
        assert video.info.duration_seconds == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.gif"])
def test_damaged_bytes_give_frames_or_a_media_error(name: str, tmp_path: Path) -> None:
    codec = {"a.avi": "mpeg4", "a.gif": "gif"}.get(name, "libx264")
    options = FAST if codec == "libx264" else None
    pixel_format = "rgb8" if codec == "gif" else "yuv420p"
    whole = write_numbered(tmp_path / name, 40, codec=codec, options=options, pixel_format=pixel_format, gop=20)
    data = whole.read_bytes()
    random = np.random.default_rng(7)
    outcomes = set()
    for attempt in range(24):
        bad = bytearray(data[: int(random.integers(1, len(data)))] if attempt % 4 == 0 else data)
        for place in random.integers(0, len(bad), int(random.choice([0, 1, 10, 200]))):
            bad[place] = int(random.integers(0, 256))
        damaged = tmp_path / f"bad{whole.suffix}"
        damaged.write_bytes(bad)
        try:
            with open_video(damaged) as video:
                # A damaged length may be a week, which is a million windows.
                week = (video.info.duration_seconds or 0) > 3600
                for clip in video.clips(spec(4, window_seconds=600 if week else 0.5)):
                    assert len(clip.frames) == 4
            outcomes.add("frames")
        except MediaError:
            outcomes.add("refused")
    assert "frames" in outcomes


def encrypted(path: Path) -> Path:
    key = "00112233445566778899aabbccddeeff"
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    return write_numbered(path, 10, options=FAST, container_options=options)


def renamed_entry(path: Path) -> Path:
    write_numbered(path, 10, options=FAST)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"encv"))
    return path


def no_frames(path: Path) -> Path:
    write_numbered(path, 10, options=FAST)
    data = path.read_bytes()
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    blank = bytearray(data)
    for position, size in places:
        assert position is not None
        blank[position : position + size] = b"\xff" * size
    path.write_bytes(blank)
    return path


def cover_only(path: Path) -> Path:
    write_sound(path)
    with av.open(str(path)) as source, av.open(str(path) + ".m4a", "w", format="mp4") as target:
        sound = target.add_stream_from_template(source.streams.audio[0])
        cover: Any = target.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in cover.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))):
            target.mux(packet)
        for sample in source.demux(audio=0):
            if sample.dts is not None:
                sample.stream = sound
                target.mux(sample)
    shutil.move(str(path) + ".m4a", path)
    return path


def text(content: str) -> Any:
    return lambda path: path.write_text(content)


BAD: dict[str, tuple[Any, str]] = {
    "missing.mp4": (lambda path: None, "no such file"),
    "folder.mp4": (lambda path: path.mkdir(), "is a folder"),
    "pipe.mp4": (lambda path: os.mkfifo(path), "is a pipe"),
    "empty.mp4": (lambda path: path.touch(), r"the file is empty \(0 bytes\)"),
    "noise.mp4": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(9999)), "not a video that can be read"),
    "words.txt": (text("some words\n" * 200), "a text"),
    "sound.m4a": (write_sound, "sound only, no video stream"),
    "cover.m4a": (cover_only, "its only picture is cover art"),
    "cenc.mp4": (encrypted, "the video is encrypted"),
    "encv.mp4": (renamed_entry, "the video is encrypted"),
    "blank.mp4": (no_frames, r"10 frames are declared, but none can be decoded \(invalid data at 0.00 s\)"),
    "list.m3u8": (text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n"), "a playlist"),
    "list.ffconcat": (text("ffconcat version 1.0\nfile numbered.mp4\n"), "a playlist|not a video"),
    "cut.mp4": (lambda path: path.write_bytes(b"\0\0\0\x20ftypisom" + bytes(400)), "without a readable index"),
    "picture.png": (
        lambda path: write_video(path, [np.zeros((16, 16, 3), np.uint8)], "png", "rgb24"),
        "a picture",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, reason = BAD[name]
    path = tmp_path / name
    make(path)
    capfd.readouterr()
    for attempt in (probe, lambda source: read_clip(source, spec(2))):
        with pytest.raises(MediaError, match=reason) as caught:
            attempt(path)
        assert str(caught.value).startswith(str(path))
        assert str(caught.value).endswith(".")
    assert capfd.readouterr() == ("", "")  # nothing of FFmpeg's own words reaches the terminal


def test_urls_and_protocols_are_not_opened(video_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("http://127.0.0.1:9/a.mp4", f"file://{video_path}", "rtsp://127.0.0.1:9/live"):
        with pytest.raises(MediaError, match="is a URL; only local files are allowed here"):
            probe(source)
    for source in ("concat:numbered.mp4", "subfile,,start,0,end,0,,:numbered.mp4", "pipe:0", "lavfi"):
        with pytest.raises(MediaError, match="no such file"):
            probe(source)
    with pytest.raises(MediaError, match="cannot be opened"):
        probe("http://127.0.0.1:9/a.mp4", allow_url=True)
    monkeypatch.chdir(video_path.parent)
    shutil.copy(video_path, "odd:name?.mp4")
    assert probe("odd:name?.mp4").frame_count == 200


def test_a_file_is_read_over_http_where_it_is_allowed(video_path: Path) -> None:
    import functools
    import http.server

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(video_path.parent))
    with serving(handler) as server, open_video(f"{server.url}/{video_path.name}", allow_url=True) as video:
        assert numbers(video.clip(spec(2))) == [50, 150]


def test_a_stream_that_is_no_video_is_refused(tmp_path: Path, video_path: Path) -> None:
    with pytest.raises(MediaError, match=r"stream 5 is not a video stream of this file. Allowed: 0 \(96x64 h264\)"):
        probe(video_path, 5)


def test_closing_early_releases_the_file(video_path: Path) -> None:
    video = Video(video_path)
    clips = video.clips(spec(2, window_seconds=1.0))
    next(clips)
    video.close()
    with pytest.raises(MediaError, match="was closed while it was being read"):
        list(clips)
    with pytest.raises(MediaError, match="this video is closed"):
        video.clip(spec(2))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_display_matrix_turns_and_mirrors(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = 200  # a bright corner, top left
    path = write_video(
        tmp_path / "turned.mp4",
        [picture] * 3,
        options=FAST,
        prepare=lambda stream: stream.set_display_rotation(-degrees, hflip=mirrored),
    )
    with open_video(path) as video:
        _, shown = next(video.frames())
        small = video.clip(InputSpec(16, 16, 1, aspect="stretch")).frames[0]
        assert (video.info.rotation_degrees, video.info.mirrored) in {
            (degrees, mirrored),
            # A turned mirror image has two names.
            ((360 - degrees) % 360, mirrored),
        }
    for image in (shown, small):
        height, width = image.shape[:2]
        corners = image[[height // 4, height // 4, -height // 4, -height // 4], [width // 4, -width // 4] * 2].mean(-1)
        found = int(np.argmax(corners))
        expected = {0: 0, 90: 1, 180: 3, 270: 2}[degrees]
        if mirrored:
            assert corners.max() > 150
        else:
            assert found == expected


def test_orientation_is_its_parts() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(Orientation().apply(picture), picture)
    np.testing.assert_array_equal(Orientation(True, True, False).apply(picture), np.rot90(picture, -1))
    np.testing.assert_array_equal(Orientation(False, True, True).apply(picture), np.rot90(picture, 2))
    np.testing.assert_array_equal(Orientation(True, False, True).apply(picture), np.rot90(picture, 1))
    np.testing.assert_array_equal(Orientation(False, True, False).apply(picture), picture[:, ::-1])
    for transpose in (False, True):
        for flip_x in (False, True):
            for flip_y in (False, True):
                turn = Orientation(transpose, flip_x, flip_y)
                source = picture[:, ::-1] if turn.mirrored else picture
                np.testing.assert_array_equal(turn.apply(picture), np.rot90(source, -turn.rotation_degrees // 90))


def test_predicting_needs_no_tensorflow_to_decode() -> None:
    code = "import sys, adapters.media.video; assert not {'tensorflow', 'cv2'} & set(sys.modules)"
    done = python(code)
    assert done.exit_code == 0, done.stderr

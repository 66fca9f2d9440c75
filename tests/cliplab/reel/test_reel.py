"""Reels, probed as a viewer sees them: which source at which time, sound in step, and what is left out."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from reel_helpers import COLOURS, RATE, colour_of, highlights, onsets, pictures, sound_of, source

from adapters.media import open_video
from cliplab.reel import reel


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("library")
    return {
        "red": source(folder / "red.mp4", "red"),
        "green": source(folder / "green\nline.mp4", "green", size=(64, 96), fps=30, sound_rate=None),
        "blue": source(folder / os.fsdecode(b"blue\xff.mp4"), "blue", size=(192, 128), fps=12, codec="mpeg4"),
        "red2": source(folder / "red2.mp4", "red", fps=24),
        "white": source(folder / "white.mp4", "white"),
    }


def test_each_time_shows_its_source(library: dict[str, Path], tmp_path: Path) -> None:
    red, green, blue, white = (library[name] for name in ("red", "green", "blue", "white"))
    marked = highlights(
        tmp_path / "h.json", (red, 0.4, 1.4), (green, 0, 1), (library["red2"], 0, 1), (blue, 0.5, 1.5), (white, 0, 1)
    )
    report = reel(marked, tmp_path / "reel.mp4")
    assert [(source.failed, source.path) for source in report.skipped] == [(False, str(library["red2"]))]
    assert "looks the same as" in report.skipped[0].reason
    shown = pictures(tmp_path / "reel.mp4")
    assert np.allclose([seconds for seconds, _ in shown], np.arange(100) / 25, atol=1e-4)
    for index, name in enumerate(("red", "green", "blue", "white")):
        assert {colour_of(picture) for _, picture in shown[25 * index : 25 * index + 25]} == {name}
    picture = shown[30][1]  # an upright clip in a reel that is not: black at both sides
    assert picture.shape == (64, 96, 3)
    assert max(picture[:, :20].max(), picture[:, -20:].max()) < 30
    for name, index in (("red", 10), ("blue", 60)):
        assert np.abs(shown[index][1][32, 48].astype(int) - COLOURS[name]).max() <= 8
    sound = sound_of(tmp_path / "reel.mp4")
    assert np.abs(sound[RATE // 5 : RATE // 2]).max() > 0.1
    assert np.abs(sound[RATE * 6 // 5 : RATE * 9 // 5]).max() < 0.01  # a clip without sound


def test_every_frame_of_a_source_of_the_same_rate_is_shown_once(tmp_path: Path) -> None:
    """Also where the window begins just beside a frame, and a container rounds its timestamps."""
    clip = source(tmp_path / "a.mkv", "red", fps=30, flash=20, form="matroska", sound_codec="libopus")
    for start in (0.5, 0.519, 0.517):
        reel(highlights(tmp_path / "h.json", (clip, start, 1.5)), tmp_path / "reel.mp4", force=True)
        bright = [picture.min() > 225 for _, picture in pictures(tmp_path / "reel.mp4")]
        assert sum(bright) == 4  # 0.12 s


def test_a_browser_can_play_it(library: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "reel.mp4"
    reel(highlights(tmp_path / "h.json", (library["red"], 0, 1)), path)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.pix_fmt, video.codec_context.profile) == ("h264", "yuv420p", "High")
        assert (int(video.codec_context.colorspace), int(video.codec_context.color_range)) == (1, 1)
        assert (audio.codec_context.name, audio.rate) == ("aac", RATE)
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")  # plays before it has arrived


def test_crossfades_in_picture_and_sound(library: dict[str, Path], tmp_path: Path) -> None:
    marked = highlights(tmp_path / "h.json", (library["red"], 0, 2), (library["white"], 0, 2))
    report = reel(marked, tmp_path / "reel.mp4", transitions=True)
    shown = pictures(tmp_path / "reel.mp4")
    first, overlap = report.timeline[1].first, report.timeline[1].overlap
    assert (first, overlap, len(shown)) == (38, 12, 88)
    green = [int(shown[index][1][32, 48, 1]) for index in range(first - 1, first + overlap + 1)]
    assert np.abs(np.array(green) - np.linspace(30, 230, overlap + 2)).max() < 12
    level = np.abs(sound_of(tmp_path / "reel.mp4"))
    assert level[round(1.6 * RATE) : round(1.95 * RATE)].max() > 0.1
    # Without overlap both sides go to silence, so that the cut does not click.
    reel(marked, tmp_path / "cut.mp4")
    level = np.abs(sound_of(tmp_path / "cut.mp4"))
    assert level[2 * RATE - 48 : 2 * RATE + 48].max() < 0.1


def test_rotation_and_shape_of_real_files(shared: Path, tmp_path: Path) -> None:
    """A file with a display matrix of 90 degrees, one with pixels of 2:3, one in HDR: as players show them."""
    odd = shared / "media" / "odd"
    clips = [odd / name for name in ("tc_nasa_13013_rotated.mp4", "ae_SAR-2by3.mp4", "tc_testsrc2_hdr.mp4")]
    marked = highlights(tmp_path / "h.json", *((clip, 0, 0.4) for clip in clips))
    report = reel(marked, tmp_path / "reel.mp4")
    assert len(report.timeline) == 3
    shown = pictures(tmp_path / "reel.mp4")
    height, width = shown[0][1].shape[:2]
    for placed in report.timeline:
        scale = min(width / placed.clip.width, height / placed.clip.height)
        wide, tall = round(placed.clip.width * scale), round(placed.clip.height * scale)
        left, top = (width - wide) // 2, (height - tall) // 2
        picture = shown[placed.first + placed.frames // 2][1].astype(int)
        with open_video(placed.clip.path) as video:
            middle = placed.clip.start + (placed.frames // 2 + 0.5) / float(report.format.fps)
            _, expected = next(video.frames(start_seconds=middle))
        inside = picture[top : top + tall, left : left + wide]
        assert np.abs(inside - cv2.resize(expected, (wide, tall), interpolation=cv2.INTER_AREA)).mean() < 6
        picture[top : top + tall, left : left + wide] = 0
        assert picture.mean() < 1


@pytest.fixture(scope="module")
def flashing(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, float, float]]:
    """50 windows of clips of many rates, each with a flash and a beep."""
    folder, clips = tmp_path_factory.mktemp("flashing"), []
    for index in range(50):
        fps = (25, 30, 24, Fraction(30000, 1001), 12, 60)[index % 6]
        look = {"size": ((48, 32), (48, 34), (32, 48))[index % 3], "sound_rate": (48000, 44100)[index % 2]}
        path = source(folder / f"{index}.mp4", index, fps=fps, flash=round(0.8 * fps) + index % 3, seconds=1.7, **look)
        clips.append((path, 0.033 + 0.007 * index, 1.633))
    return clips


@pytest.mark.parametrize("transitions", [False, True])
def test_sound_stays_in_step_to_the_end(
    flashing: list[tuple[Path, float, float]], tmp_path: Path, transitions: bool
) -> None:
    """Flashes and beeps are apart by less than 40 ms, and at the end by no more than at the start."""
    marked = highlights(tmp_path / "h.json", *flashing, score=0.999)
    report = reel(marked, tmp_path / "reel.mp4", transitions=transitions)
    assert len(report.timeline) == 50
    flashes = onsets(np.array([t for t, picture in pictures(tmp_path / "reel.mp4") if picture[16, 24].min() > 200]))
    beeps = onsets(np.flatnonzero(np.abs(sound_of(tmp_path / "reel.mp4")) > 0.25) / RATE)
    assert len(flashes) == len(beeps) == 50
    late = flashes - beeps
    assert np.abs(late).max() < 0.04
    assert abs(late[-12:].mean() - late[:12].mean()) < 0.02


@pytest.mark.parametrize(
    ("form", "codec", "sound_codec"),
    [("matroska", "libx264", "libopus"), ("mpegts", "mpeg2video", "mp2"), ("avi", "mpeg4", "pcm_s16le")],
)
def test_sound_of_other_containers_is_in_step_too(tmp_path: Path, form: str, codec: str, sound_codec: str) -> None:
    """A window far inside: the sound is sought, and some containers land elsewhere than asked."""
    clip = source(tmp_path / "clip", "green", seconds=6, flash=125, form=form, codec=codec, sound_codec=sound_codec)
    reel(highlights(tmp_path / "h.json", (clip, 4.2, 5.8)), tmp_path / "reel.mp4")
    flashes = onsets(np.array([t for t, picture in pictures(tmp_path / "reel.mp4") if picture.min() > 225]))
    beeps = onsets(np.flatnonzero(np.abs(sound_of(tmp_path / "reel.mp4")) > 0.25) / RATE)
    assert flashes == pytest.approx([0.8], abs=0.021)
    assert beeps == pytest.approx(flashes, abs=0.04)


def test_a_file_laid_under_the_pictures(library: dict[str, Path], tmp_path: Path) -> None:
    tune = source(tmp_path / "tune.mp4", "white", tone=880.0, seconds=3.0)
    marked = highlights(tmp_path / "h.json", (library["red"], 0, 2), (library["green"], 0, 2))
    report = reel(marked, tmp_path / "reel.mp4", audio=str(tune))
    assert "ends after 3.0" in report.notes[0]
    sound = sound_of(tmp_path / "reel.mp4")
    spectrum = np.abs(np.fft.rfft(sound[RATE // 2 : RATE // 2 + RATE]))
    assert np.argmax(spectrum) == 880
    assert np.abs(sound[round(3.1 * RATE) :]).max() < 0.01
    long = reel(highlights(tmp_path / "h.json", (library["red"], 0, 2)), tmp_path / "b.mp4", audio=str(tune))
    sound = np.abs(sound_of(tmp_path / "b.mp4"))
    assert not long.notes
    assert sound[: RATE // 2].max() > 5 * sound[round(1.98 * RATE) :].max()  # faded out
    silent = reel(marked, tmp_path / "c.mp4", audio="none")
    with av.open(silent.output) as container:
        assert not container.streams.audio


def test_order_by_time(library: dict[str, Path], tmp_path: Path) -> None:
    clips = [shutil.copy(library[name], tmp_path / f"{name}.mp4") for name in ("red", "white", "green")]
    for clip, when in zip(clips, (3e8, 1e8, 2e8), strict=True):
        os.utime(clip, (when, when))
    marked = highlights(tmp_path / "h.json", *((Path(clip), 0, 1) for clip in clips))
    by_time = reel(marked, tmp_path / "reel.mp4", order="time", dry_run=True)
    assert [Path(placed.clip.path).stem for placed in by_time.timeline] == ["white", "green", "red"]
    by_score = reel(marked, tmp_path / "reel.mp4", dry_run=True)
    assert [Path(placed.clip.path).stem for placed in by_score.timeline] == ["red", "white", "green"]


def test_the_date_in_a_file_goes_before_that_of_the_file(library: dict[str, Path], tmp_path: Path) -> None:
    """But for that of a camera without a clock, which says 1970."""
    clips = [tmp_path / f"{name}.mp4" for name in ("red", "white", "green")]
    for clip, year in zip(clips, (2001, 1970, 2000), strict=True):
        with av.open(str(library[clip.stem])) as old, av.open(str(clip), "w") as dated:
            dated.metadata["creation_time"] = f"{year}-06-01T12:00:00Z"
            stream = dated.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(old.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    dated.mux(packet)
        os.utime(clip, (1e8, 1e8))  # 1973
    marked = highlights(tmp_path / "h.json", *((clip, 0, 1) for clip in clips))
    by_time = reel(marked, tmp_path / "reel.mp4", order="time", dry_run=True)
    assert [Path(placed.clip.path).stem for placed in by_time.timeline] == ["white", "green", "red"]


def test_duration_top_and_per_clip_seconds(library: dict[str, Path], tmp_path: Path) -> None:
    marked = highlights(tmp_path / "h.json", *((library[name], 0, 2) for name in ("red", "green", "blue", "white")))
    assert reel(marked, tmp_path / "a.mp4", top=2, dry_run=True).seconds == pytest.approx(4.0, abs=0.05)
    for transitions in (False, True):
        for seconds in (0.3, 1.99, 3.5, 5.3):
            report = reel(marked, tmp_path / "a.mp4", duration=seconds, transitions=transitions, dry_run=True)
            assert seconds - 1.05 <= report.seconds <= seconds
    report = reel(marked, tmp_path / "a.mp4", per_clip_seconds=1.0, dry_run=True)
    assert [(round(placed.clip.start, 1), round(placed.clip.seconds, 6)) for placed in report.timeline] == [
        (0.5, 1.0)
    ] * 4
    assert not (tmp_path / "a.mp4").exists()

"""Cut lists, read back as an editor reads them: the same cuts at the same times as in the reel."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlparse

import pytest
from command_line import cli
from reel_helpers import highlights, source

from adapters.errors import ConfigError, StorageError, install_command
from cliplab.reel import ReelReport, reel

otio = pytest.importorskip("opentimelineio", reason="the reel extra is not installed: pip install 'cliplab[reel]'")

FORMATS = ("otio", "edl", "fcpxml")


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three windows of files whose names a cut list could stumble over."""
    folder = tmp_path_factory.mktemp("it's a library")
    red = source(folder / "bob's\nred.mp4", "red", fps=24)
    green = source(folder / os.fsdecode(b"green\xff.mp4"), "green", sound_rate=None)
    blue = source(folder / 'a & "b" <c>.mp4', "blue", fps=30)
    return highlights(folder / "h.json", (red, 0.5, 1.5), (green, 0, 2), (blue, 0.25, 1.75))


def timeline(report: ReelReport) -> Any:
    assert report.cut_list is not None
    rate = round(float(report.format.fps), 2)
    options = {"rate": rate} if report.cut_list.endswith(".edl") else {}
    return otio.adapters.read_from_file(report.cut_list, **options)


@pytest.mark.parametrize("transitions", [False, True])
@pytest.mark.parametrize("export", FORMATS)
def test_the_cut_list_says_what_the_reel_shows(marked: Path, tmp_path: Path, export: str, transitions: bool) -> None:
    report = reel(marked, tmp_path / "reel.mp4", transitions=transitions, export=export)
    assert report.cut_list == str(tmp_path / f"reel.{export}")
    read = timeline(report)
    track = next(track for track in read.find_children(descended_from_type=otio.schema.Track) if track.kind == "Video")
    clips = list(track.find_clips())
    assert len(clips) == len(report.timeline) == 3
    fps = float(report.format.fps)
    for clip, placed in zip(clips, report.timeline, strict=True):
        shown = clip.transformed_time_range(clip.trimmed_range(), track)
        start = clip.trimmed_range().start_time.to_seconds() - shown.start_time.to_seconds()
        # Where in the source the reel stands at its own time 0: a cut may lie anywhere within a crossfade.
        assert start == pytest.approx(placed.clip.start - placed.first / fps, abs=0.6 / fps)
    assert track.duration().to_seconds() == pytest.approx(report.seconds, abs=1e-3)
    dissolves = [child for child in track if isinstance(child, otio.schema.Transition)]
    expected = 2 if transitions and export != "fcpxml" else 0
    assert len(dissolves) == expected
    for dissolve, placed in zip(dissolves, report.timeline[1:], strict=False):
        assert dissolve.duration().to_seconds() == pytest.approx(placed.overlap / fps, abs=1e-3)
    assert bool(report.notes) == (transitions and export == "fcpxml")


def test_names_and_places_of_the_files(marked: Path, tmp_path: Path) -> None:
    report = reel(marked, tmp_path / "reel.mp4", export="otio")
    paths = [os.fsencode(placed.clip.path) for placed in report.timeline]
    read = timeline(report)
    urls = [clip.media_reference.target_url for clip in read.video_tracks()[0].find_clips()]
    assert [unquote_to_bytes(urlparse(url).path) for url in urls] == paths
    sounds = list(read.audio_tracks()[0])
    assert [isinstance(item, otio.schema.Gap) for item in sounds] == [False, True, False]
    assert read.audio_tracks()[0].duration() == read.video_tracks()[0].duration()
    silent = reel(marked, tmp_path / "b.mp4", export="otio", audio="none")
    assert not timeline(silent).audio_tracks()
    edl = reel(marked, tmp_path / "c.mp4", export="edl").cut_list
    text = Path(str(edl)).read_text()
    assert "* FROM CLIP NAME:  bob's\\nred.mp4\n" in text
    assert len(re.findall(r"^\d{3}  AX ", text, re.M)) == 3
    xml = ElementTree.parse(str(reel(marked, tmp_path / "d.mp4", export="fcpxml").cut_list))
    assert [unquote_to_bytes(urlparse(asset.get("src", "")).path) for asset in xml.iter("asset")] == paths


@pytest.mark.parametrize("fps", [12, 15, 20, Fraction(24000, 1001), Fraction(30000, 1001), 50, 60])
def test_every_rate_of_a_reel_is_one_that_editors_know(tmp_path: Path, fps: Fraction) -> None:
    clip = source(tmp_path / "a.mp4", "red", fps=fps, sound_rate=None, seconds=30)
    marked = highlights(tmp_path / "h.json", (clip, 28.5, 29.5))
    for export in FORMATS:
        report = reel(marked, tmp_path / "reel.mp4", export=export, force=True)
        assert report.format.fps == fps
        text = Path(str(report.cut_list)).read_text()
        if export == "fcpxml":
            root = ElementTree.fromstring(text)
            form = root.find(".//format")
            assert form is not None
            frame = Fraction(form.get("frameDuration", "").removesuffix("s"))
            assert (1 / frame / fps).denominator == 1  # the reel's rate or a multiple
            clip_element = root.find(".//spine/clip")
            assert clip_element is not None
            cut = report.timeline[0]
            assert Fraction(clip_element.get("duration", "").removesuffix("s")) == cut.frames / report.format.fps
            start = Fraction(clip_element.get("start", "").removesuffix("s"))
            assert (start / frame).denominator == 1
            assert float(start) == pytest.approx(cut.clip.start, abs=0.6 * float(1 / report.format.fps))
        if export == "otio":
            assert json.loads(text)["name"] == "reel"


def test_what_cannot_be_exported_says_so_before_any_work(marked: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="otio, edl, fcpxml"):
        reel(marked, tmp_path / "a.mp4", export="avi")
    (tmp_path / "a.edl").write_text("mine")
    with pytest.raises(StorageError, match=r"a\.edl.*force"):
        reel(marked, tmp_path / "a.mp4", export="edl")
    report = reel(marked, tmp_path / "b.mp4", export="edl", dry_run=True)
    assert report.cut_list is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.edl"]


def test_without_the_package_it_names_the_extra(marked: Path, tmp_path: Path) -> None:
    """The editors' formats are packages of their own; a process that does not find them stands for their absence."""
    code = (
        "import sys, importlib.metadata as m\n"
        "found = m.entry_points\n"
        "m.entry_points = lambda **k: [e for e in found(**k) if not e.value.startswith('otio_')]\n"
        "sys.modules.update(dict.fromkeys(('otio_cmx3600_adapter', 'otio_fcpx_xml_adapter')))"
    )
    run = cli("reel", marked, tmp_path / "a.mp4", "--export", "edl", code=2, before=code)
    assert run.stderr.strip().endswith(install_command("reel"))
    assert not list(tmp_path.iterdir())

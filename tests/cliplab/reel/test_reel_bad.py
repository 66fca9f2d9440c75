"""Reels of what is missing, changed, damaged or not allowed, on disks that fill up, and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli, start
from reel_helpers import RATE, colour_of, highlights, pictures, sound_of, source
from tiny_videos import render_video
from waiting import until

from adapters.errors import ConfigError, DatasetError, MediaError, StorageError
from cliplab.reel import reel


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("library")
    return {name: source(folder / f"{name}.mp4", name) for name in ("red", "green", "blue", "white")}


def damage(path: Path, begin: float, end: float) -> Path:
    """Overwrite a part of the media data, given in shares of it."""
    data = bytearray(path.read_bytes())
    first = data.find(b"mdat") + 4
    length = int.from_bytes(data[first - 8 : first - 4], "big")
    for place in range(first + int(begin * length), first + int(end * length)):
        data[place] = 0x55
    path.write_bytes(data)
    return path


def noisy(path: Path, seed: int) -> Path:
    """A clip whose data is large enough to be damaged in one place only."""
    return render_video(path, ("warm", "cold")[seed % 2], seed, seconds=3.0)


def test_the_next_best_takes_the_place_of_what_cannot_be_shown(library: dict[str, Path], tmp_path: Path) -> None:
    missing, cut, folder = tmp_path / "missing.mp4", tmp_path / "cut.mp4", tmp_path / "folder.mp4"
    cut.write_bytes(library["white"].read_bytes()[:2000])
    folder.mkdir()
    marked = highlights(
        tmp_path / "h.json",
        *((path, 0, 1) for path in (missing, library["red"], cut, folder, library["blue"], library["green"])),
    )
    report = reel(marked, tmp_path / "reel.mp4", top=2)
    assert [placed.clip.path for placed in report.timeline] == [str(library["red"]), str(library["blue"])]
    assert [source.path for source in report.skipped] == [str(missing), str(cut), str(folder)]
    assert report.failed == 3
    assert all(source.reason.startswith(f"{source.path}: ") for source in report.skipped)


def test_damage_in_the_window_and_elsewhere(library: dict[str, Path], tmp_path: Path) -> None:
    """Only what is damaged where the reel takes it is set aside; what a scan passed over elsewhere stays in."""
    clips = [noisy(tmp_path / f"{seed}.mp4", seed) for seed in range(4)]
    marked = highlights(tmp_path / "h.json", *((clip, 1.0, 2.2) for clip in clips), (library["red"], 0, 1))
    for clip in clips[:2]:
        damage(clip, 0.5, 0.6)
    damage(clips[3], 0.9, 0.95)
    os.utime(marked)  # as a scan leaves it: written after its videos
    seen: list[str] = []
    report = reel(marked, tmp_path / "reel.mp4", on_progress=lambda stage, done, total: seen.append(stage))
    assert [Path(source.path).name for source in report.skipped if source.failed] == ["0.mp4", "1.mp4"]
    assert "damaged" in report.skipped[0].reason
    assert [Path(placed.clip.path).name for placed in report.timeline] == ["2.mp4", "3.mp4", "red.mp4"]
    changes = [stage for before, stage in zip(["", *seen], seen, strict=False) if stage != before]
    assert "checking sources" in changes
    assert changes.count("rendering") <= 2  # the second is found without rendering


def test_a_source_that_changed_since_the_scan_is_set_aside(library: dict[str, Path], tmp_path: Path) -> None:
    longer, touched, future = (source(tmp_path / f"{name}.mp4", "green", seconds=1.0) for name in ("a", "b", "c"))
    marked = highlights(tmp_path / "h.json", *((clip, 0, 1) for clip in (longer, touched, future, library["red"])))
    now = time.time()
    source(longer, "green", seconds=2.0)
    os.utime(marked, (now - 60, now - 60))
    os.utime(library["red"], (now - 99, now - 99))
    os.utime(touched, (now - 30, now - 30))
    os.utime(future, (now + 9e6, now + 9e6))  # a camera whose clock is wrong
    report = reel(marked, tmp_path / "reel.mp4", dry_run=True)
    assert "2.00 s long now, 1.00 s then" in report.skipped[0].reason
    assert "written to at" in report.skipped[1].reason
    assert [Path(placed.clip.path).name for placed in report.timeline] == ["c.mp4", "red.mp4"]


def test_sound_that_cannot_be_decoded_is_said(tmp_path: Path) -> None:
    clip = source(tmp_path / "a.mkv", "red", form="matroska", sound_codec="flac", seconds=4.0)
    data = bytearray(clip.read_bytes())
    # FLAC frames begin with this sync code (RFC 9639, 9.1); the pictures of a plain colour are a few bytes.
    places = [i for i in range(len(data) - 1) if data[i] == 0xFF and data[i + 1] in (0xF8, 0xF9)]
    for place in places[len(places) // 2 :]:
        data[place + 2 : place + 40] = bytes(38)
    marked = highlights(tmp_path / "h.json", (clip, 0, 4))
    clip.write_bytes(data)
    os.utime(marked)
    report = reel(marked, tmp_path / "reel.mp4")
    assert "its sound could not be decoded" in report.notes[0]
    level = np.abs(sound_of(tmp_path / "reel.mp4"))
    assert level[RATE // 2 : RATE].max() > 0.1
    assert level[round(3.2 * RATE) :].max() < 0.01
    assert len(pictures(tmp_path / "reel.mp4")) == 100


def test_what_is_not_allowed_says_so(library: dict[str, Path], tmp_path: Path) -> None:
    marked = highlights(tmp_path / "h.json", (library["red"], 0, 1))
    bad: list[dict[str, Any]] = [
        {"top": 0}, {"order": "size"}, {"audio": "no such file"}, {"min_score": 2.0}, {"duration": 0.0},
        {"per_clip_seconds": float("nan")}, {"duration": float("inf")},
    ]  # fmt: skip
    for options in bad:
        with pytest.raises(ConfigError, match=next(iter(options)).replace("_", "-")):
            reel(marked, tmp_path / "a.mp4", **options)
    silent = source(tmp_path / "silent.mp4", "red", sound_rate=None)
    with pytest.raises(MediaError, match="no sound"):
        reel(marked, tmp_path / "a.mp4", audio=str(silent))
    with pytest.raises(ConfigError, match=r"\.mp4"):
        reel(marked, tmp_path / "a.avi")
    with pytest.raises(DatasetError, match=r"the highest is 0.99.*min-score"):
        reel(marked, tmp_path / "a.mp4", min_score=1.0)
    assert "scan again with --min-score 0.1" in reel(marked, tmp_path / "a.mp4", min_score=0.1, dry_run=True).notes[0]
    (tmp_path / "a.mp4").write_bytes(b"mine")
    with pytest.raises(StorageError, match="force"):
        reel(marked, tmp_path / "a.mp4")
    missing = highlights(tmp_path / "none.json", (tmp_path / "gone.mp4", 0, 1))
    with pytest.raises(DatasetError, match="none of its 1 videos can be shown"):
        reel(missing, tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == b"mine"


def test_best_is_the_threshold_that_the_scan_wrote_down(library: dict[str, Path], tmp_path: Path) -> None:
    marked = highlights(tmp_path / "h.json", (library["red"], 0, 1))
    with pytest.raises(ConfigError, match="--optimize"):
        reel(marked, tmp_path / "a.mp4", min_score="best", dry_run=True)
    content = json.loads(marked.read_text())
    marked.write_text(json.dumps({**content, "best_min_score": 0.9}))
    assert len(reel(marked, tmp_path / "a.mp4", min_score="best", dry_run=True).timeline) == 1
    marked.write_text(json.dumps({**content, "best_min_score": 0.999}))
    with pytest.raises(DatasetError, match=r"at least 0\.999"):
        reel(marked, tmp_path / "a.mp4", min_score="best", dry_run=True)


def test_a_reel_never_replaces_what_it_is_made_of(library: dict[str, Path], tmp_path: Path) -> None:
    mine = source(tmp_path / "mine.mp4", "red")
    (tmp_path / "link.mp4").symlink_to(mine)
    marked = highlights(tmp_path / "h.json", (mine, 0, 1), (library["blue"], 0, 1))
    before = mine.read_bytes()
    for name in ("mine.mp4", "link.mp4"):
        with pytest.raises(ConfigError, match="one of the videos that the reel is made from"):
            reel(marked, tmp_path / name, force=True)
    assert mine.read_bytes() == before


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"drone": []}', '{"format": "cliplab-highlights", "version": 2}', "\xff", "{" * 9999]
)
def test_highlights_that_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "h.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match="highlights"):
        reel(tmp_path / "h.json", tmp_path / "b.mp4")
    with pytest.raises(DatasetError, match="is a folder"):
        reel(tmp_path, tmp_path / "b.mp4")


@pytest.mark.parametrize("limit", [0, 9000])
def test_a_full_disk_leaves_nothing(library: dict[str, Path], tmp_path: Path, limit: int) -> None:
    """A limit on the file's size stands in for the disk: the same path of errors."""
    marked = highlights(tmp_path / "h.json", *((library[name], 0, 2) for name in library))
    before = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" \
             f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))"  # fmt: skip
    run = cli("reel", marked, tmp_path / "reel.mp4", before=before, process=True)
    assert run.exit_code == 1, run.stderr
    assert "could not be written (File too large)" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["h.json"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_killed_it_leaves_the_old_reel(library: dict[str, Path], tmp_path: Path, ending: signal.Signals) -> None:
    old = reel(highlights(tmp_path / "old.json", (library["white"], 0, 1)), tmp_path / "reel.mp4").output
    before = Path(old).read_bytes()
    long = source(tmp_path / "long.mp4", "green", seconds=30, size=(320, 240), sound_rate=None)
    marked = highlights(tmp_path / "h.json", (library["red"], 0, 2), (long, 0, 30))
    with start("reel", marked, tmp_path / "reel.mp4", "--force", stderr=subprocess.PIPE, text=True) as process:

        def writes() -> bool:
            assert process.poll() is None
            return any(path.stat().st_size for path in tmp_path.glob(".reel.mp4.*.tmp"))

        until(writes)
        process.send_signal(ending)
        _, stderr = process.communicate(timeout=600)
    assert Path(old).read_bytes() == before
    if ending == signal.SIGINT:
        assert process.returncode == 130
        [line] = stderr.splitlines()
        assert line.startswith("error: interrupted; no incomplete file is left; ")
        assert not list(tmp_path.glob(".*"))
    reel(marked, tmp_path / "reel.mp4", force=True, top=1)
    assert {colour_of(picture) for _, picture in pictures(tmp_path / "reel.mp4")} == {"red"}


def test_the_command_says_what_was_left_out(library: dict[str, Path], tmp_path: Path) -> None:
    copy = source(tmp_path / "copy.mp4", "red", fps=30, size=(192, 128))
    marked = highlights(tmp_path / "h.json", (library["red"], 0, 1), (tmp_path / "gone\n.mp4", 0, 1), (copy, 0.5, 1.5))
    run = cli("reel", marked, tmp_path / "r.mp4", "--dry-run", process=True)
    assert run.exit_code == 1, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].endswith(f"0.990  0.00-1.00 s  {library['red']}")
    assert lines[1].startswith(f"skipped: {tmp_path}/gone\\n.mp4: no such file")
    assert lines[2] == f"left out: {copy}: looks the same as {library['red']}"
    assert lines[-1] == f"Would write: {tmp_path}/r.mp4: 1 clip, 1.00 s, 96x64 at 25 frames per second"
    assert not (tmp_path / "r.mp4").exists()
    run = cli("reel", marked, tmp_path / "r.mp4", "--json", "--audio", "none", process=True)
    told = json.loads(run.stdout)
    assert (run.exit_code, told["written"], len(told["clips"]), len(told["set_aside"])) == (1, True, 1, 2)
    assert told["clips"][0] == {
        "at": 0.0, "crossfade": 0.0, "path": str(library["red"]), "score": 0.99, "start": 0.0, "end": 1.0
    }  # fmt: skip
    assert len(pictures(tmp_path / "r.mp4")) == 25

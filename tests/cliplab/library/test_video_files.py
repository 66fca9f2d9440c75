"""The same files of a folder are videos for every command that takes a folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from scan_helpers import save_model
from tiny_videos import render_video
from typer.testing import CliRunner

from adapters.data import read_dataset
from cliplab.cli.app import app
from cliplab.library import find_videos, fingerprint

VIDEOS = ["warm/1.mp4", "warm/day/2.MOV", "warm/z.mkv"]
FAULTY = ["warm/dangling.mp4"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Three videos among what a camera's card, a Mac, rsync and links leave behind."""
    root = tmp_path / "library"
    (root / "warm" / "day").mkdir(parents=True)
    video = render_video(tmp_path / "video.mp4", "warm", 0, seconds=0.5)
    for number, name in enumerate(VIDEOS):
        shutil.copy(video, root / name)
        with open(root / name, "ab") as file:
            file.write(bytes([number]) * 8)  # contents of their own
    for name in ("warm/._1.mp4", "warm/.1.mp4.Xk3", "warm/.Trash/old.mp4", "warm/notes.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(video, root / name)
    (root / "warm" / "same.mp4").symlink_to(root / "warm" / "1.mp4")
    (root / "warm" / "day" / "loop").symlink_to(root / "warm")
    (root / "warm" / "dangling.mp4").symlink_to(root / "nowhere.mp4")
    return root


def run(*words: object, code: int) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.stdout


def relative(paths: list[str], root: Path) -> list[str]:
    return [os.path.relpath(path, root) for path in paths]


def test_predict_takes_them_in_order(library: Path, model: Path) -> None:
    rows = json.loads(run("predict", model, library, "--json", code=1))
    assert relative([row["path"] for row in rows if not row["error"]], library) == VIDEOS
    assert relative([row["path"] for row in rows if row["error"]], library) == FAULTY


def test_scan_takes_them(library: Path, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "highlights.json"
    run("scan", library, model, "--output", output, "--min-score", 0, code=1)
    found = json.loads(output.read_text())
    assert sorted(relative([row["path"] for row in found["highlights"]], library)) == sorted(VIDEOS)
    assert relative([row["path"] for row in found["failures"]], library) == FAULTY


def test_dataset_import_takes_them_and_reports_what_cannot_be_read(library: Path, tmp_path: Path) -> None:
    report = json.loads(run("dataset", "import", library, tmp_path / "dataset.jsonl", "--json", code=0))
    assert any("dangling.mp4" in problem for problem in report["problems"])
    clips = read_dataset(tmp_path / "dataset.jsonl")
    assert relative([str(clip.path) for clip in clips], library) == sorted(VIDEOS + FAULTY)


def test_a_dataset_with_a_folder_that_cannot_be_read_is_refused(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.errors import DatasetError

    list_folder = os.scandir

    def refuse(path: object) -> object:
        if str(path).endswith("/day"):
            raise PermissionError(13, "Permission denied", path)
        return list_folder(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError, match="Permission denied"):
        read_dataset(library)


def test_a_file_that_is_named_is_taken_whatever_its_name(library: Path, model: Path) -> None:
    named = [library / "warm" / "._1.mp4", library / "warm" / "notes.txt", library / "warm" / "same.mp4"]
    rows = json.loads(run("predict", model, *named, "--json", code=0))
    assert [row["path"] for row in rows] == [str(path) for path in named]


def test_patterns_and_arguments_that_find_nothing(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library)
    (tmp_path / "empty").mkdir()
    assert find_videos(["warm"]) == ["warm/1.mp4", "warm/dangling.mp4", "warm/day/2.MOV", "warm/z.mkv"]
    assert find_videos(["warm/*.m[pk]*"]) == ["warm/1.mp4", "warm/same.mp4", "warm/z.mkv"]
    gone = ["gone.mp4", "gone/*.mp4", str(tmp_path / "empty")]
    assert find_videos(gone) == gone


def test_a_system_that_reads_in_short_pieces_finds_the_same_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "v.mp4", os.read
    path.write_bytes(os.urandom(300_000))
    whole = fingerprint(str(path), 300_000)
    monkeypatch.setattr(os, "read", lambda handle, count: read(handle, min(count, 70_000)))
    assert fingerprint(str(path), 300_000) == whole
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert fingerprint(str(path), 300_000) != whole

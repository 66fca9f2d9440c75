"""Which files below a folder are videos: names, links, loops, what cannot be read, and the order."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.media import UnreadablePath, VideoFile, is_video_name, videos_below


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(folder: Path, kind: type[VideoFile] | type[UnreadablePath] = VideoFile) -> list[str]:
    return [os.path.relpath(item.path, folder) for item in videos_below(folder) if isinstance(item, kind)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.mp4", True),
        ("a.MOV", True),
        ("a b.tar.webm", True),
        ("a.gif", True),
        ("a.txt", False),
        ("mp4", False),
        (".mp4", False),
        (".a.mp4", False),
        ("._a.mp4", False),
        ("a.mp4.part", False),
        (".a.mp4.Xy12", False),
    ],
)
def test_which_names_are_videos(name: str, expected: bool) -> None:
    assert is_video_name(name) is expected


def test_each_video_once_and_hidden_ones_never(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    touch(folder, "b/2.mp4", "b/1.MOV", "a.mkv", "Z.avi", ".hidden/x.mp4", "b/._1.mp4", "notes.txt", "b/c/deep.webm")
    touch(outside, "far.mp4")
    (folder / "b" / "loop").symlink_to(folder)
    (folder / "same.mp4").symlink_to(folder / "a.mkv")
    (folder / "out").symlink_to(outside)
    (folder / "b" / "out again").symlink_to(outside)
    (outside / "back").symlink_to(outside)
    (outside / "up").symlink_to(tmp_path)
    assert names(folder) == ["Z.avi", "a.mkv", "b/1.MOV", "b/2.mp4", "b/c/deep.webm", "b/out again/far.mp4"]
    assert list(videos_below(folder)) == list(videos_below(folder))


def test_what_cannot_be_read_is_reported_in_its_place(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "z.mp4")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert [os.path.basename(item.path) for item in videos_below(tmp_path)] == [
        "a.mp4",
        "dangling.mp4",
        "loop.mp4",
        "pipe.mp4",
        "z.mp4",
    ]
    assert names(tmp_path, UnreadablePath) == ["dangling.mp4", "loop.mp4", "pipe.mp4"]


def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/1.mp4", "b/2.mp4", "c/3.mp4")
    list_folder = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(tmp_path) == ["a/1.mp4", "c/3.mp4"]
    [bad] = [item for item in videos_below(tmp_path) if isinstance(item, UnreadablePath)]
    assert bad.path == str(tmp_path / "b")
    assert "Permission denied" in bad.error


def test_a_folder_that_is_missing_is_reported(tmp_path: Path) -> None:
    [bad] = videos_below(tmp_path / "gone")
    assert isinstance(bad, UnreadablePath)
    assert bad.path == str(tmp_path / "gone")


parts = st.text("aB._ 0é\udce9", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(paths, max_size=12))
def test_the_order_is_that_of_the_paths(chosen: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = set()
        for path in chosen:
            try:
                touch(folder, path + ".mp4")
            except OSError:  # a name is a file's and a folder's
                continue
            if not any(part.startswith(".") for part in path.split("/")):
                expected.add(path + ".mp4")
        assert names(folder) == sorted(expected, key=lambda path: [os.fsencode(part) for part in path.split("/")])

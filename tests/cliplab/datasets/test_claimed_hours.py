"""A file of two kilobytes whose times claim days: no command works on each of their seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from media_patterns import numbered_frame, write_video

from adapters.errors import MediaError
from adapters.media import require_footage
from cliplab.datasets import dataset_prepare, extract
from cliplab.detect import find_highlights

HOURS = 20


@pytest.fixture(scope="module", params=["v.mkv", "v.mp4"])
def days(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    ticks = [number * HOURS * 3600 * 25 for number in range(8)]
    return write_video(
        tmp_path_factory.mktemp("days") / request.param, map(numbered_frame, range(8)), ticks=ticks, b_frames=0
    )


def test_extract_names_it_and_does_the_rest(days: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mkv", map(numbered_frame, range(75)))
    report = extract([days, other], tmp_path / "frames", fps=1.0)
    assert "by its times" in report.errors[0]
    assert report.frames == 3


def test_detect_refuses_it(days: Path) -> None:
    with pytest.raises(MediaError, match="by its times"):
        find_highlights(days)


def test_prepare_leaves_it_out_by_name_and_takes_a_stretch_of_it(days: Path, tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        write_video(tmp_path / f"{name}.mkv", map(numbered_frame, range(100 * number, 100 * number + 75)))
    data = tmp_path / "d.csv"
    rows = (
        f"{days},x,,,train",
        f"{days},x,0,3,train",
        "a.mkv,y,,,train",
        "b.mkv,x,,,validation",
        "c.mkv,y,,,validation",
    )
    data.write_text("\n".join(("path,label,start,end,split", *rows)))
    report = dataset_prepare(data, tmp_path / "out", fps=1.0)
    assert len(report.skipped) == 1
    assert "by its times" in report.skipped[0]
    assert report.frames == {"x": 6, "y": 6}


@pytest.mark.parametrize(
    ("seconds", "size", "refused"), [(7200, 1, False), (7201, 720_099, True), (7201, 720_101, False)]
)
def test_two_hours_are_believed_and_then_a_hundred_bytes_a_second(
    tmp_path: Path, seconds: float, size: int, refused: bool
) -> None:
    path = tmp_path / "v.mkv"
    path.touch()
    os.truncate(path, size)
    if refused:
        with pytest.raises(MediaError, match=r"2\.0 h by its times and has 720,099 bytes"):
            require_footage(path, seconds)
    else:
        require_footage(path, seconds)

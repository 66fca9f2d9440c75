"""Tables as people keep them in spreadsheets: understood, or refused with the cell to correct."""

from __future__ import annotations

from pathlib import Path

import pytest
from media_patterns import write_numbered

from adapters.data import Dataset, read_dataset
from adapters.errors import DatasetError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for name in ("a.mp4", "b.mp4"):
        write_numbered(folder / name, 3)
    return folder


def read(folder: Path, text: str, name: str = "d.csv") -> Dataset:
    (folder / name).write_bytes(text.encode())
    return read_dataset(folder / name)


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("1s", "62s", (1, 62)),
        ("1 s", "2.5 sec", (1, 2.5)),
        ("0 seconds", "1 Second", (0, 1)),
        ("1m02s", "1m 3s", (62, 63)),
        ("1 min", "2 min 30 s", (60, 150)),
        ("1h0m1s", "1h 2min", (3601, 3720)),
        ("500ms", "900 ms", (0.5, 0.9)),
        ("0:01", "62s", (1, 62)),
    ],
)
def test_times_with_a_unit(folder: Path, start: str, end: str, seconds: tuple[float, float]) -> None:
    (row,) = read(folder, f"path,label,start,end\na.mp4,x,{start},{end}\n").examples
    assert (row.start_seconds, row.end_seconds) == pytest.approx(seconds)


@pytest.mark.parametrize("time", ["s", "1x", "1s2m", "10%", "1 s 2", "-1s", "1e3s", "1,5s", "9" * 30 + "s", " " * 50])
def test_what_is_no_time_with_a_unit(folder: Path, time: str) -> None:
    if time.strip():
        with pytest.raises(DatasetError, match=r"row 2: start_seconds must be .*with a unit such as 62s"):
            read(folder, f'path,label,start,end\na.mp4,x,"{time}",99999\n')


def test_a_unit_contradicts_no_frames(folder: Path) -> None:
    with pytest.raises(DatasetError, match="start_frame must be frames"):
        read(folder, "path,label,start_frame,end_frame\na.mp4,x,0s,1s\n")


def test_files_that_were_joined_repeat_the_header(folder: Path) -> None:
    rows = read(folder, "path, label,start\na.mp4,x,0\npath,label,start\nb.mp4,y,0\n").examples
    assert [row.label for row in rows] == ["x", "y"]


@pytest.mark.parametrize("cell", ["#N/A", "#REF!", "#DIV/0!", " #NAME? "])
def test_errors_of_a_spreadsheet_are_no_classes(folder: Path, cell: str) -> None:
    with pytest.raises(DatasetError, match=r"row 3: the label is #.*error of a spreadsheet"):
        read(folder, f"path,label\na.mp4,x\nb.mp4,{cell}\n")
    assert read(folder, "path,label\na.mp4,#1\nb.mp4,#N\n").labels == ("#1", "#N")


@pytest.mark.parametrize("last", ["Total,,,3", ",y,1,2", "a.mp4,,1,2"])
def test_rows_of_totals_and_merged_cells_are_named(folder: Path, last: str) -> None:
    with pytest.raises(DatasetError, match=r"row 3: .*(non-empty string|path)"):
        read(folder, f"path,label,start,end\na.mp4,x,0,1\n{last}\n")


def test_signs_shown_as_text_or_in_colours_are_one_class(folder: Path) -> None:
    found = read(folder, "path,label\na.mp4,\u26bd\nb.mp4,\u26bd\ufe0f\n")
    assert len(found.labels) == 1
    assert any("spelled in several ways" in note for note in found.notes)


@pytest.mark.parametrize("name", ["d.xlsx", "d.xls", "d.ODS", "d.numbers"])
def test_a_spreadsheet_is_called_one(folder: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=r"is a spreadsheet\. Save it as CSV"):
        read(folder, "PK\3\4", name)

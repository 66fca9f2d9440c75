"""What is said of a row that names no video, and counts of a dataset with many labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.data import Dataset, Example, read_dataset, summarize_dataset
from adapters.data.rows import make_dataset, relative_path
from adapters.errors import DatasetError


def test_a_row_without_a_path_is_named_with_its_keys(tmp_path: Path) -> None:
    rows = [{"id": "78687", "label": "holding a potato", "template": "Holding [something]", "placeholders": ["potato"]}]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    with pytest.raises(
        DatasetError, match=r"got None\. The row has the keys 'id', 'label', 'template', 'placeholders'"
    ):
        read_dataset(tmp_path / "train.json")


def test_clips_of_several_labels_count_under_each(tmp_path: Path) -> None:
    items = (
        Example(tmp_path / "a.mp4", ("walk", "run"), end_seconds=2.0),
        Example(tmp_path / "b.mp4", ("run",), end_seconds=3.0),
    )
    found = summarize_dataset(Dataset(items, ("run", "sit", "walk"), tmp_path))["labels"]
    assert list(found) == ["run", "sit", "walk"]
    assert [found[name]["clips"] for name in found] == [2, 0, 1]
    assert [found[name]["seconds"] for name in found] == [5.0, 0, 2.0]


@pytest.mark.parametrize(
    ("path", "folder", "wanted"),
    [
        ("/data/clips/a.mp4", "/data", "clips/a.mp4"),
        ("/data/clips/a.mp4", "/data/", "clips/a.mp4"),
        ("/database/a.mp4", "/data", "/database/a.mp4"),
        ("/a.mp4", "/", "a.mp4"),
        ("/data", "/data", "."),
    ],
)
def test_a_path_is_relative_only_below_the_folder(path: str, folder: str, wanted: str) -> None:
    assert relative_path(Path(path), Path(folder)) == wanted


def test_a_file_of_too_many_clips_is_refused_before_it_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.data.rows.MAX_CLIPS", 3)
    taken: list[int] = []

    def rows(count: int) -> Iterator[tuple[str, dict[str, str]]]:
        for number in range(count):
            taken.append(number)
            yield f"row {number}", {"path": f"{number}.mp4", "label": "a"}

    assert len(make_dataset(rows(3), tmp_path, None)) == 3
    taken.clear()
    with pytest.raises(DatasetError, match="holds more than 3 clips"):
        make_dataset(rows(1000), tmp_path, None)
    assert len(taken) == 4

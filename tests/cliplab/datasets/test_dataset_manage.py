"""Where an import or a split of a dataset is written, and what its report says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_videos import render_dataset

from adapters.data import read_dataset
from cliplab.datasets import dataset_import, dataset_stats


@pytest.mark.parametrize(
    ("name", "written"),
    [("new.jsonl", "new.jsonl"), ("new.NDJSON", "new.NDJSON"), ("folder", "folder/dataset.jsonl")],
)
def test_a_name_of_rows_is_the_file_and_any_other_its_folder(tmp_path: Path, name: str, written: str) -> None:
    data = render_dataset(tmp_path / "data", train=1, validation=1, test=1)
    report = dataset_import(data, tmp_path / name)
    assert report.output == str(tmp_path / written)
    assert Path(report.output).is_file()
    assert read_dataset(report.output).examples == read_dataset(data).examples


def test_a_report_names_each_missing_file(tmp_path: Path) -> None:
    data = render_dataset(tmp_path / "data", train=1, validation=1, test=1)
    gone = read_dataset(data).examples[0].path
    gone.unlink()
    assert [problem for problem in dataset_stats(data).problems if str(gone) in problem]

"""Where an import or a split of a dataset is written, and what its report says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_videos import render_dataset

from adapters.data import read_dataset
from adapters.errors import DatasetError
from cliplab.datasets import dataset_export, dataset_import, dataset_stats


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


def test_an_import_says_what_it_took_for_what_and_an_export_what_it_loses(tmp_path: Path) -> None:
    edl = tmp_path / "evening.edl"
    edl.write_text("5 30 3\n40 40 2\n60 90 3\n")
    report = dataset_import(edl, tmp_path / "data", rest="content", videos=tmp_path)
    assert report.format == "edl"
    assert report.stats["labels"]["ad"]["clips"] == 2
    assert report.stats["labels"]["content"]["clips"] == 3
    assert "1 entry that has no length (line 2)" in " ".join(report.notes)
    again = dataset_export(tmp_path / "data", tmp_path / "a.json", format="datumaro", frame_rate=25, dry_run=True)
    assert (again.format, again.lost, again.output) == ("datumaro", ("ranges are rounded to frames",), None)
    assert report.to_json()["format"] == "edl"


def test_a_wrong_rate_folder_or_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    edl = tmp_path / "evening.edl"
    edl.write_text("#5 #30 3\n")
    for wrong in ({"frame_rate": 0.0}, {"frame_rate": float("nan")}, {"videos": edl}, {"format": "edll"}):
        with pytest.raises(DatasetError):
            dataset_import(edl, tmp_path / "data", **wrong)
    with pytest.raises(DatasetError, match="frame rate"):
        dataset_import(edl, tmp_path / "data")
    with pytest.raises(DatasetError, match="count frames"):
        dataset_export(edl, tmp_path / "a.eaf", format="elan", frame_rate=25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evening.edl"]


def test_a_dry_run_of_tar_files_writes_no_video(tmp_path: Path) -> None:
    data = read_dataset(render_dataset(tmp_path / "data", train=1, validation=0, test=0))
    shards = dataset_export(data.root, tmp_path / "shards", format="webdataset").output
    videos = tmp_path / "videos"
    report = dataset_import(str(shards), tmp_path / "out", videos=videos, dry_run=True)
    assert report.stats["clips"] == 2
    assert not any("no such file" in problem for problem in report.problems)
    assert any("will write 2 videos" in note for note in report.notes)
    assert not videos.exists()
    assert not (tmp_path / "out").exists()


def test_an_export_of_one_class_leaves_the_others_out(tmp_path: Path) -> None:
    (tmp_path / "evening.edl").write_text("5 30 3\n60 90 3\n")
    dataset_import(tmp_path / "evening.edl", tmp_path / "data", rest="content", videos=tmp_path)
    report = dataset_export(tmp_path / "data", tmp_path / "ads.edl", format="edl", only=["ad"])
    assert Path(str(report.output)).read_text() == "5.000\t30.000\t3\n60.000\t90.000\t3\n"
    assert (report.stats["clips"], report.lost[0]) == (2, "3 clips of other classes")
    listed = dataset_export(tmp_path / "data", tmp_path / "ads.json", format="datumaro", only=["ad"], frame_rate=25)
    kept = json.loads(Path(str(listed.output)).read_text())["categories"]["label"]["labels"]
    assert [entry["name"] for entry in kept] == ["ad"], "a class that is left out is not a class of the file"
    for wrong in (["adverts"], [], ["ad", "adverts"]):
        with pytest.raises(DatasetError, match="classes of the dataset"):
            dataset_export(tmp_path / "data", tmp_path / "other.edl", format="edl", only=wrong)
    assert not (tmp_path / "other.edl").exists()

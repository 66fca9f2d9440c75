"""What a dataset makes of groups, splits, times and folders, the items of Dataloop, and what it counts and refuses."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dataset_files import lines, touch, write
from test_dataset_formats import COCO, three

from adapters.data import (
    Dataset,
    Example,
    check_dataset,
    dataset_problems,
    detect_format,
    export_dataset,
    match_labels,
    read_dataset,
    summarize_dataset,
)
from adapters.data.formats.dataloop import import_dataloop
from adapters.data.formats.folders import import_folders
from adapters.errors import DatasetError

# Groups, labels and times


def test_rows_that_differ_in_the_label_alone_are_one_clip(tmp_path: Path) -> None:
    content = {"y": ["a.mp4", {"path": "b.mp4", "end_seconds": 3}], "x": ["a.mp4", "b.mp4", "a.mp4"]}
    dataset = read_dataset(write(tmp_path / "labels.json", content))
    assert [(item.path.name, item.labels, item.end_seconds) for item in dataset] == [
        ("a.mp4", ("y", "x"), None),
        ("b.mp4", ("y",), 3.0),
        ("b.mp4", ("x",), None),
    ]


def test_the_first_source_names_the_group_of_a_video(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "d.jsonl",
        {"path": "a.mp4", "label": "x", "source": "tape"},
        {"path": "a.mp4", "label": "x", "start_seconds": 9, "source": "other"},
        {"path": "b.mp4", "label": "x"},
        {"path": "c.mp4", "label": "x", "group": ""},
    )
    assert [item.group for item in read_dataset(path)] == ["tape", "tape", "b.mp4", "c.mp4"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("val", "validation"), ("Valid", "validation"), ("TRAINING", "train"), ("testing", "test"), ("Test", "test"),
     ("train", "train"), ("", None), (None, None)],
)  # fmt: skip
def test_usual_names_of_splits(tmp_path: Path, written: str | None, meant: str | None) -> None:
    (item,) = read_dataset(lines(tmp_path / "d.jsonl", {"path": "a", "label": "x", "split": written})).examples
    assert item.split == meant


@pytest.mark.parametrize(
    "times",
    [
        {"start_seconds": float("1e400")},
        {"start_seconds": 2, "end_seconds": 2},
        {"end_seconds": 0},
        {"start_seconds": True},
    ],
)
def test_times_that_are_none(tmp_path: Path, times: dict[str, Any]) -> None:
    with pytest.raises(DatasetError):
        Example(tmp_path / "a.mp4", ("x",), **times)
    assert Example(tmp_path / "a.mp4", ("x",), 0, 0.001).end_seconds == 0.001


def test_a_path_is_written_out_and_starts_at_the_file(tmp_path: Path) -> None:
    rows = [{"path": path, "label": "x"} for path in ("sub/../a.mp4", "./b.mp4", "../c.mp4", "/d/e/../f.mp4")]
    found = [str(item.path) for item in read_dataset(lines(tmp_path / "in" / "d.jsonl", *rows))]
    assert found == [str(tmp_path / "in/a.mp4"), str(tmp_path / "in/b.mp4"), str(tmp_path / "c.mp4"), "/d/f.mp4"]


def test_a_key_is_of_the_stretch_and_not_of_the_label(tmp_path: Path) -> None:
    stretches = [(None, None), (1.0, None), (None, 1.0), (1.0, 2.0), (1.0, 3.0)]
    for name in ("a.mp4", "b.mp4"):
        keys = {Example(tmp_path / name, (label,), *times).key() for times in stretches for label in ("x", "y")}
        assert len(keys) == len(stretches)
    assert Example(tmp_path / "a.mp4", ("x",)).key() != Example(tmp_path / "b.mp4", ("x",)).key()


def test_what_an_example_may_not_be(tmp_path: Path) -> None:
    for wrong in (
        {"path": Path("relative.mp4"), "labels": ("x",)},
        {"path": tmp_path / "a", "labels": ("x", "x")},
        {"path": tmp_path / "a", "labels": ("",)},
        {"path": tmp_path / "a", "labels": ("x",), "split": "val"},
    ):
        with pytest.raises(DatasetError):
            Example(**wrong)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="split must be"):
        three(tmp_path).of_split("dev")
    assert [len(three(tmp_path).of_split(name)) for name in ("train", "test", None)] == [1, 0, 2]
    assert three(tmp_path).counts() == {"x": 2, "y": 2}


def test_labels_that_differ_in_spelling_take_the_models_name() -> None:
    def matched(data: tuple[str, ...], model: tuple[str, ...]) -> tuple[str, ...]:
        examples = tuple(Example(Path(f"/{name}.mp4"), (name,)) for name in data)
        found = match_labels(Dataset(examples, data, Path("/")), model)
        assert tuple(item.label for item in found) == found.labels
        return found.labels

    assert matched(("Highlights", "NORMAL"), ("normal", "highlight")) == ("highlight", "normal")
    assert matched(("highlights", "other"), ("normal", "highlight")) == ("highlight", "other")
    assert matched(("ad", "ads"), ("ads", "x")) == ("ad", "ads"), "the data has that label too"
    assert matched(("AD",), ("ad", "ads")) == ("AD",), "several fit"
    assert matched(("ad", "x"), ("ads", "x")) == ("ads", "x")
    assert matched(("Ad", "aD"), ("ad",)) == ("Ad", "aD")


# Folders


def test_which_files_of_a_folder_are_the_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.mp4")
    assert detect_format(tmp_path) == ("folders", tmp_path)
    for name, format in (("dataset.json", "coco"), ("dataset.csv", "csv"), ("labels.json", "labels_json")):
        write(tmp_path / name, COCO if format == "coco" else {"x": []})
        assert detect_format(tmp_path) == (format, tmp_path / name)
    write(tmp_path / "dataset.jsonl", "")
    assert detect_format(tmp_path) == ("jsonl", tmp_path / "dataset.jsonl")


def test_a_folder_of_videos_beside_splits_is_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "train/x/a.mp4", "other/x/b.mp4", "test/x/c.mp4")
    with pytest.raises(DatasetError, match=r"other: .*test, train"):
        import_folders(tmp_path)
    dataset = import_folders(tmp_path, ["train", "test", "other"])
    assert dataset.labels == ("train", "test", "other")
    assert {item.split for item in dataset} == {None}
    assert {item.group for item in dataset} == {"x"}


def test_folders_hold_videos_by_suffix_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "x/b.webm", "x/a.AVI", "x/.part/c.mp4", "x/d.txt", "y/deep/er/e.ts", "y/deep/f.m4v")
    dataset = import_folders(tmp_path)
    assert [item.path.relative_to(tmp_path).as_posix() for item in dataset] == [
        "x/a.AVI",
        "x/b.webm",
        "y/deep/er/e.ts",
        "y/deep/f.m4v",
    ]
    assert [item.group for item in dataset][2:] == ["deep/er", "deep"]


def test_an_export_to_folders_keeps_apart_and_replaces_what_changed(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.mp4", "two/a.mp4", "three/a.mp4", "b.mp4")
    paths = [tmp_path / name for name in ("one/a.mp4", "two/a.mp4", "three/a.mp4", "b.mp4")]
    items = tuple(Example(path, ("x",), split="train") for path in paths)
    dataset = Dataset(items, ("x", "empty"), tmp_path)
    os.utime(paths[3], (1e9 + 5, 1e9 + 5))
    out = export_dataset(dataset, tmp_path / "out", "folders")
    assert (out / "train/x/b.mp4").stat().st_mtime == 1e9 + 5, "a copy keeps the time"
    found = {file.relative_to(out).as_posix(): file.read_text() for file in out.rglob("*") if file.is_file()}
    assert found == {
        "train/x/a.mp4": "one/a.mp4",
        "train/x/a_2.mp4": "two/a.mp4",
        "train/x/a_3.mp4": "three/a.mp4",
        "train/x/b.mp4": "b.mp4",
    }
    assert (out / "train" / "empty").is_dir()
    for content, when in (("longer than before", None), ("other", (1e9, 1e9))):
        (out / "train/x/b.mp4").write_text(content)
        if when is not None:
            os.utime(out / "train/x/b.mp4", when)
        export_dataset(dataset, out, "folders")
        assert (out / "train/x/b.mp4").read_text() == "b.mp4", "another size, or another time"
    link = export_dataset(dataset, tmp_path / "links", "folders", media="link") / "train/x/b.mp4"
    assert link.is_symlink()
    assert os.readlink(link) == str(paths[3])
    with pytest.raises(DatasetError, match="media must be"):
        export_dataset(dataset, tmp_path / "moved", "folders", media="move")
    mixed = Dataset((items[0], Example(paths[1], ("x",))), ("x",), tmp_path)
    with pytest.raises(DatasetError, match="Split the dataset first"):
        export_dataset(mixed, tmp_path / "mixed", "folders")


# Dataloop


def item_of(tmp_path: Path, content: dict[str, Any]) -> Example:
    touch(tmp_path, "items/a.mp4")
    write(tmp_path / "json/a.json", {"filename": "/a.mp4", **content})
    (found,) = import_dataloop(tmp_path).examples
    return found


def labelled(**system: Any) -> dict[str, Any]:
    return {"type": "class", "label": "x", "metadata": {"system": system}}


@pytest.mark.parametrize(
    ("metadata", "fps"),
    [({"fps": 25}, 25), ({"fps": "12.5"}, 12.5), ({"system": {"ffmpeg": {"avg_frame_rate": "30000/1001"}}}, 29.97003),
     ({"fps": 10, "system": {"ffmpeg": {"avg_frame_rate": "50"}}}, 10)],
)  # fmt: skip
def test_frames_become_seconds_by_the_items_rate(tmp_path: Path, metadata: dict[str, Any], fps: float) -> None:
    found = item_of(tmp_path, {"metadata": metadata, "annotations": [labelled(frame=30, endFrame=90)]})
    assert (found.start_seconds, found.end_seconds) == pytest.approx((30 / fps, 90 / fps), rel=1e-6)


def test_a_range_of_frames_from_the_first_on(tmp_path: Path) -> None:
    found = item_of(tmp_path, {"metadata": {"fps": 25}, "annotations": [labelled(frame=0, endFrame=50)]})
    assert (found.start_seconds, found.end_seconds) == (0, 2)


@pytest.mark.parametrize(
    ("metadata", "last"),
    [({"fps": 10}, 0.05), ({}, 0.02)],  # half a frame; of an unknown rate, of 25 frames per second
)
def test_an_end_within_half_a_frame_of_the_videos_own_is_its_end(
    tmp_path: Path, metadata: dict[str, Any], last: float
) -> None:
    metadata = {**metadata, "system": {"ffmpeg": {"duration": "4"}}}
    ends = [4.0, 4 - last + 0.0005, 4 - last - 0.0005]
    found = [item_of(tmp_path, {"metadata": metadata, "annotations": [labelled(endTime=end)]}) for end in ends]
    assert [item.end_seconds for item in found] == [None, None, ends[-1]]


def test_seconds_go_before_frames(tmp_path: Path) -> None:
    content = {"metadata": {"fps": 25}, "annotations": [labelled(startTime=1, endTime=2, frame=100, endFrame=200)]}
    found = item_of(tmp_path, content)
    assert (found.start_seconds, found.end_seconds) == (1, 2)
    found = item_of(tmp_path, {"annotations": [labelled(startTime=3)]})
    assert (found.start_seconds, found.end_seconds) == (3, None)
    found = item_of(tmp_path, {"annotations": [labelled(endTime=3)]})
    assert (found.start_seconds, found.end_seconds) == (None, 3)


def test_split_group_and_source_of_an_item_and_of_an_annotation(tmp_path: Path) -> None:
    tags, user = {"tags": {"validation": True, "test": False}}, {"group": "g", "source": "s"}
    found = item_of(tmp_path, {"metadata": {"system": tags, "user": user}, "annotations": [labelled()]})
    assert (found.split, found.group, found.source) == ("validation", "g", "s")
    both = {"tags": {"train": True, "test": True}}
    assert item_of(tmp_path, {"metadata": {"system": both}, "annotations": []}).split is None
    own = {"type": "class", "label": "x", "metadata": {"user": {"split": "test", "group": "own"}}}
    found = item_of(tmp_path, {"metadata": {"system": tags, "user": user}, "annotations": [own]})
    assert (found.split, found.group, found.source) == ("test", "own", "s")
    assert item_of(tmp_path, {"itemMetadata": {"user": user}, "annotations": []}).group == "g"


def test_items_that_are_not_downloaded_are_listed_where_they_are_videos(tmp_path: Path) -> None:
    touch(tmp_path, "items/here.mp4")
    for name, content in (
        ("gone.mp4", {}),
        ("stream", {"metadata": {"system": {"mimetype": "video/mp4"}}}),
        ("picture", {"metadata": {"system": {"mimetype": "image/png"}}}),
        ("notes.txt", {}),
    ):
        write(tmp_path / "json" / f"{name}.json", {"filename": f"/{name}", "annotations": [], **content})
    assert [item.path.name for item in import_dataloop(tmp_path)] == ["gone.mp4", "here.mp4", "stream"]


def test_what_a_dataloop_export_of_a_file_of_unknown_length_holds(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    items = (
        Example(tmp_path / "a.mp4", ("x", "y"), 1.5, None, "test", "g", "tape"),
        Example(tmp_path / "b.mp4", (), split="train"),
    )
    out = export_dataset(Dataset(items, ("x", "y"), tmp_path), tmp_path / "out", "dataloop", fps=10.0)
    content = json.loads((out / "json/a.mp4.json").read_text())
    user = {"split": "test", "group": "g", "source": "tape"}
    system = {"startTime": 1.5, "frame": 15}
    assert content["annotations"] == [
        {"type": "class", "label": label, "metadata": {"system": system, "user": user}} for label in ("x", "y")
    ]
    assert content["metadata"] == {"system": {"tags": {"test": True}}, "fps": 10.0}
    assert (content["filename"], content["type"]) == ("/a.mp4", "file")
    content = json.loads((out / "json/b.mp4.json").read_text())
    assert content["metadata"]["user"] == {"split": "train", "group": "b.mp4", "source": "b.mp4"}
    lone = Dataset((Example(tmp_path / "a.mp4", (), 1.0),), ("x",), tmp_path)
    with pytest.raises(DatasetError, match="range without a label"):
        export_dataset(lone, tmp_path / "lone", "dataloop")


# Counting and checking


def test_seconds_of_clips_and_lengths_asked_for_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def duration(path: Path) -> float | None:
        asked.append(path.name)
        return {"a.mp4": 10.0, "b.mp4": None}[path.name]

    rows = [{"path": "a.mp4", "label": "x", "start_seconds": at, "source": f"tape {at}"} for at in (0, 4, 12)]
    data = read_dataset(lines(tmp_path / "d.jsonl", *rows, {"path": "b.mp4", "label": "y", "end_seconds": 1.25}))
    found = summarize_dataset(data, duration)
    assert (found["seconds"], found["labels"]["x"]["seconds"], found["labels"]["y"]["seconds"]) == (17.25, 16.0, 1.25)
    assert asked == ["a.mp4"]
    assert (found["clips"], found["groups"], found["videos"]) == (4, 2, 2)
    assert list(found["splits"]) == ["unassigned"]
    data = read_dataset(lines(tmp_path / "d.jsonl", *rows, {"path": "b.mp4", "label": "y"}))
    found = summarize_dataset(data, duration)
    assert (found["seconds"], found["labels"]["x"]["seconds"], found["labels"]["y"]["seconds"]) == (None, 16.0, None)

    def failing(path: Path) -> float:
        raise OSError

    assert summarize_dataset(data, failing)["seconds"] is None


def test_what_is_wrong_reason_by_reason(tmp_path: Path) -> None:
    def found(*rows: dict[str, Any], **more: Any) -> list[str]:
        touch(tmp_path, *(str(row["path"]) for row in rows))
        return dataset_problems(read_dataset(lines(tmp_path / "d.jsonl", *rows)), **more)

    one, two = {"path": "a", "label": "x"}, {"path": "b", "label": "y"}
    assert found(one, two) == found(one, two, labels=["y", "x", "z"]) == []
    assert len(found(one, {"path": "b", "label": "x"})) == 1
    assert found(one, task="multi_label") == []
    assert found({"path": "a", "label": []}, task="multi_label") == ["no clip has a label."]
    assert "'y' (1 clips)" in found(one, two, labels=["x"])[0]
    with pytest.raises(DatasetError, match="task must be"):
        found(one, two, task="regression")
    # The later of two that overlap may begin inside one that began long before.
    nested = (
        {"path": "a", "label": "x", "start_seconds": 0, "end_seconds": 9},
        {"path": "a", "label": "x", "start_seconds": 1, "end_seconds": 2},
        {"path": "a", "label": "y", "start_seconds": 8.5, "end_seconds": 10},
    )
    assert "(0 to 9 s) is 'x'" in found(*nested)[0]
    assert "(8.5 to 10 s) is 'y'" in found(*nested)[0]
    assert found(*nested[1:]) == []
    assert len(found({**one, "label": ["x", "y"]}, {**one, "label": ["y", "x"], "start_seconds": 1}, two)) == 1
    names = [f"{number:02}" for number in range(6)]
    many = found(*({"path": name, "label": "x"} for name in names), {"path": "b", "label": []}, two)
    assert len(many) == 1
    leaks = found(*({"path": f"{name}{split}", "label": name, "group": name, "split": split}
                    for name in names for split in ("train", "test")))  # fmt: skip
    assert "'04' in test and train; and 1 more" in leaks[0]
    assert "'05'" not in leaks[0]


def test_missing_files_are_named_each_once(tmp_path: Path) -> None:
    touch(tmp_path, "here.mp4")
    (tmp_path / "folder.mp4").mkdir()
    rows = [{"path": name, "label": label} for name, label in (("here.mp4", "x"), ("gone.mp4", "y"))]
    gone = lines(tmp_path / "d.jsonl", *rows, {"path": "gone.mp4", "label": "y", "start_seconds": 3})
    with pytest.raises(DatasetError, match=r"1 file is missing: [^;]*gone\.mp4\."):
        check_dataset(read_dataset(gone))
    both = lines(tmp_path / "d.jsonl", *rows, {"path": "folder.mp4", "label": "y"})
    with pytest.raises(DatasetError, match="2 files are missing"):
        check_dataset(read_dataset(both))


def test_aliases_of_a_config_name_its_labels() -> None:
    examples = tuple(Example(Path(f"/{n}.mp4"), (label,)) for n, label in enumerate(("Non-Trick", "trick", "normal")))
    data = Dataset(examples, ("Non-Trick", "trick", "normal"), Path("/"))
    found = match_labels(data, ["normal", "trick"], {"non-trick": "normal", "trick": "normal", "other": "unknown"})
    assert [item.labels for item in found.examples] == [("normal",), ("trick",), ("normal",)]
    assert found.labels == ("normal", "trick")
    assert match_labels(data, ["a", "b"], {"non-trick": "normal"}) == data, "of a label that the model does not have"
    both = Example(Path("/3.mp4"), ("Non-Trick", "normal", "trick"))
    several = match_labels(replace(data, examples=(*examples, both)), ["normal", "trick"], {"non-trick": "normal"})
    assert several.examples[3].labels == ("normal", "trick"), "two names of one class are one label"

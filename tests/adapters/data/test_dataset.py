"""Datasets in every format: what is read, written back, refused, counted and checked."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

from adapters.data import (
    FORMATS,
    Dataset,
    Example,
    check_dataset,
    dataset_problems,
    detect_format,
    export_dataset,
    find_format,
    read_dataset,
    summarize_dataset,
    without_missing,
    write_dataset,
)
from adapters.data.aliases import alias_table
from adapters.data.examples import PreparedFrames
from adapters.errors import DatasetError, StorageError


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def rows(path: Path, *items: dict[str, Any]) -> Path:
    return write(path, "".join(json.dumps(item) + "\n" for item in items))


def touch(root: Path, *names: str) -> None:
    for name in names:
        write(root / name, name)


def make(root: Path, *items: tuple[str, str], **more: Any) -> Dataset:
    examples = tuple(Example(root / name, (label,), **more) for name, label in items)
    return Dataset(examples, tuple(dict.fromkeys(label for _, label in items)), root)


# Reading


def test_jsonl_row_by_row(tmp_path: Path) -> None:
    full = {"path": "a.mp4", "start_seconds": 1, "end_seconds": 2.5, "label": "ad", "split": "val"}
    path = rows(tmp_path / "dataset.jsonl", full, {"path": "/x/b.mp4", "label": ["content", "ad"], "group": "g"})
    dataset = read_dataset(path)
    first, second = dataset.examples
    assert first == Example(tmp_path / "a.mp4", ("ad",), 1.0, 2.5, "validation", "a.mp4", "a.mp4")
    assert second == Example(Path("/x/b.mp4"), ("content", "ad"), group="g", source="/x/b.mp4")
    assert dataset.labels == ("ad", "content")
    assert dataset.counts() == {"ad": 2, "content": 1}
    assert read_dataset(tmp_path).examples == dataset.examples


def test_label_order_is_first_seen_unless_given(tmp_path: Path) -> None:
    path = rows(tmp_path / "dataset.jsonl", {"path": "z", "label": "z"}, {"path": "a", "label": "a"})
    assert read_dataset(path).labels == ("z", "a")
    assert read_dataset(path, labels=("a", "z", "unused")).labels == ("a", "z", "unused")
    with pytest.raises(DatasetError, match="'z' is used in the data, but it is not one of the given labels: a"):
        read_dataset(path, labels=("a",))


def test_a_given_label_order_is_written_and_read_again(tmp_path: Path) -> None:
    dataset = Dataset(make(tmp_path, ("a.mp4", "z"), ("b.mp4", "a")).examples, ("a", "z", "unused"), tmp_path)
    path = write_dataset(dataset, tmp_path)
    assert path == tmp_path / "dataset.jsonl"
    assert read_dataset(path).labels == ("a", "z", "unused")
    assert json.loads(path.read_text().splitlines()[1])["path"] == "a.mp4"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", r"dataset\.jsonl, line 2: is not valid JSON"),
        ('{"path": "a", "label": "ad", "start_seconds": NaN}', "line 2: .*NaN is not a JSON number"),
        ("[1]", "line 2: a line must be a JSON object"),
        ('{"label": "ad"}', "line 2: a row needs a path"),
        ('{"path": "a"}', "line 2: label must be a non-empty string"),
        ('{"path": "a", "label": ""}', "line 2: label must be"),
        ('{"path": "a", "label": [1]}', "line 2: label must be"),
        ('{"path": "a", "label": ["x", "x"]}', "line 2: .*twice"),
        ('{"path": "a", "label": "ad", "start_second": 1}', "line 2: 'start_second' is not a key.*start_seconds"),
        ('{"path": "a", "label": "ad", "start_seconds": 3, "end_seconds": 3}', "line 2: .*after start_seconds"),
        ('{"path": "a", "label": "ad", "start_seconds": -1}', "line 2: .*seconds >= 0, got -1"),
        ('{"path": "a", "label": "ad", "end_seconds": "3"}', "line 2: .*seconds >= 0, got '3'"),
        ('{"path": "a", "label": "ad", "end_seconds": true}', "line 2: .*got True"),
        ('{"path": "a", "label": "ad", "split": "fold 1"}', "line 2: .*train, validation, test.*got 'fold 1'"),
        ('{"path": "a", "label": "ad", "group": 3}', "line 2: group must be a string"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "dataset.jsonl", '{"path": "good", "label": "ad"}\n' + line + "\n")
    with pytest.raises(DatasetError, match=message):
        read_dataset(path)


def test_labels_json_of_any_classes_with_paths_and_ranges(tmp_path: Path) -> None:
    content = {"highlights": ["a.mp4", {"path": "b.mp4", "start_seconds": 3, "end_seconds": 9}], "normal": ["/n/c.mp4"]}
    dataset = read_dataset(write(tmp_path / "labels.json", content))
    assert dataset.labels == ("highlights", "normal")
    assert [(item.path, item.label, item.start_seconds) for item in dataset] == [
        (tmp_path / "a.mp4", "highlights", None),
        (tmp_path / "b.mp4", "highlights", 3.0),
        (Path("/n/c.mp4"), "normal", None),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "must be an object of lists"),
        ({"a": "x.mp4"}, "must be an object of lists"),
        ({"a": [3]}, "'a', entry 1: must be a path"),
        ({"a": [], "b": []}, "contains no clips"),
        ({"a": [{"path": "x", "starts": 3}]}, "'a', entry 1: 'starts' is not a key"),
    ],
)
def test_bad_labels_json(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_dataset(write(tmp_path / "labels.json", content))


def test_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    text = "\ufefffile;Class;start;end;remark\r\na.mp4;ad;1,;2;x\r\n"
    path = write(tmp_path / "a.csv", text.replace("1,", "1"))
    (item,) = read_dataset(path).examples
    assert (item.path, item.labels, item.start_seconds, item.end_seconds) == (tmp_path / "a.mp4", ("ad",), 1.0, 2.0)


def test_tsv_and_a_quoted_path(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'path\tlabel\n"one ""two"".mp4"\tad\n\n')
    assert [item.path.name for item in read_dataset(path)] == ['one "two".mp4']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line must list the columns"),
        ("path,start_seconds\na,1\n", "including path and label; got path, start_seconds"),
        ("path,label,start_second\na,ad,1\n", 'column "start_second" is not known. Did you mean "start_seconds"'),
        ("path,label,start\na,ad,one\n", "row 2: start_seconds must be seconds, a number; got 'one'"),
        ("path,label,start\na,ad,nan\n", "row 2: .*seconds >= 0, got nan"),
        ("path,label\na\n", "row 2: has 1 cells, but the header has 2 columns"),
        ('path,label\na,"[1"\n', "row 2, label: is not valid JSON"),
        ("path,label\n", "contains no clips"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_dataset(write(tmp_path / "a.csv", text))


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    touch(
        tmp_path, "b/1.mp4", "a/2.MKV", "a/notes.txt", "a/.hidden.mp4", "a/film/3.mp4", "b/film/4.mp4", ".cache/x.mp4"
    )
    dataset = read_dataset(tmp_path)
    assert dataset.labels == ("a", "b")
    assert {(item.path.name, item.label) for item in dataset} == {
        ("2.MKV", "a"),
        ("3.mp4", "a"),
        ("1.mp4", "b"),
        ("4.mp4", "b"),
    }
    groups = {item.path.name: item.group for item in dataset}
    assert groups["3.mp4"] == groups["4.mp4"] == "film"
    assert groups["1.mp4"] != groups["2.MKV"]
    assert read_dataset(tmp_path, format="folders", labels=("b", "a")).labels == ("b", "a")


def test_class_folders_under_splits(tmp_path: Path) -> None:
    touch(tmp_path, "train/ad/1.mp4", "val/ad/2.mp4", "test/content/3.mp4")
    splits = {item.path.name: item.split for item in read_dataset(tmp_path)}
    assert splits == {"1.mp4": "train", "2.mp4": "validation", "3.mp4": "test"}


def test_classes_that_are_named_like_splits_are_classes_only_where_the_caller_says_so(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.mp4", "test/2.mp4")
    with pytest.raises(DatasetError, match="named like a split"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path, labels=["train", "test"]).labels == ("train", "test")


def test_what_is_no_dataset_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no class folder with videos"):
        read_dataset(tmp_path)
    with pytest.raises(DatasetError, match="no such file or folder"):
        read_dataset(tmp_path / "absent")
    with pytest.raises(DatasetError, match=r"a\.mp4: is not a dataset"):
        read_dataset(write(tmp_path / "a.mp4", "x"))
    with pytest.raises(DatasetError, match="'xml' is not a dataset format; allowed: studio, jsonl"):
        read_dataset(tmp_path, format="xml")
    (tmp_path / "latin.jsonl").write_bytes(b"caf\xe9")
    with pytest.raises(DatasetError, match="could not be read"):
        read_dataset(tmp_path / "latin.jsonl")


@pytest.mark.parametrize(
    ("name", "format"),
    [("jsonl.jsonl", "jsonl"), ("a.csv", "csv"), ("labels.json", "labels_json"), ("c.json", "coco"), ("f", "folders")],
)
def test_an_export_is_detected(tmp_path: Path, name: str, format: str) -> None:
    touch(tmp_path, "1.mp4", "2.mp4")
    dataset = make(tmp_path, ("1.mp4", "ad"), ("2.mp4", "content"))
    assert detect_format(export_dataset(dataset, tmp_path / "out" / name, format)) == (format, tmp_path / "out" / name)


# Groups


def test_ranges_of_one_video_are_one_group_whatever_else_was_written(tmp_path: Path) -> None:
    path = rows(
        tmp_path / "dataset.jsonl",
        {"path": "a.mp4", "end_seconds": 5, "label": "ad", "source": "tape 1"},
        {"path": "b.mp4", "label": "ad", "source": "tape 2"},
        {"path": "a.mp4", "start_seconds": 5, "label": "content", "source": "tape 2"},
        {"path": "c.mp4", "label": "content"},
        {"path": "c.mp4", "start_seconds": 1, "label": "content", "group": "mine"},
        {"path": "d.mp4", "label": "content", "start_seconds": 1, "group": "shot 1"},
        {"path": "d.mp4", "label": "ad", "end_seconds": 1, "group": "shot 2"},
    )
    groups = [item.group for item in read_dataset(path)]
    assert groups[0] == groups[1] == groups[2] == "tape 1"
    assert groups[3] == groups[4] == "mine"
    assert groups[5:] == ["shot 1", "shot 2"]


# Dataloop


def annotation(label: str, kind: str = "class", **system: Any) -> dict[str, Any]:
    return {"type": kind, "label": label, "metadata": {"system": system}}


def test_a_dataloop_download(tmp_path: Path) -> None:
    touch(tmp_path, "items/day/a.mp4", "items/day/b.mp4", "items/c.mov", "items/lone.mp4", "items/picture.jpg")
    ranged = annotation("ad", startTime=2.0, endTime=5.5, frame=1, endFrame=2)
    box = annotation("dog", "box", startTime=1)
    write(tmp_path / "json/day/a.json", {"filename": "/day/a.mp4", "annotations": [ranged, box, annotation("content")]})
    frames = annotation("ad", frame=50, endFrame=100)
    item = {
        "filename": "/day/b.mp4",
        "metadata": {"fps": 25, "system": {"tags": {"test": True}}},
        "annotations": [frames],
    }
    write(tmp_path / "json/day/b.mp4.json", item)
    both = [annotation("ad", frame=0, endFrame=0, startTime=0, endTime=0), annotation("content")]
    write(tmp_path / "json/c.json", {"filename": "/c.mov", "annotations": both})
    write(tmp_path / "json/picture.json", {"filename": "/picture.jpg", "annotations": [annotation("ad")]})
    found = {(item.path.relative_to(tmp_path).as_posix(), item.start_seconds): item for item in read_dataset(tmp_path)}
    assert found["items/day/a.mp4", 2.0].end_seconds == 5.5
    assert found["items/day/a.mp4", 2.0].labels == ("ad",)
    assert found["items/day/a.mp4", None].labels == ("content",)
    assert (found["items/day/b.mp4", 2.0].end_seconds, found["items/day/b.mp4", 2.0].split) == (4.0, "test")
    assert set(found["items/c.mov", None].labels) == {"ad", "content"}
    assert found["items/lone.mp4", None].labels == ()
    assert len(found) == 5


@pytest.mark.parametrize(("end", "read"), [(10.0, None), (9.985, None), (9.9, 9.9), (12.0, None)])
def test_a_dataloop_range_to_the_end_is_the_videos_own_end(tmp_path: Path, end: float, read: float | None) -> None:
    metadata = {"fps": 25, "system": {"ffmpeg": {"duration": "10.0"}}}
    item = {"filename": "/a.mp4", "metadata": metadata, "annotations": [annotation("ad", startTime=3, endTime=end)]}
    touch(tmp_path, "items/a.mp4")
    write(tmp_path / "json/a.json", item)
    (found,) = read_dataset(tmp_path, format="dataloop").examples
    assert (found.start_seconds, found.end_seconds) == (3.0, read)


def test_dataloop_subsets_are_splits(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        touch(tmp_path, f"{split}/items/{split}.mp4")
        content = {"filename": f"/{split}.mp4", "annotations": [annotation("ad")]}
        write(tmp_path / f"{split}/json/{split}.json", content)
    assert {item.path.stem: item.split for item in read_dataset(tmp_path)} == {
        "train": "train",
        "validation": "validation",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"filename": "/a.mp4", "annotations": [annotation("ad", frame=3, endFrame=9)]}, "annotation 1: .*no fps"),
        ({"filename": "/a.mp4", "annotations": 3}, "annotations must be a list"),
        ({"filename": "/a.mp4", "annotations": [annotation("")]}, "label must be a non-empty"),
        ({"filename": "/a.mp4", "annotations": [annotation("ad", startTime=5, endTime=5)]}, "after start_seconds"),
        ({"filename": "/a.mp4", "annotations": [annotation("ad", startTime="5")]}, "must be seconds"),
        (
            {"filename": "/a.mp4", "metadata": {"fps": 25}, "annotations": [annotation("ad", frame="x")]},
            "must be numbers",
        ),
        ([], "must be an object"),
    ],
)
def test_bad_dataloop_items_are_named(tmp_path: Path, content: Any, message: str) -> None:
    touch(tmp_path, "items/a.mp4")
    write(tmp_path / "json/a.json", content)
    with pytest.raises(DatasetError, match=message) as caught:
        read_dataset(tmp_path, format="dataloop")
    assert "a.json" in str(caught.value)


def test_dataloop_export_of_a_real_video_names_frames_and_ends(tmp_path: Path, shared: Path) -> None:
    clip = shared / "media" / "clips" / "mmaction2_demo_arm_wrestling.mp4"
    items = (Example(clip, ("ad",), 1.0, 3.0), Example(clip, ("content",), 3.0), Example(clip, ("whole",)))
    dataset = Dataset(items, ("ad", "content", "whole"), clip.parent)
    out = export_dataset(dataset, tmp_path / "out", "dataloop", media="link")
    assert (out / "items" / clip.name).resolve() == clip.resolve()
    text = (out / "json" / (clip.name + ".json")).read_text()
    assert str(clip.parent) not in text
    content = json.loads(text)
    fps, length = content["metadata"]["fps"], content["metadata"]["system"]["ffmpeg"]["duration"]
    assert length == pytest.approx(10, abs=0.2)
    system = [entry["metadata"]["system"] for entry in content["annotations"]]
    assert system[0] == {"startTime": 1.0, "endTime": 3.0, "frame": round(fps), "endFrame": round(3 * fps)}
    assert system[1] == {"startTime": 3.0, "endTime": length, "frame": round(3 * fps), "endFrame": round(length * fps)}
    assert (system[2]["startTime"], system[2]["endTime"]) == (0.0, length)
    again = [(item.labels, item.start_seconds, item.end_seconds) for item in read_dataset(out)]
    assert again == [(item.labels, item.start_seconds, item.end_seconds) for item in items]


# Exports that hold media


def test_names_that_meet_in_one_folder_are_kept_apart(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.mp4", "y/a.mp4")
    dataset = make(tmp_path, ("x/a.mp4", "ad"), ("y/a.mp4", "ad"))
    out = export_dataset(dataset, tmp_path / "out", "folders")
    assert {file.read_text() for file in (out / "ad").iterdir()} == {"x/a.mp4", "y/a.mp4"}


def test_an_export_goes_on_where_it_stopped(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    dataset = make(tmp_path, ("a.mp4", "ad"), ("gone.mp4", "ad"), ("b.mp4", "ad"))
    with pytest.raises(DatasetError, match=r"gone\.mp4: no such file"):
        export_dataset(dataset, tmp_path / "out", "folders")
    touch(tmp_path, "gone.mp4")
    before = (tmp_path / "out/ad/a.mp4").stat().st_ino
    export_dataset(dataset, tmp_path / "out", "folders")
    assert (tmp_path / "out/ad/a.mp4").stat().st_ino == before
    assert sorted(file.name for file in (tmp_path / "out/ad").iterdir()) == ["a.mp4", "b.mp4", "gone.mp4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_seconds": 1.0}, "folders cannot represent"),
        ({"group": "../up"}, "cannot be the name of a folder"),
    ],
)
def test_what_folders_cannot_say(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    touch(tmp_path, "a.mp4")
    dataset = make(tmp_path, ("a.mp4", "ad"), **change)
    with pytest.raises(DatasetError, match=message):
        export_dataset(dataset, tmp_path / "out", "folders")
    with pytest.raises(DatasetError, match="cannot be the name of a folder"):
        export_dataset(make(tmp_path, ("a.mp4", "a/b")), tmp_path / "out", "folders")


@pytest.mark.parametrize("format", [name for name in FORMATS if find_format(name).write is not None])
def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, format: str) -> None:
    touch(tmp_path, "ad/a.mp4", "file")
    known = find_format(format)
    times: dict[str, Any] = {"end_seconds": 5.0} if "ranges" in known.keeps else {}
    frames = PreparedFrames(tmp_path, ("1.jpg",), 1.0) if format == "mmaction_rawframes" else None
    dataset = make(tmp_path, ("ad/a.mp4", "ad"), split="train", frames=frames, **times)
    options = {"frame_rate": 25.0} if known.counts_frames else {}
    with pytest.raises(StorageError, match="file"):
        export_dataset(dataset, tmp_path / "file" / "out.jsonl", format, **options)


# Counting and checking


def test_stats_count_clips_groups_and_seconds(tmp_path: Path) -> None:
    path = rows(
        tmp_path / "dataset.jsonl",
        {"path": "a.mp4", "end_seconds": 4, "label": "ad", "split": "train"},
        {"path": "a.mp4", "start_seconds": 4, "end_seconds": 10, "label": "content", "split": "train"},
        {"path": "b.mp4", "start_seconds": 1, "label": "content"},
    )
    result = summarize_dataset(read_dataset(path), duration=lambda path: 8.0)
    assert (result["clips"], result["groups"], result["videos"], result["seconds"]) == (3, 2, 2, 17.0)
    assert result["labels"]["content"] == {"clips": 2, "groups": 2, "videos": 2, "seconds": 13.0}
    assert result["splits"]["train"]["labels"]["ad"]["seconds"] == 4.0
    assert result["splits"]["unassigned"]["clips"] == 1
    unknown = summarize_dataset(read_dataset(path))
    assert unknown["seconds"] is None
    assert unknown["splits"]["train"]["seconds"] == 10.0


def test_stats_read_the_length_of_real_videos(shared: Path) -> None:
    clip = shared / "media" / "clips" / "mmaction2_demo_arm_wrestling.mp4"
    dataset = Dataset((Example(clip, ("arm wrestling",), 2.0),), ("arm wrestling",), clip.parent)
    assert summarize_dataset(dataset)["seconds"] == pytest.approx(8.0, abs=0.1)


def good(root: Path) -> Dataset:
    touch(root, "a.mp4", "b.mp4")
    return make(root, ("a.mp4", "ad"), ("b.mp4", "content"))


def test_a_sound_dataset_passes(tmp_path: Path) -> None:
    dataset = good(tmp_path)
    assert dataset_problems(dataset, labels=("content", "ad", "other")) == []
    check_dataset(dataset, labels=("content", "ad", "other"))


def with_rows(*items: dict[str, Any]) -> Callable[[Path], Dataset]:
    def build(root: Path) -> Dataset:
        touch(root, *(str(item["path"]) for item in items))
        return read_dataset(rows(root / "dataset.jsonl", *items))

    return build


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (with_rows({"path": "a", "label": "ad"}), r"two classes or more; there are clips of 'ad' \(1 clips\)"),
        (with_rows({"path": "a", "label": []}, {"path": "b", "label": "x"}), "exactly one label per clip: .*a has 0"),
        (with_rows({"path": "a", "label": ["x", "y"]}, {"path": "b", "label": "x"}), "a has 2"),
        (
            with_rows({"path": "a", "label": "x"}, {"path": "a", "label": "y"}),
            "has two labels: .*is 'x' and .*is 'y'",
        ),
        (
            with_rows(
                {"path": "a", "label": "x", "end_seconds": 5},
                {"path": "a", "label": "x", "start_seconds": 1, "end_seconds": 2},
                {"path": "a", "label": "y", "start_seconds": 4.5},
            ),
            r"a \(0 to 5 s\) is 'x' and .*a \(4.5 to end s\) is 'y'",
        ),
        (
            with_rows(
                {"path": "a", "label": "x", "group": "g", "split": "train"},
                {"path": "b", "label": "y", "group": "g", "split": "test"},
            ),
            "groups that appear in more than one split.*'g' in test and train",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, build: Callable[[Path], Dataset], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        check_dataset(build(tmp_path))


def test_ranges_that_touch_are_no_contradiction(tmp_path: Path) -> None:
    first, second = (
        {"path": "a", "label": label, key: 5} for label, key in (("x", "end_seconds"), ("y", "start_seconds"))
    )
    assert dataset_problems(with_rows(first, second)(tmp_path)) == []
    assert len(dataset_problems(with_rows(first, {**second, "start_seconds": 4.9})(tmp_path))) == 1


def test_labels_that_the_model_has_not(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"unknown to the model: 'content' \(1 clips\).*'ad'; 'promo'"):
        check_dataset(good(tmp_path), labels=("ad", "promo"))


def test_missing_files_are_listed_five_and_a_count(tmp_path: Path) -> None:
    touch(tmp_path, "here.mp4")
    dataset = make(tmp_path, ("here.mp4", "ad"), *((f"{i}.mp4", "content") for i in range(7)))
    with pytest.raises(DatasetError, match=r"7 files are missing: .*0\.mp4; .*4\.mp4; and 2 more"):
        check_dataset(dataset)
    check_dataset(dataset, allow_missing=True)
    rest, missing = without_missing(dataset)
    assert [item.path.name for item in rest] == ["here.mp4"]
    assert len(missing) == 7


def test_multi_label_clips(tmp_path: Path) -> None:
    build = with_rows({"path": "a", "label": ["x", "y"]}, {"path": "b", "label": []}, {"path": "a", "label": "x"})
    check_dataset(build(tmp_path), task="multi_label")
    assert dataset_problems(build(tmp_path).of_split("train"), task="multi_label") == ["it contains no clips."]
    with pytest.raises(DatasetError, match="has 2 labels; a single-label task needs exactly one"):
        _ = build(tmp_path).examples[0].label


def test_every_reason_stands_in_one_message(tmp_path: Path) -> None:
    dataset = make(tmp_path, ("gone.mp4", "ad"))
    with pytest.raises(DatasetError, match=r"for 3 reasons") as caught:
        check_dataset(dataset, labels=("content",))
    assert len(str(caught.value).splitlines()) == 4


def test_the_checkout_can_move(tmp_path: Path) -> None:
    touch(tmp_path / "one", "media/a.mp4", "media/b.mp4")
    write_dataset(make(tmp_path / "one", ("media/a.mp4", "ad"), ("media/b.mp4", "content")), tmp_path / "one")
    shutil.move(tmp_path / "one", tmp_path / "two")
    moved = read_dataset(tmp_path / "two")
    assert [item.path for item in moved] == [tmp_path / "two" / "media" / name for name in ("a.mp4", "b.mp4")]
    assert all(item.path.is_file() for item in moved)


def test_the_forms_in_the_docs_are_read(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "dataset.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(jsonl|json|csv)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in blocks] == ["jsonl", "json", "csv", "json"]
    found = [read_dataset(write(tmp_path / f"{i}.{kind}", block)) for i, (kind, block) in enumerate(blocks)]
    assert [dataset.labels for dataset in found] == [
        ("content", "ad"),
        ("highlights", "normal"),
        ("ad", "animated"),
        ("content", "ad"),
    ]
    assert [len(dataset) for dataset in found] == [2, 3, 2, 1]


def test_the_docs_name_every_form() -> None:
    text = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("dataset.md", "formats.md"))
    assert all(f"`{format}`" in text for format in FORMATS)


def test_the_docs_list_every_name_that_is_understood() -> None:
    assert alias_table() in (ROOT / "docs" / "dataset.md").read_text(encoding="utf-8")

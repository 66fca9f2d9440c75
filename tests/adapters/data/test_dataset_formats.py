"""Each format of a dataset against its exact content: what is read, what is written, in whose order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dataset_files import touch, write

from adapters.data import FORMATS, Dataset, Example, export_dataset, find_format, read_dataset
from adapters.data.examples import PreparedFrames
from adapters.errors import DatasetError

# Label order


COCO = {
    "videos": [{"id": 7, "file_name": "a.mp4"}, {"id": 8, "file_name": "b.mp4"}],
    "categories": [{"id": 3, "name": "x"}, {"id": 1, "name": "y"}],
    "annotations": [{"video_id": 8, "category_id": 1}, {"video_id": 7, "category_id": 3}],
}


@pytest.mark.parametrize("format", ["jsonl", "labels_json", "csv", "coco", "folders", "dataloop"])
def test_the_order_that_the_caller_gives_goes_before_the_files(tmp_path: Path, format: str) -> None:
    """Also before that of a header line."""
    touch(tmp_path, "x/a.mp4", "y/b.mp4", "items/a.mp4", "items/b.mp4")
    head = '{"labels": ["x", "y"]}\n'
    rows = '{"path": "a.mp4", "label": "x"}\n{"path": "b.mp4", "label": "y"}\n'
    for name in ("x", "y"):
        annotation = {"type": "class", "label": name}
        stem = {"x": "a", "y": "b"}[name]
        write(tmp_path / f"json/{stem}.json", {"filename": f"/{stem}.mp4", "annotations": [annotation]})
    places = {
        "jsonl": write(tmp_path / "dataset.jsonl", head + rows),
        "labels_json": write(tmp_path / "labels.json", {"x": ["a.mp4"], "y": ["b.mp4"]}),
        "csv": write(tmp_path / "d.csv", "path,label\na.mp4,x\nb.mp4,y\n"),
        "coco": write(tmp_path / "c.json", COCO),
        "folders": tmp_path,
        "dataloop": tmp_path,
    }
    if format == "folders":
        for name in ("items", "json"):
            (tmp_path / name).rename(tmp_path / f".{name}")
    assert read_dataset(places[format], format=format).labels == ("x", "y")
    assert read_dataset(places[format], labels=["z", "y", "x"], format=format).labels == ("z", "y", "x")
    with pytest.raises(DatasetError, match="not one of the given labels"):
        read_dataset(places[format], labels=["x"], format=format)


def test_a_header_of_labels_stands_before_the_rows_only(tmp_path: Path) -> None:
    head, row = '{"labels": ["y", "x"]}', '{"path": "a.mp4", "label": "x"}'
    assert read_dataset(write(tmp_path / "a.jsonl", f"\n{head}\n{row}\n")).labels == ("y", "x")
    with pytest.raises(DatasetError, match="line 2: 'labels' is not a key"):
        read_dataset(write(tmp_path / "b.jsonl", f"{row}\n{head}\n"))
    with pytest.raises(DatasetError, match="line 1: labels must be a list"):
        read_dataset(write(tmp_path / "c.jsonl", f'{{"labels": ["x", ""]}}\n{row}\n'))
    with pytest.raises(DatasetError, match="contains no clips"):
        read_dataset(write(tmp_path / "d.jsonl", f"{head}\n"))
    with pytest.raises(DatasetError, match="label occurs twice"):
        read_dataset(write(tmp_path / "e.jsonl", f'{{"labels": ["x", "x"]}}\n{row}\n'))


def test_a_header_is_written_where_the_rows_give_another_order(tmp_path: Path) -> None:
    items = tuple(Example(tmp_path / f"{label}.mp4", (label,)) for label in ("x", "y"))
    path = export_dataset(Dataset(items, ("y", "x"), tmp_path), tmp_path / "d.jsonl", "jsonl")
    assert path.read_text().splitlines()[0] == '{"labels": ["y", "x"]}'
    assert read_dataset(path).labels == ("y", "x")
    plain = export_dataset(Dataset(items, ("x", "y"), tmp_path), tmp_path / "p.jsonl", "jsonl")
    assert len(plain.read_text().splitlines()) == 2


# What is written


def three(root: Path) -> Dataset:
    return Dataset(
        (
            Example(root / "a.mp4", ("x",), 1.5, 4.0, "train", "g", "tape"),
            Example(root / "b.mp4", ("x", "y"), None, 2.0),
            Example(Path("/elsewhere/c.mp4"), ("y",), 3.0),
        ),
        ("x", "y"),
        root,
    )


def test_jsonl_line_by_line(tmp_path: Path) -> None:
    text = export_dataset(three(tmp_path), tmp_path / "d.jsonl", "jsonl").read_text()
    assert [json.loads(line) for line in text.splitlines()] == [
        {"path": "a.mp4", "start_seconds": 1.5, "end_seconds": 4.0, "label": "x", "split": "train", "group": "g",
         "source": "tape"},
        {"path": "b.mp4", "start_seconds": None, "end_seconds": 2.0, "label": ["x", "y"], "split": None,
         "group": "b.mp4", "source": "b.mp4"},
        {"path": "/elsewhere/c.mp4", "start_seconds": 3.0, "end_seconds": None, "label": "y", "split": None,
         "group": "/elsewhere/c.mp4", "source": "/elsewhere/c.mp4"},
    ]  # fmt: skip
    assert export_dataset(three(tmp_path), tmp_path / "e.NDJSON", "jsonl") == tmp_path / "e.NDJSON"
    assert export_dataset(three(tmp_path), tmp_path / "folder", "jsonl") == tmp_path / "folder" / "dataset.jsonl"


def test_csv_row_by_row(tmp_path: Path) -> None:
    text = export_dataset(three(tmp_path), tmp_path / "d.csv", "csv").read_bytes().decode()
    assert text.split("\r\n") == [
        "path,label,start_seconds,end_seconds,split,group,source",
        "a.mp4,x,1.5,4.0,train,g,tape",
        'b.mp4,"[""x"", ""y""]",,2.0,,b.mp4,b.mp4',
        "/elsewhere/c.mp4,y,3.0,,,/elsewhere/c.mp4,/elsewhere/c.mp4",
        "",
    ]


def test_labels_json_entry_by_entry(tmp_path: Path) -> None:
    content = json.loads(export_dataset(three(tmp_path), tmp_path / "labels.json", "labels_json").read_text())
    first = {"path": "a.mp4", "start_seconds": 1.5, "end_seconds": 4.0, "split": "train", "group": "g"}
    second = {"path": "b.mp4", "end_seconds": 2.0, "group": "b.mp4"}
    third = {"path": "/elsewhere/c.mp4", "start_seconds": 3.0, "group": "/elsewhere/c.mp4"}
    assert content == {"x": [{**first, "source": "tape"}, second], "y": [second, third]}
    plain = Dataset((Example(tmp_path / "a.mp4", ("x",)),), ("x", "unused"), tmp_path)
    text = export_dataset(plain, tmp_path / "labels.json", "labels_json").read_text()
    assert json.loads(text) == {"x": ["a.mp4"], "unused": []}
    with pytest.raises(DatasetError, match="no label"):
        export_dataset(
            Dataset((Example(tmp_path / "a.mp4", ()),), ("x",), tmp_path), tmp_path / "l.json", "labels_json"
        )


def test_coco_entry_by_entry(tmp_path: Path) -> None:
    content = json.loads(export_dataset(three(tmp_path), tmp_path / "c.json", "coco").read_text())
    assert content["videos"] == [
        {"id": 1, "file_name": "a.mp4"},
        {"id": 2, "file_name": "b.mp4"},
        {"id": 3, "file_name": "/elsewhere/c.mp4"},
    ]
    assert content["categories"] == [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}]
    assert [(a["id"], a["video_id"], a["category_id"]) for a in content["annotations"]] == [
        (1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 3, 2)]  # fmt: skip
    assert content["annotations"][0] == {
        "id": 1, "video_id": 1, "category_id": 1, "start_seconds": 1.5, "end_seconds": 4.0, "split": "train",
        "group": "g", "source": "tape",
    }  # fmt: skip


def test_coco_goes_by_ids_and_not_by_places(tmp_path: Path) -> None:
    dataset = read_dataset(write(tmp_path / "c.json", COCO))
    assert [(item.path.name, item.label) for item in dataset] == [("b.mp4", "y"), ("a.mp4", "x")]
    for change, message in (
        ({"video_id": 9}, "annotation 1: video_id 9"),
        ({"category_id": 2}, "annotation 1: category_id 2"),
        ({"split": 3}, "annotation 1: split must be"),
    ):
        wrong = {**COCO, "annotations": [{"video_id": 7, "category_id": 1, **change}]}
        with pytest.raises(DatasetError, match=message):
            read_dataset(write(tmp_path / "c.json", wrong))
    with pytest.raises(DatasetError, match="annotation 1: must be an object"):
        read_dataset(write(tmp_path / "c.json", {**COCO, "annotations": [3]}))
    with pytest.raises(DatasetError, match="id and file_name"):
        read_dataset(write(tmp_path / "c.json", {**COCO, "videos": [{"id": 1}]}))
    with pytest.raises(DatasetError, match="contains no clips"):
        read_dataset(write(tmp_path / "c.json", {**COCO, "annotations": []}))


def test_coco_of_prepared_frames(tmp_path: Path) -> None:
    def frames(info: Any, names: Any) -> PreparedFrames | None:
        entry = {"video_id": 7, "category_id": 3, "frames": names}
        (item,) = read_dataset(write(tmp_path / "c.json", {**COCO, "info": info, "annotations": [entry]})).examples
        return item.frames

    names = ["clips/1/0.jpg", "clips/1/1.jpg"]
    assert frames({"fps": 8}, names) == PreparedFrames(tmp_path / "clips" / "1", ("0.jpg", "1.jpg"), 8.0)
    assert frames({"fps": 8}, []) is frames({"fps": 0}, names) is frames({}, names) is frames(3, names) is None
    assert frames({"fps": "8"}, names) is frames({"fps": 8}, "0.jpg") is frames({"fps": 8}, [3]) is None
    assert frames({"fps": 8}, ["one/0.jpg", "other/1.jpg"]) is None


# CSV as people write it


@pytest.mark.parametrize("names", ["file,class", "Filename, Labels ", "VIDEO,label", "path,LABEL"])
def test_other_names_of_the_columns(tmp_path: Path, names: str) -> None:
    (item,) = read_dataset(write(tmp_path / "a.csv", f"{names},start,end,group\na.mp4,x,1,2.5,g\n")).examples
    assert item == Example(tmp_path / "a.mp4", ("x",), 1.0, 2.5, None, "g", "a.mp4")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_cells_are_parted_by_what_the_header_has(tmp_path: Path, mark: str) -> None:
    text = "path,label,split\na.mp4,x,val\nb.mp4,y,\n".replace(",", mark)
    dataset = read_dataset(write(tmp_path / "a.csv", text))
    assert [(item.path.name, item.label, item.split) for item in dataset] == [
        ("a.mp4", "x", "validation"),
        ("b.mp4", "y", None),
    ]


def test_a_comma_goes_before_a_semicolon_in_the_header(tmp_path: Path) -> None:
    (item,) = read_dataset(write(tmp_path / "a.csv", "path,label,a;b\na;1.mp4,x,\n")).examples
    assert item.path.name == "a;1.mp4"


def test_a_column_that_comes_twice_is_refused_and_rows_are_counted_from_the_header(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="given twice"):
        read_dataset(write(tmp_path / "a.csv", "path,file,label\na,b,x\n"))
    with pytest.raises(DatasetError, match="row 4: has 1 cells, but the header has 2 columns"):
        read_dataset(write(tmp_path / "a.csv", "path,label\na,x\n\nb\n"))


def test_annotations_of_a_video_are_counted_from_one(tmp_path: Path) -> None:
    content = {"database": {"v": {"annotations": [{"label": "x", "segment": [0, 1]}, 5]}}}
    with pytest.raises(DatasetError, match="annotation 2: must be an object"):
        read_dataset(write(tmp_path / "activitynet.json", content))


def test_formats_that_hold_the_videos_and_take_a_way_to_put_them_there(tmp_path: Path) -> None:
    assert {name for name in FORMATS if find_format(name).holds_videos} == {"folders", "dataloop", "videofolder"}
    touch(tmp_path, "a.mp4")
    dataset = Dataset((Example(tmp_path / "a.mp4", ("x",)),), ("x",), tmp_path)
    export_dataset(dataset, tmp_path / "out", "folders", media="link")
    assert [path.is_symlink() for path in (tmp_path / "out").rglob("a*.mp4")] == [True]

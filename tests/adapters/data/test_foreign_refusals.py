"""What label files of other tools may not hold, and what their formats cannot: each is refused by its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dataset_files import touch, write

from adapters.data import Dataset, Example, ReadOptions, export_dataset, read_dataset
from adapters.errors import DatasetError

VIA_HEAD = '# ATTRIBUTE = {"1": {"aname": "LABEL", "options": {"0": "x"}}}\n'
VIA_ROW = 'm1,"[""a.mp4""]",0,"[1,2]","[]","{""1"":""0""}"\n'
DATUMARO = {"categories": {"label": {"labels": [{"name": "x"}]}}}
ELAN = (
    '<ANNOTATION_DOCUMENT><HEADER><MEDIA_DESCRIPTOR MEDIA_URL="file:///a.mp4"/></HEADER><TIME_ORDER>'
    '<TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="1000"/>'
    '<TIME_SLOT TIME_SLOT_ID="t3" TIME_VALUE="2500"/></TIME_ORDER><TIER TIER_ID="tier">{}</TIER></ANNOTATION_DOCUMENT>'
)


def annotation(first: str, last: str, value: str = "x") -> str:
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a" TIME_SLOT_REF1="{first}" TIME_SLOT_REF2="{last}">'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
    )


def via(**changes: Any) -> dict[str, Any]:
    """A VIA project of one segment, some of whose entry's keys are changed; None leaves a key out."""
    entry = {"vid": "1", "z": [1, 2], "xy": [], "av": {"1": "0"}} | changes
    return {
        "attribute": {"1": {"options": {"0": "x"}}},
        "file": {"1": {"fname": "a.mp4"}},
        "view": {"1": {"fid_list": ["1"]}},
        "metadata": {"m1": {key: value for key, value in entry.items() if value is not None}},
    }


WRONG: dict[str, tuple[str, str, Any, str]] = {
    "via: not a project": ("via", "a.json", {"file": {}}, "a.json: must be a project of VIA 3"),
    "via: a view that is not there": ("via", "a.json", via(vid="9"), "metadata 'm1': refers to '9'"),
    "via: no times": ("via", "a.json", via(z=None), "metadata 'm1': refers to 'z'"),
    "via: times of another kind": ("via", "a.json", via(z=5), "metadata 'm1': must name files, times and values"),
    "via: three times": ("via", "a.json", via(z=[1, 2, 3]), "metadata 'm1': must have a start and an end"),
    "via: a time in words": ("via", "a.json", via(z=[1, "2"]), "metadata 'm1': must have a start and an end"),
    "via: yes for a time": ("via", "a.json", via(z=[True, 2]), "metadata 'm1': must have a start and an end"),
    "via: attributes": ("via", "a.csv", "# ATTRIBUTE = []\n" + VIA_ROW, "attributes must be an object"),
    "via: cells": (
        "via",
        "a.csv",
        VIA_HEAD + VIA_ROW + "m2,[]\n",
        "row 2 after the comments: has 2 cells; VIA writes 6",
    ),
    "kinetics: not an object": ("kinetics_json", "a.json", [], "a.json: must be an object of videos"),
    "kinetics: a label of numbers": (
        *("kinetics_json", "a.json", {"v": {"annotations": {"label": "x"}}, "w": {"annotations": {"label": 5}}}),
        "video 'w': annotations must be an object with label",
    ),
    "kinetics: no annotations": (
        *("kinetics_json", "a.json", {"v": {"annotations": {"label": "x"}}, "w": {}}),
        "video 'w': annotations must be an object with label",
    ),
    "kinetics: one time": (
        *("kinetics_json", "a.json", {"v": {"annotations": {"label": "x", "segment": [1]}}}),
        "video 'v': segment must be a start and an end in seconds",
    ),
    "kinetics: a negative time": (
        *("kinetics_json", "a.json", {"v": {"annotations": {"label": "x", "segment": [-1, 2]}}}),
        "video 'v': segment must be a start and an end in seconds",
    ),
    "kinetics: from the end on": (
        *("kinetics_json", "a.json", {"v": {"duration": 5, "annotations": {"label": "x", "segment": [5, 6]}}}),
        "video 'v': starts at 5 s, but the video lasts 5 s",
    ),
    "fiftyone: not labels": ("fiftyone", "a.json", {"labels": []}, "must be an object with classes and labels"),
    "fiftyone: one time": (
        *("fiftyone", "a.json", {"classes": ["x"], "labels": {"v": {"label": 0, "timestamps": [1]}}}),
        "video 'v', detection 1: timestamps must be two numbers",
    ),
    "fiftyone: frames in part": (
        *("fiftyone", "a.json", {"classes": ["x"], "labels": {"v": [{"label": 0}, {"label": 0, "support": [1, 2.5]}]}}),
        "video 'v', detection 2: support must be two numbers",
    ),
    "fiftyone: frame 0": (
        *("fiftyone", "a.json", {"classes": ["x"], "labels": {"v": {"label": 0, "support": [0, 5]}}}),
        "support must be two frames counted from 1",
    ),
    "fiftyone: frames backwards": (
        *("fiftyone", "a.json", {"classes": ["x"], "labels": {"v": {"label": 0, "support": [6, 5]}}}),
        "support must be two frames counted from 1",
    ),
    "fiftyone: a class past the last": (
        *("fiftyone", "a.json", {"classes": ["x"], "labels": {"v": {"label": 1}}}),
        "detection 1: must have a label",
    ),
    "datumaro: not items": ("datumaro", "a.json", {"items": []}, "must be an object with categories and items"),
    "datumaro: an item of words": ("datumaro", "a.json", DATUMARO | {"items": ["a"]}, "item 1: must be an object"),
    "datumaro: no names": (
        *("datumaro", "a.json", {"categories": {"label": {"labels": [{}]}}, "items": []}),
        "categories must have label with labels, each with a name",
    ),
    "activitynet: no database": ("activitynet", "a.json", {}, "must be an object with the object database"),
    "ucf101: no list": ("ucf101", "list.txt", "x/a.avi 1\n", "has no trainlist01.txt and testlist01.txt"),
    "ucf101: no folder": (
        "ucf101",
        "trainlist01.txt",
        "x/a.avi 1\nb.avi\n",
        "line 2: must be a class folder and a video",
    ),
    "hmdb51: another name": ("hmdb51", "wave.txt", "a.avi 1\n", "has no files such as wave_test_split1.txt"),
    "hmdb51: a mark of 3": (
        "hmdb51",
        "w_test_split1.txt",
        "a.avi 1\nb.avi 3\n",
        "line 2: must be a video and 0, 1 or 2",
    ),
    "mmaction: no number": ("mmaction_videos", "train.txt", "a.mp4 0\nb.mp4\n", "line 2: must be a path and a class"),
    "elan: another root": ("elan", "a.eaf", "<annotations/>", "must be XML with ANNOTATION_DOCUMENT and HEADER"),
    "elan: no header": ("elan", "a.eaf", "<ANNOTATION_DOCUMENT/>", "must be XML with ANNOTATION_DOCUMENT and HEADER"),
    "elan: a slot that is not there": (
        "elan",
        "a.eaf",
        ELAN.format(annotation("t1", "t9")),
        "line 1: refers to a time slot",
    ),
    "cvat: another root": ("cvat", "a.xml", "<labels/>", "must be XML with the element annotations, got 'labels'"),
    "cvat: an unknown encoding": ("cvat", "a.xml", '<?xml version="1.0" encoding="nope"?><a/>', "is not valid XML"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_entry_is_refused_by_its_place(case: str, tmp_path: Path) -> None:
    format, name, content, words = WRONG[case]
    path = write(tmp_path / name, content)
    with pytest.raises(DatasetError) as error:
        read_dataset(path, format=format)
    assert words in str(error.value)
    assert name in str(error.value)


def test_a_class_that_the_list_of_classes_lacks_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "classInd.txt", "1 x\n2 y\n")
    write(tmp_path / "trainlist01.txt", "x/a.avi 1\nz/b.avi 2\n")
    with pytest.raises(DatasetError, match=r"trainlist01\.txt, line 2: the class 'z' is not in classInd\.txt"):
        read_dataset(tmp_path, format="ucf101")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metadata.csv", "file_name,label\na.mp4,x\nb.mp4\n", "row 3: has a different number of cells than the header"),
        ("metadata.csv", 'file_name,label\na.mp4,"x\n', "metadata.csv: is not CSV"),
        ("metadata.jsonl", '{"file_name": "a.mp4", "label": "x"}\n[]\n', "line 2: must be a JSON object"),
        ("other.csv", "file_name,label\n", "has no metadata"),
    ],
)
def test_metadata_of_a_folder_is_refused_by_its_row(name: str, content: str, words: str, tmp_path: Path) -> None:
    write(tmp_path / name, content)
    with pytest.raises(DatasetError) as error:
        read_dataset(tmp_path, format="videofolder")
    assert words in str(error.value)


# What is left out, and what a file means


def test_what_is_not_a_clip_is_left_out_and_counted(tmp_path: Path) -> None:
    kinetics = {
        "a": {"duration": 5, "annotations": {"label": "x", "segment": [1, 6]}},
        "b": {"annotations": {}},
        "c": {"duration": 5, "annotations": {"label": "x", "segment": [None, 4]}},
    }
    made = read_dataset(write(tmp_path / "k.json", kinetics), format="kinetics_json")
    assert [(item.start_seconds, item.end_seconds) for item in made.examples] == [(1, 5), (None, 4)]
    words = " ".join(made.notes)
    assert "1 videos without a label" in words
    assert "video 'b'" in words
    assert "1 ends after the end of their video" in words
    elan = ELAN.format(annotation("t1", "t2") + annotation("t1", "t3", "y"))
    made = read_dataset(write(tmp_path / "a.eaf", elan), format="elan")
    assert [(item.label, item.start_seconds, item.end_seconds) for item in made.examples] == [("y", 1, 2.5)]
    assert "left out: 1 annotations without a duration" in " ".join(made.notes)


def test_a_csv_of_via_may_have_empty_rows_and_views_of_several_files(tmp_path: Path) -> None:
    several = VIA_ROW.replace('[""a.mp4""]', '[""a.mp4"",""b.mp4""]')
    made = read_dataset(write(tmp_path / "a.csv", VIA_HEAD + "\n" + VIA_ROW + several), format="via")
    assert [(item.label, item.start_seconds, item.end_seconds) for item in made.examples] == [("x", 1, 2)]
    assert "1 segments of views of several files (row 3 after the comments)" in " ".join(made.notes)


def test_other_splits_of_a_folder_are_mentioned(tmp_path: Path) -> None:
    for name in ("trainlist01.txt", "testlist01.txt", "trainlist02.txt"):
        write(tmp_path / name, "x/a.avi\n")
    made = read_dataset(tmp_path, format="ucf101")
    assert "split 1 was read; to read another split, give its list" in " ".join(made.notes)
    (tmp_path / "trainlist02.txt").unlink()
    assert "another split" not in " ".join(read_dataset(tmp_path, format="ucf101").notes)


# Writing


def clip(path: Path, label: str = "x", start: float | None = None, end: float | None = None, **more: Any) -> Example:
    return Example(path, (label,), start, end, **more)


def dataset(root: Path, *clips: Example) -> Dataset:
    labels = tuple(dict.fromkeys(label for item in clips for label in item.labels))
    return Dataset(clips, labels, root)


def unwritable(root: Path) -> dict[str, tuple[str, Dataset, str]]:
    good, spaced = root / "x" / "a.mp4", root / "x" / "a b.mp4"
    return {
        "ucf101: a class of two words": (
            "ucf101",
            dataset(root, clip(good, "x y", split="train")),
            "class 'x y' cannot",
        ),
        "ucf101: a third split": ("ucf101", dataset(root, clip(good, split="validation")), "of validation"),
        "ucf101: no split": ("ucf101", dataset(root, clip(good)), "splits train and test, and this clip is of None"),
        "ucf101: another folder": (
            "ucf101",
            dataset(root, clip(good, "y", split="test")),
            "in a folder of its class 'y'",
        ),
        "ucf101: a space": ("ucf101", dataset(root, clip(spaced, split="test")), "without spaces in its name"),
        "ucf101: a range": ("ucf101", dataset(root, clip(good, "x", 1, 2, split="test")), "has a range"),
        "hmdb51: a hidden class": ("hmdb51", dataset(root, clip(good, ".x", split="train")), "class '.x' cannot"),
        "hmdb51: a third split": ("hmdb51", dataset(root, clip(good, split="validation")), "clip is in validation"),
        "hmdb51: another folder": (
            "hmdb51",
            dataset(root, clip(good, "y", split="test")),
            "in a folder of its class 'y'",
        ),
        "hmdb51: a space": ("hmdb51", dataset(root, clip(spaced, split="test")), "without spaces in its name"),
        "mmaction: a class with a number": ("mmaction_videos", dataset(root, clip(good, "1 x")), "class '1 x' cannot"),
        "mmaction: a space": ("mmaction_videos", dataset(root, clip(spaced)), "its path has spaces"),
        "mmaction: no frames": ("mmaction_rawframes", dataset(root, clip(good)), "has no extracted frames"),
        "via: no end": ("via", dataset(root, clip(good, "x", 1)), "a clip from 1 s needs an end"),
        "fiftyone: no end": ("fiftyone", dataset(root, clip(good, "x", 1)), "a clip from 1 s needs an end"),
        "elan: no end": ("elan", dataset(root, clip(good, "x", 1)), "has no end, which an .eaf needs"),
        "elan: two videos": ("elan", dataset(root, clip(good, "x", 1, 2), clip(spaced, "x", 1, 2)), "dataset has 2"),
        "kinetics_json: two clips": (
            *("kinetics_json", dataset(root, clip(good, "x", 1, 2), clip(good, "x", 3, 4))),
            "its video has several clips",
        ),
        "kinetics: a label like a list": (
            "kinetics_csv",
            dataset(root, clip(good, "[x")),
            "label '[x' cannot be written",
        ),
        "videofolder: some splits": (
            *("videofolder", dataset(root, clip(good, split="train"), clip(spaced))),
            "some clips have a split and others do not",
        ),
        "webdataset: no video": ("webdataset", dataset(root, clip(root / "x" / "gone.mp4")), "gone.mp4"),
    }


@pytest.mark.parametrize("case", unwritable(Path("/")))
def test_what_a_format_cannot_hold_is_refused_and_nothing_is_written(case: str, tmp_path: Path) -> None:
    touch(tmp_path, "x/a.mp4", "x/a b.mp4")
    format, given, words = unwritable(tmp_path)[case]
    target = tmp_path / "made" / "train.txt"
    with pytest.raises(DatasetError) as error:
        export_dataset(given, target, format)
    assert words in str(error.value)
    assert not [path for path in target.parent.rglob("*") if path.is_file()]


def test_a_cut_of_kinetics_gets_its_id_and_times_back(tmp_path: Path) -> None:
    touch(tmp_path, "abc_000010_000020.mp4", "plain.mp4")
    given = dataset(
        tmp_path,
        clip(tmp_path / "abc_000010_000020.mp4", split="validation"),
        clip(tmp_path / "plain.mp4", "y", 1.0, 2.5, split="train"),
    )
    rows = export_dataset(given, tmp_path / "k.csv", "kinetics_csv").read_text().splitlines()
    assert rows[1:] == ["x,abc,10,20,validate", "y,plain,1,2.5,train"]


def test_datumaro_keeps_what_is_known_of_a_clip_and_nothing_else(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    given = dataset(
        tmp_path,
        clip(tmp_path / "a.mp4", split="train", group="tape 1", source="camera"),
        clip(tmp_path / "b.mp4", "y", split="test"),
    )
    items = json.loads(export_dataset(given, tmp_path / "a.json", "datumaro").read_text())["items"]
    assert items[0]["attr"] == {"split": "train", "group": "tape 1", "source": "camera"}
    assert items[1]["attr"]["split"] == "test"
    assert None not in items[1]["attr"].values()
    again = read_dataset(tmp_path / "a.json")
    assert [(item.split, item.group, item.source) for item in again.examples[:1]] == [("train", "tape 1", "camera")]


def test_frames_without_a_rate_in_the_file_take_the_callers(tmp_path: Path) -> None:
    content = {"classes": ["x"], "labels": {"v": {"label": 0, "support": [1, 20]}}}
    made = read_dataset(write(tmp_path / "a.json", content), format="fiftyone", options=ReadOptions(frame_rate=10))
    assert [(item.start_seconds, item.end_seconds) for item in made.examples] == [(0, 2)]
    assert json.loads((tmp_path / "a.json").read_text()) == content

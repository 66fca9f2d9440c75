"""Label files as their tools publish them, in the corners that people meet: several tasks, tiers, boxes, extensions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dataset_files import touch, write
from test_foreign_formats import choice, facts, tar

from adapters.data import ReadOptions, export_dataset, read_dataset
from adapters.errors import DatasetError

CVAT_PROJECT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><project><id>7</id><name>p</name><tasks>
<task><id>11</id><name>a</name><subset>Train</subset><frame_filter>step=5</frame_filter><source>a.mp4</source></task>
<task><id>12</id><name>b</name><subset>Validation</subset><frame_filter></frame_filter><source>b.mp4</source></task>
</tasks><labels><label><name>ad</name></label><label><name>never</name></label></labels></project></meta>
<track id="0" label="ad" task_id="11" subset="Train" source="manual">
<box frame="10" keyframe="1" outside="0" xtl="0" ytl="0" xbr="9" ybr="9"><attribute name="x">y</attribute></box>
<box frame="20" keyframe="1" outside="0" xtl="0" ytl="0" xbr="9" ybr="9"></box></track>
<track id="1" label="ad" task_id="12" source="manual">
<polygon frame="0" keyframe="1" outside="0" points="1,1;2,2;3,3"></polygon>
<polygon frame="30" keyframe="1" outside="1" points="1,1;2,2;3,3"></polygon></track>
</annotations>"""


def test_a_cvat_project_names_the_video_of_each_track_by_its_task(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    made = read_dataset(write(tmp_path / "annotations.xml", CVAT_PROJECT), options=ReadOptions(frame_rate=10))
    assert facts(made) == [("a.mp4", ("ad",), 1, 2.5, "train"), ("b.mp4", ("ad",), 0, 3, "validation")]
    assert made.labels == ("ad", "never")
    unnamed = CVAT_PROJECT.replace("<source>b.mp4</source>", "")
    with pytest.raises(DatasetError, match="does not say which video"):
        read_dataset(write(tmp_path / "annotations.xml", unnamed), options=ReadOptions(frame_rate=10))


def via(*entries: dict[str, Any]) -> dict[str, Any]:
    boxes = {"aname": "what", "type": 2, "options": {"0": "dog", "1": "cat", "2": "a,b"}}
    return {
        "project": {"pid": "x"},
        "config": {},
        "attribute": {"1": boxes, "2": {"aname": "free", "type": 1, "options": {}}},
        "file": {"1": {"fid": "1", "fname": "a.mp4", "type": 4, "loc": 1, "src": ""}},
        "view": {"1": {"fid_list": ["1"]}},
        "metadata": {f"1_{number}": {"vid": "1", "flg": 0, "xy": [], **entry} for number, entry in enumerate(entries)},
    }


def test_via_checkboxes_are_several_labels_and_text_is_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    project = via(
        {"z": [1, 2.5], "av": {"1": "0,2"}},
        {"z": [3, 4], "av": {"2": "one, two"}},
        {"z": [5, 5], "av": {"1": "1"}},
        {"z": [6, 7], "av": {"1": ""}},
    )
    made = read_dataset(write(tmp_path / "via.json", project))
    assert facts(made) == [("a.mp4", ("dog", "a,b"), 1, 2.5, None), ("a.mp4", ("one, two",), 3, 4, None)]
    notes = " ".join(made.notes)
    assert "1 ranges of no length" in notes
    assert "1 segments without a value" in notes


def test_a_webdataset_with_several_extensions_takes_one_video_and_counts_the_others(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "s.tar",
        ("0001.front.mp4", b"front"),
        ("0001.back.mp4", b"back"),
        ("0001.jpg", b"still"),
        ("0001.meta.json", b'{"label": ["x", "y"], "caption": "z"}'),
        ("0002.webm", b"two"),
        ("0002.CLS", b"x\n"),
        ("0002.txt", b"a caption"),
    )
    made = read_dataset(path, options=ReadOptions(videos=tmp_path / "out"))
    assert [(item.labels, item.path.read_bytes()) for item in made] == [(("x", "y"), b"front"), (("x",), b"two")]
    assert "2 members or clips" in " ".join(made.notes)


def test_a_range_of_no_length_is_counted_and_its_file_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    labels = {"a": [{"label": "x", "timestamps": [2, 2]}, {"label": "x", "timestamps": [2, 3]}]}
    made = read_dataset(write(tmp_path / "labels.json", {"classes": ["x"], "labels": labels}))
    assert facts(made) == [("a.mp4", ("x",), 2, 3, None)]
    assert "left out: 1 ranges of no length (video 'a', detection 1)" in " ".join(made.notes)
    alone = {"classes": ["x"], "labels": {"a": [{"label": "x", "timestamps": [2, 2]}]}}
    with pytest.raises(DatasetError, match="ranges of no length"):
        read_dataset(write(tmp_path / "labels.json", json.loads(json.dumps(alone))))


def test_choices_of_pictures_in_label_studio_come_and_go(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.png")
    box = {"type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 2, "height": 2, "rectanglelabels": ["x"]}}
    tasks = [
        {"data": {"image": f"/data/upload/3/1a2b3c4d-{name}"}, "annotations": [{"result": [choice(*labels), box]}]}
        for name, labels in (("a.jpg", ("x", "y")), ("b.png", ("y",)))
    ]
    made = read_dataset(write(tmp_path / "in.json", tasks))
    assert facts(made) == [("a.jpg", ("x", "y"), None, None, None), ("b.png", ("y",), None, None, None)]
    assert all(item.is_picture for item in made)
    assert "2 labels of type 'rectanglelabels', which are not of a whole picture" in " ".join(made.notes)
    written = export_dataset(made, tmp_path / "out.json", "label_studio")
    assert json.loads(written.read_text())[0]["data"]["image"] == "a.jpg"
    assert facts(read_dataset(written)) == facts(made)

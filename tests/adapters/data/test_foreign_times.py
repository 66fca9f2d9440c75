"""Times under the names of other tools: understood in every format alike, or refused by name, and never dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from dataset_files import lines, touch, write

from adapters.data import Dataset, read_dataset
from adapters.errors import DatasetError

FORMATS = ("csv", "tsv", "jsonl", "labels_json", "coco")


def as_format(root: Path, format: str, *rows: dict[str, Any]) -> Path:
    """The same rows in a file of each format. A row has path and label; times are numbers or text."""
    if format in ("csv", "tsv"):
        names = list(dict.fromkeys(name for row in rows for name in row))
        mark = "," if format == "csv" else "\t"
        cells = [names] + [[row.get(name, "") for name in names] for row in rows]
        text = "\n".join(
            mark.join('"' + str(cell).replace('"', '""') + '"' if cell != "" else "" for cell in line) for line in cells
        )
        return write(root / f"d.{format}", text)
    if format == "jsonl":
        return lines(root / "d.jsonl", *rows)
    if format == "labels_json":
        content: dict[str, Any] = {}
        for row in rows:
            entry = {key: value for key, value in row.items() if key != "label"}
            content.setdefault(row["label"], []).append(entry)
        return write(root / "labels.json", content)
    labels = list(dict.fromkeys(row["label"] for row in rows))
    videos = list(dict.fromkeys(row["path"] for row in rows))
    annotations = [
        {
            **{key: value for key, value in row.items() if key not in ("path", "label")},
            "video_id": videos.index(row["path"]),
            "category_id": labels.index(row["label"]),
        }
        for row in rows
    ]
    content = {
        "videos": [{"id": number, "file_name": name} for number, name in enumerate(videos)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(labels)],
        "annotations": annotations,
    }
    return write(root / "coco.json", content)


def times(dataset: Dataset) -> list[tuple[float | None, float | None]]:
    return [(item.start_seconds, item.end_seconds) for item in dataset]


def video(path: Path, at: list[int], rate: int = 10) -> Path:
    """A video with a frame at each of the times, in units of 1 / rate seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number, time in enumerate(at):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 10 * number % 250, np.uint8), "rgb24")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "given",
    [
        {"start": 0.5, "end": 1},
        {"begin": 0.5, "stop": 1},
        {"time_start": 0.5, "time_end": 1},
        {"start_time": 0.5, "end_time": 1},
        {"startTime": 0.5, "endTime": 1},
        {"Start Time": 0.5, "End Time": 1},
        {"starttime": 0.5, "stoptime": 1},
        {"t0": 0.5, "t1": 1},
        {"t1": 0.5, "t2": 1},
        {"onset": 0.5, "offset": 1},
        {"in": 0.5, "out": 1},
        {"mark_in": 0.5, "mark_out": 1},
        {"in_point_ms": 500, "out_point_ms": 1000},
        {"Inpoint": 0.5, "Outpoint": 1},
        {"onset_ms": 500, "offset_ms": 1000},
        {"time_from": 0.5, "time_to": 1},
        {"scene_start": 0.5, "scene_end": 1},
        {"t_start": 0.5, "t_end": 1},
        {"start_sec": 0.5, "end_sec": 1},
        {"start (s)": 0.5, "end (s)": 1},
        {"start_ms": 500, "end_ms": 1000},
        {"begin-millis": 500, "end-millis": 1000},
        {"clip_start": 0.5, "clip_end": 1},
        {"start": 0.5, "duration": 0.5},
        {"start": 0.5, "dur": 0.5},
        {"start_ms": 500, "length_ms": 500},
        {"segment": "0.5-1"},
        {"segment": "[0.5, 1]"},
        {"timestamps": "0:00.5 --> 00:00:01,000"},
        {"start": "00:00:00.500", "end": "00:01"},
        {"start_time": "0:00,5", "end_time": "00:00:01"},
        {"start_seconds": 0.5, "start_ms": 500, "end": 1},
        {"start": 0.5, "end": 1, "duration": 0.5},
        {"start": 0.5, "end": 1, "video_duration": 7, "num_frames": 70, "annotated_time": "noon", "frame_width": 5},
    ],
    ids=lambda given: "+".join(given),
)
def test_ranges_are_understood_under_other_names(tmp_path: Path, format: str, given: dict[str, Any]) -> None:
    extra = {name for name in given if name in ("video_duration", "num_frames", "annotated_time", "frame_width")}
    if format in ("jsonl", "labels_json"):  # these have no keys beside those of a row
        given = {name: value for name, value in given.items() if name not in extra}
    path = as_format(tmp_path, format, {"path": "a.mp4", "label": "x", **given})
    assert times(read_dataset(path)) == [(0.5, 1.0)]


@pytest.mark.parametrize("format", ["jsonl", "labels_json", "coco"])
@pytest.mark.parametrize(
    "given",
    [
        {"segment": [0.5, 1]},
        {"interval": {"start": 0.5, "end": 1}},
        {"segment_ms": [500, 1000]},
        {"segments": [[0.5, 1]]},
        {"timestamps": ["0:00.5", "0:01"]},
    ],
)
def test_pairs_in_one_value(tmp_path: Path, format: str, given: dict[str, Any]) -> None:
    path = as_format(tmp_path, format, {"path": "a.mp4", "label": "x", **given})
    assert times(read_dataset(path)) == [(0.5, 1.0)]


def test_a_list_of_segments_is_a_clip_each(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", {"video": "a.mp4", "class": "x", "segments": [[0, 1], [2, 3.5]]})
    assert times(read_dataset(path)) == [(0, 1), (2, 3.5)]
    path = write(tmp_path / "d.csv", 'path,label,segments\na.mp4,x,"[[0, 1], [2, 3.5]]"\n')
    assert times(read_dataset(path)) == [(0, 1), (2, 3.5)]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "given",
    [
        {"start_second": 1, "end_second": 2},
        {"clipstarts": 1},
        {"stat_time": 1, "end": 2},
        {"t": 3},
        {"middle_frame_timestamp": 902},
        {"frame_id": 5},
        {"frame": 5},
        {"moment": 5},
        {"onset": 1},
        {"offset": 1},
        {"out": 3},
        {"start_us": 5},
        {"starting_point": 1},
        {"first_frame": 1, "last_frame": 2},
        {"duration": 3},
        {"end": 3, "duration": 1},
        {"timestamp": 5},
        {"start_idx": 1},
        {"cut_in": 1},
        {"trim_start": 1},
        {"start": "soon"},
        {"start": "1:75"},
        {"start_frame": 1.5},
        {"segment": "5"},
        {"segment": "1-2-3"},
        {"start": -1, "end": 2},
        {"start": 1, "start_ms": 2000, "end": 3},
        {"start": 1, "end": 2, "duration": 4},
        {"start": 1, "end": 2, "segment": "1-3"},
    ],
    ids=lambda given: "+".join(f"{name}={value}" for name, value in given.items()),
)
def test_what_looks_like_a_time_and_is_not_understood_is_refused_by_name(
    tmp_path: Path, format: str, given: dict[str, Any]
) -> None:
    path = as_format(tmp_path, format, {"path": "a.mp4", "label": "x", **given})
    with pytest.raises(DatasetError) as caught:
        read_dataset(path)
    assert any(name in str(caught.value) for name in (*given, "start_seconds"))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("format", ["csv", "coco"])
@pytest.mark.parametrize(
    "name",
    ["notes", "gender", "second_label", "weekend", "min_score", "iscrowd", "segment_id", "_start_frame", "fps_ok"],
)
def test_columns_that_are_no_times_pass(tmp_path: Path, format: str, name: str) -> None:
    path = as_format(tmp_path, format, {"path": "a.mp4", "label": "x", name: 1})
    assert times(read_dataset(path)) == [(None, None)]


@pytest.mark.parametrize("format", FORMATS)
def test_a_time_is_left_out_on_purpose_by_an_underscore(tmp_path: Path, format: str) -> None:
    path = as_format(tmp_path, format, {"path": "a.mp4", "label": "x", "_frame": 1, "_start": 2})
    assert times(read_dataset(path)) == [(None, None)]


# Frames


@pytest.mark.parametrize("format", FORMATS)
def test_frames_are_counted_at_the_videos_own_rate(tmp_path: Path, format: str) -> None:
    video(tmp_path / "a.mp4", list(range(20)), 10)
    video(tmp_path / "b.mp4", list(range(20)), 25)
    rows = [{"path": name, "label": name[0], "start_frame": 5, "end_frame": 10} for name in ("a.mp4", "b.mp4")]
    found = times(read_dataset(as_format(tmp_path, format, *rows)))
    assert found == [pytest.approx((0.5, 1.0)), pytest.approx((0.2, 0.4))]
    rows = [{"path": "a.mp4", "label": "a", "startFrame": 5, "duration_frames": 5}]
    assert times(read_dataset(as_format(tmp_path, format, *rows))) == [pytest.approx((0.5, 1.0))]
    rows = [{"path": "a.mp4", "label": "a", "start_frame": 5, "end_frame": 10, "fps": 5}]
    assert times(read_dataset(as_format(tmp_path, format, *rows))) == [pytest.approx((1.0, 2.0))]


def test_frames_of_a_video_without_constant_rate_have_their_own_times(tmp_path: Path) -> None:
    video(tmp_path / "a.mkv", [0, 1, 2, 10, 11, 30, 31], 10)
    path = lines(tmp_path / "d.jsonl", {"path": "a.mkv", "label": "x", "start_frame": 3, "end_frame": 5})
    assert times(read_dataset(path)) == [pytest.approx((1.0, 3.0), abs=0.01)]
    path = lines(tmp_path / "d.jsonl", {"path": "a.mkv", "label": "x", "start_frame": 3, "end_frame": 7})
    ((start, end),) = times(read_dataset(path))
    assert start == pytest.approx(1.0, abs=0.01)
    assert end is None
    path = lines(tmp_path / "d.jsonl", {"path": "a.mkv", "label": "x", "start_frame": 3, "end_frame": 9})
    with pytest.raises(DatasetError, match="7 frames"):
        read_dataset(path)


@pytest.mark.parametrize("format", FORMATS)
def test_frames_and_seconds_that_contradict_are_an_error_and_others_are_not(tmp_path: Path, format: str) -> None:
    video(tmp_path / "a.mp4", list(range(20)), 10)
    row = {"path": "a.mp4", "label": "x", "start_seconds": 0.5, "end_seconds": 1, "start_frame": 5, "end_frame": 10}
    assert times(read_dataset(as_format(tmp_path, format, row))) == [(0.5, 1.0)]
    with pytest.raises(DatasetError, match="start_frame"):
        read_dataset(as_format(tmp_path, format, {**row, "start_frame": 8}))


def test_a_row_of_frames_whose_video_cannot_be_opened_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video(tmp_path / "a.mp4", list(range(20)), 10)
    rows = [{"path": name, "label": "x", "start_frame": 5, "end_frame": 10} for name in ("a.mp4", "gone.mp4")]
    dataset = read_dataset(lines(tmp_path / "d.jsonl", *rows))
    assert [item.path.name for item in dataset] == ["a.mp4"]
    assert "line 2" in dataset.notes[0]
    assert "gone.mp4" in caplog.text
    with pytest.raises(DatasetError, match=r"gone\.mp4"):
        read_dataset(lines(tmp_path / "d.jsonl", rows[1]))


def test_times_without_a_unit_beside_frames_are_refused(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", list(range(20)), 10)
    rows = [
        {"path": "a.mp4", "label": "x", "start_frame": 5, "end_frame": 10},
        {"path": "a.mp4", "label": "y", "start": 1},
    ]
    with pytest.raises(DatasetError, match="unit"):
        read_dataset(lines(tmp_path / "d.jsonl", *rows))
    rows[1] = {"path": "a.mp4", "label": "y", "start_seconds": 1}
    assert times(read_dataset(lines(tmp_path / "d.jsonl", *rows))) == [(0.5, 1.0), (1.0, None)]


# Styles of public datasets


def test_kinetics_rows_find_the_clips_that_were_cut(tmp_path: Path) -> None:
    touch(tmp_path, "train/air drumming/-0abc_000003_000013.mp4", "val/xyz_000001_000011.mp4", "whole.mp4")
    text = (
        "label,youtube_id,time_start,time_end,split\n"
        '"air drumming",-0abc,3,13,train\nyawning,xyz,1,11,validate\nyawning,whole,2,12,test\n'
    )
    dataset = read_dataset(write(tmp_path / "kinetics.csv", text))
    assert [(item.path.name, item.split, item.start_seconds, item.end_seconds) for item in dataset] == [
        ("-0abc_000003_000013.mp4", "train", None, None),
        ("xyz_000001_000011.mp4", "validation", None, None),
        ("whole.mp4", "test", 2.0, 12.0),
    ]


def test_an_id_that_several_files_have_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "x/abc.mp4", "y/abc.mp4")
    dataset = read_dataset(write(tmp_path / "d.csv", "video_id,label\nabc,x\n"))
    assert dataset.examples[0].path == tmp_path / "x" / "abc.mp4"
    with pytest.raises(DatasetError, match="abc"):
        read_dataset(write(tmp_path / "d.csv", "video_id,label\nabc,z\n"))


def test_activitynet(tmp_path: Path) -> None:
    touch(tmp_path, "videos/v_one.mp4", "two.mkv")
    content = {
        "version": "1.3",
        "database": {
            "one": {
                "duration": 12.5,
                "subset": "training",
                "resolution": "1x1",
                "url": "https://example.org/one",
                "annotations": [{"segment": [1.5, 4], "label": "x"}, {"segment": [1.5, 4], "label": "y"}],
            },
            "two": {"subset": "validation", "annotations": [{"segment": [0, 2], "label": "x"}]},
            "three": {"subset": "testing", "annotations": []},
        },
    }
    dataset = read_dataset(write(tmp_path / "activity_net.json", content))
    assert [(item.path.name, item.labels, item.start_seconds, item.end_seconds, item.split) for item in dataset] == [
        ("v_one.mp4", ("x", "y"), 1.5, 4.0, "train"),
        ("two.mkv", ("x",), 0.0, 2.0, "validation"),
    ]
    content["database"]["two"]["annotations"][0]["tstrt"] = 1  # type: ignore[index]
    content["database"]["two"]["clip_start"] = 1  # type: ignore[index]
    with pytest.raises(DatasetError, match="clip_start"):
        read_dataset(write(tmp_path / "activity_net.json", content))


@pytest.mark.parametrize("name", ["start", "segment", "clip_start"])
def test_ranges_of_coco_videos_are_refused(tmp_path: Path, name: str) -> None:
    path = as_format(tmp_path, "coco", {"path": "a.mp4", "label": "x"})
    content = json.loads(path.read_text())
    content["videos"][0] |= {"duration": 3, "width": 5, "fps": 25}
    assert times(read_dataset(write(path, content))) == [(None, None)]
    content["videos"][0][name] = [1, 2] if name == "segment" else 1
    with pytest.raises(DatasetError, match=name):
        read_dataset(write(path, content))


def test_annotations_of_coco_share_what_their_video_says(tmp_path: Path) -> None:
    path = as_format(tmp_path, "coco", *({"path": "a.mp4", "label": label, "start_frame": 5} for label in "xy"))
    content = json.loads(path.read_text())
    content["videos"][0] |= {"subset": "val", "fps": 10, "source": "tape"}
    content["annotations"][1] |= {"partition": "test", "source": None}
    found = [(item.split, item.start_seconds, item.source) for item in read_dataset(write(path, content))]
    assert found == [("validation", 0.5, "tape"), ("test", 0.5, "tape")]


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (("file_name", "class"), {}),
        (("video_path", "category"), {}),
        (("filename", "action"), {"video_id": "q"}),
        (("Video", "Tag"), {"id": 5}),
        (("clip", "label"), {"category": "sport", "url": "https://example.org"}),
        (("path", "label"), {"action": "other", "clip": "c7", "name": "n"}),
    ],
)
def test_other_names_of_path_and_label(tmp_path: Path, names: tuple[str, str], values: dict[str, Any]) -> None:
    row = {names[0]: "a.mp4", names[1]: "x", **values, "subset": "val_256"}
    for path in (as_format(tmp_path, "csv", row), as_format(tmp_path, "tsv", row)):
        (item,) = read_dataset(path).examples
        assert (item.path, item.labels, item.split) == (tmp_path / "a.mp4", ("x",), "validation")


def test_two_names_of_one_key_may_not_differ(tmp_path: Path) -> None:
    (item,) = read_dataset(lines(tmp_path / "d.jsonl", {"path": "a.mp4", "file": "a.mp4", "label": "x"})).examples
    assert item.path.name == "a.mp4"
    with pytest.raises(DatasetError, match="file"):
        read_dataset(lines(tmp_path / "d.jsonl", {"path": "a.mp4", "file": "b.mp4", "label": "x"}))


def test_urls_are_called_urls(tmp_path: Path) -> None:
    for path in ("https://example.org/a.mp4", "s3://bucket/a.mp4", "file:///a.mp4"):
        with pytest.raises(DatasetError, match="URL"):
            read_dataset(lines(tmp_path / "d.jsonl", {"path": path, "label": "x"}))
    with pytest.raises(DatasetError, match="URL"):
        read_dataset("https://example.org/labels.json")


# The shared cases


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("kinetics_path.csv", [(0.0, 1.0), (0.0, 1.0)]),
        ("start_time.csv", [(0.5, 1.0), (0.5, 1.0)]),
        ("start_frame.csv", [(5 / 30, 10 / 30), (0.5, 1.0)]),
        ("begin.csv", [(0.5, 1.0), (0.5, 1.0)]),
        ("t0.csv", [(0.5, 1.0), (0.5, 1.0)]),
        ("dur.csv", [(0.5, 1.0), (0.5, 1.0)]),
    ],
)
def test_the_tables_of_the_cases_are_understood(shared: Path, name: str, right: list[tuple[float, float]]) -> None:
    found = read_dataset(shared / "cases" / "data" / name)
    assert times(found) == [pytest.approx(pair) for pair in right]
    if name == "kinetics_path.csv":
        assert [item.split for item in found] == ["train", "validation"]


def test_the_coco_of_the_cases_is_an_error(shared: Path) -> None:
    with pytest.raises(DatasetError, match="annotation"):
        read_dataset(shared / "cases" / "data" / "coco_unknown_range_keys.json")

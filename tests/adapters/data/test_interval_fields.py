"""Every field of an interval in the formats that hold it: under which names it is read, its bounds, what is said."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from dataset_files import write

from adapters.data import Interval, IntervalFile, read_intervals, write_intervals
from adapters.data.formats.intervals import format_of_suffix, is_interval_file, lost_in
from adapters.errors import DatasetError

FULL = Interval("promo", 1.25, 7.5, 0.75, "why")
BARE = Interval("ad", 10.0, 12.0)


def rows(found: IntervalFile) -> list[tuple[Any, ...]]:
    return [(item.label, item.start_seconds, item.end_seconds, item.score, item.note) for item in found.intervals]


def read(tmp_path: Path, name: str, content: Any, **options: Any) -> IntervalFile:
    return read_intervals(write(tmp_path / name, content), **options)


# One interval


@pytest.mark.parametrize(
    "values",
    [
        ("a", 0, 0),  # a moment at the start
        ("a" * 1000, 0, 1),
        ("a", 2.5, 2.5),
        ("a", 0, 1, 0),
        ("a", 0, 1, 1),
    ],
)
def test_an_interval_at_its_bounds_is_allowed(values: tuple[Any, ...]) -> None:
    made = Interval(*values)
    assert (made.label, made.start_seconds, made.end_seconds) == values[:3]


@pytest.mark.parametrize(
    "values, term",
    [
        (("   ", 0, 1), "label"),
        ((None, 0, 1), "label"),
        (("a" * 1001, 0, 1), "label.*1000"),
        (("a", True, 2), "start_seconds.*True"),
        (("a", "1", 2), "start_seconds.*'1'"),
        (("a", -0.001, 2), "start_seconds.*-0.001"),
        (("a", 0, math.inf), "end_seconds.*inf"),
        (("a", 3, 2.5), "2.5 s.*3 s"),
        (("a", 0, 1, 1.001), "score.*1.001"),
        (("a", 0, 1, -0.001), "score.*-0.001"),
    ],
)
def test_an_interval_beyond_a_bound_is_refused_with_what_was_received(values: tuple[Any, ...], term: str) -> None:
    with pytest.raises(DatasetError, match=term):
        Interval(*values)


# What the caller gives


@pytest.mark.parametrize("name", ["frame_rate", "duration_seconds"])
@pytest.mark.parametrize("value", [0, -1, 1e9, math.nan, math.inf])
def test_a_rate_or_length_out_of_range_is_refused_by_name(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(DatasetError, match=f"{name} must be above 0"):
        read(tmp_path, "a.edl", "1 2 3\n", **{name: value})


def test_the_rate_of_the_caller_and_of_a_header_are_in_the_result(tmp_path: Path) -> None:
    assert read(tmp_path, "a.edl", "#1 #2 3\n", frame_rate=0.5).frame_rate == 0.5
    header = "FILE PROCESSING COMPLETE 900 FRAMES AT 2500\n1\t26\n"
    assert read(tmp_path, "a.txt", header).frame_rate == 25
    assert read(tmp_path, "a.txt", header, frame_rate=50).frame_rate == 50
    assert read(tmp_path, "a.edl", "1 2 3\n").frame_rate is None


def test_intervals_are_of_the_file_of_the_video_or_of_the_one_that_is_named(tmp_path: Path) -> None:
    assert list(read(tmp_path, "show.edl", "1 2 3\n").videos) == ["show"]
    assert list(read(tmp_path, "show.edl", "1 2 3\n", video="other.mp4").videos) == ["other.mp4"]


def test_they_come_in_order_of_start_and_then_of_end(tmp_path: Path) -> None:
    found = read(tmp_path, "a.edl", "5 9 3\n1 4 3\n5 6 0\n1 2 0\n")
    assert [(item.start_seconds, item.end_seconds) for item in found.intervals] == [(1, 2), (1, 4), (5, 6), (5, 9)]


@pytest.mark.parametrize(
    "end, kept, shortened",
    [(9.999, 9.999, False), (10, 10, False), (10.001, 10, True)],
)
def test_only_what_ends_after_the_video_is_shortened(tmp_path: Path, end: float, kept: float, shortened: bool) -> None:
    item = {"start": 9, "end": end, "label": "x", "score": 0.5, "note": "n"}
    found = read(tmp_path, "a.json", [item], duration_seconds=10)
    assert rows(found) == [("x", 9, kept, 0.5, "n")]
    assert any("shortened" in note for note in found.notes) is shortened


def test_what_starts_at_the_end_of_the_video_is_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, "a.edl", "9.5 10 3\n10 11 3\n12 13 3\n", duration_seconds=10)
    assert [item.start_seconds for item in found.intervals] == [9.5]
    assert found.left_out == 2
    assert "left out: 2 entries that start at or after the end of the video, which lasts 10 s (line 2 first)" in (
        found.notes
    )


def test_an_empty_range_is_left_out_and_said_with_its_line(tmp_path: Path) -> None:
    found = read(tmp_path, "a.edl", "1 2 3\n4 4 3\n")
    assert (len(found.intervals), found.left_out) == (1, 1)
    assert "left out: 1 entry that has no length (line 2)" in found.notes


# CSV


@pytest.mark.parametrize("name", ["score", "Confidence", "probability"])
@pytest.mark.parametrize("remark", ["note", "notes", "comment", "Remark", "description"])
def test_a_score_and_a_note_are_read_under_each_name(tmp_path: Path, name: str, remark: str) -> None:
    found = read(tmp_path, "a.csv", f"start,end,label,{name},{remark}\n1,2,x,0.25,because\n3,4,y,,\n")
    assert rows(found) == [("x", 1, 2, 0.25, "because"), ("y", 3, 4, None, None)]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_cells_are_parted_by_the_mark_of_the_first_line(tmp_path: Path, mark: str) -> None:
    text = "\n".join(mark.join(row) for row in (("start", "end", "label"), ("1", "2", "x"), ("", "", "")))
    assert rows(read(tmp_path, "a.csv", text)) == [("x", 1, 2, None, None)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1,2\n", ("ad", 1, 2, None, None)),
        ("1,2,x\n", ("x", 1, 2, None, None)),
        ("1,2,x,0.5\n", ("x", 1, 2, 0.5, None)),
        ("1,2,x,0.5,n\n", ("x", 1, 2, 0.5, "n")),
        ("0:01,0:02,x\n", ("x", 1, 2, None, None)),
    ],
)
def test_rows_without_a_header_are_start_end_label_score_and_note(
    tmp_path: Path, text: str, expected: tuple[Any, ...]
) -> None:
    found = read(tmp_path, "a.csv", text)
    assert rows(found) == [expected]
    assert any("no header" in note for note in found.notes)
    headed = read(tmp_path, "a.csv", "start,end\n1,2\n")
    assert not any("no header" in note for note in headed.notes)


@pytest.mark.parametrize(
    "text, term",
    [
        ("start,end,label\n1,2,x\n3,4\n", "row 3.*2 cells; 3"),
        ("1,2,x\n3,4\n", "row 2.*2 cells; 3"),
        ("start,label\n1,x\n", "row 2.*start and an end"),
        ("start,end,label,score\n1,2,x,high\n", "row 2.*score.*'high'"),
        ("start,end,label,score\n1,2,x,-0.1\n", "row 2.*score.*'-0.1'"),
        ("start,end,label,score\n1,2,x,nan\n", "row 2.*score"),
        ("start_frame,end_frame,label\n1,2,x\n", "row 2.*frame rate is unknown"),
        ('start,end,label\n1,2,"x\n', "is not CSV"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path: Path, text: str, term: str) -> None:
    with pytest.raises(DatasetError, match=f"a.csv.*{term}"):
        read(tmp_path, "a.csv", text)


def test_a_row_gives_its_video_and_its_rate(tmp_path: Path) -> None:
    text = "video,start_frame,end_frame,label,fps\na.mp4,10,20,x,10\nb.mp4,10,20,y,5\n"
    found = read(tmp_path, "a.csv", text, frame_rate=1)
    assert {name: [(i.start_seconds, i.end_seconds) for i in items] for name, items in found.videos.items()} == {
        "a.mp4": [(1, 2)],
        "b.mp4": [(2, 4)],
    }


def test_a_file_that_only_names_other_columns_is_no_file_of_intervals(tmp_path: Path) -> None:
    assert is_interval_file(write(tmp_path / "a.csv", "start,end\n1,2\n"))
    assert is_interval_file(write(tmp_path / "b.csv", "segment,label\n1-2,x\n"))
    assert is_interval_file(write(tmp_path / "c.csv", "1,2\n"))
    for text in ("path,label\na.mp4,x\n", "1\n", "", "end,label\n2,x\n"):
        assert not is_interval_file(write(tmp_path / "d.csv", text)), text


# JSON


@pytest.mark.parametrize("key", ["intervals", "segments", "breaks"])
@pytest.mark.parametrize("named", ["video", "path"])
def test_objects_list_intervals_of_a_named_video(tmp_path: Path, key: str, named: str) -> None:
    item = {"start": 1, "end": 2, "label": ["x"], "score": 1, "note": "n"}
    found = read(tmp_path, "a.json", [{named: "v.mp4", key: [item]}, {key: []}])
    assert list(found.videos) == ["v.mp4"]
    assert rows(found) == [("x", 1, 2, 1, "n")]
    assert rows(read(tmp_path, "a.json", {named: "v.mp4", key: [item]})) == [("x", 1, 2, 1, "n")]
    both = read(tmp_path, "a.json", [{"path": "p.mp4", "video": "v.mp4", key: [item]}])
    assert list(both.videos) == ["v.mp4"]


def own(*videos: Any, version: Any = 1) -> dict[str, Any]:
    return {"format": "cliplab-intervals", "version": version, "videos": list(videos)}


@pytest.mark.parametrize(
    "content, term",
    [
        (own(version=2), "version must be 1, got 2"),
        (own(version=None), "version must be 1, got None"),
        ({**own(), "videos": "v"}, "list of intervals, got str 'v'"),
        (own("v"), "entry 1: must be an object, got str 'v'"),
        (own({"video": 7, "intervals": [{"start": 1, "end": 2}]}), "entry 1: video must be a string, got int 7"),
        ([{"intervals": [{"start": 1, "end": 2}, 5]}], "entry 1, interval 2: must be an object"),
        ([{"intervals": [{"start": 1, "end": 2, "label": ["x", "y"]}]}], r"interval 1: label must be a string"),
        ([{"start": 1, "label": "x"}], "entry 1: needs a start and an end"),
        ([{"start": 1, "end": 2, "score": "0.5x"}], "entry 1: the score.*'0.5x'"),
    ],
)
def test_json_that_is_wrong_is_named_with_its_place(tmp_path: Path, content: Any, term: str) -> None:
    with pytest.raises(DatasetError, match=f"a.json.*{term}"):
        read(tmp_path, "a.json", content, format="interval_json")


def test_json_that_holds_no_times_is_of_no_known_format(tmp_path: Path) -> None:
    for content in ({"a": 1}, "text", 5, {"intervals": 3}):
        assert not is_interval_file(write(tmp_path / "a.json", content if content != "text" else '"text"')), content
    for content in (own(), {"breaks": []}, [{"start": 1, "end": 2}]):
        assert is_interval_file(write(tmp_path / "a.json", content)), content


# Writing


def test_json_has_each_field_under_its_name_and_none_that_is_not_known(tmp_path: Path) -> None:
    path = write_intervals(tmp_path / "a.json", {"v.mp4": [BARE, FULL], "w.mp4": [BARE]})
    first = {"label": "ad", "start_seconds": 10.0, "end_seconds": 12.0}
    full = {"label": "promo", "start_seconds": 1.25, "end_seconds": 7.5, "score": 0.75, "note": "why"}
    assert json.loads(path.read_text()) == own(
        {"video": "v.mp4", "intervals": [full, first]}, {"video": "w.mp4", "intervals": [first]}
    )


def test_csv_has_each_field_in_its_column(tmp_path: Path) -> None:
    path = write_intervals(tmp_path / "a.csv", [BARE, FULL], video="v.mp4")
    assert list(csv.DictReader(path.read_text().splitlines())) == [
        {
            "video": "v.mp4",
            "start_seconds": "1.25",
            "end_seconds": "7.5",
            "label": "promo",
            "score": "0.75",
            "note": "why",
        },
        {"video": "v.mp4", "start_seconds": "10.0", "end_seconds": "12.0", "label": "ad", "score": "", "note": ""},
    ]


def test_sponsorblock_has_the_category_the_note_and_the_length_of_the_video(tmp_path: Path) -> None:
    path = write_intervals(tmp_path / "a.json", [FULL], format="sponsorblock", video="v", duration_seconds=99.5)
    assert json.loads(path.read_text()) == [
        {
            "videoID": "v",
            "segments": [
                {
                    "category": "promo",
                    "actionType": "skip",
                    "segment": [1.25, 7.5],
                    "videoDuration": 99.5,
                    "description": "why",
                }
            ],
        }
    ]


def test_ffmetadata_counts_microseconds_and_escapes_titles(tmp_path: Path) -> None:
    path = write_intervals(tmp_path / "a.ffmeta", [Interval("a=b;c", 1.25, 7.5)])
    assert path.read_text().splitlines() == [
        ";FFMETADATA1",
        "[CHAPTER]",
        "TIMEBASE=1/1000000",
        "START=1250000",
        "END=7500000",
        r"title=a\=b\;c",
    ]


def test_chapters_have_a_start_and_an_end_on_the_clock(tmp_path: Path) -> None:
    text = write_intervals(tmp_path / "a.xml", [Interval("<x>", 3_725.25, 3_726.5)]).read_text()
    assert "<ChapterTimeStart>01:02:05.250000000</ChapterTimeStart>" in text
    assert "<ChapterTimeEnd>01:02:06.500000000</ChapterTimeEnd>" in text
    assert "<ChapterString>&lt;x&gt;</ChapterString>" in text


def test_comskip_counts_frames_from_one_and_says_rate_and_length(tmp_path: Path) -> None:
    items = [Interval("ad", 1, 2)]
    lines = write_intervals(tmp_path / "a.txt", items, frame_rate=25, duration_seconds=100).read_text().splitlines()
    assert lines == ["FILE PROCESSING COMPLETE   2500 FRAMES AT  2500", "-" * 19, "26\t51"]
    known = write_intervals(tmp_path / "b.txt", items, frame_rate=25).read_text().splitlines()
    assert known[0] == "FILE PROCESSING COMPLETE     50 FRAMES AT  2500"


def test_mythtv_has_a_list_of_cuts_and_one_of_all_others(tmp_path: Path) -> None:
    items = [Interval("ad", 1, 2), Interval("cut", 3, 4), Interval("ad", 5, 6)]
    path = write_intervals(tmp_path / "a.skiplist", items, frame_rate=10)
    assert path.read_text() == "Cutlist: 30-40\nCommercial Skip List: 10-20,50-60\n"
    assert write_intervals(tmp_path / "b.cutlist", [], frame_rate=10).read_text() == "Cutlist: \n"


@pytest.mark.parametrize(
    "name, format",
    [
        ("a.edl", "edl"), ("a.txt", "comskip"), ("a.json", "interval_json"), ("a.XML", "matroska_chapters"),
        ("a.chapters", "matroska_chapters"), ("a.ffmeta", "ffmetadata"), ("a.csv", "interval_csv"),
        ("a.tsv", "interval_csv"), ("a.cutlist", "mythtv"),
    ],
)  # fmt: skip
def test_a_suffix_says_what_is_written(name: str, format: str) -> None:
    assert format_of_suffix(name) == format


@pytest.mark.parametrize(
    "options, actions",
    [
        ({}, [0, 1, 2, 3, 3]),
        ({"default_action": 0}, [0, 1, 2, 0, 0]),
        ({"label_actions": {}}, [3, 3, 3, 3, 3]),
        ({"label_actions": {"promo": 2}, "default_action": 1}, [1, 1, 1, 1, 2]),
    ],
)
def test_an_edl_has_the_action_of_each_label(tmp_path: Path, options: dict[str, Any], actions: list[int]) -> None:
    items = [Interval(label, n, n + 1) for n, label in enumerate(("cut", "mute", "scene", "ad", "promo"))]
    path = write_intervals(tmp_path / "a.edl", items, **options)
    assert [int(line.split("\t")[2]) for line in path.read_text().splitlines()] == actions


@pytest.mark.parametrize("options", [{"default_action": 4}, {"default_action": -1}, {"label_actions": {"x": 4}}])
def test_an_action_that_is_none_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match=r"action of EDL must be 0 to 3, got (4|-1)"):
        write_intervals(tmp_path / "a.edl", [BARE], **options)


def test_what_a_format_loses_is_counted_over_all_videos() -> None:
    videos = {"v": [FULL, BARE], "w": [FULL]}
    assert lost_in("comskip", videos) == [
        "the labels 'promo': comskip can only store 'ad'",
        "the scores of 2 intervals",
        "the notes of 2 intervals",
        "times between frames, which are rounded to the nearest frame",
    ]
    assert lost_in("sponsorblock", videos) == ["the scores of 2 intervals"]
    assert lost_in("comskip", []) == []
    assert lost_in("edl", [BARE]) == []

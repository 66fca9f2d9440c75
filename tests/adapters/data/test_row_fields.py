"""Rows of label files: every way to give a time, names, rates, videos by id, and the checks of a whole dataset."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.data.checks import check_dataset, classes_without_clips, dataset_problems, summarize_dataset
from adapters.data.examples import Dataset, Example
from adapters.data.row_keys import check_names, read_row
from adapters.data.rows import make_dataset
from adapters.data.time_values import Frames, TimeRange, read_ranges
from adapters.data.video_paths import VideoFinder, cut_from
from adapters.errors import DatasetError


def _row(row: dict[str, Any], text: bool = False, extra_keys: bool = True) -> Any:
    return read_row(row, "row 3", text=text, extra_keys=extra_keys)


@pytest.mark.parametrize(
    ("row", "start", "end"),
    [
        ({"start": 1.5, "end": 4}, 1.5, 4),
        ({"start": None, "end": 4}, None, 4),
        ({"start": "", "end": ""}, None, None),
        ({"start": 2}, 2, None),
        ({"start_ms": 1500, "end_ms": 4000}, 1.5, 4.0),
        ({"start_minutes": 0.5, "end_minutes": 2}, 30.0, 120.0),
        ({"start": 1, "duration": 2.5}, 1, 3.5),
        ({"start": "1:02", "end": "1:02:03.5"}, 62.0, 3723.5),
        ({"start": "0:59,5", "end": "1:00"}, 59.5, 60.0),
        ({"segment": [1, 2]}, 1, 2),
        ({"segment": [None, 2]}, None, 2),
        ({"segment": "1.5-4"}, 1.5, 4.0),
        ({"segment": "[1.5, 4]"}, 1.5, 4.0),
        ({"segment": "0:01 --> 0:04"}, 1.0, 4.0),
        ({"segment": "1 to 4"}, 1.0, 4.0),
        ({"segment": {"start": 1, "end": 4}}, 1, 4),
        ({"segment_ms": [1000, 4000]}, 1.0, 4.0),
        ({"start_frame": 10, "end_frame": 20}, Frames(10, "start_frame"), Frames(20, "end_frame")),
        ({"start_frame": 10, "duration_frames": 5}, Frames(10, "start_frame"), Frames(15, "duration_frames")),
        ({"start": 1, "end": 4, "start_frame": 25}, 1, 4),
        ({"start": 1, "end": 4, "duration": 3.05}, 1, 4),
        ({"start_seconds": 1, "start_ms": 1040, "end": 2}, 1, 2),
        ({}, None, None),
    ],
)
def test_ways_to_give_a_range(row: dict[str, Any], start: object, end: object) -> None:
    (found,) = _row({"path": "a.mp4", **row}).ranges
    assert (found.start, found.end) == (
        pytest.approx(start) if isinstance(start, float) else start,
        pytest.approx(end) if isinstance(end, float) else end,
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([[1, 2], [3, 4]], [(1, 2), (3, 4)]),
        ("[[1, 2], [3, 4.5]]", [(1.0, 2.0), (3.0, 4.5)]),
        ("[(1, 2), (3, 4)]", [(1.0, 2.0), (3.0, 4.0)]),
        ([{"start": 1, "end": 2}, {"start": 3, "end": 4}], [(1, 2), (3, 4)]),
        ([[1, 2]], [(1, 2)]),
    ],
)
def test_several_ranges_in_one_value(value: object, expected: list[Any]) -> None:
    assert [(one.start, one.end) for one in _row({"path": "a.mp4", "segments": value}).ranges] == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"start": -1, "end": 2}, "start must be seconds >= 0, got -1"),
        ({"start": 1, "end": float("inf")}, "end must be seconds >= 0, got inf"),
        ({"start": float("nan"), "end": 1}, "start must be seconds >= 0, got nan"),
        ({"start": True, "end": 2}, "start must be seconds >= 0, got True"),
        ({"start": "soon", "end": 2}, "start must be seconds >= 0, got 'soon'"),
        ({"start": "1:60", "end": 2}, "got '1:60'"),
        ({"start": "1:60:00", "end": 2}, "got '1:60:00'"),
        ({"start_ms": "0:01", "end_ms": 2}, "start_ms must be milliseconds >= 0"),
        ({"start_frame": 1.5, "end_frame": 3}, r"must be a frame number \(a whole number\), got 1.5"),
        ({"duration": 3}, "'duration' without a start may be the length"),
        ({"duration": 3, "end": 5}, "'duration' and 'end' need a start too"),
        ({"start": 1, "end": 4, "duration": 3.06}, "contradict each other: 4 and 4.06 seconds"),
        ({"start_seconds": 1, "start_ms": 1060, "end": 2}, "contradict each other: 1 and 1.06 seconds"),
        ({"start": 1, "end": 2, "segment": [1, 3]}, "contradict each other"),
        ({"start": 1, "duration_frames": 3}, "are in different units. Give both in seconds"),
        ({"segment": [1, 2, 3]}, r"must be a start and an end, such as \[1.5, 4\]"),
        ({"segment": 5}, "must be a start and an end"),
        ({"segment": "[[1, 2], x]"}, "segment must be a range such as"),
        ({"segments": [[1, 2], [3, 4]], "start": 1}, "'segments' holds 2 ranges, but other keys give times too"),
        ({"segments": [[1, 2], [3, 4]], "duration": 1, "start": 2}, "'segments' holds 2 ranges"),
        ({"start": 1, "start_s_ms": 2, "end": 3}, "It looks like a time, and cliplab never ignores times"),
    ],
)
def test_other_ranges_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=rf"^row 3: .*{message}|^row 3.*column.*{message}"):
        _row({"path": "a.mp4", **row})


@pytest.mark.parametrize(
    ("row", "start", "end"),
    [
        ({"start": "1.5", "end": "4"}, 1.5, 4.0),
        ({"start": " ", "end": "4"}, None, 4.0),
        ({"start_ms": "1500", "end_ms": "2e3"}, 1.5, 2.0),
        ({"start": "1:00", "end": "90"}, 60.0, 90.0),
    ],
)
def test_numbers_in_text(row: dict[str, Any], start: object, end: object) -> None:
    (found,) = _row({"path": "a.mp4", **row}, text=True).ranges
    assert (found.start, found.end) == (start, end)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"start": "soon", "end": "2"}, "start_seconds must be seconds, a number; got 'soon'"),
        ({"start": "1", "end": "late"}, "end_seconds must be seconds, a number; got 'late'"),
        ({"start_ms": "x", "end_ms": "2"}, "start_ms must be milliseconds, a number"),
        ({"start": "-1", "end": "2"}, "start must be seconds >= 0, got -1"),
        ({"start": "nan", "end": "2"}, "start must be seconds >= 0, got nan"),
    ],
)
def test_text_that_is_no_number(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _row({"path": "a.mp4", **row}, text=True)


def test_a_range_remembers_its_units_and_what_else_was_said() -> None:
    assert read_ranges({"start": 1, "end": 2}, "w", text=False)[0].units == {"seconds", "bare"}
    assert read_ranges({"start_seconds": 1, "end_seconds": 2}, "w", text=False)[0].units == {"seconds"}
    assert read_ranges({"segment": [1, 2]}, "w", text=False)[0].units == {"seconds", "bare"}
    assert read_ranges({"start_ms": 1, "end_ms": 2}, "w", text=False)[0].units == {"milliseconds"}
    assert read_ranges({"start": None, "end": ""}, "w", text=False) == [TimeRange()]
    (found,) = read_ranges({"start_seconds": 1, "start_frame": 25, "end_seconds": 2}, "w", text=False)
    assert found.again == (("start_seconds", 1, "start_frame", Frames(25, "start_frame")),)
    assert found.units == {"seconds", "frames"}


@pytest.mark.parametrize(
    ("rate", "expected"), [(25, 25.0), ("29.97", 29.97), (10_000, 10_000.0), (None, None), ("", None)]
)
def test_a_row_may_give_frames_per_second(rate: object, expected: float | None) -> None:
    assert _row({"path": "a.mp4", "fps": rate}).rate == expected


@pytest.mark.parametrize("rate", [0, -25, 10_001, "fast", [25], float("nan")])
def test_other_rates_are_refused(rate: object) -> None:
    with pytest.raises(DatasetError, match="row 3: fps must be frames per second above 0"):
        _row({"path": "a.mp4", "fps": rate})


def test_the_first_rate_that_is_filled_counts() -> None:
    assert _row({"path": "a", "fps": "", "frame_rate": 30}).rate == 30
    assert _row({"path": "a"}).rate is None


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("path", "label"), ("path", "label")),
        (("path", "label", "_note", "#x", " "), ("path", "label")),
        (("path", "split", "group", "source"), ("path", "split", "group", "source")),
        (("path", "colour_of_the_hat"), ("path",)),
    ],
)
def test_the_keys_of_a_header(names: tuple[str, ...], keys: tuple[str, ...]) -> None:
    assert check_names(names, "head") == keys


@pytest.mark.parametrize(
    ("names", "extra_keys", "message"),
    [
        (("path", "a\x07"), True, "has a character that cannot be printed"),
        (("path", "x" * 201), True, "has 2 names of up to 201 characters"),
        (tuple(f"n{n}" for n in range(2001)), True, "has 2001 names"),
        (("path", "hat"), False, "'hat' is not a key of a row; allowed: path"),
        (("path", "labell"), True, 'column "labell" is not known. Did you mean'),
        (("path", "offset_begin_x"), True, "It looks like a time"),
    ],
)
def test_names_that_are_refused(names: tuple[str, ...], extra_keys: bool, message: str) -> None:
    with pytest.raises(DatasetError, match=r"^head: ") as caught:
        check_names(names, "head", extra_keys)
    assert message in str(caught.value)


def test_the_longest_name_and_the_most_names() -> None:
    assert check_names(("path", "z" * 200), "head") == ("path",)
    assert check_names(("path", *(f"hat{n}" for n in range(1999))), "head") == ("path",)


def test_a_key_that_is_given_twice() -> None:
    assert _row({"path": "a", "label": "", "class": "x"}).values["label"] == "x"
    assert _row({"path": "a", "label": "x", "class": "x"}).values["label"] == "x"
    assert _row({"path": "a", "label": None, "class": ""}).values["label"] is None
    with pytest.raises(DatasetError, match="row 3: label is given twice, as 'label' and 'class', with different"):
        _row({"path": "a", "label": "x", "class": "y"})


# Videos by id ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("abc_000012_000022", ("abc", 12, 22)),
        ("a_b_000000_000010", ("a_b", 0, 10)),
        ("abc_00012_000022", None),
        ("abc_000012_0000220", None),
        ("_000012_000022", None),
    ],
)
def test_the_name_of_a_clip_that_was_cut(stem: str, expected: object) -> None:
    assert cut_from(stem) == expected


@pytest.fixture
def videos(tmp_path: Path) -> VideoFinder:
    for name in ("abc.mp4", "v_xyz.mkv", "run/twice.mp4", "walk/twice.mp4", "cut_000012_000022.mp4", "plain", "n.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return VideoFinder(tmp_path)


@pytest.mark.parametrize(
    ("given", "seconds", "hints", "expected"),
    [
        ("abc.mp4", (None, None), (), "abc.mp4"),
        ("./run/../abc.mp4", (None, None), (), "abc.mp4"),
        ("none.MP4", (None, None), (), "none.MP4"),
        ("plain", (None, None), (), "plain"),
        ("abc", (None, None), (), "abc.mp4"),
        ("some/abc", (None, None), (), "abc.mp4"),
        ("xyz", (None, None), (), "v_xyz.mkv"),
        ("cut", (12, 22), (), "cut_000012_000022.mp4"),
        ("cut", (12.0, 22.9), (), "cut_000012_000022.mp4"),
        ("cut", (12, None), (), "cut"),
        ("cut", (13, 22), (), "cut"),
        ("abc", (1, 2), (), "abc.mp4"),
        ("twice", (None, None), ("walk",), "walk/twice.mp4"),
        ("twice", (None, None), ("run", "train"), "run/twice.mp4"),
        ("unknown", (None, None), (), "unknown"),
    ],
)
def test_what_a_row_means(
    videos: VideoFinder, given: str, seconds: tuple[object, object], hints: tuple[str, ...], expected: str
) -> None:
    for _ in range(2):  # what was found is kept
        assert videos.find(given, "row", seconds, hints) == videos.root / expected


def test_an_id_is_looked_for_with_the_times_of_each_row(videos: VideoFinder) -> None:
    assert videos.find("cut", "row", (1, 2)) == videos.root / "cut"
    assert videos.find("cut", "row", (12, 22)) == videos.root / "cut_000012_000022.mp4"
    assert videos.find("cut", "row", (1, 2)) == videos.root / "cut"


@pytest.mark.parametrize(
    ("given", "hints", "message"),
    [
        ("twice", (), "'twice' may be"),
        ("twice", ("jump",), "Give the path of the file"),
        ("twice", ("run", "walk"), "'twice' may be"),
        ("https://a.b/c.mp4", (), "is a URL; a dataset refers to local files"),
    ],
)
def test_what_no_row_may_mean(videos: VideoFinder, given: str, hints: tuple[str, ...], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        videos.find(given, "row", (None, None), hints)


def test_an_absolute_path_is_no_id(videos: VideoFinder) -> None:
    assert videos.find("/none/abc", "row", (None, None)) == Path("/none/abc")


# Rows to examples -----------------------------------------------------------------------------------------------------


def _dataset(root: Path, *rows: dict[str, Any], **options: Any) -> Dataset:
    labels = options.pop("labels", None)
    return make_dataset([(f"row {n}", row) for n, row in enumerate(rows)], root, labels, **options)


def test_each_field_of_a_row_reaches_the_example(tmp_path: Path) -> None:
    row = {"path": "a.mp4", "label": "x", "start": 1, "end": 2, "split": "val", "group": "g", "source": "s"}
    (item,) = _dataset(tmp_path, row, {**row, "label": "y"}, labels=["y", "x"]).examples[:1]
    assert (item.path, item.labels, item.start_seconds, item.end_seconds) == (tmp_path / "a.mp4", ("x",), 1, 2)
    assert (item.split, item.group, item.source) == ("validation", "g", "s")
    found = _dataset(tmp_path, {"path": "b.mp4", "label": "x"}, {"path": "c.mp4", "label": "y"})
    assert [item.source for item in found.examples] == ["b.mp4", "c.mp4"]
    assert len({item.group for item in found.examples}) == 2
    assert found.labels == ("x", "y")
    assert _dataset(tmp_path, row, labels=["y", "x"]).labels == ("y", "x")
    assert _dataset(tmp_path, row, listed=["z", "x"]).labels == ("z", "x")


def test_a_clip_that_was_cut_at_its_seconds_is_a_whole_file(tmp_path: Path) -> None:
    rows = [
        {"path": "v_000012_000022.mp4", "label": "x", "start": 12, "end": 22},
        {"path": "v_000012_000022.mp4", "label": "x", "start": 1, "end": 2},
    ]
    first, second = _dataset(tmp_path, *rows).examples
    assert (first.start_seconds, first.end_seconds) == (None, None)
    assert (second.start_seconds, second.end_seconds) == (1, 2)


def test_a_picture_is_one_frame_unless_it_has_times(tmp_path: Path) -> None:
    (item,) = _dataset(tmp_path, {"path": "d/a.jpg", "label": "x"}).examples
    assert item.is_picture
    assert item.frames is not None
    assert (item.frames.folder, item.frames.names) == (tmp_path / "d", ("a.jpg",))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"label": "x"}, "row 0: a row needs a path, a non-empty string; got None"),
        ({"path": "", "label": "x"}, "a row needs a path"),
        ({"path": 7, "label": "x"}, "a row needs a path"),
        ({"path": "a\0b", "label": "x"}, "a row needs a path"),
        ({"path": "a.mp4", "label": "x", "split": 1}, "split must be a string or absent, got 1"),
        ({"path": "a.mp4", "label": "x", "group": 1}, "group must be a string or absent, got 1"),
        ({"path": "a.mp4", "label": "x", "source": 1}, "source must be a string or absent, got 1"),
        ({"path": "a.mp4", "label": "x", "split": "some"}, "row 0: "),
        ({"path": "a.mp4", "label": "x", "start": 2, "end": 1}, "row 0: "),
    ],
)
def test_rows_that_are_refused(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError) as caught:
        _dataset(tmp_path, row)
    assert message in str(caught.value)


def test_names_of_splits_may_be_labels_where_they_are_listed(tmp_path: Path) -> None:
    rows = [{"path": "a.mp4", "label": "train"}, {"path": "b.mp4", "label": "test"}]
    assert _dataset(tmp_path, *rows, labels=["train", "test"]).labels == ("train", "test")
    with pytest.raises(DatasetError, match="its labels are the names of splits: 'train', 'test'"):
        _dataset(tmp_path, *rows)


# The whole dataset ----------------------------------------------------------------------------------------------------


def _example(name: str, label: str | None = "x", **other: Any) -> Example:
    values: dict[str, Any] = {"group": name, "source": name, **other}
    return Example(path=Path(f"/v/{name}.mp4"), labels=() if label is None else (label,), **values)


def _of(*examples: Example) -> Dataset:
    labels = tuple(sorted({label for item in examples for label in item.labels}))
    return Dataset(examples, labels, Path("/v"), ())


_A, _B = _example("a"), _example("b", "y")


@pytest.mark.parametrize(
    ("examples", "options", "message"),
    [
        ([], {}, "it contains no clips."),
        ([_A], {}, "a model needs clips of two classes or more; there are clips of 'x' (1 clips)"),
        ([_A, _B], {"labels": ["x"]}, "labels unknown to the model: 'y' (1 clips)"),
        ([_A, _B, _example("c", None)], {}, "a single-label task needs exactly one label per clip"),
        ([_A, replace(_A, labels=("y",))], {}, "the same part of a video has two labels"),
        ([_A, _B, replace(_A, split="train"), replace(_A, split="test")], {}, "'a' in test and train"),
        ([_example("c", None)], {"task": "multi_label"}, "no clip has a label."),
    ],
)
def test_what_is_wrong_with_a_dataset(examples: list[Example], options: dict[str, Any], message: str) -> None:
    found = dataset_problems(_of(*examples), **options)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    ("examples", "options"),
    [
        ([_A, _B], {}),
        ([_A, _B], {"labels": ["x", "y", "z"]}),
        ([_A], {"task": "multi_label"}),
        ([_A, _example("c", None)], {"task": "multi_label"}),
        ([_A, replace(_A, labels=("y",))], {"task": "multi_label"}),
        ([_example("a", end_seconds=2), _example("a", "y", start_seconds=2)], {}),  # they only touch
        ([_A, _B, replace(_A, split="train"), replace(_A, start_seconds=1, split="train")], {}),
    ],
)
def test_what_is_right(examples: list[Example], options: dict[str, Any]) -> None:
    assert dataset_problems(_of(*examples), **options) == []


@pytest.mark.parametrize(
    ("first", "second"), [((0, 3), (2, 5)), ((0, None), (2, 5)), ((None, None), (2, 5)), ((0, 9), (2, 3))]
)
def test_overlaps_under_two_labels(first: Any, second: Any) -> None:
    one = _example("a", start_seconds=first[0], end_seconds=first[1])
    other = _example("a", "y", start_seconds=second[0], end_seconds=second[1])
    for items in ([one, other], [other, one]):
        assert "two labels" in dataset_problems(_of(*items))[0]


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(DatasetError, match="task must be single_label or multi_label, got 'other'"):
        dataset_problems(_of(_A, _B), None, "other")  # type: ignore[arg-type]


def test_missing_files_are_a_reason_unless_they_are_allowed(tmp_path: Path) -> None:
    dataset = _of(_A, _B)
    check_dataset(dataset, allow_missing=True)
    with pytest.raises(DatasetError, match=r"the dataset cannot be used:\n  2 files are missing: /v/a.mp4; /v/b.mp4"):
        check_dataset(dataset)
    there = tmp_path / "c.mp4"
    there.touch()
    with pytest.raises(DatasetError, match=r"1 file is missing: /v/b\.mp4"):
        check_dataset(_of(replace(_A, path=there), _B))
    with pytest.raises(DatasetError, match="for 2 reasons"):
        check_dataset(_of(_A))
    check_dataset(_of(_A), task="multi_label", allow_missing=True)
    with pytest.raises(DatasetError, match="unknown to the model"):
        check_dataset(dataset, ["x"], allow_missing=True)


def test_classes_that_a_split_lacks() -> None:
    dataset = _of(replace(_A, split="train"), replace(_B, split="train"), replace(_example("c"), split="test"))
    assert classes_without_clips(dataset) == ["the test split has no clip of 'y'."]


def test_numbers_of_a_dataset() -> None:
    dataset = _of(
        _example("a", start_seconds=1, end_seconds=3.5, split="train"),
        replace(_example("a", start_seconds=4, end_seconds=5), labels=("x", "y"), split="train"),
        _example("b", "y", start_seconds=2, group="a"),
        _example("c", "y", split="test"),
    )
    lengths = {"b": 10.0, "c": None}
    asked: list[str] = []

    def length(path: Path) -> float | None:
        asked.append(path.stem)
        return lengths[path.stem]

    found = summarize_dataset(dataset, length)
    assert asked == ["b", "c"]
    assert {key: found[key] for key in ("clips", "groups", "videos", "seconds")} == {
        "clips": 4,
        "groups": 2,
        "videos": 3,
        "seconds": None,
    }
    assert found["labels"]["x"] == {"clips": 2, "groups": 1, "videos": 1, "seconds": 3.5}
    assert found["labels"]["y"]["clips"] == 3
    assert list(found["splits"]) == ["train", "test", "unassigned"]
    assert found["splits"]["train"]["seconds"] == 3.5
    assert found["splits"]["train"]["labels"]["y"] == {"clips": 1, "groups": 1, "videos": 1, "seconds": 1.0}
    assert found["splits"]["unassigned"]["seconds"] == 8.0
    assert found["splits"]["test"]["seconds"] is None


def test_a_length_that_cannot_be_read_is_unknown() -> None:
    def length(path: Path) -> float | None:
        raise OSError("gone")

    assert summarize_dataset(_of(_A), length)["seconds"] is None

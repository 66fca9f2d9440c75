"""What an export to the format of another tool writes, the import of it reads again: any clips that it can say."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dataset_files import touch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from studio_media import VARIABLE, write_variable
from tiny_videos import render_video

from adapters.data import FORMATS, Dataset, Example, Interval, ReadOptions, export_dataset, read_dataset
from adapters.data.examples import SPLITS, PreparedFrames, Split
from adapters.data.formats import find_format
from adapters.data.formats.intervals import find_interval_format, read_intervals, write_intervals, written_formats
from adapters.errors import DatasetError

LABELS = (
    "ad",
    "content",
    "a,b;c",
    'say "hi"',
    "<b>&amp;",
    "in  ner",
    "広告",
    "=1+1",
    "#x",
    "a=b\\c",
    "two\nlines",
    "é",
)
PLAIN = ("ad", "content", "hand-stand", "広告")
NAMES = ("a.mp4", "b.mov", "d/e.mkv", "ü/広.webm", "k#1.mp4", "v.1.mp4")
RATE = 25.0
EVERY = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def ranges(draw: st.DrawFn, step: float | None) -> tuple[float | None, float | None]:
    """A start and an end in whole steps; None for both is the whole video."""
    if draw(st.booleans()):
        return None, None
    start, length = draw(st.integers(0, 90_000)), draw(st.integers(1, 90_000))
    return (start * step, (start + length) * step) if step else (start / 7, (start + length) / 7)


@st.composite
def clips(
    draw: st.DrawFn,
    root: Path,
    *,
    labels: tuple[str, ...] = LABELS,
    most: int = 1,
    step: float | None = None,
    ranged: bool = True,
    splits: tuple[Split | None, ...] = (None, *SPLITS),
) -> Dataset:
    keys = st.tuples(st.sampled_from(NAMES), ranges(step) if ranged else st.just((None, None)))
    items = []
    for name, (start, end) in draw(st.lists(keys, min_size=1, max_size=6, unique=True)):
        chosen = draw(st.lists(st.sampled_from(labels), min_size=1, max_size=most, unique=True))
        found = tuple(sorted(chosen, key=labels.index))
        items.append(Example(root / name, found, start, end, draw(st.sampled_from(splits)), name, name))
    return Dataset(tuple(items), labels, root)


def facts(dataset: Dataset, *keys: str) -> Counter[tuple[Any, ...]]:
    def value(item: Example, key: str) -> Any:
        if key == "start_seconds" and item.end_seconds is not None:
            return round(item.start_seconds or 0.0, 6)
        found = getattr(item, key)
        if isinstance(found, tuple):  # the order of a clip's labels is that of the classes, which some formats lack
            return frozenset(found)
        return round(found, 6) if isinstance(found, float) else found

    return Counter(tuple(value(item, key) for key in keys) for item in dataset.examples)


def back(dataset: Dataset, format: str, path: Path, **options: Any) -> Dataset:
    written = export_dataset(dataset, path, format, **options)
    return read_dataset(written, format=format, options=ReadOptions(frame_rate=RATE))


TIMES = ("path", "labels", "start_seconds", "end_seconds")


@pytest.mark.parametrize(
    "name, format", [("k.csv", "kinetics_csv"), ("f.json", "fiftyone"), ("v.json", "via"), ("v.csv", "via")]
)
@EVERY
@given(st.data())
def test_ranges_in_seconds_come_back(name: str, format: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        touch(root, *NAMES)
        made = data.draw(clips(root, most=3 if format != "kinetics_csv" else 1))
        again = back(made, format, root / name)
        keys = (*TIMES, "split") if "splits" in find_format(format).keeps else TIMES
        assert facts(again, *keys) == facts(made, *keys)


@EVERY
@given(st.data())
def test_activitynet_comes_back_with_one_split_for_each_video(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        touch(root, *NAMES)
        made = data.draw(clips(root, most=3, splits=("validation",)))
        again = back(made, "activitynet", root / "a.json")
        assert facts(again, *TIMES, "split") == facts(made, *TIMES, "split")


@EVERY
@given(st.data())
def test_kinetics_json_comes_back_with_one_clip_for_each_video(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        touch(root, *NAMES)
        made = data.draw(clips(root))
        items = {item.path: item for item in made.examples}
        made = Dataset(tuple(items.values()), made.labels, root)
        again = back(made, "kinetics_json", root / "a.json")
        assert facts(again, *TIMES, "split") == facts(made, *TIMES, "split")


@pytest.mark.parametrize("format", ["label_studio", "datumaro"])
@EVERY
@given(st.data())
def test_ranges_in_frames_come_back_with_split_group_and_source(format: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        touch(root, *NAMES)
        made = data.draw(clips(root, most=3, step=1 / RATE))
        again = back(made, format, root / "a.json", frame_rate=RATE)
        keys = (*TIMES, "split", "group", "source")
        assert facts(again, *keys) == facts(made, *keys)


@EVERY
@given(st.data())
def test_tracks_of_cvat_come_back_by_label_video_and_split(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        touch(root, *NAMES)
        made = data.draw(clips(root, most=3, step=1 / RATE, splits=(None, "train", "test")))
        items = tuple(item for item in made.examples if item.end_seconds is not None)
        if not items:
            return
        made = Dataset(items, made.labels, root)
        again = back(made, "cvat", root / "a.xml", frame_rate=RATE)
        keys = TIMES if len({item.path for item in items}) == 1 else (*TIMES, "split")
        assert facts(again, *keys) == facts(made, *keys)


def test_tags_of_pictures_come_back_from_cvat(tmp_path: Path) -> None:
    names = ("a.png", "d/ü 1.jpg", "frame_000007.png")
    touch(tmp_path, *names)
    items = [
        Example(
            tmp_path / name, LABELS[place : place + 3], split="train" if place else None, frames=still(tmp_path, name)
        )
        for place, name in enumerate(names)
    ]
    made = Dataset(tuple(items), LABELS, tmp_path)
    again = back(made, "cvat", tmp_path / "images.xml")
    assert facts(again, "path", "labels", "split") == facts(made, "path", "labels", "split")
    assert all(item.is_picture for item in again)


def still(root: Path, name: str) -> PreparedFrames:
    return PreparedFrames((root / name).parent, (Path(name).name,), 1.0)


def test_cvat_keeps_pictures_and_videos_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a.mp4")
    items = (
        Example(tmp_path / "a.png", ("ad",), frames=still(tmp_path, "a.png")),
        Example(tmp_path / "a.mp4", ("ad",)),
    )
    with pytest.raises(DatasetError, match="1 pictures and 1 clips of videos"):
        export_dataset(Dataset(items, ("ad",), tmp_path), tmp_path / "a.xml", "cvat")


@pytest.mark.parametrize(
    "name, format", [("l.json", "label_studio"), ("d.json", "datumaro"), ("c.xml", "cvat"), ("m.skiplist", "mythtv")]
)
def test_frames_of_a_video_of_variable_rate_come_back(tmp_path: Path, name: str, format: str) -> None:
    times = [tick / 30 for tick in VARIABLE]
    video = write_variable(tmp_path / "m.mkv")
    ranges = [(0, 3), (2, 9), (5, 19), (9, 10)] if format != "mythtv" else [(0, 3), (5, 9), (10, 19)]
    items = [Example(video, ("ad",), times[start], times[end]) for start, end in ranges]
    made = Dataset(tuple(items), ("ad",), tmp_path)
    written = export_dataset(made, tmp_path / name, format)
    again = read_dataset(written, format=format)
    assert [(round(item.start_seconds or 0, 3), round(item.end_seconds or 0, 3)) for item in again] == [
        (round(times[start], 3), round(times[end], 3)) for start, end in ranges
    ]


@EVERY
@given(st.data())
def test_an_eaf_comes_back_to_the_millisecond(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        touch(root, *NAMES)
        made = data.draw(clips(root, step=0.001))
        items = tuple(item for item in made.examples if item.end_seconds is not None)
        for name in {item.path for item in items}:
            own = Dataset(tuple(item for item in items if item.path == name), LABELS, root)
            assert facts(back(own, "elan", root / "a.eaf"), *TIMES) == facts(own, *TIMES)


@EVERY
@given(st.data())
def test_a_list_of_videos_comes_back_with_the_order_of_its_classes(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        touch(root, *NAMES)
        made = data.draw(clips(root, labels=PLAIN, most=3, ranged=False))
        again = back(made, "mmaction_videos", root / "list.txt")
        assert facts(again, "path", "labels") == facts(made, "path", "labels")
        assert again.labels == made.labels


@pytest.mark.parametrize("format", ["ucf101", "hmdb51"])
@EVERY
@given(st.data())
def test_split_files_come_back(format: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        chosen = data.draw(st.lists(st.tuples(st.sampled_from(PLAIN), st.integers(1, 9)), min_size=1, unique=True))
        items = []
        for label, number in chosen:
            name = f"{label}/v_{number}_g0{number % 3}_c01.avi"
            touch(root, name)
            items.append(Example(root / name, (label,), split=data.draw(st.sampled_from(("train", "test")))))
        made = Dataset(tuple(items), tuple(sorted({label for label, _ in chosen})), root)
        again = back(made, format, root)
        assert facts(again, "path", "labels", "split") == facts(made, "path", "labels", "split")


@pytest.mark.parametrize("format", ["videofolder", "webdataset"])
@settings(EVERY, max_examples=5)
@given(st.data())
def test_folders_with_videos_come_back_whole(format: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "in")
        touch(root, *NAMES)
        made = data.draw(clips(root, most=3, splits=("train", "test")))
        written = export_dataset(made, Path(folder, "out"), format)
        again = read_dataset(written, format=format, options=ReadOptions(videos=Path(folder, "videos")))

        def whole(dataset: Dataset) -> Counter[tuple[Any, ...]]:
            keys = ("labels", "start_seconds", "end_seconds", "split", "group", "source")
            counts = [facts(Dataset((item,), dataset.labels, root), *keys) for item in dataset.examples]
            texts = [item.path.read_text() for item in dataset.examples]
            return Counter((text, *next(iter(count))) for text, count in zip(texts, counts, strict=True))

        assert whole(again) == whole(made)


# Frames are written by `dataset prepare`, which the other test files run.
@pytest.mark.parametrize("format", [name for name in FORMATS if find_format(name).write and "rawframes" not in name])
def test_a_format_makes_the_folders_that_it_is_written_into(format: str, tmp_path: Path) -> None:
    (tmp_path / "ad").mkdir()
    render_video(tmp_path / "ad" / "a.mp4", "warm", 0, seconds=0.5)
    known = find_format(format)
    extent = (0.0, 0.25) if "ranges" in known.keeps else (None, None)
    made = Dataset((Example(tmp_path / "ad" / "a.mp4", ("ad",), *extent, split="train"),), ("ad",), tmp_path)
    path = tmp_path / "new" / "deeper" / f"out{known.suffixes[0] if known.suffixes else ''}"
    written = export_dataset(made, path, format)
    assert written.exists()
    assert path.parent in (written, *written.parents)


@pytest.mark.parametrize("format", written_formats())
@EVERY
@given(st.data())
def test_intervals_come_back_in_every_format_that_is_written(format: str, data: st.DataObject) -> None:
    known = find_interval_format(format)
    step = {"edl": 0.001, "comskip": 1 / RATE, "mythtv": 1 / RATE}.get(format, 1e-6)
    names = sorted(known.labels) or sorted(LABELS)
    items = []
    for start, length in data.draw(st.lists(st.tuples(st.integers(0, 10**6), st.integers(3, 10**6)), max_size=6)):
        score = data.draw(st.none() | st.floats(0, 1)) if "scores" in known.keeps else None
        note = data.draw(st.none() | st.sampled_from(LABELS)) if "notes" in known.keeps else None
        items.append(Interval(data.draw(st.sampled_from(names)), start * step, (start + length) * step, score, note))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"v{known.suffixes[0]}"
        write_intervals(path, items, format=format, frame_rate=RATE, video="v.mp4")
        found = read_intervals(path, format=format, frame_rate=RATE, video="v.mp4")

    def near(given: list[Interval]) -> Counter[tuple[Any, ...]]:
        rows = ((item.label, item.start_seconds, item.end_seconds, item.score, item.note) for item in given)
        return Counter((label, round(start / step), round(end / step), *rest) for label, start, end, *rest in rows)

    assert near(list(found.intervals)) == near(items)
    assert found.left_out == 0

"""What an export writes, the import of the same format reads again: any dataset that the format can say."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.data import Dataset, Example, export_dataset, read_dataset, write_dataset
from adapters.data.examples import SPLITS

# Names that trip parsers: separators, quotes, brackets, spaces, line ends, formulas, other scripts.
LABELS = (
    "ad",
    "content",
    "a,b;c",
    'say "hi"',
    "[x",
    "in  ner",
    "two\nlines",
    "$5\ttab",
    "広告",
    "cr\rlf",
    "=1+1",
    "#",
    "line\u2028separator",
)
NAMES = ("a.mp4", "b c.mp4", "d,e.mov", 'f"g.mkv', "h/i.mp4", "ü/広.webm", "[j].mp4", "k#t=1.mp4", " l .mp4")
GROUPS = ("", "tape 1", "shot,2", "a.mp4", "[g]")
seconds = st.floats(0, 1e5, allow_nan=False).map(abs)
ROOT = Path("/videos")


@st.composite
def ranges(draw: st.DrawFn) -> tuple[float | None, float | None]:
    start = draw(st.none() | seconds)
    end = draw(st.none() | st.floats(0.001, 1e4).map(lambda length: (start or 0.0) + length))
    # A start of 0 with no end is the whole video, which every format may say either way.
    return (None if start == 0 and end is None else start), end


@st.composite
def examples(draw: st.DrawFn, root: Path, max_labels: int, ranged: bool = True, min_labels: int = 1) -> list[Example]:
    keys = st.tuples(st.sampled_from(NAMES), ranges() if ranged else st.just((None, None)))
    order = {label: index for index, label in enumerate(LABELS)}
    found = []
    for name, (start, end) in draw(st.lists(keys, min_size=1, max_size=8, unique=True)):
        labels = draw(st.lists(st.sampled_from(LABELS), min_size=min_labels, max_size=max_labels, unique=True))
        found.append(
            Example(
                root / name,
                tuple(sorted(labels, key=order.__getitem__)),
                start,
                end,
                draw(st.sampled_from((None, *SPLITS))),
                draw(st.sampled_from(GROUPS)),
                draw(st.sampled_from(("", name, "tape 2"))) or name,
            )
        )
    return found


def dataset_of(items: list[Example], root: Path) -> Dataset:
    return Dataset(tuple(items), LABELS, root)


def back(dataset: Dataset, format: str, name: str) -> Dataset:
    with tempfile.TemporaryDirectory() as folder:
        return read_dataset(export_dataset(dataset, Path(folder) / name, format))


@settings(max_examples=50, deadline=None)
@given(examples(ROOT, 3, min_labels=0))
def test_jsonl_keeps_everything(items: list[Example]) -> None:
    dataset = dataset_of(items, ROOT)
    again = back(dataset, "jsonl", "dataset.jsonl")
    assert again.examples == dataset.examples
    assert again.labels == LABELS


@settings(max_examples=50, deadline=None)
@given(examples(ROOT, 3, min_labels=0))
def test_csv_keeps_everything_but_the_order_of_labels(items: list[Example]) -> None:
    assert back(dataset_of(items, ROOT), "csv", "dataset.csv").examples == tuple(items)


@settings(max_examples=50, deadline=None)
@given(examples(ROOT, 3))
def test_labels_json_keeps_all_but_the_order_of_clips(items: list[Example]) -> None:
    again = back(dataset_of(items, ROOT), "labels_json", "labels.json")
    assert Counter(again.examples) == Counter(items)
    assert again.labels == LABELS


@settings(max_examples=50, deadline=None)
@given(examples(ROOT, 3, min_labels=0))
def test_coco_keeps_everything(items: list[Example]) -> None:
    again = back(dataset_of(items, ROOT), "coco", "coco.json")
    assert again.examples == tuple(items)
    assert again.labels == LABELS


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_dataloop_keeps_labels_ranges_splits_groups_and_media(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "in")
        items = data.draw(examples(root, 3))
        fill(items)
        out = export_dataset(dataset_of(items, root), Path(folder, "out"), "dataloop")
        again = read_dataset(out)
        assert {facts(item, out / "items") for item in again} == {facts(item, root) for item in items}
        assert all(
            item.path.read_bytes() == (root / item.path.relative_to(out / "items")).read_bytes() for item in again
        )


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_folders_keep_label_split_media_and_which_clips_belong_together(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "in")
        items = data.draw(examples(root, 1, ranged=False))
        if any(item.split for item in items):
            items = [item for item in items if item.split]
        fill(items)
        again = read_dataset(export_dataset(dataset_of(items, root), Path(folder, "out"), "folders"))
        assert again.labels == tuple(sorted(LABELS))
        assert {(content(item), item.label, item.split) for item in again} == {
            (content(item), item.label, item.split) for item in items
        }
        assert together(again.examples) == together(items)


@settings(max_examples=50, deadline=None)
@given(examples(ROOT, 1))
def test_paths_are_relative_under_the_file_and_absolute_elsewhere(items: list[Example]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inside = [Example(Path(folder, "media", item.path.name), item.labels) for item in items]
        path = write_dataset(dataset_of([*inside, *items], Path(folder)), folder)
        assert folder not in path.read_text()
        assert [item.path for item in read_dataset(path)] == [item.path for item in (*inside, *items)]


def fill(items: list[Example]) -> None:
    for item in items:
        item.path.parent.mkdir(parents=True, exist_ok=True)
        item.path.write_text(str(item.path))


def content(item: Example) -> str:
    return item.path.read_text()


def facts(item: Example, root: Path) -> tuple[object, ...]:
    path = item.path.relative_to(root).as_posix()
    return path, frozenset(item.labels), item.start_seconds, item.end_seconds, item.split, item.group, item.source


def together(items: list[Example] | tuple[Example, ...]) -> set[frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for item in items:
        groups.setdefault(item.group, set()).add(content(item))
    return {frozenset(group) for group in groups.values()}

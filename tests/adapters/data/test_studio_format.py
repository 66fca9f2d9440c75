"""The data folder of a studio as a dataset: frames, clips, intervals, people who disagree, files that are gone."""

import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest

from adapters.data import Example, ReadOptions, export_dataset, prefer_video, read_dataset, read_example
from adapters.data.examples import PreparedFrames
from adapters.data.formats.studio import agreed_spans
from adapters.errors import DatasetError
from adapters.records import InputSpec
from cliplab.studio import LabelEvent, fill_items, open_store


def picture(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.full((12, 16, 3), shade, np.uint8))[1].tobytes())


@pytest.fixture
def studio(tmp_path):
    for number in range(4):
        picture(tmp_path / f"frames/{number}.png", number * 40)
    (tmp_path / "film.mp4").write_bytes(b"film")
    with open_store(tmp_path, ["content", "ad", "unused"]) as store:
        fill_items(store)
        yield store


def send(store, who, item, action, **value):
    number = store.last_sequence(who) + 1
    result = store.append([LabelEvent(who, number, who, item, action, value, 1.0)])
    assert result.durable, result.refused


def item_of(store, path):
    return next(item.id for item in store.items() if item.path == path)


def test_frames_are_clips_of_one_picture(studio):
    for number in range(3):
        item = item_of(studio, f"frames/{number}.png")
        send(studio, "ann", item, "label", label=("ad", "content", "ad")[number])
    dataset = read_dataset(studio.folder)
    assert dataset.labels == ("content", "ad", "unused")
    assert [(example.path.name, example.label) for example in dataset] == [
        ("0.png", "ad"),
        ("1.png", "content"),
        ("2.png", "ad"),
    ]
    spec = InputSpec(12, 16, 3, aspect="stretch")
    for number, example in enumerate(dataset):
        for single_frames in (True, False):
            clip = read_example(prefer_video(example, single_frames), spec)
            assert clip.frames.shape == (3, 12, 16, 3)
            assert np.abs(clip.frames.astype(int) - number * 40).max() <= 2


@pytest.mark.parametrize("format, name", [("jsonl", "a.jsonl"), ("labels_json", "a.json"), ("csv", "a.csv")])
def test_pictures_stay_pictures_in_files_of_other_formats(studio, format, name):
    send(studio, "ann", item_of(studio, "frames/0.png"), "label", label="ad")
    send(studio, "ann", item_of(studio, "frames/1.png"), "label", label="content")
    dataset = read_dataset(studio.folder)
    again = read_dataset(export_dataset(dataset, studio.folder / name, format))
    found = {(one.path, one.labels, one.is_picture) for one in again}
    assert found == {(one.path, one.labels, True) for one in dataset}


def test_intervals_of_a_video_are_its_clips(studio):
    film = item_of(studio, "film.mp4")
    send(studio, "ann", film, "interval", interval="a", label="ad", start=0, end=12.5)
    send(studio, "ann", film, "interval", interval="b", label="content", start=12.5, end=60)
    dataset = read_dataset(studio.path)
    assert [(one.start_seconds, one.end_seconds, one.label) for one in dataset] == [
        (0, 12.5, "ad"),
        (12.5, 60, "content"),
    ]
    assert len({one.group for one in dataset}) == 1


def test_of_several_people_each_moment_has_the_label_of_most():
    people = {
        "ann": [(0.0, 10.0, "ad"), (10.0, 20.0, "content")],
        "bob": [(0.5, 10.0, "ad"), (10.0, 19.0, "content")],
        "cid": [(0.5, 11.0, "ad")],
        "imported": [(0.0, 99.0, "promo")],
    }
    assert agreed_spans(people) == [(0.5, 10.0, "ad"), (10.0, 19.0, "content")]
    assert agreed_spans({"imported": people["imported"]}) == people["imported"]
    assert agreed_spans({"ann": people["ann"], "bob": [(0.0, 20.0, "content")]}) == [(10.0, 20.0, "content")]


def test_what_people_disagree_on_and_what_is_gone_is_left_out_with_a_note(studio):
    items = [item_of(studio, f"frames/{number}.png") for number in range(4)]
    for item in items:
        send(studio, "ann", item, "label", label="ad")
    send(studio, "bob", items[0], "label", label="content")
    send(studio, "bob", items[1], "label", label="content")
    send(studio, "bob", items[1], "review", label="content")
    send(studio, "imported", items[2], "label", label="content")
    (studio.folder / "frames/3.png").unlink()
    fill_items(studio)
    dataset = read_dataset(studio.folder)
    assert [(example.path.name, example.label) for example in dataset] == [("1.png", "content"), ("2.png", "ad")]
    assert len(dataset.notes) == 2
    labels = {one.item: one.label for one in studio.labels()}
    assert labels == {items[1]: "content", items[2]: "ad", items[3]: "ad"}


def test_the_store_goes_before_a_labels_file_beside_it_and_is_not_written(studio):
    send(studio, "ann", item_of(studio, "frames/0.png"), "label", label="ad")
    (studio.folder / "labels.json").write_text('{"other": ["film.mp4"]}')
    dataset = read_dataset(studio.folder)
    assert [one.label for one in dataset] == ["ad"]
    with pytest.raises(DatasetError, match="can be read but not written"):
        export_dataset(dataset, studio.folder / "copy.db", "studio")


def test_clips_that_are_pictures_know_it():
    folder = Path("/data")
    assert Example(folder / "a.png", ("ad",), frames=PreparedFrames(folder, ("a.png",), 1.0)).is_picture
    assert not Example(folder / "a.mp4", ("ad",), frames=PreparedFrames(folder, ("a.png",), 1.0)).is_picture
    assert not Example(folder / "a.mp4", ("ad",)).is_picture


def test_databases_that_are_no_store(tmp_path, studio):
    with pytest.raises(DatasetError, match=r"no clips: none of its \d+ items has a label .*: cliplab studio"):
        read_dataset(studio.path)
    (tmp_path / "text.db").write_text("no database" * 100)
    (tmp_path / "folder.db").mkdir()
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE items (id)")
    other.close()
    for name in ("text.db", "other.db", "missing.db"):
        with pytest.raises(DatasetError, match=name):
            read_dataset(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["interval_json", "interval_csv", "ffmetadata", "matroska_chapters", "sponsorblock", "elan", "label_studio"]
)
def test_intervals_of_a_studio_are_exported(studio, tmp_path, name):
    film = item_of(studio, "film.mp4")
    spans = [("ad", 0.5, 1.0), ("content", 1.0, 2.0)]
    for number, (label, start, end) in enumerate(spans):
        send(studio, "ann", film, "interval", interval=f"u{number}", label=label, start=start, end=end)
    options = {"frame_rate": 20.0} if name == "label_studio" else {}
    written = export_dataset(read_dataset(studio.folder), tmp_path / "out" / "film", name, **options)
    found = read_dataset(written, format=name, options=ReadOptions(videos=tmp_path, frame_rate=20.0))
    assert [(item.label, item.start_seconds, item.end_seconds) for item in found] == spans

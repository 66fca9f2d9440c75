"""Items of a folder: frames with their index, pictures, videos, clips of a dataset; renamed and replaced files."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest

from adapters.data import parted_labels, read_dataset
from cliplab.studio import LabelEvent, fill_items, import_dataset, import_folder_labels, open_store


def write_picture(path, shade):
    """A grey picture of 16x12."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.full((12, 16, 3), shade, np.uint8))[1].tobytes())


def write_video(path, content):
    """A file with the name of a video: items are known by their bytes, which nothing decodes here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content * 100)


@pytest.fixture
def folder(tmp_path):
    write_picture(tmp_path / "pictures/one.png", 10)
    write_picture(tmp_path / "pictures/two.jpg", 20)
    write_video(tmp_path / "film.mp4", b"film")
    return tmp_path


@pytest.fixture
def store(folder):
    with open_store(folder, ["ad", "content"]) as opened:
        fill_items(opened)
        yield opened


def label(store, item, name="ad", number=1):
    event = LabelEvent("tab", number, "ann", item, "label", {"label": name}, 1.0)
    assert store.append([event]).durable


def by_path(store):
    return {item.path: item for item in store.items()}


def test_pictures_and_videos_are_items(store):
    items = by_path(store)
    assert {path: item.kind for path, item in items.items()} == {
        "film.mp4": "video",
        "pictures/one.png": "frame",
        "pictures/two.jpg": "frame",
    }
    assert (items["pictures/one.png"].width, items["pictures/one.png"].height) == (16, 12)
    assert fill_items(store).added == 0


def test_extracted_frames_have_their_time_and_source(tmp_path):
    write_picture(tmp_path / "frames/film/1.jpg", 10)
    entry = {"file": "film/1.jpg", "source": "/far/film.mp4", "seconds": 12.5, "width": 16, "height": 12, "hash": ""}
    (tmp_path / "frames/frames.jsonl").write_text(json.dumps(entry) + '\n{"file": "half')
    with open_store(tmp_path) as store:
        fill_items(store)
        [item] = store.items()
    assert (item.start_seconds, item.source, item.group) == (12.5, "/far/film.mp4", "/far/film.mp4")


def test_a_renamed_file_keeps_its_labels(store, folder):
    label(store, by_path(store)["film.mp4"].id)
    (folder / "old").mkdir()
    os.rename(folder / "film.mp4", folder / "old/movie.mp4")
    report = fill_items(store)
    assert "old/movie.mp4" in report.moved[0]
    assert by_path(store)["old/movie.mp4"].labels == {"ann": "ad"}
    assert store.count() == 3


def test_two_files_that_swapped_names_keep_their_own_labels(store, folder):
    items = by_path(store)
    label(store, items["pictures/one.png"].id, "ad", 1)
    write_picture(folder / "pictures/three.png", 30)
    fill_items(store)
    label(store, by_path(store)["pictures/three.png"].id, "content", 2)
    os.rename(folder / "pictures/one.png", folder / "x.png")
    os.rename(folder / "pictures/three.png", folder / "pictures/one.png")
    os.rename(folder / "x.png", folder / "pictures/three.png")
    fill_items(store)
    assert by_path(store)["pictures/three.png"].labels == {"ann": "ad"}
    assert by_path(store)["pictures/one.png"].labels == {"ann": "content"}


def test_a_replaced_file_is_named_and_gets_no_labels_of_the_other(store, folder):
    label(store, by_path(store)["film.mp4"].id)
    kept = folder.parent / "kept.mp4"
    shutil.move(folder / "film.mp4", kept)
    write_video(folder / "film.mp4", b"else")
    report = fill_items(store)
    assert "film.mp4" in report.replaced[0]
    assert [(item.missing, item.labels) for item in store.items() if item.path == "film.mp4"] == [
        ("replaced", {"ann": "ad"}),
        (None, {}),
    ]
    assert fill_items(store).replaced == []
    shutil.move(kept, folder / "film.mp4")
    fill_items(store)
    assert [(item.missing, item.labels) for item in store.items() if item.path == "film.mp4"] == [
        (None, {"ann": "ad"}),
        ("replaced", {}),
    ]


def test_a_file_that_is_gone_is_no_longer_offered_and_its_label_waits(store, folder):
    label(store, by_path(store)["film.mp4"].id)
    shutil.move(folder / "film.mp4", folder.parent / "film.mp4")
    assert fill_items(store).gone == ["film.mp4"]
    assert by_path(store)["film.mp4"].missing == "gone"
    shutil.move(folder.parent / "film.mp4", folder / "film.mp4")
    assert fill_items(store).gone == []
    assert by_path(store)["film.mp4"].labels == {"ann": "ad"}


def test_damaged_pictures_are_named_and_left_out(store, folder):
    (folder / "pictures/empty.jpg").write_bytes(b"")
    (folder / "pictures/text.png").write_text("no picture")
    report = fill_items(store)
    assert report.added == 0
    assert len(report.unreadable) == 2


def test_names_that_are_not_utf8_or_hold_markup(tmp_path):
    names = [b"caf\xe9.mp4", b"<b>x</b>.mp4", b"line\nend.mp4", "\u202egpj.mp4".encode()]
    for number, name in enumerate(names):
        write_video(tmp_path / os.fsdecode(name), bytes([65 + number]))
    with open_store(tmp_path, ["ad"]) as store:
        fill_items(store)
        items = store.items()
        assert {os.fsencode(item.path) for item in items} == set(names)
        for number, item in enumerate(items, 1):
            assert store.media_path(item).is_file()
            json.dumps(item.to_json()).encode()
            label(store, item.id, number=number)
        assert fill_items(store).added == 0


def test_labels_of_a_dataset_are_imported_once(folder):
    rows = [
        {"path": "film.mp4", "label": "ad", "start_seconds": 0.0, "end_seconds": 5.0},
        {"path": "film.mp4", "label": "promo", "start_seconds": 5.0, "end_seconds": 9.0},
        {"path": "missing.mp4", "label": "ad", "split": "test"},
        {"path": "film.mp4", "label": ["ad", "promo"], "start_seconds": 9.0, "end_seconds": 11.0},
    ]
    (folder / "dataset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with open_store(folder, ["content"]) as store:
        report = import_folder_labels(store)
        assert (report.clips, report.items, report.labels, report.left_out) == (4, 4, 4, ())
        assert [one.name for one in store.classes()] == ["content", "ad", "promo"]
        assert [parted_labels(one.label) for one in store.labels()] == [("ad",), ("promo",), ("ad",), ("ad", "promo")]
        assert import_dataset(store, folder / "dataset.jsonl").labels == 0
        write_video(folder / "missing.mp4", b"there")
        fill_items(store)
        item = by_path(store)["missing.mp4"]
        assert (item.missing, item.labels, item.split) == (None, {"imported": "ad"}, "test")


@pytest.mark.parametrize(("classes", "taken"), [(["ad", "show", "other"], 2), (["ad"], None), ([], None)])
def test_folders_that_are_all_named_like_a_class_are_labels(tmp_path, classes, taken):
    """To look at the clips of a training in the studio changes nothing about what is trained on."""
    for name in ("ad", "show"):
        write_video(tmp_path / name / "clip.mp4", name.encode())
    with open_store(tmp_path, classes) as store:
        report = import_folder_labels(store)
        assert (report and report.labels) == taken
        assert import_folder_labels(store) is None
        fill_items(store)
        labels = {item.path: item.labels for item in store.items()}
    ours = {f"{name}/clip.mp4": {"imported": name} if taken else {} for name in ("ad", "show")}
    assert labels == ours
    if taken:
        assert [(item.path.parent.name, item.label) for item in read_dataset(tmp_path).examples] == [
            ("ad", "ad"),
            ("show", "show"),
        ]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_studio_takes_in_the_labels_of_its_folder(tmp_path, host):
    pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")
    from cliplab.studio.options import StudioOptions
    from cliplab.studio.services import open_studio

    folder = tmp_path / "data"
    write_video(folder / "film.mp4", b"film")
    (tmp_path / "id_rsa").write_bytes(b"secret")
    write_video(tmp_path / "elsewhere.mp4", b"other")
    paths = ["film.mp4", str(tmp_path / "id_rsa"), str(tmp_path / "elsewhere.mp4")]
    rows = [{"path": path, "label": "ad", "start_seconds": 0.0, "end_seconds": 1.0} for path in paths]
    (folder / "dataset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = StudioOptions(folder, host=host, token=None if host == "127.0.0.1" else "a-token-of-at-least-16")
    with open_studio(options) as studio:
        assert [one.name for one in studio.store.classes()] == ["ad"]
        labelled = [item.path for item in studio.store.items() if item.labels]
    assert labelled == ["film.mp4", *([str(tmp_path / "elsewhere.mp4")] if host == "127.0.0.1" else [])]


def test_a_damaged_labels_file_does_not_stop_the_studio(folder, caplog):
    pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")
    from cliplab.studio.options import StudioOptions
    from cliplab.studio.services import open_studio

    write_video(folder / "film.mp4", b"film")
    (folder / "labels.json").write_text("{")
    with open_studio(StudioOptions(folder)) as studio:
        assert "film.mp4" in [item.path for item in studio.store.items()]
    assert "labels.json" in caplog.text


def test_media_outside_of_the_data_folder_is_remembered(tmp_path):
    write_video(tmp_path / "media/film.mp4", b"film")
    with open_store(tmp_path / "data") as store:
        assert fill_items(store, [tmp_path / "media"]).added == 1
        assert store.items()[0].path == str(tmp_path / "media/film.mp4")
        write_video(tmp_path / "media/second.mp4", b"more")
        assert fill_items(store).added == 1


def test_pictures_of_a_trained_model_are_not_items(folder, store):
    before = store.progress()["items"]
    write_picture(folder / "models/ads_v1/curves.png", 30)
    (folder / "models/ads_v1/bundle.json").write_text("{}")
    write_picture(folder / "models/notes.png", 40)
    fill_items(store)
    assert store.progress()["items"] == before + 1

"""Items with several labels, or with none of the classes: in the store, out of it, in a head, and on the page."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from studio_page import browser, running_studio
from test_prelabel import TRUST, folder, label_of, model, pictures  # noqa: F401  fixtures
from test_studio_store import Client
from waiting import until

from adapters.data import joined_labels, parted_labels, read_dataset
from cliplab.studio import LabelEvent, fill_items, import_dataset, open_store
from cliplab.studio.item_index import SEVERAL, read_index
from cliplab.studio.queries import ItemFilter
from cliplab.studio.retrain import retrain
from cliplab.studio.review import review_queue
from cliplab.studio.store import SEVERAL_LABELS

CLASSES = ["ad", "a, b", "広告"]


def write_pictures(place: Path, count: int = 4) -> None:
    for number in range(count):
        cv2.imwrite(str(place / f"{number}.png"), np.full((24, 32, 3), 40 * number + 10, np.uint8))


def write_rows(place: Path, labels: list[list[str]]) -> Path:
    rows = [{"path": f"{number}.png", "label": found} for number, found in enumerate(labels)]
    path = place / "in.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def labels_by_name(place: Path) -> dict[str, tuple[str, ...]]:
    return {item.path.name: tuple(sorted(item.labels)) for item in read_dataset(place / "labels.db")}


@pytest.mark.parametrize("names", [(), ("a",), ("b", "a"), ("a, b", "広告", "x\ny")])
def test_labels_as_one_text_come_back(names):
    assert parted_labels(joined_labels(names)) == tuple(sorted(names))


def test_clips_with_several_labels_come_in_and_go_out(tmp_path):
    write_pictures(tmp_path)
    given = [["広告", "ad"], ["ad"], [], ["a, b", "ad", "広告"]]
    with open_store(tmp_path, CLASSES) as store:
        fill_items(store)
        report = import_dataset(store, write_rows(tmp_path, given))
        assert (report.items, report.labels, report.left_out) == (0, 4, ())
        assert any("of none of the classes" in note for note in report.notes)
        assert store.setting(SEVERAL_LABELS) == "1"
        assert store.progress()["by_label"] == {"ad": 3, "広告": 2, "a, b": 1}
        assert import_dataset(store, tmp_path / "in.jsonl").labels == 0  # once, however often
    assert labels_by_name(tmp_path) == {f"{number}.png": tuple(sorted(found)) for number, found in enumerate(given)}


def test_clips_without_a_label_beside_single_ones_wait_for_one(tmp_path):
    write_pictures(tmp_path)
    with open_store(tmp_path, CLASSES) as store:
        report = import_dataset(store, write_rows(tmp_path, [["ad"], [], ["a, b"], []]))
        assert (report.items, report.labels) == (4, 2)
        assert any("2 clips have no label" in note for note in report.notes)
        assert store.count(ItemFilter(state="unlabelled")) == 2
        assert store.setting(SEVERAL_LABELS) == ""


def test_several_labels_are_stored_filtered_renamed_and_undone(tmp_path):
    write_pictures(tmp_path)
    with open_store(tmp_path, CLASSES) as store:
        fill_items(store)
        ann, bob = Client(store, "ann", "1"), Client(store, "bob", "2")
        both = ann.send(1, "label", labels=["広告", "ad", "ad"])
        bob.send(1, "label", labels=["ad", "広告"])
        ann.send(2, "label", labels=[])
        assert store.item(1).disagree is False  # the order does not matter
        assert [row.id for row in store.items(filters=ItemFilter(label="広告"))] == [1]
        labels = np.frombuffer(read_index(store, ItemFilter(), "ann"), "<u2", 4, 16)
        assert labels.tolist() == [SEVERAL, SEVERAL, 0, 0]
        store.rename_class("広告", "spot")
        assert parted_labels(store.item(1).labels["bob"]) == ("ad", "spot")
        before = [row.labels for row in store.items()]
        store.rebuild()
        assert [row.labels for row in store.items()] == before
        ann.send(1, "undo", client="1", sequence=both)
        assert "ann" not in store.item(1).labels
        assert any("spot" in note for note in store.set_classes(["ad", "a, b"]))


@pytest.mark.parametrize("value", [{}, {"label": "ad", "labels": ["ad"]}, {"labels": "ad"}, {"labels": ["no"]}])
def test_a_label_event_names_its_labels_in_one_way(tmp_path, value):
    write_pictures(tmp_path, 1)
    with open_store(tmp_path, CLASSES) as store:
        fill_items(store)
        result = store.append([LabelEvent("c", 0, "ann", 1, "label", value, 1.0)])
        assert result.refused
        assert not result.durable


def test_a_head_learns_several_labels_of_an_item(folder, model):  # noqa: F811
    with open_store(folder, ["red", "blue", "picture"]) as store:
        fill_items(store)
        found = [item for item in store.items(limit=100) if int(item.path.removesuffix(".png")[-1]) < 6]
        events = [
            LabelEvent("c", number, "ann", item.id, "label", {"labels": [label_of(item.path), *extra]}, 1.0)
            for number, item in enumerate(found)
            for extra in [["picture"] if label_of(item.path) == "red" else []]
        ]
        assert not store.append(events).refused
        report = retrain(store, model, trust_adapters=TRUST)
        assert report.classes == {"blue": 6, "picture": 6, "red": 6}
        assert report.accuracy > 0.5
        rest = review_queue(store, "uncertain")
        assert len(rest) == 4
        red = next(number for number in rest if label_of(store.item(number).path) == "red")
        scores = store.scores(red)
        assert min(scores["red"], scores["picture"]) > 0.5 > scores["blue"]


def test_keys_give_and_take_labels_on_the_page(tmp_path):
    write_pictures(tmp_path)
    with (
        browser() as chromium,
        running_studio(tmp_path, labels=("ad", "sport"), annotator="ann", several_labels=True) as (
            url,
            studio,
        ),
    ):
        page = chromium.new_page(viewport={"width": 1280, "height": 720})
        page.goto(f"{url}/label")
        until(lambda: page.inner_text("#name") == "0.png", what="the first picture")
        until(lambda: page.inner_text("#own") == "unlabelled", what="its label")
        for key in "as":
            page.keyboard.press(key)
        assert page.inner_text("#own").split() == ["A", "ad", "S", "sport"]
        assert page.inner_text("#name") == "0.png"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("0")  # none of the classes, and on
        page.keyboard.press("a")
        page.keyboard.press("s")
        page.keyboard.press("a")  # taken away again
        assert page.inner_text("#own").split() == ["S", "sport"]
        page.keyboard.press("z")
        assert page.inner_text("#own").split() == ["A", "ad", "S", "sport"]
        page.keyboard.press("Shift+Z")
        until(lambda: page.inner_text("#saving") == "saved", what="all stored")
        assert [parted_labels(studio.store.item(n).labels["ann"]) for n in (1, 2, 3)] == [
            ("ad", "sport"),
            (),
            ("sport",),
        ]
        page.reload()
        until(lambda: page.inner_text("#own").split() == ["S", "sport"], what="the label after a reload")
        page.keyboard.press("Home")
        until(lambda: page.inner_text("#own").split() == ["A", "ad", "S", "sport"], what="both labels after a reload")
        studio.store.set_scores("model", [(4, "ad", 0.6), (4, "sport", 0.4)])
        page.goto(f"{url}/review")
        until(lambda: "Confirm ad" in page.inner_text("#confirm"), what="what the model says")
        page.keyboard.press("s")
        assert "Confirm ad + sport" in page.inner_text("#confirm")
        page.keyboard.press("Enter")
        until(lambda: studio.store.item(4).labels, what="what was confirmed")
        assert parted_labels(studio.store.item(4).labels["ann"]) == ("ad", "sport")

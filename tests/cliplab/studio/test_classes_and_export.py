"""Classes that are added, renamed and retired while items have them, and the rows that an export reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import cli
from test_store_questions import insert_rows
from test_studio_store import Client

from adapters.errors import DatasetError
from cliplab.studio import LabelStore, open_store
from cliplab.studio.classes import MAX_CLASSES, RESERVED_KEYS, assign_keys
from cliplab.studio.resolving import resolve_votes


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with open_store(tmp_path, ["ad", "content", "promo"]) as opened:
        insert_rows(opened)
        yield opened


def shown(store: LabelStore, retired: bool = False) -> list[tuple[str, str, int, bool]]:
    return [(one.name, one.key, one.position, one.retired) for one in store.classes(retired)]


# Keys and names


@pytest.mark.parametrize(
    ("names", "taken", "keys"),
    [
        (["ad", "add", "a"], [], ["a", "d", "1"]),
        (["B", "bb"], [], ["b", "1"]),
        (["ad"], ["a", "d"], ["1"]),
        (["é", "7up"], [], ["1", "p"]),
        (["bbb"] * 12, [], ["b", *"123456789", "", ""]),
    ],
)
def test_a_class_has_the_first_letter_that_is_free(names: list[str], taken: list[str], keys: list[str]) -> None:
    assert assign_keys(names, taken) == keys
    reserved = sorted(RESERVED_KEYS)[0]
    assert assign_keys([reserved]) == ["1"], "a key of the page itself"


def test_what_is_no_list_of_classes(store: LabelStore) -> None:
    before = shown(store, retired=True)
    for names, said in (
        ("ad", "must be a list of up to"),
        ([f"c{number}" for number in range(MAX_CLASSES + 1)], f"up to {MAX_CLASSES:,} names"),
        (["ad", " AD "], "'ad' and 'AD' are the same class"),
        (["ad", ""], "the name of a class"),
    ):
        with pytest.raises(DatasetError, match=said):
            store.set_classes(names)
    assert shown(store, retired=True) == before
    assert store.set_classes([f"c{number}" for number in range(MAX_CLASSES)]) == []


def test_classes_keep_their_keys_in_another_order_and_when_others_come(store: LabelStore) -> None:
    assert shown(store) == [("ad", "a", 0, False), ("content", "c", 1, False), ("promo", "p", 2, False)]
    assert store.set_classes([" promo ", "car", "ad", "content"]) == []
    assert shown(store) == [
        *(("promo", "p", 0, False), ("car", "1", 1, False), ("ad", "a", 2, False), ("content", "c", 3, False)),
    ]


def test_a_class_that_is_retired_keeps_its_labels_and_may_come_back(store: LabelStore) -> None:
    client = Client(store)
    client.send(1, "label", label="ad")
    client.send(2, "label", labels=["ad", "promo"])
    client.send(2, "interval", interval="a", label="ad", start=1, end=2)
    (note,) = store.set_classes(["content", "promo"])
    assert note.startswith("class 'ad' is retired, but 3 labels use it; they are unchanged.")
    assert store.notes == [note]
    assert shown(store) == [("content", "c", 0, False), ("promo", "p", 1, False)]
    assert shown(store, retired=True)[-1] == ("ad", "", 0, True)
    assert store.set_classes(["content", "promo"]) == [], "it is said once"
    assert store.item(1).labels == {"ann": "ad"}
    client.send(3, "label", label="ad")
    store.set_classes(["ad", "content", "promo"])
    assert shown(store)[0] == ("ad", "a", 0, False)


def test_a_renamed_class_takes_its_labels_intervals_reviews_and_scores_along(store: LabelStore) -> None:
    client = Client(store)
    client.send(1, "label", label="ad")
    client.send(2, "label", labels=["ad", "promo"])
    client.send(3, "review", labels=["ad", "content"])
    client.send(4, "interval", interval="a", label="ad", start=1, end=2)
    store.set_scores("m", [(5, "ad", 0.75), (5, "promo", 0.25)])
    store.rename_class("ad", "zebra")
    assert shown(store)[0] == ("zebra", "e", 0, False)
    assert store.item(1).labels == {"ann": "zebra"}
    assert set(store.item(2).labels["ann"].split("\x1f")) == {"promo", "zebra"}
    assert set((store.item(3).review or "").split("\x1f")) == {"content", "zebra"}
    assert store.intervals(4)[0].label == "zebra"
    assert store.item(5).predicted == ("zebra", 0.75)
    assert store.scores(5) == {"zebra": 0.75, "promo": 0.25}
    client.send(6, "label", label="ad")  # by its former name
    assert store.item(6).labels == {"ann": "zebra"}
    store.rename_class("zebra", "yak")
    client.send(7, "label", label="ad")
    client.send(8, "label", label="zebra")
    assert store.item(7).labels == store.item(8).labels == {"ann": "yak"}
    before = [store.item(number) for number in range(1, 9)]
    store.rebuild()
    assert [store.item(number) for number in range(1, 9)] == before


def test_the_command_renames_a_class_and_names_what_is_wrong(store: LabelStore, tmp_path: Path) -> None:
    Client(store).send(1, "label", label="ad")
    found = cli("label", "rename", "ad", "commercial", "--data-dir", tmp_path, code=0)
    assert "class 'ad' is now 'commercial', and its labels with it" in found.stdout
    assert store.item(1).labels == {"ann": "commercial"}
    found = cli("label", "rename", "comercial", "ad", "--data-dir", tmp_path, code=1)
    assert "'comercial' is not a class of this studio" in found.stderr
    assert "commercial" in found.stderr
    (tmp_path / "other").mkdir()
    found = cli("label", "rename", "a", "b", "--data-dir", tmp_path / "other", code=1)
    assert "has no labels.db. Give the folder that the studio was started with" in found.stderr
    assert not list((tmp_path / "other").iterdir())


def test_names_that_another_class_has_or_had_are_refused(store: LabelStore) -> None:
    store.rename_class("ad", "advert")
    store.rename_class("advert", "advert")
    for old, new, said in (
        ("advert", "promo", "is or was another class"),
        ("promo", "ad", "is or was another class"),
        ("ad", "x", "is not a class of this studio"),
        ("nothing", "x", "'nothing' is not a class"),
        ("promo", " ", "the name of a class"),
    ):
        with pytest.raises(DatasetError, match=said):
            store.rename_class(old, new)
    with pytest.raises(DatasetError, match="class 'ad' was renamed to 'advert'"):
        store.set_classes(["ad", "content"])
    store.rename_class("advert", "ad")
    assert [one[0] for one in shown(store)] == ["ad", "content", "promo"]
    said = Client(store).refused(1, "label", label="addd")
    assert said.startswith("'addd' is not a class of this studio")
    assert "its classes: 'ad', 'content' and 'promo'" in said or "'ad', 'content', 'promo'" in said


# One label for each item, and the rows of an export


@pytest.mark.parametrize(
    ("review", "votes", "found"),
    [
        ("x", {"a": 5}, ("x", "review")),
        ("x", {}, ("x", "review")),
        (None, {"a": 2}, ("a", "all")),
        (None, {"a": 2, "b": 1}, ("a", "majority")),
        (None, {"b": 1, "a": 3, "c": 2}, ("a", "majority")),
        (None, {"a": 2, "b": 2}, (None, "tie")),
        (None, {"a": 1, "b": 2, "c": 2}, (None, "tie")),
    ],
)
def test_one_label_of_several_people(review: str | None, votes: dict[str, int], found: Any) -> None:
    assert resolve_votes(review, votes) == found


def test_a_label_of_a_file_counts_where_no_person_gave_one(store: LabelStore) -> None:
    file, ann = Client(store, "imported", "file"), Client(store)
    file.send(1, "label", label="ad")
    file.send(2, "label", label="ad")
    ann.send(2, "label", label="promo")
    assert [(one.item, one.label, one.by, one.votes) for one in store.labels()] == [
        (1, "ad", "all", {"ad": 1}),
        (2, "promo", "all", {"promo": 1}),
    ]
    assert not store.item(2).disagree


def test_an_exported_row_has_each_fact_of_its_item(store: LabelStore) -> None:
    ann, bob = Client(store), Client(store, "bob", "tab 2")
    ann.send(1, "label", labels=["ad", "promo"])
    ann.send(2, "label", label="ad")
    bob.send(2, "label", label="promo")  # a tie is no label
    bob.send(3, "review", label="content")
    ann.send(5, "interval", interval="a", label="ad", start=2, end=3)
    ann.send(5, "interval", interval="b", label="promo", start=0.5, end=1)
    ann.send(8, "interval", interval="c", label="ad", start=0, end=10)
    bob.send(8, "interval", interval="d", label="ad", start=5, end=15)
    ann.send(11, "label", label="ad")
    rows = store.export_rows()
    assert [
        (row["item"], row["label"], row["start_seconds"], row["end_seconds"], row["annotator"]) for row in rows
    ] == [
        (1, "ad\x1fpromo", 0.5, 2.0, ""),
        (3, "content", None, None, ""),
        (5, "promo", 0.5, 1.0, "ann"),
        (5, "ad", 2.0, 3.0, "ann"),
        (8, "ad", 5.0, 10.0, ""),
        (11, "ad", None, None, ""),
    ]
    assert rows[0] == {
        "item": 1, "kind": "clip", "path": "Shots/Café_01.jpg", "start_seconds": 0.5, "end_seconds": 2.0,
        "label": "ad\x1fpromo", "labels": ["ad", "promo"], "annotator": "", "group": "group 1", "source": "source 1",
        "split": "test", "missing": None,
    }  # fmt: skip
    assert [row["missing"] for row in rows] == [None] * 5 + ["gone"]
    assert [one.id for one in store.intervals(5)] == ["b", "a"]
    assert [one.id for one in store.intervals(8, "bob")] == ["d"]


def test_settings_and_queues_are_kept_by_name(store: LabelStore) -> None:
    assert store.setting("x") == ""
    store.set_setting("x", "1")
    store.set_setting("x", "2")
    store.set_setting("y", "3")
    assert (store.setting("x"), store.setting("y")) == ("2", "3")
    store.set_queue("one", [3, 1])
    store.set_queue("other", [2])
    store.set_queue("one", [1, 2, 1])
    assert (store.queue("one"), store.queue("other"), store.queue("none")) == ([1, 2], [2], [])
    rows = [(b"a", 1, 2, "f"), (b"b", 3, 4, "g")]
    store.remember_files(rows)
    store.remember_files([(b"a", 9, 8, "h")])
    store.remember_files([])
    assert sorted(store.known_files()) == [(b"a", 9, 8, "h"), (b"b", 3, 4, "g")]

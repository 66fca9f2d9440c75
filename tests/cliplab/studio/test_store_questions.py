"""What a label store answers about items: each filter, the progress and the next item, by a plain look at all items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_studio_store import Client

from adapters.errors import ConfigError, DatasetError
from cliplab.studio import ItemFilter, LabelStore, open_store
from cliplab.studio.item_index import DISAGREE, FLAGGED, MISSING, OPEN, SEVERAL, VIDEO, read_index
from cliplab.studio.queries import ItemRow

KINDS = ("frame", "clip", "video")
# Items 1 to 12: every third a video; two groups, three splits, two missing, the even ones for two people at 50 percent.


def row_of(number: int) -> tuple[Any, ...]:
    path = f"Shots/{'Café' if number % 2 else 'bar'}_{number:02d}.jpg".encode()
    span = (number * 0.5, number + 1.0) if number % 3 == 1 else (None, None)
    place = (f"group {number % 2}", f"source {number}", ("train", "test", None)[number % 3])
    missing = {11: "gone", 12: "replaced"}.get(number)
    facts = (number, KINDS[number % 3], f"{number:040x}", path, *span, 100 + number, 50 + number)
    return (*facts, *place, missing, (number % 2) * 0.5)


ROWS = [row_of(number) for number in range(1, 13)]


def insert_rows(store: LabelStore) -> None:
    with store.writing() as connection:
        connection.executemany(
            "INSERT INTO items (id, kind, fingerprint, path, start_seconds, end_seconds, width, height, "
            "group_name, source, split, missing, overlap) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ROWS,
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with open_store(tmp_path, ["ad", "content", "promo"]) as opened:
        insert_rows(opened)
        opened.set_overlap(50)
        ann, bob = Client(opened), Client(opened, "bob", "tab 2")
        ann.send(1, "label", label="ad")
        ann.send(2, "label", label="ad")
        bob.send(2, "label", label="content")
        ann.send(3, "interval", interval="a", label="promo", start=1, end=2)
        bob.send(4, "label", label="content")
        ann.send(5, "label", labels=["ad", "promo"])
        bob.send(6, "flag", on=True)
        ann.send(7, "label", label="content")
        bob.send(7, "review", label="promo")
        ann.send(11, "label", label="ad")
        opened.set_scores("old", [(1, "ad", 0.9), (1, "content", 0.1), (2, "ad", 0.2), (2, "content", 0.8)])
        opened.set_scores(
            "new", [(1, "ad", 0.5), (1, "content", 0.25), (2, "ad", 0.75), (4, "content", 0.625), (9, "promo", 1.0)]
        )
        yield opened


def numbers(store: LabelStore, **given: Any) -> list[int]:
    return [row.id for row in store.items(filters=ItemFilter(**given))]


# A filter, and whether an item is meant by its row.
FILTERS: list[tuple[dict[str, Any], Callable[[ItemRow], bool]]] = [
    *[({"kind": kind}, lambda row, kind=kind: row.kind == kind) for kind in KINDS],
    ({"state": "unlabelled"}, lambda row: row.done == 0 and row.missing is None),
    ({"state": "labelled"}, lambda row: row.done > 0),
    ({"state": "open"}, lambda row: row.done < row.wanted and row.missing is None),
    ({"state": "disagree"}, lambda row: row.disagree),
    ({"state": "flagged"}, lambda row: row.flagged),
    ({"state": "missing"}, lambda row: row.missing is not None),
    ({"state": "review"}, lambda row: row.done > 0 and row.review is None),
    ({"label": "ad"}, lambda row: row.id in (1, 2, 5, 11)),
    ({"label": "promo"}, lambda row: row.id in (3, 5)),
    ({"annotator": "bob"}, lambda row: row.id in (2, 4)),
    ({"text": "CAF"}, lambda row: "Caf" in row.path),
    ({"text": "bar_02"}, lambda row: row.id == 2),
    ({"text": "_"}, lambda row: True),
    ({"group": "group 1"}, lambda row: row.group == "group 1"),
    ({"split": "test"}, lambda row: row.split == "test"),
    ({"model": "old"}, lambda row: row.id in (1, 2)),
    ({"score_below": 0.625}, lambda row: row.id == 1),
    ({"score_above": 0.625}, lambda row: row.id in (2, 4, 9)),
    ({"predicted": "ad"}, lambda row: row.id in (1, 2)),
    ({"predicted": "content", "model": "old"}, lambda row: row.id == 2),
    ({"score_above": 0.85, "model": "old"}, lambda row: row.id == 1),
    ({"score_above": 0.625, "score_below": 1.0}, lambda row: row.id in (2, 4)),
    ({"kind": "video", "group": "group 0", "state": "unlabelled"}, lambda row: row.id == 8),
    ({}, lambda row: True),
]  # fmt: skip


@pytest.mark.parametrize(("given", "meant"), FILTERS, ids=[str(given) for given, _ in FILTERS])
def test_a_filter_finds_the_items_that_it_means(
    given: dict[str, Any], meant: Callable[[ItemRow], bool], store: LabelStore
) -> None:
    expected = [row.id for row in store.items() if meant(row)]
    assert expected, "a filter that finds nothing shows nothing"
    assert numbers(store, **given) == expected
    assert store.count(ItemFilter(**given)) == len(expected)
    index = read_index(store, ItemFilter(**given), "ann")
    assert np.frombuffer(index[: 4 * len(expected)], "<u4").tolist() == expected


def test_an_item_has_each_of_its_facts(store: LabelStore) -> None:
    for row, given in zip(store.items(), ROWS, strict=True):
        assert (row.id, row.kind, row.fingerprint, row.path.encode()) == given[:4]
        facts = (row.start_seconds, row.end_seconds, row.width, row.height, row.group, row.source, row.split)
        assert (*facts, row.missing) == given[4:12]
        assert row.wanted == (2 if row.id % 2 == 0 else 1)
        assert store.item(row.id) == row
    two, five, seven = (store.item(number) for number in (2, 5, 7))
    assert (two.labels, two.done, two.disagree) == ({"ann": "ad", "bob": "content"}, 2, True)
    assert five.labels == {"ann": "ad\x1fpromo"}
    assert (seven.review, seven.done, seven.labels) == ("promo", 1, {"ann": "content"})
    assert (two.predicted, seven.predicted) == (("ad", 0.75), None)
    assert two.to_json() == {**vars(two), "path": "Shots/bar_02.jpg"}


def test_pages_follow_each_other(store: LabelStore) -> None:
    assert [row.id for row in store.items(after=3, limit=2)] == [4, 5]
    assert [row.id for row in store.items(after=10, limit=9)] == [11, 12]
    assert numbers(store, kind="nothing") == []


def test_a_state_that_is_not_one_is_refused(store: LabelStore) -> None:
    with pytest.raises(ConfigError, match=r"state must be one of unlabelled, .*, got 'done'"):
        store.items(filters=ItemFilter(state="done"))  # type: ignore[arg-type]


def test_progress_counts_what_the_items_say(store: LabelStore) -> None:
    rows, found = store.items(), store.progress()
    there = [row for row in rows if row.missing is None]
    assert found["items"] == len(there) == 10
    assert found["labelled"] == sum(row.done > 0 for row in there) == 6
    assert found["finished"] == sum(row.done >= row.wanted for row in there) == 5
    assert found["disagree"] == sum(row.disagree for row in rows) == 1
    assert found["flagged"] == 1
    assert found["missing"] == 2
    assert found["overlap"] == sum(row.wanted > 1 for row in rows) == 6
    assert found["intervals"] == 1
    assert found["events"] == store.version() == 10
    assert found["by_label"] == Counter(ad=4, content=3, promo=2)
    assert found["by_annotator"] == {"ann": 6, "bob": 2}


def test_the_index_says_of_each_item_what_its_row_says(store: LabelStore) -> None:
    rows, index = store.items(), read_index(store, ItemFilter(), "ann")
    count = len(rows)
    labels, flags = np.frombuffer(index[4 * count : 6 * count], "<u2"), index[6 * count :]
    places = {"ad": 1, "content": 2, "promo": 3, "ad\x1fpromo": SEVERAL, "": 0}
    assert labels.tolist() == [places[row.labels.get("ann", "")] for row in rows]
    for row, bits in zip(rows, flags, strict=True):
        expected = row.disagree * DISAGREE + row.flagged * FLAGGED + (row.missing is not None) * MISSING
        assert bits == expected + (row.done < row.wanted) * OPEN + (row.kind == "video") * VIDEO


def test_the_next_item_comes_around_to_the_beginning(store: LabelStore) -> None:
    def following(who: str, after: int, want: Any = "unlabelled") -> int | None:
        found = store.next_item(who, after, want=want)
        return None if found is None else found.id

    # Open for a person: fewer labelled it than are to, and not this person; 11 and 12 have no file.
    assert [following("ann", after) for after in (0, 4, 6, 8, 9, 10, 12)] == [4, 6, 8, 9, 10, 4, 4]
    assert [following("bob", after) for after in (0, 3, 10)] == [6, 6, 6]
    assert [following("ann", after, "disagree") for after in (0, 1, 2, 5)] == [2, 2, None, 2]
    assert [following("ann", after, "flagged") for after in (0, 6, 7)] == [6, None, 6]
    with pytest.raises(ConfigError, match="want must be one of"):
        following("ann", 0, "anything")


def test_uncertain_items_by_margin_or_queue(store: LabelStore) -> None:
    # Of the latest model: 9 has a margin of 1; 4 has 0.25; 1 and 2 have their people.
    assert store.next_item("ann", want="uncertain").id == 4  # type: ignore[union-attr]
    assert store.next_item("ann", 4, want="uncertain").id == 9  # type: ignore[union-attr]
    store.set_queue("uncertain", [9, 4, 9, 8])
    assert store.queue("uncertain") == [9, 4, 8]
    found = [store.next_item("ann", after, want="uncertain") for after in (0, 9, 4, 8)]
    assert [one.id for one in found if one is not None] == [9, 4, 8, 9]
    store.set_queue("uncertain", [])
    assert store.next_item("ann", want="uncertain").id == 4  # type: ignore[union-attr]


def test_what_a_model_says_comes_best_first_and_replaces_what_it_said(store: LabelStore) -> None:
    assert list(store.scores(2, "old").items()) == [("content", 0.8), ("ad", 0.2)]
    assert store.scores(2) == {"ad": 0.75}
    assert store.set_scores("old", [(3, "ad", 0.0), (3, "promo", 1.0)]) == 1
    assert store.scores(2, "old") == {}
    assert store.item(3).predicted == ("promo", 1.0), "the model whose scores came last"
    for score in (-0.001, 1.001, float("nan"), float("inf")):
        with pytest.raises(DatasetError, match="item 3 for 'ad' must be a number from 0 to 1"):
            store.set_scores("old", [(3, "ad", score)])
    with pytest.raises(DatasetError, match="no item 99"):
        store.set_scores("old", [(99, "ad", 0.5)])
    assert store.scores(3, "old") == {"promo": 1.0, "ad": 0.0}

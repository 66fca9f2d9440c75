"""Which items wait for review, in which order, and what a page says of a queue without any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_studio_store import Client, add_items

from adapters.errors import ConfigError
from cliplab.studio import LabelStore, open_store
from cliplab.studio.review import KINDS, ReviewFilter, review_counts, review_queue, why_empty
from cliplab.studio.review_order import MISLABELS, QUEUE, ordered

# Items 1 to 6 have no label; 7 to 12 have one. The margin is that of the best two scores.
SCORES = {
    1: (0.9, 0.1), 2: (0.5, 0.25), 3: (0.25, 0.5), 4: (0.6, 0.4), 5: (0.9, 0.1), 7: (0.8, 0.2), 8: (0.7, 0.3),
    9: (0.1, 0.9), 10: (0.2, 0.8), 11: (0.4, 0.6), 12: (1.0, 0.0),
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with open_store(tmp_path, ["ad", "content", "promo"]) as opened:
        add_items(opened, 13)
        with opened.writing() as connection:
            connection.execute("UPDATE items SET missing = 'gone' WHERE id = 12")
        ann, bob = Client(opened), Client(opened, "bob", "tab 2")
        for item in (7, 8, 9, 10, 11, 12, 13):
            ann.send(item, "label", label="content")
        bob.send(7, "label", label="promo")  # they disagree, and the model with both
        bob.send(8, "label", label="ad")  # the model agrees with one
        ann.send(11, "review", label="promo")
        ann.send(5, "review", label="ad")
        for item in (3, 9, 12):
            bob.send(item, "flag", on=True)
        opened.set_scores("old", [(6, "ad", 0.5)])
        opened.set_scores(
            "new",
            [
                (item, label, score)
                for item, both in SCORES.items()
                for label, score in zip(("ad", "content"), both, strict=True)
            ],
        )
        yield opened


QUEUES: dict[Any, list[int]] = {
    "uncertain": [4, 2, 3, 1],  # margins 0.2, 0.25, 0.25, 0.8; 5 was adjudicated, 6 is not scored
    "sure": [1, 4, 2, 3],
    "disagree": [7, 8],
    "model": [7],
    "mislabels": [],
    "flagged": [3, 9],
}


def test_each_kind_has_its_items_in_its_order(store: LabelStore) -> None:
    assert tuple(QUEUES) == KINDS
    for kind, items in QUEUES.items():
        assert review_queue(store, kind) == items, kind
        assert review_queue(store, kind, limit=1) == items[:1]
    assert review_counts(store) == {kind: len(items) for kind, items in QUEUES.items()}
    with pytest.raises(ConfigError, match="kind must be one of uncertain, sure"):
        review_queue(store, "all")  # type: ignore[arg-type]


def test_queues_that_were_computed_come_first(store: LabelStore) -> None:
    store.set_queue(QUEUE, [3, 1, 9])
    assert review_queue(store, "uncertain") == [3, 1, 4, 2]
    store.set_queue(MISLABELS, [10, 11, 9, 1, 12])
    assert review_queue(store, "mislabels") == [10, 9], "labelled, not adjudicated, and there"


@pytest.mark.parametrize(
    ("given", "kind", "items"),
    [
        ({"low": 0.6}, "uncertain", [4, 1]),
        ({"high": 0.6}, "uncertain", [4, 2, 3]),
        ({"low": 0.5, "high": 0.5}, "uncertain", [2, 3]),
        ({"low": 0.1}, "flagged", [3, 9]),
        ({"label": "content"}, "uncertain", [3]),
        ({"label": "ad"}, "uncertain", [4, 2, 1]),
        ({"label": "promo"}, "disagree", [7]),
        ({"label": "ad"}, "disagree", [7, 8]),
        ({"text": "03.JPG"}, "uncertain", [3]),
        ({"text": "nothing"}, "uncertain", []),
        ({"label": "ad", "low": 0.6, "text": "1.jpg"}, "uncertain", [1]),
    ],
)
def test_a_filter_narrows_a_queue(given: dict[str, Any], kind: Any, items: list[int], store: LabelStore) -> None:
    assert review_queue(store, kind, ReviewFilter(**given)) == items
    assert review_counts(store, ReviewFilter(**given))[kind] == len(items)


@pytest.mark.parametrize("given", [{"low": -0.01}, {"high": 1.01}, {"low": 0.6, "high": 0.5}, {"low": float("nan")}])
def test_scores_of_a_filter_are_in_order(given: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="0 <= low <= high <= 1"):
        ReviewFilter(**given)  # type: ignore[arg-type]


def test_an_empty_queue_says_what_to_do(store: LabelStore, tmp_path: Path) -> None:
    said = [why_empty(store, kind) for kind in KINDS]
    assert said[0] == said[1] == "Every item that the model scored has a label."
    assert len(set(said)) == 5
    for sentence, word in zip(said[2:], ("two people label", "agrees", "Retrain", "Press F"), strict=True):
        assert word in sentence
    with open_store(tmp_path / "new", ["a", "b"]) as new:
        for kind in KINDS:
            unscored = why_empty(new, kind).startswith("No model has scored the items yet.")
            assert unscored == (kind in ("uncertain", "sure", "model")), kind


def test_the_order_of_review_is_of_the_candidates_and_ends_by_uncertainty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cliplab.studio.review_order._DIVERSE_FIRST", 2)
    uncertainty = np.array([0.9, 0.1, 0.5, 0.8, 0.7, 0.6])
    # Rows 0 and 3 look alike, and 4 as the labelled one.
    looks = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 0.001], [0, 0, 1], [0, 0, 1]], np.float32)
    found = ordered(uncertainty, looks, np.array([0, 1, 2, 3, 4]), np.array([5])).tolist()
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert found[0] == 0
    assert 3 not in found[:2], "it looks like the first"
    assert 4 not in found[:2], "it looks like one that has a label"
    rest = [uncertainty[row] for row in found[2:]]
    assert rest == sorted(rest, reverse=True)

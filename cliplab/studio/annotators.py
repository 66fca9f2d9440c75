"""Who labels, how far each is, and how far they agree."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cliplab.studio.agreement import (
    Agreement,
    EdgeAgreement,
    Stretch,
    agreement,
    edge_agreement,
    units_per_second,
)

if TYPE_CHECKING:
    from cliplab.studio.store import LabelStore

# Labels that no person gave: those of a dataset that was read, and of models.
NOT_PEOPLE = ("imported", "model:")
# Pairs of people that are compared one by one; of more people the whole figure is given alone.
_MOST_PAIRS = 45
_MOST_SECONDS = 1_000_000


@dataclass(frozen=True)
class Annotator:
    """One name of the store.

    Attributes:
        name: The name.
        labels: Items that have a label by it.
        intervals: Intervals by it.
        reviews: Items that it decided.
        last_at: When it last did something, in seconds since 1970; None: never.
        leased: Items that are reserved for it now.
        leased_until: When the last of these reservations ends, in seconds since 1970; None: none.
        person: Whether a person labels under it.
    """

    name: str
    labels: int
    intervals: int
    reviews: int
    last_at: float | None
    leased: int
    leased_until: float | None
    person: bool


@dataclass(frozen=True)
class Pair:
    """How far two people agree on the items that both labelled.

    Attributes:
        one: The first name.
        other: The second.
        items: Items that both labelled.
        same: Of these, how many they labelled alike.
    """

    one: str
    other: str
    items: int
    same: int


@dataclass(frozen=True)
class AnnotatorsReport:
    """Everything that the Annotators page shows.

    Attributes:
        people: The annotators, the most labels first.
        overlap_percent: The share of the items that two people are to label.
        overlap_items: How many these are.
        overlap_done: How many of them two people or more have labelled.
        labels: Agreement on labels of items.
        seconds: Agreement on videos with intervals of several people, second by second.
        edges: Agreement on the edges of these intervals.
        pairs: Agreement of each two people on labels of items.
    """

    people: tuple[Annotator, ...]
    overlap_percent: float
    overlap_items: int
    overlap_done: int
    labels: Agreement
    seconds: Agreement
    edges: tuple[EdgeAgreement, ...]
    pairs: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "people": [vars(one) for one in self.people],
            "overlap": {
                "percent": self.overlap_percent,
                "items": self.overlap_items,
                "done": self.overlap_done,
            },
            "labels": self.labels.to_json(),
            "seconds": self.seconds.to_json(),
            "edges": [vars(one) | {"share": one.share} for one in self.edges],
            "pairs": [vars(one) for one in self.pairs],
        }


def is_person(name: str) -> bool:
    """Whether a person labels under a name.

    Args:
        name: An annotator of the store.
    """
    return not name.startswith(NOT_PEOPLE)


def annotators_report(store: LabelStore) -> AnnotatorsReport:
    """Who labels, how far each is, and how far they agree.

    Args:
        store: The label store.
    """
    labels = _labels_by_item(store)
    stretches = _stretches_by_item(store)
    videos = [units_per_second(by_name, _length(by_name)) for by_name in stretches.values() if len(by_name) > 1]
    both = [pair for by_name in stretches.values() for pair in itertools.combinations(by_name.values(), 2)]
    with store.reading() as connection:
        [(items, done)] = connection.execute(
            "SELECT coalesce(sum(wanted > 1), 0), coalesce(sum(wanted > 1 AND done > 1), 0) FROM items "
            "WHERE missing IS NULL"
        )
    return AnnotatorsReport(
        _people(store),
        float(store.setting("overlap_percent") or 0.0),
        int(items),
        int(done),
        agreement([[by_name] for by_name in labels.values()]),
        agreement(videos),
        edge_agreement(both),
        _pairs(labels),
    )


def _labels_by_item(store: LabelStore) -> dict[int, dict[str, str]]:
    """The labels of people by item and name, of items that two people or more labelled."""
    found: dict[int, dict[str, str]] = {}
    with store.reading() as connection:
        for item, annotator, label in connection.execute(
            "SELECT item, annotator, label FROM current_labels WHERE item IN "
            "(SELECT item FROM current_labels GROUP BY item HAVING count(*) > 1)"
        ):
            if is_person(annotator):
                found.setdefault(item, {})[annotator] = label
    return {item: by_name for item, by_name in found.items() if len(by_name) > 1}


def _stretches_by_item(store: LabelStore) -> dict[int, dict[str, list[Stretch]]]:
    """The intervals of people by video and name, up to a million seconds in all."""
    found: dict[int, dict[str, list[Stretch]]] = {}
    with store.reading() as connection:
        for item, annotator, label, start, end in connection.execute(
            "SELECT item, annotator, label, start_seconds, end_seconds FROM current_intervals "
            "ORDER BY item, annotator, start_seconds"
        ):
            if is_person(annotator):
                found.setdefault(item, {}).setdefault(annotator, []).append((label, start, end))
    kept, seconds = {}, 0.0
    for item, by_name in found.items():
        if len(by_name) > 1 and (seconds := seconds + _length(by_name)) <= _MOST_SECONDS:
            kept[item] = by_name
    return kept


def _length(by_name: dict[str, list[Stretch]]) -> float:
    """Up to the last edge: what comes after it says nothing of agreement."""
    return max(end for given in by_name.values() for _, _, end in given)


def _people(store: LabelStore) -> tuple[Annotator, ...]:
    counts: dict[str, dict[str, Any]] = {}
    now = time.time()
    with store.reading() as connection:
        for column, query in (
            ("labels", "SELECT annotator, count(*) FROM current_labels GROUP BY annotator"),
            ("intervals", "SELECT annotator, count(*) FROM current_intervals GROUP BY annotator"),
            ("reviews", "SELECT annotator, count(*) FROM current_reviews GROUP BY annotator"),
            ("last_at", "SELECT annotator, max(received) FROM events GROUP BY annotator"),
        ):
            for name, value in connection.execute(query):
                counts.setdefault(name, {})[column] = value
        leases = connection.execute(
            "SELECT annotator, count(*), max(until) FROM leases WHERE until > ? AND NOT EXISTS (SELECT 1 FROM "
            "current_labels c WHERE c.item = leases.item AND c.annotator = leases.annotator) GROUP BY annotator",
            (now,),
        )
        for name, number, until in leases:
            counts.setdefault(name, {}).update(leased=number, leased_until=until)
    empty = {"labels": 0, "intervals": 0, "reviews": 0, "last_at": None, "leased": 0, "leased_until": None}
    people = [Annotator(name=name, person=is_person(name), **(empty | values)) for name, values in counts.items()]
    return tuple(sorted(people, key=lambda one: (not one.person, -one.labels - one.intervals, one.name)))


def _pairs(labels: dict[int, dict[str, str]]) -> tuple[Pair, ...]:
    found: dict[tuple[str, str], list[int]] = {}
    for by_name in labels.values():
        for one, other in itertools.combinations(sorted(by_name), 2):
            entry = found.setdefault((one, other), [0, 0])
            entry[0] += 1
            entry[1] += by_name[one] == by_name[other]
    pairs: Sequence[Pair] = [Pair(*names, *counts) for names, counts in found.items()]
    return tuple(sorted(pairs, key=lambda pair: (pair.same / pair.items, -pair.items))[:_MOST_PAIRS])

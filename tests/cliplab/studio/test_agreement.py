"""Agreement of annotators, against the published worked examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliplab.studio.agreement import agreement, edge_agreement, units_per_second

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability": sections A, B and C with their nominal alphas.
PUBLISHED = (
    ("two observers, binary", ("0100000010", "1110010000"), 0.095),
    ("two observers, nominal", ("aabbdcccedda", "babbbccceddd"), 0.692),
    (
        "four observers, missing values",
        ("123321412...", "1233224125.3", ".3332342251.", "12332441251."),
        0.743,
    ),
)


def items_of(rows):
    columns = zip(*rows, strict=True)
    return [[{str(who): label for who, label in enumerate(column) if label != "."}] for column in columns]


@pytest.mark.parametrize(("name", "rows", "alpha"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_alpha_of_published_examples(name, rows, alpha):
    found = agreement(items_of(rows))
    assert found.alpha == pytest.approx(alpha, abs=5e-4)
    low, high = found.interval
    assert -1 <= low <= found.alpha <= high <= 1


def test_units_of_one_annotator_do_not_count():
    found = agreement(items_of(PUBLISHED[2][1]))
    assert (found.units, found.items) == (11, 11)


@pytest.mark.parametrize(
    ("items", "units", "word"),
    [([], 0, "two annotators"), ([[{"a": "ad"}]], 0, "two annotators"), ([[{"a": "ad", "b": "ad"}]] * 5, 5, "'ad'")],
)
def test_no_alpha_says_why(items, units, word):
    found = agreement(items)
    assert found.alpha is None
    assert found.interval is None
    assert found.units == units
    assert word in found.note


def test_full_agreement_is_not_certain():
    few = agreement([[{"a": label, "b": label}] for label in "xyxy"])
    many = agreement([[{"a": label, "b": label}] for label in "xy" * 50])
    assert few.alpha == many.alpha == 1
    assert few.interval[0] < many.interval[0] < 1


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=2, max_size=4), min_size=2, max_size=12))
def test_alpha_is_at_most_one_and_ignores_the_order(values):
    items = [[{str(who): label for who, label in enumerate(row)}] for row in values]
    found, turned = (
        agreement(items),
        agreement([[dict(reversed(unit.items())) for unit in item] for item in items[::-1]]),
    )
    if found.alpha is None:
        assert turned.alpha is None
        return
    assert found.alpha <= 1
    assert found.alpha == pytest.approx(turned.alpha)
    # The definition: pairs within units against pairs of all values.
    flat = [label for row in values for label in row]
    n = len(flat)
    within = sum(
        sum(a != b for i, a in enumerate(row) for j, b in enumerate(row) if i != j) / (len(row) - 1) for row in values
    )
    between = sum(a != b for a in flat for b in flat) / (n - 1)
    assert found.alpha == pytest.approx(1 - within / between)


def test_seconds_of_a_video():
    units = units_per_second({"a": [("ad", 1.0, 3.0)], "b": [("ad", 1.6, 3.0), ("show", 0.0, 1.6)], "c": []}, 4.2)
    assert [unit["a"] for unit in units] == ["", "ad", "ad", ""]
    assert [unit["b"] for unit in units] == ["show", "show", "ad", ""]
    assert {unit["c"] for unit in units} == {""}


@pytest.mark.parametrize("stretch", [("ad", -5.0, 99.0), ("ad", float("nan"), 2.0), ("ad", 3.0, 1.0)])
def test_intervals_past_the_ends(stretch):
    units = units_per_second({"a": [stretch]}, 3.0)
    assert len(units) == 3
    assert {unit["a"] for unit in units} <= {"ad", ""}


def test_edges_match_once_and_by_label():
    one, other = [("ad", 10.0, 20.0)], [("ad", 10.4, 21.5), ("ad", 10.5, 30.0)]
    found = edge_agreement([(one, other)])
    assert [(item.tolerance_seconds, item.matched, item.edges) for item in found] == [
        (0.5, 2, 6),
        (1.0, 2, 6),
        (2.0, 4, 6),
    ]
    assert edge_agreement([(one, [("show", 10.0, 20.0)])])[0].matched == 0
    assert edge_agreement([])[0].share is None


def test_edges_of_thousands_of_intervals():
    starts = np.arange(3000) * 3.0
    one = [("ad", float(at), float(at + 2)) for at in starts]
    other = [("ad", float(at + 0.3), float(at + 2.3)) for at in starts]
    assert edge_agreement([(one, other)], (0.2, 0.5))[1].share == 1

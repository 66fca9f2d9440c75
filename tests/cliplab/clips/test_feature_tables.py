"""Features of clips as numbers around 0: which are taken, in what unit, and what stands in for what is missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cliplab.clips.feature_table import feature_table, table_and_rows
from cliplab.clips.records import VERSION_KEY


def test_a_number_counts_in_deviations_from_the_median() -> None:
    table = feature_table([{"a": 1.0}, {"a": 2.0}, {"a": 6.0}])
    deviation = float(np.std([1.0, 2.0, 6.0]))
    assert (table.names, table.widths, table.usual.tolist()) == (("a",), (1,), [2.0])
    found = table.matrix([{"a": 2.0 + deviation}, {"a": 2.0}, {"a": 1}])
    assert found[:, 0].tolist() == pytest.approx([1.0, 0.0, -1 / deviation])


@pytest.mark.parametrize("level", [0.0, 3.0, -1e6])
def test_what_is_the_same_in_all_clips_keeps_its_unit(level: float) -> None:
    table = feature_table([{"a": level}] * 4)
    assert table.matrix([{"a": level + 5.0}, {"a": level}]).tolist() == [[5.0], [0.0]]


def test_columns_of_a_list_count_less_the_more_there_are() -> None:
    rows = [[float(place == number) for place in range(16)] for number in range(16)]
    table = feature_table([{"e": row} for row in rows])
    np.testing.assert_allclose(table.spread, 2 * np.std(np.array(rows), axis=0))
    constant = feature_table([{"e": [1.0, 2.0, 3.0, 4.0] * 4}] * 3)
    assert constant.spread.tolist() == [2.0] * 16


@pytest.mark.parametrize("missing", [None, "3", math.nan, math.inf, [], [1.0, "x"], 10**400, [1.0, math.nan], {}])
def test_what_is_no_finite_number_has_the_usual_value(missing: Any) -> None:
    table, rows = table_and_rows([{"a": 1.0}, {"a": 4.0}, {"a": 9.0}, {"a": missing}, {}])
    assert table.usual.tolist() == [4.0]
    assert rows[3:].tolist() == [[0.0], [0.0]]
    assert table.matrix([{"a": missing}, {"a": [1.0, 2.0]}, {"b": 7.0}]).tolist() == [[0.0], [0.0], [0.0]]


@pytest.mark.parametrize(("clips", "taken"), [(1, True), (10, True), (11, False)])
def test_a_feature_is_taken_where_a_tenth_of_the_clips_have_it(clips: int, taken: bool) -> None:
    table = feature_table([{"a": 1.0, "rare": 2.0}, *[{"a": 1.0}] * (clips - 1)])
    assert ("rare" in table.names) is taken


def test_a_list_has_the_width_that_most_clips_have_and_of_two_the_larger() -> None:
    assert feature_table([{"e": [1.0, 2.0]}, {"e": [1.0, 2.0]}, {"e": [1.0, 2.0, 3.0]}]).widths == (2,)
    assert feature_table([{"e": [1.0, 2.0]}, {"e": [1.0, 2.0, 3.0]}]).widths == (3,)
    table = feature_table([{"e": [1.0, 2.0]}, {"e": [3.0, 4.0]}, {"e": 9.0}, {"e": [5.0]}, {"e": [7.0, 8.0]}])
    assert table.usual.tolist() == [3.0, 4.0]


def test_rows_are_those_of_the_table_and_features_come_in_the_order_of_their_names() -> None:
    clips = [
        {"z": 1, "e": [1.0, 5.0, 2.0], "m": 3.5, VERSION_KEY: 7},
        {"z": 4, "e": [2.0, 1.0, 2.0], "m": None},
        {"z": 2, "e": "none", "m": 0.5, VERSION_KEY: 8},
    ]
    table, rows = table_and_rows(clips)
    assert (table.names, table.widths) == (("e", "m", "z"), (3, 1, 1))
    assert [table.columns(name) for name in table.names] == [slice(0, 3), slice(3, 4), slice(4, 5)]
    np.testing.assert_array_equal(rows, table.matrix(clips))
    np.testing.assert_array_equal(feature_table(clips).spread, table.spread)


def test_nothing_known_gives_no_columns() -> None:
    empty: list[list[dict[str, Any]]] = [[], [{}], [{"a": None}]]
    for clips in empty:
        table, rows = table_and_rows(clips)
        assert (table.names, rows.shape) == ((), (len(clips), 0))
        assert table.matrix([{"a": 1.0}]).shape == (1, 0)


@pytest.mark.parametrize(("most", "names"), [(6, ("a", "b", "c")), (5, ("b", "c")), (3, ("b", "c")), (2, ("c",))])
def test_the_widest_lists_are_left_out_where_there_are_too_many_columns(
    most: int, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cliplab.clips.feature_table._MOST_COLUMNS", most)
    assert feature_table([{"c": 1.0, "a": [1.0, 2.0, 3.0], "b": [1.0, 2.0]}] * 2).names == names

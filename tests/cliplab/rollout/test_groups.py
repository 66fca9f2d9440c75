"""What is compared of candidate and control: which hours and days of which devices count, and for how much."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from cliplab.rollout import RolloutSettings
from cliplab.rollout.evidence import Counts
from cliplab.rollout.groups import COLUMNS, Groups, read_counts
from cliplab.rollout.histograms import read_pairs, threshold_of
from cliplab.rollout.record import Rollout
from cliplab.rollout.report import LATENCY_EDGES_MS, SCORE_BINS
from cliplab.rollout.schema import HISTOGRAMS, MEMBERS, SUMS

HOUR, DAY = 3600, 86400
BEGUN = 20_000  # the day on which the rollout began, at its first hour
START = BEGUN * 24
ROLLOUT = Rollout(
    "r1", "m", "1.0.0", "2.0.0", "production", RolloutSettings(), "running", 0, 50.0, START * HOUR + 600.0,
    START * HOUR + 600.0, 1,
)  # fmt: skip
NOW = (START + 10) * HOUR


def member(device: str, since: int | None, silent: bool = False, joined: int = 0) -> dict[str, Any]:
    """A device of the rollout. since: hours after its start, from which on it is to have the candidate."""
    return {
        "rollout": "r1", "device": device, "place": 0.5, "joined": (START + joined) * HOUR + 600.0,
        "candidate_since": None if since is None else (START + since) * HOUR + 1200.0,
        "silent_at": NOW - 1.0 if silent else None,
    }  # fmt: skip


def hour(device: str, at: int, version: str = "1.0.0", model: str = "m", **counts: int) -> dict[str, Any]:
    """The sums of a device in an hour after the rollout's start."""
    known = {**dict.fromkeys(COLUMNS, 0), "reports": 10, "predictions": 100, **counts}
    return {"model": model, "version": version, "device": device, "hour": START + at, **known}


def day(device: str, at: int, version: str, latency: list[int], **scores: list[int]) -> dict[str, Any]:
    given = {label: values + [0] * (SCORE_BINS - len(values)) for label, values in scores.items()}
    bins = latency + [0] * (len(LATENCY_EDGES_MS) + 1 - len(latency))
    row = {"model": "m", "version": version, "device": device, "day": BEGUN + at}
    return {**row, "latency": json.dumps(bins), "scores": json.dumps(given)}


def read(engine: Any, members: list[Any], hours: list[Any], days: Any = (), rollout: Rollout = ROLLOUT) -> Any:
    with engine.begin() as connection:
        for table, rows in ((MEMBERS, members), (SUMS, hours), (HISTOGRAMS, list(days))):
            connection.execute(sa.delete(table))
            if rows:
                connection.execute(sa.insert(table), rows)
    with engine.connect() as connection:
        return read_pairs(connection, rollout) if days else read_counts(connection, rollout, 2 * HOUR, NOW)


def shown(counts: Counts) -> list[tuple[float, float]]:
    return [(float(x), round(float(e), 4)) for x, e in zip(counts.events, counts.exposure, strict=True)]


TWO = [member("a", 1), member("b", None)]


def test_nothing_is_counted_of_a_rollout_without_reports(engine: Any) -> None:
    found = read(engine, [], [])
    assert (found.assigned, found.reported, found.control, found.predictions, found.labelled) == (0, 0, 0, 0.0, 0.0)
    assert set(found.pairs) == {"errors", "accuracy", "golden_failures", "restarts", "silence"}
    for pairs in found.pairs.values():
        assert shown(pairs[0].candidate) == shown(pairs[0].control) == []


def test_versions_are_compared_by_what_ran_and_groups_by_what_is_to_run(engine: Any) -> None:
    hours = [
        hour("a", 0, restarts=1),  # before it joined: of the control group
        hour("a", 2, "2.0.0", predictions=50, errors=5, golden_failures=1, restarts=2, labelled=20, correct=15),
        hour("a", 3, golden_failures=3, restarts=1, errors=9),  # it went back to the control version
        hour("b", 2, predictions=200, labelled=30, correct=29),
        hour("b", 2, "2.0.0", errors=50),  # it is not to have it
        hour("a", 2, "3.0.0", errors=50), hour("a", 2, "2.0.0", model="other", errors=50), hour("c", 2, errors=50),
    ]  # fmt: skip
    found: Groups = read(engine, TWO, hours)
    assert (found.assigned, found.reported, found.control) == (1, 1, 2)
    assert (found.predictions, found.labelled) == (50.0, 20.0)
    errors, wrong, golden, restarts = (
        found.pairs[name][0] for name in ("errors", "accuracy", "golden_failures", "restarts")
    )
    assert (shown(errors.candidate), shown(errors.control)) == ([(5, 50)], [(0, 100), (0, 200)])
    assert (shown(wrong.candidate), shown(wrong.control)) == ([(5, 20)], [(1, 30)])
    assert shown(golden.candidate) == [(4, 20)], "also after it went back"
    assert shown(golden.control) == [(0, 10), (0, 10)]
    # The control group had its one restart in the first hour, which makes it worse than usual and the third one better.
    assert shown(restarts.candidate) == [(3, round(10 * 5 / 5.5 + 10, 4))]
    assert shown(restarts.control) == [(1, round(10 * 6 / 5.5, 4)), (0, round(10 * 5 / 5.5, 4))]
    assert [(one.name, one.most) for one in (errors, wrong, golden, restarts)] == [
        ("errors", 1.0), ("wrong", 1.0), ("golden failures", 10.0), ("restarts", 100.0)
    ]  # fmt: skip


def test_the_hour_in_which_a_device_joins_belongs_to_the_candidate(engine: Any) -> None:
    found = read(engine, TWO, [hour("a", 1, "2.0.0", errors=1), hour("a", 1, golden_failures=1), hour("b", 1)])
    assert shown(found.pairs["errors"][0].candidate) == [(1, 100)]
    assert shown(found.pairs["errors"][0].control) == [(0, 100), (0, 100)], "what ran of the control version"
    assert shown(found.pairs["golden_failures"][0].candidate) == [(1, 20)]
    assert shown(found.pairs["golden_failures"][0].control) == [(0, 10)]


def test_a_bad_hour_of_the_control_group_excuses_the_candidate(engine: Any) -> None:
    hours = [
        hour("b", 2, errors=10), hour("b", 3, errors=50),
        hour("a", 2, "2.0.0", errors=1), hour("a", 3, "2.0.0", errors=1), hour("a", 4, "2.0.0", errors=1),
    ]  # fmt: skip
    pair = read(engine, TWO, hours).pairs["errors"][0]
    # 60 errors of 200: 0.3. Each hour's weight is (5 + errors) / (5 + expected); an hour without control is usual.
    weights = [(5 + 10) / (5 + 30), (5 + 50) / (5 + 30), 1.0]
    assert shown(pair.candidate) == [(3, round(100 * sum(weights), 4))]
    assert shown(pair.control) == [(60, round(100 * sum(weights[:2]), 4))]


def test_a_device_is_compared_with_its_own_history(engine: Any) -> None:
    members = [member("a", 1), member("b", None), member("c", None)]
    hours = [
        hour("a", 2, "2.0.0", errors=4), hour("b", 2), hour("c", 2),
        hour("a", -1, errors=30), hour("b", -14 * 24, errors=6), hour("c", -1, predictions=700),
        hour("b", -14 * 24 - 1, errors=90), hour("a", -1, "2.0.0", errors=90),  # too old, and not the control version
    ]  # fmt: skip
    pair = read(engine, members, hours).pairs["errors"][0]
    usual = 36 / 900
    factors = [(5 + x) / (5 + e * usual) for x, e in ((30, 100), (6, 100), (0, 700))]
    assert shown(pair.candidate) == [(4, round(100 * factors[0], 4))]
    assert shown(pair.control) == [(0, round(100 * factor, 4)) for factor in factors[1:]]


def test_what_was_counted_in_the_first_hour_before_the_rollout_is_history(engine: Any) -> None:
    later = [{**hour("a", 0, errors=30), "hour": -START}, {**hour("b", 0), "hour": -START}]
    pair = read(engine, TWO, [hour("a", 2, "2.0.0", errors=4), hour("b", 2), *later]).pairs["errors"][0]
    usual = 30 / 200
    assert shown(pair.candidate) == [(4, round(100 * 35 / (5 + 100 * usual), 4))]
    assert shown(pair.control) == [(0, round(100 * 5 / (5 + 100 * usual), 4))]


def test_devices_fall_silent_after_their_deadline(engine: Any) -> None:
    members = [
        member("a", 4, silent=True), member("b", 8), member("c", 9, silent=True),  # watched for too short a time
        member("d", None), member("e", None, silent=True, joined=5), member("f", None, joined=9),
    ]  # fmt: skip
    pair = read(engine, members, []).pairs["silence"][0]
    assert pair.name == "silent devices"
    # In units of the two hours after which a device is silent: 10 h less 4 h and 20 min.
    assert shown(pair.candidate) == [(1, round((6 - 1 / 3) / 2, 4))]
    assert shown(pair.control) == [(0, round((10 - 1 / 6) / 2, 4)), (1, round((5 - 1 / 6) / 2, 4))]


# Histograms


@pytest.mark.parametrize(
    ("bins", "share", "edge"),
    [
        ([1, 1, 1, 1], 0.5, 2),
        ([10, 0, 0, 0], 0.5, 1),
        ([0, 0, 0, 10], 0.1, 1),
        ([5, 3, 1, 1], 0.1, 3),
        ([4, 4, 2], 0.9, 1),
    ],
)
def test_the_threshold_has_the_share_above_it(bins: list[float], share: float, edge: int) -> None:
    assert threshold_of(np.array(bins, np.float64), share) == edge


def test_latencies_beyond_the_control_groups_quantiles(engine: Any) -> None:
    days = [
        day("a", 0, "2.0.0", [0, 10, 30, 60]),
        day("b", 0, "1.0.0", [50, 40, 10, 0]),
        day("b", 1, "1.0.0", [50, 40, 10, 0]),
    ]  # fmt: skip
    found = read(engine, TWO, [], days)
    assert found["drift"] == []
    median, ninth = found["latency"]
    assert (median.name, ninth.name) == ("slower than the median", "slower than the 0.9 quantile")
    assert (shown(median.candidate), shown(median.control)) == ([(100, 100)], [(100, 200)])
    assert (shown(ninth.candidate), shown(ninth.control)) == ([(90, 100)], [(20, 200)])


def test_a_device_with_a_history_is_compared_with_its_own_quantile(engine: Any) -> None:
    now = [day("a", 0, "2.0.0", [0, 0, 0, 40, 60]), day("b", 0, "1.0.0", [50, 50])]
    for counted, own in ((99, False), (100, True)):
        found = read(engine, TWO, [], [*now, day("a", -1, "1.0.0", [0, 0, 0, counted // 2, counted - counted // 2])])
        ((x, e),) = shown(found["latency"][0].candidate)
        assert x == (60 if own else 100)
        share = (50 + 20 * 0.5) / (100 + 20)
        assert e == pytest.approx(100 * (share / 0.5 if own else 1.0))


def test_days_of_a_device_belong_to_candidate_control_or_history(engine: Any) -> None:
    members = [member("a", 30), member("b", None), member("c", None)]  # a joined on the second day
    fast, slow = [100, 0], [0, 0, 100]
    days = [
        day("b", 0, "1.0.0", [50, 50]), day("a", 0, "1.0.0", fast), day("a", 1, "1.0.0", fast),
        day("a", 1, "2.0.0", slow),
        day("a", 2, "1.0.0", slow),  # it went back: of neither
        day("c", 1, "2.0.0", slow), day("z", 1, "2.0.0", slow),  # not to have it; not of the rollout
        day("b", -1, "2.0.0", slow), day("b", -15, "1.0.0", slow),  # not the control version; too old
    ]  # fmt: skip
    median = read(engine, members, [], days)["latency"][0]
    assert shown(median.candidate) == [(100, 100)]
    assert sorted(e for _, e in shown(median.control)) == [100, 200]
    assert sum(x for x, _ in shown(median.control)) == 50


def test_scores_are_compared_on_both_sides_of_their_middle(engine: Any) -> None:
    flat = [10] * 10
    days = [
        day("a", 0, "2.0.0", [10], ad=[0] * 9 + [100], news=flat),
        day("b", 0, "1.0.0", [10], ad=flat, news=flat, once=[5]),
    ]  # fmt: skip
    drift = {pair.name: pair for pair in read(engine, TWO, [], days)["drift"]}
    assert [name for name in drift if "of ad " in name] == [
        f"score of ad beyond the {quantile} quantile" for quantile in ("0.1", "0.5", "0.9")
    ]
    low, middle, high = (drift[f"score of ad beyond the {quantile} quantile"] for quantile in ("0.1", "0.5", "0.9"))
    assert (shown(low.candidate), shown(low.control)) == ([(0, 100)], [(10, 100)]), "below it"
    assert (shown(middle.candidate), shown(middle.control)) == ([(100, 100)], [(50, 100)])
    assert (shown(high.candidate), shown(high.control)) == ([(100, 100)], [(10, 100)])
    assert shown(drift["score of news beyond the 0.5 quantile"].candidate) == [(50, 100)]
    assert not any("once" in name for name in drift), "the candidate has none"


def test_the_labels_with_the_most_scores_are_compared(engine: Any) -> None:
    labels = {f"l{number:02d}": [number, number] for number in range(1, 15)}
    days = [day("a", 0, "2.0.0", [10], **labels), day("b", 0, "1.0.0", [10], **labels)]
    names = {pair.name.split()[2] for pair in read(engine, TWO, [], days)["drift"]}
    assert names == {f"l{number:02d}" for number in range(3, 15)}

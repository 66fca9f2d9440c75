"""What the figures of two groups mean: each reason to wait, to widen, to pause and to halt, at its very edge."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="pip install 'cliplab[registry]'")

from cliplab.rollout.evidence import DIFFERENT, WORSE, Counts, compare, fit_control, log_gamma, log_mean
from cliplab.rollout.groups import Groups, Pair
from cliplab.rollout.judging import TestResult as OneTest
from cliplab.rollout.judging import Verdict, judge, run_test
from cliplab.rollout.record import Rollout
from cliplab.rollout.settings import RolloutSettings

NOW = 1_000_000.0
# Enough to know that nothing is three times worse.
MANY = Counts.of([10.0] * 40, [1000.0] * 40)
NONE = Counts.of([], [])
# Events of a candidate that fails ten times as often.
WORSE_COUNTS = Counts.of([100.0] * 40, [1000.0] * 40)
RULES = RolloutSettings(stages=(10.0, 100.0), stage_minutes=60.0, patience_minutes=600.0, min_devices=5)


def rollout(minutes: float = 60.0, stage: int = 0, **rules: Any) -> Rollout:
    settings = replace(RULES, **rules)
    began = NOW - 60.0 * minutes
    return Rollout("r", "ads", "1.0.0", "1.1.0", "production", settings, "running", stage, 10.0, began, began, 1)


def groups(assigned: int = 10, reported: int = 10, labelled: float = 0.0, **pairs: tuple[Counts, Counts]) -> Groups:
    found = {test: [Pair(f"figure of {test}", *counts)] for test, counts in pairs.items()}
    return Groups(found, assigned, reported, 30, 5000.0, labelled)


def healthy(**given: Any) -> Groups:
    return groups(**{"errors": (MANY, MANY), **given})


def verdict(found: Groups, **given: Any) -> Verdict:
    return judge(rollout(**given), found, NOW)


def test_a_healthy_stage_ends_and_the_last_one_promotes() -> None:
    assert verdict(healthy()).action == "widen"
    assert verdict(healthy(), stage=1).action == "promote"
    said = verdict(healthy())
    assert "10 devices, 5000 predictions" in said.reason
    assert said.numbers()["assigned"] == 10
    assert said.numbers()["reported"] == 10
    assert said.numbers()["control"] == 30
    assert said.numbers()["predictions"] == 5000.0
    assert [test["test"] for test in said.numbers()["tests"]] == ["errors"]


@pytest.mark.parametrize(
    ("assigned", "reported", "waits"),
    [(0, 0, True), (10, 4, True), (10, 5, False), (20, 9, True), (20, 10, False), (3, 2, True), (3, 3, False)],
)
def test_enough_devices_and_at_least_half_of_them_must_have_reported(assigned: int, reported: int, waits: bool) -> None:
    said = verdict(healthy(assigned=assigned, reported=reported))
    assert said.action == ("wait" if waits else "widen")
    assert not waits or "assigned" in said.reason


def test_one_device_is_called_one() -> None:
    assert "healthy: 1 device, 5000 predictions" in verdict(healthy(assigned=1, reported=1), min_devices=1).reason


@pytest.mark.parametrize(("minutes", "action"), [(59.9, "wait"), (60.0, "widen")])
def test_a_stage_lasts_at_least_its_minutes(minutes: float, action: str) -> None:
    said = verdict(healthy(), minutes=minutes)
    assert said.action == action
    assert action == "widen" or "of 60 minutes" in said.reason


def test_without_predictions_it_waits_until_its_patience_ends() -> None:
    nothing = groups(restarts=(Counts.of([0.0] * 9, [1.0] * 9), Counts.of([0.0] * 9, [1.0] * 9)))
    assert "no predictions" in verdict(nothing).reason
    assert verdict(nothing, minutes=599.9).action == "wait"
    assert verdict(nothing, minutes=600.0).action == "widen"
    assert verdict(nothing, minutes=1e6, patience_minutes=0.0).action == "wait", "no patience: never without evidence"


def test_rare_events_need_evidence_that_they_are_not_much_worse() -> None:
    few = Counts.of([0.0] * 10, [10.0] * 10)
    said = verdict(groups(errors=(few, few)))
    assert said.action == "wait"
    assert "fewer than 3 times" in said.reason
    assert "fewer than 10 times" in verdict(groups(errors=(few, few)), worse=10.0).reason
    slow = verdict(healthy(latency=(few, few)))
    assert "fewer than 1.5 times" in slow.reason
    right = verdict(healthy(accuracy=(few, few), labelled=100.0))
    assert "fewer than 1.5 times" in right.reason
    assert verdict(healthy(accuracy=(few, few), labelled=99.0)).action == "widen", "too few labels to wait for"


def test_a_worse_candidate_is_halted_and_the_reason_names_the_figure() -> None:
    said = verdict(groups(errors=(WORSE_COUNTS, MANY)), minutes=1.0)
    assert said.action == "halt"
    assert said.reason.startswith("failed predictions (figure of errors)")
    assert "40 devices; e-value over 1,000,000, needed 333" in said.reason
    (test,) = said.tests
    assert test.halts
    shown = test.to_json()
    assert shown["test"] == "errors"
    assert shown["e_value"] == pytest.approx(math.exp(test.log_e))
    assert shown["threshold"] == pytest.approx(math.exp(RULES.threshold("errors")))
    assert test.log_safe is not None
    assert shown["safe_e_value"] == pytest.approx(math.exp(test.log_safe))
    assert (shown["figure"], shown["devices"], shown["control_devices"]) == ("figure of errors", 40, 40)
    assert (shown["events"], shown["exposure"]) == (4000.0, 40_000.0)
    assert shown["control_rate"] == pytest.approx(0.01)
    assert 8 < shown["ratio"] < 12
    assert shown["ratio_low"] < shown["ratio"] < shown["ratio_high"]


@pytest.mark.parametrize(
    ("on_drift", "labelled", "action"),
    [("halt", 0.0, "halt"), ("pause", 0.0, "pause"), ("ignore", 0.0, "widen"), ("halt", 100.0, "widen"),
     ("halt", 99.0, "halt")],
)  # fmt: skip
def test_different_scores_do_what_the_rule_says_unless_labels_decide(
    on_drift: str, labelled: float, action: str
) -> None:
    assert verdict(healthy(drift=(WORSE_COUNTS, MANY), labelled=labelled), on_drift=on_drift).action == action


def test_scores_that_went_down_differ_as_those_that_went_up() -> None:
    assert verdict(healthy(drift=(MANY, WORSE_COUNTS))).action == "halt"
    assert verdict(healthy(errors=(MANY, WORSE_COUNTS))).action == "widen", "fewer errors are no harm"


def test_a_halt_goes_before_a_pause() -> None:
    both = groups(errors=(WORSE_COUNTS, MANY), drift=(WORSE_COUNTS, MANY))
    said = verdict(both, on_drift="pause")
    assert said.action == "halt"


def test_a_test_halts_at_its_threshold_and_not_below() -> None:
    at = OneTest("errors", 5.0, 5.0, None, {})
    assert at.halts
    assert not replace(at, log_e=math.nextafter(5.0, 0.0)).halts
    assert at.to_json()["safe_e_value"] is None


def test_what_cannot_be_compared_is_no_test() -> None:
    assert run_test("errors", [Pair("x", NONE, MANY)], RULES) is None
    assert run_test("errors", [Pair("x", MANY, NONE)], RULES) is None
    assert run_test("errors", [], RULES) is None


def test_of_several_figures_the_evidence_is_the_mean_and_the_loudest_is_shown() -> None:
    quiet, loud = Pair("quiet", MANY, MANY), Pair("loud", WORSE_COUNTS, MANY)
    one, other, both = (run_test("latency", pairs, RULES) for pairs in ([quiet], [loud], [quiet, loud]))
    assert one is not None
    assert other is not None
    assert both is not None
    assert both.log_e == pytest.approx(log_mean([one.log_e, other.log_e]))
    assert both.figures["figure"] == "loud"
    assert both.log_safe == one.log_safe, "for safety the first figure counts"
    assert log_mean([math.log(2.0), math.log(4.0)]) == pytest.approx(math.log(3.0))


@pytest.mark.parametrize("test", ["golden_failures", "restarts", "silence", "drift"])
def test_only_errors_latency_and_accuracy_are_asked_whether_they_are_safe(test: str) -> None:
    found = run_test(test, [Pair("x", MANY, MANY)], RULES)
    assert found is not None
    assert found.log_safe is None


def test_devices_without_exposure_and_with_too_much_of_it() -> None:
    counts = Counts.of([5.0, 9.0, 1.0, 1000.0], [10.0, 0.0, 10.0, 10_000.0])
    assert counts.exposure.tolist() == [10.0, 10.0, 200.0], "one device counts as twenty usual ones at most"
    assert counts.events.tolist() == [5.0, 1.0, 20.0], "its rate stays"


def test_the_control_groups_rate_is_that_of_its_devices_that_are_not_broken() -> None:
    events = [10.0] * 39 + [900.0]
    control = fit_control(Counts.of(events, [1000.0] * 40))
    assert control is not None
    assert control.rate == pytest.approx(0.01, rel=0.15)
    assert 0.005 <= control.broken <= 0.2
    assert (control.devices, control.exposure, control.events) == (40, 40_000.0, 1290.0)
    assert fit_control(NONE) is None
    none = fit_control(Counts.of([0.0] * 5, [100.0] * 5))
    assert none is not None
    assert none.dispersion == 1.0
    full = fit_control(Counts.of([90.0] * 9, [100.0] * 9))
    assert full is not None
    assert full.rates.max() <= 1.0, "a share is at most 1"


def test_one_device_is_no_evidence_and_the_loudest_is_left_out() -> None:
    control = fit_control(MANY)
    assert control is not None
    alone = compare(Counts.of([900.0], [1000.0]), control)
    assert alone is not None
    assert alone.log_e == 0.0
    assert alone.devices == 1
    one_bad = compare(Counts.of([10.0] * 9 + [900.0], [1000.0] * 10), control)
    assert one_bad is not None
    assert one_bad.log_e < 1.0
    all_bad = compare(WORSE_COUNTS, control)
    assert all_bad is not None
    assert all_bad.log_e > 20.0
    assert compare(NONE, control) is None


def test_the_interval_of_a_ratio_holds_the_true_one() -> None:
    control = fit_control(MANY)
    assert control is not None
    for factor in (1.0, 3.0, 10.0):
        found = compare(Counts.of([10.0 * factor] * 40, [1000.0] * 40), control, DIFFERENT)
        assert found is not None
        assert found.low < factor < found.high
        assert found.ratio == pytest.approx(factor, rel=0.25)
        assert (found.events, found.exposure) == (400.0 * factor, 40_000.0)


def test_the_ratio_that_matters_decides_what_is_safe() -> None:
    control = fit_control(MANY)
    assert control is not None
    strict, usual = (compare(MANY, control, WORSE, matters) for matters in (1.5, 3.0))
    assert strict is not None
    assert usual is not None
    assert usual.log_safe > strict.log_safe > 0


def test_the_gamma_function() -> None:
    values = np.array([0.1, 0.5, 1.0, 2.0, 3.5, 10.0, 171.0, 1e6])
    assert log_gamma(values) == pytest.approx([math.lgamma(value) for value in values], rel=1e-7, abs=1e-7)

"""What the figures of both groups mean for a rollout: halt it, widen it, or wait."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cliplab.rollout.evidence import DIFFERENT, WORSE, Evidence, compare, fit_control, log_mean
from cliplab.rollout.groups import Groups, Pair
from cliplab.rollout.record import Rollout
from cliplab.rollout.settings import SHARES, RolloutSettings

# A stage ends only where no test has more evidence than this of harm, and where there is this much against "worse".
WORRY, SAFE = math.log(3.0), math.log(20.0)
_LABELS_DECIDE = 100.0
_WORDS = {
    "errors": "failed predictions",
    "latency": "slow predictions",
    "golden_failures": "failures of the golden clip",
    "restarts": "crashes",
    "silence": "silent devices",
    "accuracy": "wrong predictions (measured by labels that were reported)",
    "drift": "scores that are distributed differently",
}
# Accuracy is often 60% or more, so that wrong predictions cannot triple.
_SAFE_RATIOS = {"errors": None, "accuracy": 1.5}


@dataclass(frozen=True)
class TestResult:
    """One test at one moment.

    Attributes:
        test: One of ``SHARES``.
        log_e: The logarithm of the e-value against "no worse".
        threshold: Where it halts.
        log_safe: The logarithm of the e-value against "worse by the ratio that matters"; None where not asked for.
        figures: The comparison that speaks most, for people and the history.
    """

    test: str
    log_e: float
    threshold: float
    log_safe: float | None
    figures: Mapping[str, Any]

    @property
    def halts(self) -> bool:
        """Whether the evidence is enough."""
        return self.log_e >= self.threshold

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object, with the e-value itself."""
        return {
            "test": self.test,
            "e_value": _exp(self.log_e),
            "threshold": _exp(self.threshold),
            "safe_e_value": None if self.log_safe is None else _exp(self.log_safe),
            **self.figures,
        }


@dataclass(frozen=True)
class Verdict:
    """What follows from all tests.

    Attributes:
        action: "halt", "pause", "widen", "promote" or "wait".
        reason: In words, with figures.
        tests: Every test that could be made.
        groups: Sizes of both groups.
    """

    action: Literal["halt", "pause", "widen", "promote", "wait"]
    reason: str
    tests: list[TestResult] = field(default_factory=list)
    groups: Mapping[str, Any] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """What the history keeps."""
        return {"tests": [test.to_json() for test in self.tests], **self.groups}


def judge(rollout: Rollout, groups: Groups, now: float) -> Verdict:
    """Compare both groups, and say what follows.

    Args:
        rollout: A rollout that runs.
        groups: What both groups did.
        now: The server's time.
    """
    settings = rollout.settings
    tests = [found for test, pairs in groups.pairs.items() if (found := run_test(test, pairs, settings)) is not None]
    sizes = {
        "assigned": groups.assigned,
        "reported": groups.reported,
        "control": groups.control,
        "predictions": groups.predictions,
    }
    by_labels = groups.labelled >= _LABELS_DECIDE
    against = [
        test
        for test in tests
        if test.halts and not (test.test == "drift" and (by_labels or settings.on_drift == "ignore"))
    ]
    if against:
        worst = max(against, key=lambda test: test.log_e - test.threshold)
        pauses = all(test.test == "drift" for test in against) and settings.on_drift == "pause"
        return Verdict("pause" if pauses else "halt", words_of(worst), tests, sizes)
    waiting = _waiting(rollout, groups, tests, by_labels, now)
    if waiting:
        return Verdict("wait", waiting, tests, sizes)
    reason = f"healthy: {_devices(groups.reported)}, {groups.predictions:.0f} predictions, and no test shows a problem"
    return Verdict("promote" if rollout.stage == len(settings.stages) - 1 else "widen", reason, tests, sizes)


def run_test(test: str, pairs: list[Pair], settings: RolloutSettings) -> TestResult | None:
    """One test; the mean of the e-values where it has several figures.

    Args:
        test: One of ``SHARES``.
        pairs: Its figures.
        settings: The rollout's rules.

    Returns:
        None where a group has nothing to compare yet.
    """
    ratios = DIFFERENT if test == "drift" else WORSE
    matters = settings.worse if test != "latency" else settings.worse_latency
    matters = _SAFE_RATIOS.get(test) or matters
    found: list[tuple[Pair, Evidence, float]] = []
    for pair in pairs:
        control = fit_control(pair.control, pair.most)
        evidence = None if control is None else compare(pair.candidate, control, ratios, matters)
        if control is not None and evidence is not None:
            found.append((pair, evidence, control.events / control.exposure))
    if not found:
        return None
    pair, evidence, rate = max(found, key=lambda item: item[1].log_e)
    asked = test in ("errors", "latency", "accuracy")
    figures = {
        "figure": pair.name,
        "devices": evidence.devices,
        "events": evidence.events,
        "exposure": evidence.exposure,
        "control_rate": rate,
        "control_devices": len(pair.control.exposure),
        "ratio": evidence.ratio,
        "ratio_low": evidence.low,
        "ratio_high": evidence.high,
    }
    # For safety the first figure counts: the median of latencies.
    log_safe = found[0][1].log_safe if asked else None
    return TestResult(test, log_mean([item[1].log_e for item in found]), settings.threshold(test), log_safe, figures)


def words_of(test: TestResult) -> str:
    """A test that halts, in words.

    Args:
        test: The test.
    """
    found = test.figures
    return (
        f"{_WORDS[test.test]} ({found['figure']}): {found['ratio']:.2g} times the control group's rate of "
        f"{found['control_rate']:.2g} (95% interval {found['ratio_low']:.2g} to {found['ratio_high']:.2g}), on "
        f"{_devices(found['devices'])}; e-value {_e_value(test.log_e)}, needed {_e_value(test.threshold)}"
    )


def _devices(number: float) -> str:
    return f"{number:g} device{'' if number == 1 else 's'}"


def _e_value(log_e: float) -> str:
    value = _exp(log_e)
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}" if value < 1e6 else "over 1,000,000"


def _waiting(rollout: Rollout, groups: Groups, tests: list[TestResult], by_labels: bool, now: float) -> str:
    """What a rollout waits for; the empty string where it may go on."""
    settings = rollout.settings
    if groups.assigned == 0:
        return "no device is assigned to the candidate yet"
    needed = min(settings.min_devices, groups.assigned)
    if groups.reported < needed or groups.reported < 0.5 * groups.assigned:
        return f"{groups.reported} of {groups.assigned} assigned devices have reported with the candidate"
    passed = (now - rollout.stage_started) / 60.0
    if passed < settings.stage_minutes:
        return f"the stage has lasted {passed:.0f} of {settings.stage_minutes:g} minutes"
    for test in tests:
        if test.log_e > WORRY and not (test.test == "drift" and (by_labels or settings.on_drift == "ignore")):
            return f"unclear: {words_of(test)}"
    if passed >= settings.patience_minutes > 0:
        return ""
    if not any(test.test == "errors" for test in tests):
        return "no predictions to compare yet"
    for test in tests:
        asked = test.log_safe is not None and not (test.test == "accuracy" and not by_labels)
        if asked and test.log_safe is not None and test.log_safe < SAFE:
            ratio = settings.worse_latency if test.test == "latency" else settings.worse
            return (
                f"{_WORDS[test.test]}: not yet known to be fewer than {_SAFE_RATIOS.get(test.test) or ratio:g} times "
                f"the control group's (evidence {_exp(test.log_safe):.2g}, needed {_exp(SAFE):.3g})"
            )
    return ""


def _exp(value: float) -> float:
    return math.exp(min(max(value, -700.0), 700.0))


assert set(_WORDS) == set(SHARES)

"""How often rollouts halt without a reason, and how soon with one: 1,000 simulated devices, watched at their reports.

    python benchmarks/bench_rollout.py [--runs 500] [--processes 2] [--figure docs/images/rollout_power.png]

prints Markdown tables. Each device reports once per round, 100 predictions at a time, in random order; a stage lasts
six rounds at least. The tests are those of `cliplab.rollout` (errors, latency, drift of scores), by the same
functions and thresholds; the database is left out. The evidence is looked at after each report of a device that has
the candidate; from the stage of 25% on after each ten of them, and at 100% after each fifty, and at the end of each
round, when the control group is fitted anew.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cliplab.rollout.evidence import (
    DIFFERENT,
    WORSE,
    Control,
    Counts,
    Evidence,
    device_rows,
    fit_control,
    log_mean,
    weigh,
)
from cliplab.rollout.judging import SAFE, WORRY
from cliplab.rollout.settings import RolloutSettings

DEVICES, PREDICTIONS, ROUNDS_PER_STAGE, MOST_ROUNDS = 1000, 100, 6, 60
# After this many reports of devices with the candidate the evidence is looked at, by stage.
LOOK_EVERY = (1, 1, 10, 50)
# Latencies are log-normal with this spread within a device, as those of a Raspberry Pi that does other things too.
SPREAD = 0.3
# Test, figure, and what one device counts beyond: columns of `counted`.
FIGURES = {"errors": (0,), "latency": (1, 2), "drift": (3, 4, 5)}


@dataclass(frozen=True)
class Scenario:
    """What is simulated.

    Attributes:
        error: The candidate's error rate; the control group's is 1%.
        slower: Its latency, as a multiple.
        shift: By how many standard deviations its scores are higher.
        varies: The variance of the devices' own factors of the error rate.
        broken: The share of devices whose camera is broken: half of their predictions fail.
        stages: Of the rollout.
    """

    error: float = 0.01
    slower: float = 1.0
    shift: float = 0.0
    varies: float = 0.0
    broken: float = 0.0
    stages: tuple[float, ...] = RolloutSettings.stages


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        halted: The share of the fleet that had the candidate, in percent, when it was halted; None for never.
        test: What halted it.
        rounds: How long it ran.
    """

    halted: float | None = None
    test: str = ""
    rounds: float = 0.0


@dataclass
class Fleet:
    """Counts of all devices, and where each one is in the rollout."""

    scenario: Scenario
    rng: np.random.Generator
    place: np.ndarray = field(init=False)
    factor: np.ndarray = field(init=False)
    broken: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.place = self.rng.permutation(DEVICES) * 100.0 / DEVICES
        varies = self.scenario.varies
        self.factor = self.rng.gamma(1 / varies, varies, DEVICES) if varies else np.ones(DEVICES)
        self.broken = self.rng.random(DEVICES) < self.scenario.broken

    def counted(self, has: np.ndarray) -> np.ndarray:
        """Events of each device's next report [DEVICES, 6]: errors, two latencies, three scores."""
        from scipy.stats import norm

        what = self.scenario
        rate = np.where(has, what.error, 0.01) * self.factor
        rate = np.where(self.broken, 0.5, np.minimum(rate, 1.0))
        slower = np.log(np.where(has, what.slower, 1.0)) / SPREAD
        shift = np.where(has, what.shift, 0.0)
        found = np.zeros((DEVICES, 6))
        found[:, 0] = self.rng.binomial(PREDICTIONS, rate)
        median, high = norm.sf(0.0 - slower), norm.sf(norm.isf(0.1) - slower)
        found[:, 2] = self.rng.binomial(PREDICTIONS, high)
        found[:, 1] = found[:, 2] + self.rng.binomial(
            (PREDICTIONS - found[:, 2]).astype(int), np.clip((median - high) / (1 - high), 0, 1)
        )
        for column, (edge, below) in enumerate(((-1.2816, True), (0.0, False), (1.2816, False)), start=3):
            share = norm.cdf(edge - shift) if below else norm.sf(edge - shift)
            found[:, column] = self.rng.binomial(PREDICTIONS, share)
        return found


def run_one(scenario: Scenario, seed: int) -> Outcome:
    """One rollout."""
    rules = RolloutSettings()
    fleet = Fleet(scenario, np.random.default_rng(seed))
    own, other = np.zeros((DEVICES, 6)), np.zeros((DEVICES, 6))
    own_n, other_n = np.zeros(DEVICES), np.zeros(DEVICES)
    stage, since = 0, 0
    controls: list[Control | None] = [None] * 6
    for number in range(MOST_ROUNDS):
        has = fleet.place < scenario.stages[stage]
        new = fleet.counted(has)
        order = fleet.rng.permutation(DEVICES)
        rows: list[np.ndarray] = []
        if controls[0] is not None:
            rows = [device_rows(Counts(own[has][:, k], own_n[has]), c, None) for k, c in enumerate(controls) if c]
        index = np.cumsum(has) - 1
        waiting: list[int] = []
        for position, device in enumerate(order):
            if not has[device]:
                other[device] += new[device]
                other_n[device] += PREDICTIONS
                continue
            own[device] += new[device]
            own_n[device] += PREDICTIONS
            waiting.append(device)
            if controls[0] is None or len(waiting) < LOOK_EVERY[min(stage, 3)]:
                continue
            for k, control in enumerate(controls):
                assert control is not None
                rows[k][index[waiting]] = device_rows(Counts(own[waiting][:, k], own_n[waiting]), control)
            waiting = []
            test = judged(rows, own[has], own_n[has], controls, rules)[0]
            if test:
                return Outcome(scenario.stages[stage], test, number + position / DEVICES)
        controls = [fit_control(Counts.of(other[:, k], other_n)) for k in range(6)]
        rows = [device_rows(Counts(own[has][:, k], own_n[has]), c) for k, c in enumerate(controls) if c is not None]
        test, safe = judged(rows, own[has], own_n[has], controls, rules)
        if test:
            return Outcome(scenario.stages[stage], test, number + 1)
        since += 1
        if safe and since >= ROUNDS_PER_STAGE:
            stage, since = stage + 1, 0
            if stage == len(scenario.stages):
                return Outcome(None, "", number + 1)
    return Outcome(None, "", MOST_ROUNDS)


def judged(
    rows: Sequence[np.ndarray], own: np.ndarray, own_n: np.ndarray, controls: Sequence[Any], rules: RolloutSettings
) -> tuple[str, bool]:
    """The test that halts, or an empty string; and whether the stage may end."""
    safe = True
    where: Any = slice(None) if own_n.all() else own_n > 0
    for test, columns in FIGURES.items():
        ratios = DIFFERENT if test == "drift" else WORSE
        matters = rules.worse_latency if test == "latency" else rules.worse
        found: list[Evidence] = [
            weigh(rows[k][where], Counts(own[where, k], own_n[where]), controls[k], ratios, matters) for k in columns
        ]
        log_e = log_mean([item.log_e for item in found])
        if log_e >= rules.threshold(test):
            return test, False
        safe = safe and log_e <= WORRY and (test == "drift" or found[0].log_safe >= SAFE)
    return "", safe


def run_many(scenario: Scenario, runs: int, pool: Any, first: int = 0) -> list[Outcome]:
    """Independent rollouts."""
    return list(pool.map(run_one, [scenario] * runs, range(first, first + runs), chunksize=4))


def interval(count: int, runs: int) -> tuple[float, float]:
    """Wilson's 95% interval (1927) of a share."""
    z, share = 1.959964, count / runs
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * np.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    return max(0.0, middle - half), min(1.0, middle + half)


def line(name: str, found: list[Outcome]) -> str:
    """A row of the table: halts by the share of the fleet that had the candidate."""
    runs = len(found)
    cells = []
    for most in (1.0, 5.0, 25.0, 100.0):
        count = sum(item.halted is not None and item.halted <= most for item in found)
        low, high = interval(count, runs)
        cells.append(f"{100 * count / runs:.1f}% ({100 * low:.1f} to {100 * high:.1f})")
    times = [item.rounds for item in found if item.halted is not None]
    median = f"{np.median(times):.1f}" if times else "-"
    return f"| {name} | {' | '.join(cells)} | {median} | {runs} |"


HEAD = """| candidate | halted with 1% | with at most 5% | with at most 25% | ever | rounds until then (median) | runs |
|---|---|---|---|---|---|---|"""


def draw(curves: dict[str, dict[str, list[tuple[float, float, float, float]]]], path: Path) -> None:
    """Power curves: share of rollouts halted before a share of the fleet, by how much worse the candidate is."""
    from adapters.evaluation import BLUE, GREEN, ORANGE, new_figure, png_bytes
    from adapters.system import write_bytes_atomic

    picture = new_figure(11.0, 4.2)
    axes = np.atleast_1d(picture.subplots(1, len(curves)))
    for place, (title, lines) in zip(axes, curves.items(), strict=True):
        for (name, points), colour in zip(lines.items(), (BLUE, ORANGE, GREEN), strict=False):
            x, y, low, high = np.array(points).T
            place.fill_between(x, 100 * low, 100 * high, color=colour, alpha=0.2, linewidth=0)
            place.plot(x, 100 * y, "o-", color=colour, label=name, markersize=4)
        place.set(xlabel=title, ylabel="rollouts that are halted, %", ylim=(-2, 103))
        place.spines[["top", "right"]].set_visible(False)
        place.legend(loc="lower right", fontsize="small")
    write_bytes_atomic(path, png_bytes(picture, 110))


def points(results: dict[float, list[Outcome]]) -> dict[str, list[tuple[float, float, float, float]]]:
    """Curves of ``draw``."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for most, name in ((1.0, "while 1% have it"), (5.0, "while at most 5% have it"), (100.0, "ever")):
        for x, outcomes in results.items():
            count = sum(item.halted is not None and item.halted <= most for item in outcomes)
            found.setdefault(name, []).append((x, count / len(outcomes), *interval(count, len(outcomes))))
    return found


def scenarios(runs: int, power_runs: int) -> dict[str, dict[str, tuple[Scenario, int, float]]]:
    """Each row of the tables by title: what is simulated, how often, and its place on the axis of a curve."""
    few = max(1, runs // 5)
    rates, times = (1.25, 1.5, 2, 2.5, 3, 4, 5), (1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2.0)
    worse = {f"error rate {rate:g}%": (Scenario(error=rate / 100), power_runs, rate) for rate in rates}
    slower = {f"latency {time:g} times": (Scenario(slower=time), power_runs, time) for time in times}
    other = {
        "error rate 3%; devices differ (variance 0.5)": (Scenario(error=0.03, varies=0.5), power_runs, 0.0),
        **{
            f"scores higher by {shift:g} standard deviations": (Scenario(shift=shift), power_runs, 0.0)
            for shift in (0.25, 0.5, 1.0)
        },
    }
    same = {
        "the same": (Scenario(), runs, 0.0),
        "the same; devices differ (variance 0.5)": (Scenario(varies=0.5), few, 0.0),
        "the same; 1% of cameras broken": (Scenario(broken=0.01), few, 0.0),
    }
    return {"Rollouts without a difference": same, RATES: worse, TIMES: slower, "Other differences": other}


RATES, TIMES = "Error rate of the candidate, % (control: 1%)", "Latency of the candidate, times the control's"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500, help="of rollouts without a difference")
    parser.add_argument("--power-runs", type=int, default=100, help="of each other scenario")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TEXT", help="only rows with such a text in their name"
    )
    parser.add_argument("--figure", type=Path, default=None)
    arguments = parser.parse_args()
    began, curves = time.monotonic(), {}
    with ProcessPoolExecutor(arguments.processes) as pool:
        for title, rows in scenarios(arguments.runs, arguments.power_runs).items():
            chosen = {
                name: row for name, row in rows.items() if not arguments.only or any(w in name for w in arguments.only)
            }
            if not chosen:
                continue
            print(f"### {title}\n\n{HEAD}")
            by_place = {}
            for name, (scenario, runs, place) in chosen.items():
                by_place[place] = run_many(scenario, runs, pool)
                print(line(name, by_place[place]), flush=True)
            print()
            if title in (RATES, TIMES):
                curves[title] = points(by_place)
    print(f"{time.monotonic() - began:.0f} s with {arguments.processes} processes")
    if arguments.figure is not None and curves:
        draw(curves, arguments.figure)


if __name__ == "__main__":
    main()

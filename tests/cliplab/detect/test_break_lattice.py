"""The chain of programme and break against all ways to divide a short recording, one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cliplab.detect import read_break_profile
from cliplab.detect.break_evidence import Candidates
from cliplab.detect.break_lattice import (
    Lattice,
    advert_density,
    best_path,
    build_lattice,
    log_normal_density,
    log_normal_survival,
    posterior,
)

PROFILE = read_break_profile({})
NEVER = -1e9
Path = tuple[tuple[int, int], ...]


def density(length: float, median: float, spread: float) -> float:
    z = (math.log(length) - math.log(median)) / spread
    return -0.5 * z * z - math.log(length * spread * math.sqrt(2 * math.pi))


def survival(length: float, median: float, spread: float) -> float:
    z = (math.log(max(length, 0.01)) - math.log(median)) / spread
    return math.log(0.5 * math.erfc(min(max(z, -6), 6) / math.sqrt(2)))


def paths(count: int) -> Iterator[Path]:
    """All rows of breaks that do not touch, of candidates by number."""
    pairs = list(itertools.combinations(range(count), 2))
    for size in range(count // 2 + 1):
        for chosen in itertools.combinations(pairs, size):
            if all(one[1] < other[0] for one, other in itertools.pairwise(chosen)):
                yield chosen


def score(path: Path, breaks: Any, times: Any) -> float:
    """The log score of one division, by the lengths of breaks and programme."""
    typical = (PROFILE.typical_programme_seconds, PROFILE.programme_spread)
    mean = typical[0] * math.exp(0.5 * typical[1] ** 2)
    if not path:
        return math.log(0.85) + survival(times[-1] / 2, *typical)
    first, last = path[0][0], path[-1][1]
    total = math.log(0.15) if first == 0 else math.log(0.85) + survival(times[first], *typical) - math.log(mean)
    total += sum(breaks[start, end - start - 1] for start, end in path)
    total += sum(density(times[b[0]] - times[a[1]], *typical) for a, b in itertools.pairwise(path))
    return float(total + (0.0 if last == len(times) - 1 else survival(times[-1] - times[last], *typical)))


def random_lattice(seed: int, count: int = 6) -> Lattice:
    rng = np.random.default_rng(seed)
    times = np.concatenate([[0.0], np.cumsum(rng.uniform(20, 400, count - 1))])
    breaks = rng.normal(8, 6, (count, count - 1))
    evidence = rng.normal(0, 4, (count, count - 1))
    beyond = np.arange(count)[:, None] + 1 + np.arange(count - 1) >= count
    breaks[beyond], evidence[beyond] = NEVER, 0.0
    return Lattice(breaks, evidence, times, PROFILE)


@pytest.mark.parametrize("seed", range(25))
def test_the_best_path_is_the_best_of_all(seed: int) -> None:
    lattice = random_lattice(seed)
    possible = list(paths(len(lattice.times)))
    best = max(possible, key=lambda path: score(path, lattice.breaks, lattice.times))
    assert best_path(lattice) == list(best)


@pytest.mark.parametrize("seed", range(12))
def test_probabilities_are_the_shares_of_all_divisions(seed: int) -> None:
    lattice = random_lattice(100 + seed)
    count = len(lattice.times)
    weaker = lattice.breaks - 0.1 * lattice.evidence
    weights = {path: math.exp(score(path, weaker, lattice.times)) for path in paths(count)}
    total, found = sum(weights.values()), posterior(lattice)
    assert found.none == pytest.approx(weights[()] / total, rel=0.01)
    for start, end in itertools.combinations(range(count), 2):
        share = sum(weight for path, weight in weights.items() if (start, end) in path) / total
        assert found.breaks[start, end - start - 1] == pytest.approx(share, rel=0.01, abs=1e-6)


def test_a_hopeless_break_is_no_break() -> None:
    lattice = random_lattice(3)
    lattice.breaks[:] = np.where(lattice.breaks == NEVER, NEVER, -50.0)
    assert best_path(lattice) == []
    assert posterior(lattice).none == pytest.approx(1.0)


# What a break scores


def candidates(seed: int, count: int = 7) -> Candidates:
    rng = np.random.default_rng(seed)
    lengths = rng.choice([10.16, 15.24, 20.0, 30.16, 7.3, 44.0], count - 1)
    times = np.concatenate([[0.0], np.cumsum(lengths)])
    edge, rate = rng.normal(0, 1.5, count), rng.uniform(0.02, 0.4, count)
    return Candidates(times, edge, rng.random(count) < 0.7, rate, np.cumsum(rng.normal(0, 5, count)), np.zeros(count))


def tiling(given: Candidates, start: int, end: int, profile: Any) -> float:
    """The best row of adverts between two candidates."""
    inner = given.edge - np.log(given.rate)
    best = -math.inf
    for size in range(end - start):
        for between in itertools.combinations(range(start + 1, end), size):
            ends = (start, *between, end)
            total = sum(inner[one] for one in between)
            for one, other in itertools.pairwise(ends):
                length = np.array([given.times[other] - given.times[one]])
                exact = np.array([given.is_cut[one] and given.is_cut[other]])
                total += float(advert_density(length, exact, profile)[0])
            best = max(best, total)
    return best


@pytest.mark.parametrize("seed", range(8))
def test_a_break_scores_its_adverts_its_evidence_its_edges_and_its_length(seed: int) -> None:
    given = candidates(seed)
    profile = read_break_profile({"min_break_seconds": 25.0, "max_break_seconds": 100.0})
    lattice, last = build_lattice(given, profile), len(given.times) - 1
    edge = given.edge - np.log(given.rate)
    edge[[0, -1]] = 0.0
    typical = (profile.typical_break_seconds, profile.break_spread)
    for start, end in itertools.combinations(range(last + 1), 2):
        length, place = given.times[end] - given.times[start], end - start - 1
        open_end = start == 0 or end == last
        if length > 100.0 or (length < 25.0 and not open_end):
            assert place >= lattice.breaks.shape[1] or lattice.breaks[start, place] == NEVER
            continue
        adverts = max(tiling(given, start, end, profile) + math.log(20), -1.0 - max(length / 60 - 1, 0))
        if open_end:
            adverts = max(adverts, survival(length, 20.0, 0.6))
        evidence = adverts + given.cumulative[end] - given.cumulative[start] + edge[start] + edge[end]
        assert lattice.evidence[start, place] == pytest.approx(evidence, abs=5e-3)
        lasting = survival(length, *typical) if open_end else density(length, *typical)
        if start == 0 and end != last:
            lasting -= math.log(typical[0] * math.exp(0.5 * typical[1] ** 2))
        assert lattice.breaks[start, place] == pytest.approx(evidence + lasting, abs=1e-2)
    assert (lattice.profile, lattice.times.tolist()) == (profile, given.times.tolist())


def test_lengths_have_densities() -> None:
    at = np.arange(0.005, 4000, 0.01)
    for median, spread in ((20.0, 0.6), (150.0, 0.4)):
        assert np.exp(log_normal_density(at, median, spread)).sum() * 0.01 == pytest.approx(1.0, abs=1e-3)
        longer = np.exp(log_normal_density(at[at > 30], median, spread)).sum() * 0.01
        assert np.exp(log_normal_survival(np.array([30.0]), median, spread))[0] == pytest.approx(longer, abs=1e-3)
        assert log_normal_survival(np.array([median]), median, spread)[0] == pytest.approx(math.log(0.5))
    assert np.isfinite(log_normal_density(np.array([0.0, -3.0]), 20, 0.6)).all()


def test_adverts_last_as_the_profile_says() -> None:
    at = np.arange(0.005, 80, 0.01)
    profile = read_break_profile({"adverts": {"20": 0.75, "30": 0.25}, "advert_gaps": {"0.5": 1.0}})
    width, free = profile.advert_tolerance_seconds, profile.off_lattice_share
    for exact in (True, False):
        found = np.exp(advert_density(at, np.full(len(at), exact), profile))
        assert found[(at < 2) | (at > 65)].max() == 0
        assert found.sum() * 0.01 == pytest.approx(1.0, abs=0.05)
        near = [float(found[np.abs(at - length - 0.5) < 4 * width].sum() * 0.01) for length in (20, 30)]
        assert (near[0] > 2 * near[1] > 0.2) == exact
        assert (sum(near) > 1 - free - 0.01) == exact
    peak = at[np.exp(advert_density(at, np.full(len(at), True), profile)).argmax()]
    assert peak == pytest.approx(20.5, abs=0.02), "with the gap"
    lengths = advert_density(np.array([2.0, 2.01, 65.0, 65.01]), np.full(4, False), profile)
    assert (lengths > -100).tolist() == [False, True, True, False]

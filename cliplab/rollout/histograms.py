"""Latencies and scores of both groups as counts beyond thresholds: a test of quantiles, by the devices' own history.

A quantile has moved where more predictions than before lie beyond it (Howard and Ramdas, "Sequential estimation of
quantiles with applications to A/B testing and best-arm identification", Bernoulli 2022). A device with a history is
compared with its own quantile, so that slow devices are not taken for a slow model; one without with the control
group's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cliplab.registry.schema import Connection, sa
from cliplab.rollout.evidence import Counts, FloatArray
from cliplab.rollout.groups import HISTORY_DAYS, Pair, before
from cliplab.rollout.record import Rollout
from cliplab.rollout.report import LATENCY_EDGES_MS, SCORE_BINS
from cliplab.rollout.schema import HISTOGRAMS, MEMBERS
from cliplab.rollout.storing import DAY

_LATENCY_ABOVE = (0.5, 0.1)
_SCORES_ABOVE = (0.9, 0.5, 0.1)
_MOST_LABELS = 12
# A device's own quantile is known from so many predictions; below, the control group's is taken.
_ENOUGH = 100.0
_PRIOR = 20.0


@dataclass(frozen=True)
class Histograms:
    """Histograms of devices, of candidate, control and history.

    Attributes:
        latency: Three arrays float64 [devices, bins].
        scores: By label the same.
    """

    latency: tuple[FloatArray, FloatArray, FloatArray]
    scores: Mapping[str, tuple[FloatArray, FloatArray, FloatArray]]


def read_pairs(connection: Connection, rollout: Rollout) -> dict[str, list[Pair]]:
    """The figures of latency and drift.

    Args:
        connection: Reading.
        rollout: The rollout.
    """
    found = _read(connection, rollout)
    latency = [
        Pair(f"slower than {name}", *counts)
        for share, name in zip(_LATENCY_ABOVE, ("the median", "the 0.9 quantile"), strict=True)
        if (counts := _beyond(*found.latency, share)) is not None
    ]
    drift = []
    for label, arrays in found.scores.items():
        for share in _SCORES_ABOVE:
            counts = _beyond(*arrays, share)
            if counts is not None:
                drift.append(Pair(f"score of {label} beyond the {1 - share:.1f} quantile", *counts))
    return {"latency": latency, "drift": drift}


def threshold_of(bins: FloatArray, share: float) -> int:
    """The edge above which the share of a histogram is nearest to the wanted one.

    Args:
        bins: float64 [B], not empty.
        share: The share that is to lie above.

    Returns:
        An index k: bins k and higher are above; 1 to B - 1.
    """
    above = 1.0 - np.cumsum(bins)[:-1] / bins.sum()
    return int(np.argmin(np.abs(above - share))) + 1


def _beyond(
    candidate: FloatArray, control: FloatArray, history: FloatArray, share: float
) -> tuple[Counts, Counts] | None:
    """Counts beyond the thresholds, on the rarer side of each. None where there is nothing to compare."""
    pooled = control.sum(axis=0)
    if pooled.sum() <= 0 or candidate.sum() <= 0:
        return None
    devices, width = control.shape
    edges = np.full(devices, threshold_of(pooled, share))
    usual = float(pooled[edges[0] :].sum() / pooled.sum()) if devices else 0.0
    expected = np.full(devices, usual)
    known = np.flatnonzero(history.sum(axis=1) >= _ENOUGH)
    for device in known:
        edges[device] = threshold_of(history[device], share)
        total = history[device].sum()
        expected[device] = (history[device, edges[device] :].sum() + _PRIOR * share) / (total + _PRIOR)
    below = share > 0.5
    if below:
        usual, expected = 1.0 - usual, 1.0 - expected
    if usual <= 0.0 or usual >= 1.0 or not (expected > 0).all():
        usual = min(max(usual, 1e-3), 1.0)
        expected = np.maximum(expected, 1e-3)
    beyond = np.arange(width)[None] >= edges[:, None]
    if below:
        beyond = ~beyond
    factor = expected / usual
    pair = [Counts.of((bins * beyond).sum(axis=1), bins.sum(axis=1) * factor) for bins in (candidate, control)]
    return pair[0], pair[1]


def _read(connection: Connection, rollout: Rollout) -> Histograms:
    members = list(connection.execute(sa.select(MEMBERS).where(MEMBERS.c.rollout == rollout.id)))
    place = {row.device: number for number, row in enumerate(members)}
    start = int(rollout.started // DAY)
    in_time = sa.or_(before(HISTOGRAMS.c.day, start, HISTORY_DAYS), HISTOGRAMS.c.day >= start)
    query = sa.select(HISTOGRAMS).where(
        HISTOGRAMS.c.model == rollout.model, HISTOGRAMS.c.version.in_((rollout.control, rollout.candidate)), in_time
    )
    latency = _empty(len(members), len(LATENCY_EDGES_MS) + 1)
    scores: dict[str, tuple[FloatArray, FloatArray, FloatArray]] = {}
    for row in connection.execute(query):
        number = place.get(row.device)
        group = _group(row, rollout, start, members[number] if number is not None else None)
        if number is None or group is None:
            continue
        bins = json.loads(row.latency)
        if len(bins) == latency[0].shape[1]:
            latency[group][number] += bins
        for label, values in json.loads(row.scores).items():
            arrays = scores.setdefault(label, _empty(len(members), SCORE_BINS))
            arrays[group][number] += values
    most = sorted(scores, key=lambda label: (-float(scores[label][1].sum()), label))[:_MOST_LABELS]
    return Histograms(latency, {label: scores[label] for label in most})


def _group(row: Any, rollout: Rollout, start: int, member: Any) -> int | None:
    """0 for the candidate, 1 for the control group, 2 for history; None for what belongs to none."""
    if member is None:
        return None
    if row.day < start:  # negative days are of the same day, before the rollout
        return 2 if row.version == rollout.control else None
    if row.version == rollout.candidate:
        return 0 if member.candidate_since is not None else None
    return 1 if member.candidate_since is None or row.day <= int(member.candidate_since // DAY) else None


def _empty(devices: int, bins: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    return np.zeros((devices, bins)), np.zeros((devices, bins)), np.zeros((devices, bins))

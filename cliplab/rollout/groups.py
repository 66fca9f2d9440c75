"""What the candidate's devices and the control group did since a rollout began, as counts that tests compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cliplab.registry.schema import Connection, sa
from cliplab.rollout.evidence import Counts, FloatArray
from cliplab.rollout.record import Rollout
from cliplab.rollout.schema import MEMBERS, SUMS
from cliplab.rollout.storing import HOUR

HISTORY_DAYS = 14
# A device's own history weighs against this many events of the usual device: little history changes little.
_PRIOR_EVENTS = 5.0
# By version: what ran. By assignment: a device that went back after a failure is still the candidate's failure.
_BY_VERSION = {"errors": ("errors", "predictions", 1.0), "accuracy": ("wrong", "labelled", 1.0)}
_BY_ASSIGNMENT = {"golden_failures": ("golden_failures", "reports", 10.0), "restarts": ("restarts", "reports", 100.0)}
COLUMNS = ("reports", "predictions", "errors", "golden_failures", "restarts", "labelled", "correct")


@dataclass(frozen=True)
class Pair:
    """One figure of both groups.

    Attributes:
        name: What it is, for people.
        candidate: Counts of devices with the candidate.
        control: Counts of the others.
        most: The highest possible rate.
    """

    name: str
    candidate: Counts
    control: Counts
    most: float = 1.0


@dataclass(frozen=True)
class Groups:
    """Everything that a decision compares.

    Attributes:
        pairs: By test, the figures to compare; several for latency (two quantiles) and drift (labels and thresholds).
        assigned: Devices that are to have the candidate.
        reported: How many of them have reported with it.
        control: Devices of the control group that have reported.
        predictions: Predictions by the candidate.
        labelled: Labelled predictions by the candidate and by the control group, the fewer of both.
    """

    pairs: Mapping[str, list[Pair]] = field(default_factory=dict)
    assigned: int = 0
    reported: int = 0
    control: int = 0
    predictions: float = 0.0
    labelled: float = 0.0


@dataclass(frozen=True)
class Rows:
    """Sums of devices by hour.

    Attributes:
        device: [N] places in the list of all devices.
        hour: int64 [N].
        is_candidate: bool [N], whether the candidate's version ran.
        values: By column, float64 [N].
    """

    device: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    is_candidate: npt.NDArray[np.bool_]
    values: Mapping[str, FloatArray]


def read_counts(connection: Connection, rollout: Rollout, silent_seconds: float, now: float) -> Groups:
    """Read what is counted by hour: everything but histograms.

    Args:
        connection: Reading.
        rollout: The rollout.
        silent_seconds: Without a report for so long a device is a failure.
        now: The server's time.
    """
    members = list(connection.execute(sa.select(MEMBERS).where(MEMBERS.c.rollout == rollout.id)))
    place = {row.device: number for number, row in enumerate(members)}
    since = np.array([np.inf if row.candidate_since is None else row.candidate_since for row in members])
    since_hour = np.floor(since / HOUR)
    start = int(rollout.started // HOUR)
    rows = _rows(connection, rollout, SUMS.c.hour >= start, place)
    earlier = _rows(connection, rollout, before(SUMS.c.hour, start, 24 * HISTORY_DAYS), place)
    within = since_hour[rows.device] <= rows.hour
    # In the hour in which a device joins it has run both versions; what failed then is the candidate's, to be safe.
    ran, waited = rows.is_candidate & within, ~rows.is_candidate & (rows.hour <= since_hour[rows.device])
    pairs: dict[str, list[Pair]] = {}
    for tests, chosen, others in ((_BY_VERSION, ran, waited), (_BY_ASSIGNMENT, within, waited & ~within)):
        for test, (event, exposure, most) in tests.items():
            factor = _history(earlier, event, exposure, len(members))
            x, e = _standardised(rows, event, exposure, others)
            groups = [_by_device(rows.device, x, e * factor[rows.device], where) for where in (chosen, others)]
            pairs[test] = [Pair(event.replace("_", " "), groups[0], groups[1], most)]
    pairs["silence"] = [_silence(members, since, silent_seconds, now)]
    labelled = min(float(rows.values["labelled"][where].sum()) for where in (ran, waited)) if len(rows.hour) else 0.0
    return Groups(
        pairs,
        int(np.isfinite(since).sum()),
        len(np.unique(rows.device[ran])),
        len(np.unique(rows.device[waited])),
        float(rows.values["predictions"][ran].sum()),
        labelled,
    )


def _rows(connection: Connection, rollout: Rollout, when: Any, place: Mapping[str, int]) -> Rows:
    columns = [SUMS.c.device, SUMS.c.hour, SUMS.c.version, *(SUMS.c[name] for name in COLUMNS)]
    versions = (rollout.control, rollout.candidate)
    query = sa.select(*columns).where(SUMS.c.model == rollout.model, SUMS.c.version.in_(versions), when)
    found = [row for row in connection.execute(query) if row.device in place]
    values = {name: np.array([getattr(row, name) for row in found], np.float64) for name in COLUMNS}
    values["wrong"] = values["labelled"] - values["correct"]
    return Rows(
        np.array([place[row.device] for row in found], np.int64),
        np.array([row.hour for row in found], np.int64),
        np.array([row.version == rollout.candidate for row in found], np.bool_),
        values,
    )


def _history(before: Rows, event: str, exposure: str, devices: int) -> FloatArray:
    """How often each device had the event before the rollout, relative to the usual device [devices]."""
    old = ~before.is_candidate
    x = np.bincount(before.device[old], before.values[event][old], devices)
    e = np.bincount(before.device[old], before.values[exposure][old], devices)
    if e.sum() <= 0 or x.sum() <= 0:
        return np.ones(devices)
    usual = float(x.sum() / e.sum())
    return np.asarray(np.clip((_PRIOR_EVENTS + x) / (_PRIOR_EVENTS + e * usual), 0.05, 50.0))


def _standardised(
    rows: Rows, event: str, exposure: str, control: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Events, and exposures weighted by how bad each hour was for the control group.

    Indirect standardisation, as epidemiology calls it: a device that joined in a bad hour is expected to have more.
    """
    x, e = rows.values[event], rows.values[exposure]
    if not control.any() or not x[control].sum():
        return x, e
    hours, member = np.unique(rows.hour, return_inverse=True)
    events = np.bincount(member[control], x[control], len(hours))
    exposed = np.bincount(member[control], e[control], len(hours))
    usual = events.sum() / max(exposed.sum(), 1e-9)
    # As for devices: an hour with few events is taken for a usual one.
    weight = (_PRIOR_EVENTS + events) / (_PRIOR_EVENTS + exposed * usual)
    return x, e * weight[member]


def _by_device(device: npt.NDArray[np.int64], x: FloatArray, e: FloatArray, where: npt.NDArray[np.bool_]) -> Counts:
    if not where.any():
        return Counts.of([], [])
    own, member = np.unique(device[where], return_inverse=True)
    return Counts.of(np.bincount(member, x[where], len(own)), np.bincount(member, e[where], len(own)))


def _silence(members: list[Any], since: FloatArray, silent_seconds: float, now: float) -> Pair:
    """Devices that fell silent, by the time for which they were watched."""
    if not members:
        return Pair("silent devices", Counts.of([], []), Counts.of([], []))
    joined = np.array([row.joined for row in members])
    silent = np.array([row.silent_at is not None for row in members], np.float64)
    has = np.isfinite(since)
    watched = np.maximum(now - np.where(has, since, joined), 0.0) / silent_seconds
    # Nobody can be found silent before the deadline.
    old = watched >= 1.0
    candidate, control = (Counts.of(silent[where & old], watched[where & old]) for where in (has, ~has))
    return Pair("silent devices", candidate, control)


def before(column: Any, start: int, most: int) -> Any:
    """What was counted before a rollout: in earlier hours or days, or in the same one with a negative number.

    Args:
        column: The hour or day.
        start: In which the rollout began.
        most: How many hours or days count.
    """
    return sa.or_(column.between(start - most, start - 1), column.between(-start, -(start - most)))

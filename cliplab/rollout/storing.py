"""Storing reports of devices: each once, a batch in one transaction, and sums that decisions read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from adapters.errors import StorageError
from cliplab.rollout.report import MAX_LABELS, DeviceReport, ReportError
from cliplab.rollout.schema import DEVICES, FACTS, HISTOGRAMS, METADATA, REPORTS, SUMS, VERSION

HOUR, DAY = 3600.0, 86400.0
# Raw reports are kept this long, also so that a repeated one is known; the sums stay.
KEPT_SECONDS = 30 * DAY
_ADDED = ("predictions", "errors", "golden_failures", "restarts")
_LOCK = 7234157  # PostgreSQL's advisory lock of whoever writes rollouts


@dataclass(frozen=True)
class StoredReport:
    """What became of a report.

    Attributes:
        device: The device.
        sequence: The report's number.
        new: Whether this call stored it; False where it was stored before.
        warning: What its owner should know, such as a second device of the same name; None where all is well.
    """

    device: str
    sequence: int
    new: bool
    warning: str | None = None


def make_tables(engine: Engine) -> None:
    """Make the tables of rollouts where they are missing.

    Args:
        engine: Of the registry's database.

    Raises:
        StorageError: They are of a later version, or cannot be made.
    """
    with writing(engine) as connection:
        METADATA.create_all(connection, checkfirst=True)
        found = connection.execute(sa.select(FACTS.c.value).where(FACTS.c.name == "version")).scalar()
        if found is None:
            connection.execute(sa.insert(FACTS).values(name="version", value=VERSION))
        elif found != VERSION:
            raise StorageError(
                f"the tables of rollouts have version {found}; this cliplab knows {VERSION}. Update cliplab"
            )


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction of the only writer of rollouts; committed at the end, or undone by an exception.

    Args:
        engine: Of the registry's database.

    Raises:
        StorageError: The database cannot be written: it is locked, read-only, or the disk is full.
    """
    try:
        with engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            yield connection
    except sa.exc.SQLAlchemyError as error:
        line = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise StorageError(f"the registry's database: {line}. This change was not stored. Try again") from error


def store_report(engine: Engine, report: DeviceReport, now: float | None = None) -> StoredReport:
    """Store a report. The same report sent again is stored once.

    Args:
        engine: Of the registry's database, with ``make_tables`` done.
        report: By ``read_report``.
        now: The server's time in seconds since 1970; None reads the clock.

    Raises:
        ReportError: Another report of this device and client had the same number.
        StorageError: The database cannot be written.
    """
    stored, refused = store_reports(engine, [report], now)
    if refused:
        raise refused[0]
    return stored[0]


def store_reports(
    engine: Engine, reports: Iterable[DeviceReport], now: float | None = None
) -> tuple[list[StoredReport], list[ReportError]]:
    """Store many reports in one transaction, for the times when a whole fleet comes back at once.

    Args:
        engine: Of the registry's database, with ``make_tables`` done.
        reports: By ``read_report``.
        now: The server's time in seconds since 1970; None reads the clock.

    Returns:
        What became of each that is stored, and an error for each that is not.

    Raises:
        StorageError: The database cannot be written, and nothing of the batch was stored.
    """
    at = time.time() if now is None else now
    stored: list[StoredReport] = []
    refused: list[ReportError] = []
    with writing(engine) as connection:
        for report in reports:
            try:
                stored.append(_store(connection, report, at))
            except ReportError as error:
                refused.append(error)
    return stored, refused


def forget_reports(engine: Engine, now: float | None = None) -> int:
    """Remove raw reports older than ``KEPT_SECONDS``, so that the database does not grow forever.

    Args:
        engine: Of the registry's database.
        now: The server's time in seconds since 1970; None reads the clock.

    Returns:
        How many were removed.
    """
    at = time.time() if now is None else now
    with writing(engine) as connection:
        done = connection.execute(sa.delete(REPORTS).where(REPORTS.c.received < at - KEPT_SECONDS))
        return int(done.rowcount)


def _store(connection: Connection, report: DeviceReport, at: float) -> StoredReport:
    content = json.dumps(asdict(report), sort_keys=True)
    known = connection.execute(
        sa.select(REPORTS.c.content).where(
            REPORTS.c.device == report.device,
            REPORTS.c.client == report.client,
            REPORTS.c.sequence == report.sequence,
        )
    ).scalar()
    if known is not None:
        if known != content:
            raise ReportError(
                f"device {report.device!r}: report {report.sequence} was stored before with other values. A client "
                "must number each report once; if a second device has this name, rename one of them"
            )
        return StoredReport(report.device, report.sequence, False)
    warning, counted = _seen(connection, report, at)
    connection.execute(
        sa.insert(REPORTS).values(
            device=report.device, client=report.client, sequence=report.sequence, received=at, content=content
        )
    )
    if counted:
        for model, version in report.versions.items():
            _add(connection, report, model, version, at)
    return StoredReport(report.device, report.sequence, True, warning)


def _seen(connection: Connection, report: DeviceReport, at: float) -> tuple[str | None, bool]:
    """Note that the device lives. A warning for whoever sent the report, and whether the report counts."""
    row = connection.execute(sa.select(DEVICES).where(DEVICES.c.device == report.device)).first()
    values: dict[str, Any] = {
        "client": report.client,
        "last_seen": at,
        "sequence": report.sequence,
        "versions": json.dumps(dict(report.versions), sort_keys=True),
        "disk_free_bytes": report.disk_free_bytes,
        "temperature_celsius": report.temperature_celsius,
    }
    if row is None:
        connection.execute(sa.insert(DEVICES).values(device=report.device, first_seen=at, **values))
        return None, True
    warning = None
    counted = True
    if row.client != report.client:
        values["previous_client"] = row.client
        # A new installation replaces the old one for good; two devices of one name take turns.
        if row.previous_client == report.client:
            values["cloned_at"] = at
            warning = (
                f"two devices are named {report.device!r} (clients {report.client!r} and {row.client!r}). Rename "
                "one of them: cliplab device run --name"
            )
    elif row.cloned_at is not None and at - row.cloned_at < 24 * HOUR:
        warning = f"two devices are named {report.device!r}. Rename one of them: cliplab device run --name"
    elif report.sequence <= row.sequence - 1_000_000:
        counted = False  # a number from before the kept reports: it may have been counted long ago
    connection.execute(sa.update(DEVICES).where(DEVICES.c.device == report.device).values(**values))
    return warning, counted


def _add(connection: Connection, report: DeviceReport, model: str, version: str, at: float) -> None:
    """Add a report to the sums of its device and version."""
    own = {"model": model, "version": version, "device": report.device}
    key = own | {"hour": int(at // HOUR)}
    row = _row(connection, SUMS, key)
    values = {name: getattr(report, name) + (getattr(row, name) if row else 0) for name in _ADDED}
    values |= {
        "reports": 1 + (row.reports if row else 0),
        "labelled": (report.labelled or 0) + (row.labelled if row else 0),
        "correct": (report.correct or 0) + (row.correct if row else 0),
    }
    _put(connection, SUMS, key, values, row is not None)
    if not report.latency_ms and not report.scores:
        return
    key = own | {"day": int(at // DAY)}
    row = _row(connection, HISTOGRAMS, key)
    latency = _plus(json.loads(row.latency) if row else [], list(report.latency_ms))
    scores: dict[str, list[float]] = json.loads(row.scores) if row else {}
    for label, counts in report.scores.items():
        if label in scores or len(scores) < MAX_LABELS:
            scores[label] = _plus(scores.get(label, []), list(counts))
    values = {"latency": json.dumps(latency), "scores": json.dumps(scores)}
    _put(connection, HISTOGRAMS, key, values, row is not None)


def _row(connection: Connection, table: sa.Table, key: dict[str, Any]) -> Any:
    return connection.execute(sa.select(table).where(*(table.c[name] == value for name, value in key.items()))).first()


def _put(connection: Connection, table: sa.Table, key: dict[str, Any], values: dict[str, Any], known: bool) -> None:
    if known:
        where = (table.c[name] == value for name, value in key.items())
        connection.execute(sa.update(table).where(*where).values(**values))
    else:
        connection.execute(sa.insert(table).values(**key, **values))


def _plus(one: list[float], other: list[float]) -> list[float]:
    return [a + b for a, b in zip(one, other, strict=True)] if one and other else one or other

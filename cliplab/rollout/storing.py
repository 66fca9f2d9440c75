"""Storing reports of devices: each once, a batch in one transaction, and sums that decisions read."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from adapters.errors import StorageError
from cliplab.registry.schema import Connection, Engine, sa
from cliplab.rollout.migrating import HEAD, bring_up, version_of
from cliplab.rollout.report import MAX_LABELS, DeviceReport, ReportError
from cliplab.rollout.schema import DEVICES, HISTOGRAMS, REPORTS, SUMS, VERSION_TABLE

HOUR, DAY = 3600.0, 86400.0
# A report is known this long when it comes again; the sums stay.
KEPT_SECONDS = 30 * DAY
_ADDED = ("reports", "predictions", "errors", "golden_failures", "restarts", "labelled", "correct")
_SUMS_KEY = ("model", "version", "device", "hour")
_HISTOGRAMS_KEY = ("model", "version", "device", "day")
# Reports for which the database is asked at once: four values each, below what every SQLite takes in one statement.
_CHUNK = 200
# Of a report's digest: two reports of one number with the same letters are the same report.
_DIGEST_LETTERS = 32
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
    """Make the tables of rollouts where they are missing, and bring older ones to this version.

    Args:
        engine: Of the registry's database.

    Raises:
        StorageError: They are of a later version, or cannot be made.
    """
    with engine.connect() as connection:
        if sa.inspect(connection).has_table(VERSION_TABLE) and version_of(connection) == HEAD:
            return
    with writing(engine) as connection:
        bring_up(connection, engine)


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
    waiting = list(reports)
    with writing(engine) as connection:
        for first in range(0, len(waiting), _CHUNK):
            batch = _Batch(connection, waiting[first : first + _CHUNK], at)
            for report in waiting[first : first + _CHUNK]:
                try:
                    stored.append(batch.take(report))
                except ReportError as error:
                    refused.append(error)
            batch.write()
    return stored, refused


def forget_reports(engine: Engine, now: float | None = None) -> int:
    """Forget reports older than ``KEPT_SECONDS``, so that the database does not grow forever.

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


class _Batch:
    """Reports that are stored together: few statements for many reports, which is what a fleet of thousands needs.

    Args:
        connection: A transaction of ``writing``.
        reports: At most ``_CHUNK``.
        at: The server's time.
    """

    def __init__(self, connection: Connection, reports: Sequence[DeviceReport], at: float) -> None:
        self._connection, self._at = connection, at
        columns = (REPORTS.c.device, REPORTS.c.client, REPORTS.c.sequence)
        keys = {(report.device, report.client, report.sequence) for report in reports}
        known = sa.select(*columns, REPORTS.c.content).where(sa.tuple_(*columns).in_(keys))
        self._contents = {tuple(row[:3]): str(row[3]) for row in connection.execute(known)}
        names = {report.device for report in reports}
        rows = connection.execute(sa.select(DEVICES).where(DEVICES.c.device.in_(names))).mappings()
        self._devices: dict[str, dict[str, Any]] = {row["device"]: dict(row) for row in rows}
        self._old = set(self._devices)
        self._inserted: list[dict[str, Any]] = []
        self._cloned: set[str] = set()
        self._sums: dict[tuple[Any, ...], dict[str, int]] = {}
        self._histograms: dict[tuple[Any, ...], list[DeviceReport]] = {}

    def take(self, report: DeviceReport) -> StoredReport:
        """Count a report, unless it was counted before."""
        # As asdict gives it, without its copies.
        content = json.dumps(vars(report), sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:_DIGEST_LETTERS]
        key = (report.device, report.client, report.sequence)
        known = self._contents.get(key)
        if known is not None:
            if known not in (digest, content):  # earlier versions kept the whole
                self._note_clone(report.device)
                raise ReportError(
                    f"device {report.device!r}: report {report.sequence} was stored before with other values. A client "
                    "must number each report once; if a second device has this name, rename one of them"
                )
            return StoredReport(report.device, report.sequence, False)
        self._contents[key] = digest
        warning, counted = self._seen(report)
        self._inserted.append(
            {
                "device": report.device,
                "client": report.client,
                "sequence": report.sequence,
                "received": self._at,
                "content": digest,
            }
        )
        if counted:
            for model, version in report.versions.items():
                self._add(report, model, version)
        return StoredReport(report.device, report.sequence, True, warning)

    def write(self) -> None:
        """Write what was taken, in the transaction."""
        names = {item["device"] for item in self._inserted} | self._cloned
        if not names:
            return
        connection = self._connection
        if self._inserted:
            connection.execute(sa.insert(REPORTS), self._inserted)
        touched = {name: self._devices[name] for name in sorted(names)}
        fresh = [row for name, row in touched.items() if name not in self._old]
        if fresh:
            connection.execute(sa.insert(DEVICES), fresh)
        again = [{**row, "its_name": name} for name, row in touched.items() if name in self._old]
        if again:
            changed = [name for name in again[0] if name not in ("device", "its_name", "first_seen")]
            statement = sa.update(DEVICES).where(DEVICES.c.device == sa.bindparam("its_name"))
            connection.execute(statement.values({name: sa.bindparam(name) for name in changed}), again)
        if self._sums:
            rows = [{**dict(zip(_SUMS_KEY, key, strict=True)), **values} for key, values in self._sums.items()]
            connection.execute(_adding(connection), rows)
        if self._histograms:
            self._write_histograms()

    def _note_clone(self, name: str) -> None:
        """Two devices with one copied identity number their reports alike: the next report of each is warned."""
        row = self._devices.get(name)
        if row is not None:
            row["cloned_at"] = self._at
            self._cloned.add(name)

    def _seen(self, report: DeviceReport) -> tuple[str | None, bool]:
        """Note that the device lives. A warning for whoever sent the report, and whether the report counts."""
        values: dict[str, Any] = {
            "client": report.client,
            "last_seen": self._at,
            "sequence": report.sequence,
            "versions": json.dumps(dict(report.versions), sort_keys=True),
            "disk_free_bytes": report.disk_free_bytes,
            "temperature_celsius": report.temperature_celsius,
        }
        row = self._devices.get(report.device)
        if row is None:
            fresh = {"device": report.device, "first_seen": self._at, "previous_client": None, "cloned_at": None}
            self._devices[report.device] = fresh | values
            return None, True
        warning, counted = None, True
        if row["client"] != report.client:
            values["previous_client"] = row["client"]
            # A new installation replaces the old one for good; two devices of one name take turns.
            if row["previous_client"] == report.client:
                values["cloned_at"] = self._at
                warning = (
                    f"two devices are named {report.device!r} (clients {report.client!r} and {row['client']!r}). "
                    "Rename one of them: cliplab device run --name"
                )
        elif row["cloned_at"] is not None and self._at - row["cloned_at"] < 24 * HOUR:
            warning = f"two devices are named {report.device!r}. Rename one of them: cliplab device run --name"
        elif report.sequence <= row["sequence"] - 1_000_000:
            counted = False  # a number from before the kept reports: it may have been counted long ago
        row.update(values)
        return warning, counted

    def _add(self, report: DeviceReport, model: str, version: str) -> None:
        """Add a report to the sums of its device and version."""
        own = (model, version, report.device)
        sums = self._sums.setdefault((*own, int(self._at // HOUR)), dict.fromkeys(_ADDED, 0))
        for name in _ADDED:
            sums[name] += 1 if name == "reports" else (getattr(report, name) or 0)
        if any(report.latency_ms) or any(map(any, report.scores.values())):
            self._histograms.setdefault((*own, int(self._at // DAY)), []).append(report)

    def _write_histograms(self) -> None:
        columns = [HISTOGRAMS.c[name] for name in _HISTOGRAMS_KEY]
        wanted = sa.select(HISTOGRAMS).where(sa.tuple_(*columns).in_(list(self._histograms)))
        known = {tuple(row[:4]): row for row in self._connection.execute(wanted)}
        rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for key, reports in self._histograms.items():
            row = known.get(key)
            latency: list[float] = json.loads(row.latency) if row else []
            scores: dict[str, list[float]] = json.loads(row.scores) if row else {}
            for report in reports:
                latency = _plus(latency, list(report.latency_ms))
                for label, counts in report.scores.items():
                    if label in scores or len(scores) < MAX_LABELS:
                        scores[label] = _plus(scores.get(label, []), list(counts))
            values = {f"its_{name}": value for name, value in zip(_HISTOGRAMS_KEY, key, strict=True)}
            rows[row is not None].append({**values, "latency": json.dumps(latency), "scores": json.dumps(scores)})
        if rows[False]:
            fresh = [{name.removeprefix("its_"): value for name, value in row.items()} for row in rows[False]]
            self._connection.execute(sa.insert(HISTOGRAMS), fresh)
        if rows[True]:
            where = (HISTOGRAMS.c[name] == sa.bindparam(f"its_{name}") for name in _HISTOGRAMS_KEY)
            values = {name: sa.bindparam(name) for name in ("latency", "scores")}
            self._connection.execute(sa.update(HISTOGRAMS).where(*where).values(values), rows[True])


def _adding(connection: Connection) -> Any:
    """The statement that adds to a row of sums, or makes it."""
    from sqlalchemy.dialects import postgresql, sqlite

    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(SUMS)
    added = {name: SUMS.c[name] + statement.excluded[name] for name in _ADDED}
    return statement.on_conflict_do_update(index_elements=list(_SUMS_KEY), set_=added)


def _plus(one: list[float], other: list[float]) -> list[float]:
    return [a + b for a, b in zip(one, other, strict=True)] if one and other else one or other

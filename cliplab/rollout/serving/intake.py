"""Reports of a fleet on their way into the database: bounded in number and rate, stored in batches by one thread."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.errors import AdapterError
from adapters.hosts.http_server.errors import RequestError
from cliplab.registry.schema import Engine
from cliplab.rollout.report import MAX_MODELS, DeviceReport, ReportError
from cliplab.rollout.storing import HOUR, StoredReport, store_reports

# Reports that wait for the database; more are asked to come again.
MAX_WAITING, BATCH = 2_000, 200
RETRY_SECONDS = 10
# A device may send BURST reports at once, after days without a network, and then one per REFILL_SECONDS.
BURST, REFILL_SECONDS = 120, 1.0
# Versions of models that a device may name within an hour: all of its models, each updated once.
MAX_NAMED = 2 * MAX_MODELS
# A busy server stores this often: a transaction costs far more than a report in it.
BATCH_SECONDS = 0.05
_MAX_BUCKETS = 100_000


@dataclass
class _Waiting:
    report: DeviceReport
    done: asyncio.Future[StoredReport]


class ReportIntake:
    """Stores reports; ``run`` does the work.

    Args:
        engine: Of the registry's database.
        on_batch: Called after each batch with what was stored.
    """

    def __init__(
        self, engine: Engine, on_batch: Callable[[Sequence[StoredReport]], object] = lambda stored: None
    ) -> None:
        self._engine, self._on_batch = engine, on_batch
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING)

    @property
    def waiting(self) -> int:
        """Reports that wait."""
        return self._waiting.qsize()

    async def store(self, report: DeviceReport) -> StoredReport:
        """Store a report; it is in the database when this returns.

        Args:
            report: The report.

        Raises:
            RequestError: 429, too many wait; 409, another report had its number; 503, the database cannot be written.
        """
        item = _Waiting(report, asyncio.get_running_loop().create_future())
        try:
            self._waiting.put_nowait(item)
        except asyncio.QueueFull:
            raise RequestError(
                429, f"{MAX_WAITING} reports are waiting. Send it again later", {"Retry-After": str(RETRY_SECONDS)}
            ) from None
        try:
            return await item.done
        except ReportError as error:
            raise RequestError(409, str(error)) from None
        except AdapterError as error:
            raise RequestError(503, str(error), {"Retry-After": str(RETRY_SECONDS)}) from None

    async def run(self) -> None:
        """Store what comes until the task is cancelled."""
        left: list[_Waiting] = []
        due = 0.0
        loop = asyncio.get_running_loop()
        while True:
            batch = left or [await self._waiting.get()]
            if not left and (wait := due - loop.time()) > 0 and self._waiting.qsize() < BATCH:
                await asyncio.sleep(wait)
            due = loop.time() + BATCH_SECONDS
            with contextlib.suppress(asyncio.QueueEmpty):
                while len(batch) < BATCH:
                    batch.append(self._waiting.get_nowait())
            batch, left = _distinct(batch)
            await self._store(batch)

    async def _store(self, batch: list[_Waiting]) -> None:
        try:
            stored, refused = await asyncio.to_thread(store_reports, self._engine, [item.report for item in batch])
        except Exception as error:
            for item in batch:
                if not item.done.done():
                    item.done.set_exception(error if isinstance(error, AdapterError) else _unexpected(error))
            return
        found, errors = {(item.device, item.sequence): item for item in stored}, iter(refused)
        for item in batch:
            result = found.get((item.report.device, item.report.sequence))
            # The error of a report whose client has gone is passed over with it, so that others get their own.
            failure = None if result is not None else next(errors, _unexpected(RuntimeError()))
            if item.done.done():
                continue
            if result is not None:
                item.done.set_result(result)
            elif failure is not None:
                item.done.set_exception(failure)
        self._on_batch(stored)


class Rates:
    """What one device may send: a bucket of ``BURST`` that fills by one each ``REFILL_SECONDS``, and few versions.

    Each version that a report names has rows of its own in the database, for good. An honest device names as many as
    it has models, and one more for each update.
    """

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}
        self._named: dict[str, set[int]] = {}
        self._named_since = float("-inf")

    def take(self, device: str) -> None:
        """Count one request.

        Args:
            device: The device.

        Raises:
            RequestError: 429, it sends too fast.
        """
        now = time.monotonic()
        left, since = self._buckets.get(device, (float(BURST), now))
        left = min(float(BURST), left + (now - since) / REFILL_SECONDS)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.clear()
        if left < 1:
            self._buckets[device] = (left, now)
            raise RequestError(
                429,
                f"device {device}: sends more than {BURST} reports at once and one every {REFILL_SECONDS:g} s. Wait, "
                "then continue",
                {"Retry-After": str(RETRY_SECONDS)},
            )
        self._buckets[device] = (left - 1, now)

    def take_versions(self, report: DeviceReport) -> None:
        """Count the versions that a report names.

        Args:
            report: The report.

        Raises:
            RequestError: 429, its device has named too many within the hour.
        """
        now = time.monotonic()
        if now - self._named_since >= HOUR or len(self._named) > _MAX_BUCKETS:
            self._named.clear()
            self._named_since = now
        named = self._named.get(report.device, set()) | {hash(item) for item in report.versions.items()}
        if len(named) > MAX_NAMED:
            raise RequestError(
                429,
                f"device {report.device}: has named more than {MAX_NAMED} versions of models within an hour, so this "
                "report is not stored. Check what it reports, or take its token back: cliplab registry device remove",
                {"Retry-After": str(RETRY_SECONDS)},
            )
        self._named[report.device] = named


def _distinct(batch: list[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """The first report of each device and number, and the others: then the outcome of each is known."""
    first: dict[tuple[str, int], _Waiting] = {}
    left = []
    for item in batch:
        key = (item.report.device, item.report.sequence)
        if key in first:
            left.append(item)
        else:
            first[key] = item
    return list(first.values()), left


def _unexpected(error: Exception) -> AdapterError:
    return AdapterError(f"a report could not be stored ({type(error).__name__}). Send it again later")

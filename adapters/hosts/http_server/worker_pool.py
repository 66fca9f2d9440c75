"""A bounded pool of worker threads behind the event loop: a full queue refuses, a caller who left is not worked for."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from adapters.hosts.http_server.errors import ClientDisconnectedError, RequestError

T = TypeVar("T")
Receive = Callable[[], Awaitable[Any]]


class ByteBudget:
    """So many bytes at a time for the bodies of requests, in memory or on disk."""

    def __init__(self, limit_bytes: int, what: str) -> None:
        self.limit_bytes, self.used_bytes, self._what = limit_bytes, 0, what

    @contextmanager
    def reserve(self, size_bytes: int) -> Iterator[None]:
        """RequestError (429) where it is not there now."""
        if self.used_bytes + size_bytes > self.limit_bytes:
            raise RequestError(
                429,
                f"{self._what} of {self.used_bytes / 1e6:.0f} MB are in progress and {self.limit_bytes / 1e6:.0f} MB "
                "are taken at a time. Ask again later",
                {"Retry-After": "1"},
            )
        self.used_bytes += size_bytes
        try:
            yield
        finally:
            self.used_bytes -= size_bytes


class RequestJob(Generic[T]):
    """One piece of work. ``stop`` is what long work asks now and then: a reason to end, or None."""

    def __init__(self, function: Callable[[RequestJob[T]], T], seconds: float) -> None:
        self._function: Callable[[RequestJob[T]], T] | None = function
        self._end, self._limit = time.monotonic() + seconds, seconds
        self.started = self.abandoned = False
        self.seconds: float | None = None  # what it took

    def run(self) -> T:
        function, self._function, self.started = self._function, None, True
        if function is None:
            raise ClientDisconnectedError
        start = time.monotonic()
        try:
            return function(self)
        finally:
            self.seconds = time.monotonic() - start

    def abandon(self) -> None:
        """Nobody waits any more: long work stops, and what has not begun is forgotten with all that it holds."""
        self.abandoned, self._function = True, None

    def stop_reason(self) -> str | None:
        if self.abandoned:
            return "nobody waits for the answer any more."
        if time.monotonic() > self._end:
            return f"took longer than {self._limit:g} s. Send a shorter video, or have the limit raised."
        return None


class WorkerPool:
    """workers threads, and at most ``queue`` jobs that wait for one."""

    def __init__(self, workers: int, queue: int, timeout_seconds: float) -> None:
        self.workers, self.queue, self.timeout_seconds = workers, queue, timeout_seconds
        self.unfinished = 0  # jobs that wait or run
        self._seconds = 0.1  # what a job takes, smoothed
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="http")

    @property
    def waiting(self) -> int:
        return max(0, self.unfinished - self.workers)

    def check_capacity(self) -> None:
        """RequestError (429) where a job that came now would find the queue full."""
        if self.unfinished >= self.workers + self.queue:
            wait = max(1, math.ceil(self.unfinished * self._seconds / self.workers))
            raise RequestError(
                429,
                f"{self.workers} requests are computed and {self.queue} wait, which is all that is taken. Ask again "
                f"in about {wait} s",
                {"Retry-After": str(wait)},
            )

    async def run(self, function: Callable[[RequestJob[T]], T], receive: Receive | None = None) -> T:
        """The function's result, computed in a worker.

        receive: the request's, its body read: a disconnect that it reports ends the waiting
        (ClientDisconnectedError). RequestError: 429 where the queue is full, 503 where no worker was free in time, 504
        where the work took longer.
        """
        self.check_capacity()
        job = RequestJob(function, self.timeout_seconds)
        future = self._submit(job)
        gone = asyncio.ensure_future(_disconnected(receive)) if receive is not None else None
        try:
            waited_for: set[asyncio.Future[Any]] = {future} if gone is None else {future, gone}
            # A little more than the job's own limit, so that work that can end by itself says why.
            await asyncio.wait(waited_for, timeout=self.timeout_seconds + 1, return_when="FIRST_COMPLETED")
            if future.done():
                return future.result()
            if gone is not None and gone.done():
                raise ClientDisconnectedError
            raise self._timeout_error(job)
        finally:
            if gone is not None:
                gone.cancel()
            if not future.done():
                job.abandon()
                future.cancel()

    async def run_step(self, function: Callable[[], T]) -> T:
        """A stream's next step. It is not refused: of a stream there is at most one, and streams are limited."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, job: RequestJob[T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        self.unfinished += 1
        future = self._pool.submit(job.run)
        # Called for a job that was cancelled before it began, too.
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended, job.seconds))
        return asyncio.wrap_future(future)

    def _ended(self, seconds: float | None) -> None:
        self.unfinished -= 1
        if seconds is not None:
            self._seconds += 0.1 * (seconds - self._seconds)

    def _timeout_error(self, job: RequestJob[Any]) -> RequestError:
        if job.started:
            return RequestError(
                504, f"took longer than {self.timeout_seconds:g} s. Send less, or have the limit raised"
            )
        return RequestError(
            503, f"no worker was free for {self.timeout_seconds:g} s. Ask again later", {"Retry-After": "5"}
        )


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""A bounded pool of worker threads behind the event loop.

A request is refused when the queue is full, and its work ends when the client disconnects or the time is up.
"""

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
    """A limit on the bytes that the bodies of all requests in progress use, in memory or on disk.

    Args:
        limit_bytes: The limit.
        what: What messages call the bodies, for example "uploads".

    Attributes:
        used_bytes: Bytes that are reserved now.
    """

    def __init__(self, limit_bytes: int, what: str) -> None:
        self.limit_bytes, self.used_bytes, self._what = limit_bytes, 0, what

    @contextmanager
    def reserve(self, size_bytes: int) -> Iterator[None]:
        """Reserve bytes for one body until the block ends.

        Args:
            size_bytes: Size of the body.

        Raises:
            RequestError: 429 if the limit would be exceeded.
        """
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
    """The computation of one request, which a worker runs.

    Args:
        function: Computes the result. It receives this job, and calls ``stop_reason`` now and then if it takes long.
        seconds: Time limit, counted from now.

    Attributes:
        started: Whether a worker has started it.
        abandoned: Whether the result is no longer needed.
        seconds: Time that it took; None until it is done.
    """

    def __init__(self, function: Callable[[RequestJob[T]], T], seconds: float) -> None:
        self._function: Callable[[RequestJob[T]], T] | None = function
        self._end, self._limit = time.monotonic() + seconds, seconds
        self.started = self.abandoned = False
        self.seconds: float | None = None

    def run(self) -> T:
        """Compute the result, in a worker.

        Returns:
            The function's result.

        Raises:
            ClientDisconnectedError: The job was abandoned before it started.
            Exception: Whatever the function raises.
        """
        function, self._function, self.started = self._function, None, True
        if function is None:
            raise ClientDisconnectedError
        start = time.monotonic()
        try:
            return function(self)
        finally:
            self.seconds = time.monotonic() - start

    def abandon(self) -> None:
        """Stop the work: ``stop_reason`` returns a reason from now on, and an unstarted job frees its data."""
        self.abandoned, self._function = True, None

    def stop_reason(self) -> str | None:
        """Return why the work has to end now, in a sentence, or None."""
        if self.abandoned:
            return "nobody waits for the answer any more."
        if time.monotonic() > self._end:
            return f"took longer than {self._limit:g} s. Send a shorter video, or have the limit raised."
        return None


class WorkerPool:
    """Worker threads, and a queue of jobs in front of them.

    Args:
        workers: Number of threads.
        queue: Number of jobs that may wait for a thread.
        timeout_seconds: Time limit of a job, from its request until its end.

    Attributes:
        unfinished: Number of jobs that wait or run.
    """

    def __init__(self, workers: int, queue: int, timeout_seconds: float) -> None:
        self.workers, self.queue, self.timeout_seconds = workers, queue, timeout_seconds
        self.unfinished = 0
        self._seconds = 0.1  # duration of a job, smoothed
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="http")

    @property
    def waiting(self) -> int:
        """Number of jobs that wait for a worker."""
        return max(0, self.unfinished - self.workers)

    def check_capacity(self) -> None:
        """Check that a new job would be accepted.

        Raises:
            RequestError: 429 if the queue is full.
        """
        if self.unfinished >= self.workers + self.queue:
            wait = max(1, math.ceil(self.unfinished * self._seconds / self.workers))
            raise RequestError(
                429,
                f"{self.workers} requests are computed and {self.queue} wait, which is all that is taken. Ask again "
                f"in about {wait} s",
                {"Retry-After": str(wait)},
            )

    async def run(self, function: Callable[[RequestJob[T]], T], receive: Receive | None = None) -> T:
        """Compute a result in a worker.

        Args:
            function: Computes the result; see ``RequestJob``.
            receive: The request's ASGI ``receive``, after its body was read; a disconnect that it reports ends the job.

        Returns:
            The function's result.

        Raises:
            RequestError: 429 if the queue is full, 503 if no worker was free in time, 504 if the work took too long.
            ClientDisconnectedError: The client disconnected.
            Exception: Whatever the function raises.
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
        """Compute a stream's next step in a worker.

        A step is never refused: each stream has at most one in progress, and the number of streams is limited.

        Args:
            function: Computes the step's result.

        Returns:
            The function's result.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        """Cancel the waiting jobs and end the threads, without waiting for running jobs."""
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

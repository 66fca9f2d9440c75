"""A bounded pool of worker threads behind the event loop.

A request is refused when the queue is full, and its work ends when the client disconnects or the time is up.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from queue import SimpleQueue
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
    def share(self, size_bytes: int) -> Iterator[BodyShare]:
        """Begin a body's share, which lasts until the block ends and counts what has arrived.

        What was only announced does not count, so that a client that announces much and sends little holds little.

        Args:
            size_bytes: Size of the body, as its header announces it.

        Yields:
            The share.

        Raises:
            RequestError: 429 if the body would not fit beside what is there.
        """
        self._check(size_bytes)
        share = BodyShare(self)
        try:
            yield share
        finally:
            self.used_bytes -= share.used_bytes

    def _check(self, size_bytes: int) -> None:
        if self.used_bytes + size_bytes > self.limit_bytes:
            raise RequestError(
                429,
                f"{self._what} of {self.used_bytes / 1e6:.0f} MB are in progress; {self.limit_bytes / 1e6:.0f} MB "
                "are allowed at a time. Try again later",
                {"Retry-After": "1"},
            )


class BodyShare:
    """What one body uses of a ``ByteBudget``.

    Attributes:
        used_bytes: Bytes that have arrived.
    """

    def __init__(self, budget: ByteBudget) -> None:
        self._budget, self.used_bytes = budget, 0

    def grow(self, size_bytes: int) -> None:
        """Count bytes that arrived.

        Args:
            size_bytes: Their number.

        Raises:
            RequestError: 429 if the limit would be exceeded.
        """
        self._budget._check(size_bytes)
        self._budget.used_bytes += size_bytes
        self.used_bytes += size_bytes


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
            return "the client has disconnected."
        if time.monotonic() > self._end:
            return f"took longer than {self._limit:g} s. Send a shorter video, or raise the limit (--timeout-seconds)."
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
        self._jobs: set[RequestJob[Any]] = set()
        self._pool = _DaemonThreads(workers, "http")

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
                f"{self.workers} requests are running and {self.queue} are waiting, the maximum. Try again "
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

    def abandon_all(self) -> None:
        """Stop the work of all jobs; each ends where it next looks at ``stop_reason``."""
        for job in list(self._jobs):
            job.abandon()

    def _submit(self, job: RequestJob[T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        self.unfinished += 1
        self._jobs.add(job)
        future = self._pool.submit(job.run)

        def done(_: object) -> None:  # for a job that was cancelled before it began, too
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._ended, job)

        future.add_done_callback(done)
        return asyncio.wrap_future(future)

    def _ended(self, job: RequestJob[Any]) -> None:
        self.unfinished -= 1
        self._jobs.discard(job)
        if job.seconds is not None:
            self._seconds += 0.1 * (job.seconds - self._seconds)

    def _timeout_error(self, job: RequestJob[Any]) -> RequestError:
        if job.started:
            return RequestError(
                504, f"took longer than {self.timeout_seconds:g} s. Send less, or raise the limit (--timeout-seconds)"
            )
        return RequestError(
            503, f"no worker was free for {self.timeout_seconds:g} s. Try again later", {"Retry-After": "5"}
        )


class _DaemonThreads(Executor):
    """A ThreadPoolExecutor whose threads do not keep the process from ending."""

    def __init__(self, threads: int, name: str) -> None:
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        self._lock, self._begun, self._closed = threading.Lock(), False, False

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the worker pool is closed")
            if not self._begun:
                self._begun = True
                for thread in self._threads:
                    thread.start()
            self._queue.put((future, lambda: function(*arguments, **named)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._closed = True
            while cancel_futures and not self._queue.empty():
                if (entry := self._queue.get()) is not None:
                    entry[0].cancel()
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads if wait and self._begun else ():
            thread.join()

    def _work(self) -> None:
        while (entry := self._queue.get()) is not None:
            future, function = entry
            del entry
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = function()
            except BaseException as error:  # carried to the one that waits for the result
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
            del future, function


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

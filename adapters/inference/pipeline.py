"""Read sources ahead in threads, while the caller works on what has been read: the one decode-ahead pipeline.

Three generators share it: ``read_ahead`` (items of each source, in the order of the sources), ``read_as_ready`` (items
of all sources as they come) and ``map_ahead`` (one result per source, in order). For all of them:

- Sources are pulled one at a time and only when needed, in one of the threads, so ``sources`` may wait for a download.
- What ``read`` or ``sources`` raises, also a KeyboardInterrupt, is raised to the caller in its place in the order. A
  ``read`` that handles its own errors keeps one bad source from ending the others.
- Memory is bounded by counts: a thread that has read enough waits without polling.
- Closing the generator, an exception in the caller's loop, or dropping the generator stops the threads: each ends at
  its next item and closes its iterator. With ``wait`` the caller waits for them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, Generic, TypeVar, cast

Source = TypeVar("Source")
Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    sources: Iterable[Source],
    read: Callable[[Source], Iterable[Item]],
    *,
    threads: int,
    limit: int,
    ahead: int | None = None,
    wait: bool = True,
    name: str = "read-ahead",
    meanwhile: Callable[[], object] | None = None,
) -> Generator[tuple[Source, Item | None], None, None]:
    """Read sources ahead in threads; each source's items come in the order of the sources.

    Args:
        sources: What to read; may be endless.
        read: Returns the items of a source, none of which is None. Runs in a thread.
        threads: Sources read at the same time.
        limit: Items of each source that may wait for the caller.
        ahead: Sources that may have been pulled and not yet left by the caller; default: ``threads``.
        wait: Whether leaving waits until the threads have ended. If not, a thread that is blocked in ``read`` or
            ``sources`` delays nothing, and ends when it comes back.
        name: The threads are named after it.
        meanwhile: Called in the caller's thread once the threads have begun, before the first item is waited for.

    Yields:
        Each source with each of its items, and with None at its end.

    Raises:
        ValueError: threads, limit or ahead is less than 1.
    """
    pipeline = _Pipeline(sources, read, threads, limit, threads if ahead is None else ahead, name)
    return cast("Generator[tuple[Source, Item | None], None, None]", _messages(pipeline, None, wait, meanwhile))


def read_as_ready(
    sources: Iterable[Source],
    read: Callable[[Source], Iterable[Item]],
    *,
    threads: int,
    limit: int,
    patience_seconds: float | None = None,
    wait: bool = True,
    name: str = "read-ahead",
    meanwhile: Callable[[], object] | None = None,
) -> Generator[tuple[Source, Item | None] | None, None, None]:
    """Read sources ahead in threads; items come as they are ready. Those of one source keep their order.

    Args:
        sources: What to read; may be endless.
        read: Returns the items of a source, none of which is None. Runs in a thread.
        threads: Sources read at the same time.
        limit: Items of all sources together that may wait for the caller.
        patience_seconds: Yield None in place of a pair whenever nothing has come for this long; None: wait.
        wait: Whether leaving waits until the threads have ended; see ``read_ahead``.
        name: The threads are named after it.
        meanwhile: As for ``read_ahead``.

    Yields:
        Each source with each of its items, and with None at its end.

    Raises:
        ValueError: threads or limit is less than 1.
    """
    pipeline = _Pipeline(sources, read, threads, limit, None, name)
    return _messages(pipeline, patience_seconds, wait, meanwhile)


def map_ahead(
    sources: Iterable[Source],
    function: Callable[[Source], Result],
    *,
    threads: int,
    ahead: int,
    wait: bool = True,
    name: str = "map-ahead",
) -> Generator[tuple[Source, Result], None, None]:
    """Apply a function to sources ahead in threads; results come in the order of the sources.

    Args:
        sources: What to work on; may be endless.
        function: Runs in a thread; its result may be None.
        threads: Sources worked on at the same time.
        ahead: Sources that may be pulled and worked on before they are needed.
        wait: Whether leaving waits until the threads have ended; see ``read_ahead``.
        name: The threads are named after it.

    Returns:
        A generator of each source and the function's result for it.

    Raises:
        ValueError: threads or ahead is less than 1.
    """

    def read(source: Source) -> tuple[tuple[Result]]:
        return ((function(source),),)  # in a tuple, because a result may be None

    def results() -> Generator[tuple[Source, Result], None, None]:
        messages = read_ahead(sources, read, threads=threads, limit=1, ahead=ahead, wait=wait, name=name)
        with closing(messages):
            for source, item in messages:
                if item is not None:
                    yield source, item[0]

    return results()


def _messages(
    pipeline: _Pipeline[Source, Item],
    patience: float | None,
    wait: bool,
    meanwhile: Callable[[], object] | None,
) -> Generator[tuple[Source, Item | None] | None, None, None]:
    """What the pipeline has read. A generator that no thread refers to, so that dropping it stops the threads."""
    try:
        pipeline.start()
        if meanwhile is not None:
            meanwhile()
        while (message := pipeline.take(patience)) is not _DONE:
            yield message
            if message is not None and message[1] is None:
                pipeline.leave_source()
    finally:
        pipeline.stop(wait)


_DONE: Any = object()
# How often a waiting thread looks whether it was stopped without having been notified: where the garbage collector
# closed the caller's generator in that thread itself, just before it began to wait.
_RECHECK_SECONDS = 5.0


class _Lane:
    """Messages for the caller: (source, item), (source, None) at the source's end, or the exception that ended it."""

    def __init__(self, lock: Any) -> None:
        self.messages: deque[Any] = deque()
        self.room = threading.Condition(lock)


class _Pipeline(Generic[Source, Item]):
    """Threads that pull and read sources into lanes, and the end at which the caller takes what they have read.

    In order there is one lane per source; as they come, all share one (``ahead`` is None).

    One lock guards everything. It is reentrant, because the garbage collector may close the caller's generator in any
    thread, also in one that holds the lock. It is taken by ``with lock`` and not ``with condition``, so that a
    KeyboardInterrupt cannot come between taking it and having to release it.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        read: Callable[[Source], Iterable[Item]],
        threads: int,
        limit: int,
        ahead: int | None,
        name: str,
    ) -> None:
        places = threads + limit if ahead is None else ahead
        if min(threads, limit, places) < 1:
            raise ValueError(f"threads, limit and ahead must be at least 1; got {threads}, {limit} and {places}")
        self._sources, self._read, self._limit = sources, read, limit
        self._places = places  # for sources that may still be pulled
        self._lock: Any = threading.RLock()
        self._turn, self._ready = threading.Condition(self._lock), threading.Condition(self._lock)
        self._shared = _Lane(self._lock) if ahead is None else None
        self._lanes = deque([self._shared] if self._shared else [])  # the caller takes from the first
        self._iterator: Iterator[Source] | None = None
        self._pulling = self._exhausted = self._stopped = False
        self._running = threads
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]

    # -- in the caller's thread --------------------------------------------------------------------------------------

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def take(self, patience: float | None) -> Any:
        """The next message: _DONE after the last one, None after ``patience`` seconds without one. Raises errors."""
        with self._lock:
            while not (self._lanes and self._lanes[0].messages):
                if not self._running:
                    return _DONE
                if not self._ready.wait(patience):
                    return None
            lane = self._lanes[0]
            message = lane.messages.popleft()
            lane.room.notify()
            if isinstance(message, BaseException):
                raise message
            if message[1] is None and lane is not self._shared:
                self._lanes.popleft()
            return message

    def leave_source(self) -> None:
        """The caller is done with a source: another one may be pulled."""
        with self._lock:
            self._places += 1
            self._turn.notify()

    def stop(self, wait: bool) -> None:
        with self._lock:
            self._stopped = True
            self._turn.notify_all()
            for lane in self._lanes:
                lane.messages.clear()
                lane.room.notify_all()
        # In one of the threads itself this is the garbage collector, which must not wait for the other ones.
        if wait and threading.current_thread() not in self._threads:
            for thread in self._threads:
                if thread.ident is not None:  # else an exception came before it was started
                    thread.join()

    # -- in the threads ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while (pulled := self._pull()) is not None:
                self._read_source(*pulled)
        finally:
            with self._lock:
                self._running -= 1
                self._ready.notify()

    def _pull(self) -> tuple[Source, _Lane] | None:
        """The next source and the lane for its items, or None where there is nothing more to do."""
        with self._lock:
            while not (self._stopped or self._exhausted) and (self._pulling or not self._places):
                self._turn.wait(_RECHECK_SECONDS)
            if self._stopped or self._exhausted:
                return None
            self._pulling = True
            self._places -= 1
        lane, exhausted = self._shared or _Lane(self._lock), True
        try:
            if self._iterator is None:
                self._iterator = iter(self._sources)
            source = next(self._iterator)
            exhausted = False
        except StopIteration:
            pass
        except BaseException as error:  # carried to the caller
            self._put(lane, error)
        with self._lock:
            self._pulling, self._exhausted = False, exhausted
            if lane is not self._shared and (lane.messages or not exhausted):
                self._lanes.append(lane)
            self._turn.notify(len(self._threads) if exhausted else 1)
            return None if exhausted or self._stopped else (source, lane)

    def _read_source(self, source: Source, lane: _Lane) -> None:
        try:
            items: Any = iter(self._read(source))
            try:
                for item in items:
                    if not self._put(lane, (source, item), self._limit):
                        return
            finally:
                if hasattr(items, "close"):
                    items.close()
            self._put(lane, (source, None))
        except BaseException as error:  # carried to the caller
            self._put(lane, error)

    def _put(self, lane: _Lane, message: Any, limit: int | None = None) -> bool:
        """Put a message as soon as fewer than ``limit`` wait; whether it was put, and not stopped before."""
        with self._lock:
            while limit is not None and len(lane.messages) >= limit and not self._stopped:
                lane.room.wait(_RECHECK_SECONDS)
            if self._stopped:
                return False
            lane.messages.append(message)
            if self._lanes and lane is self._lanes[0]:
                self._ready.notify()
            return True

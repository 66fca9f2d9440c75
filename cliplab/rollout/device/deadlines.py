"""Ends what takes too long: one thread for all deadlines of a process, since a timer of its own per request is dear."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable


class Deadline:
    """Calls ``end`` when the time has passed, unless it is cancelled before.

    Args:
        seconds: From now.
        end: Called once, in another thread; what it raises is ignored.

    Attributes:
        passed: Whether the time passed before ``cancel``.
    """

    def __init__(self, seconds: float, end: Callable[[], object]) -> None:
        self.passed = False
        self._end: Callable[[], object] | None = end
        self._lock = threading.Lock()
        _watch(time.monotonic() + seconds, self)

    @property
    def cancelled(self) -> bool:
        """Whether it needs no more attention."""
        return self._end is None

    def cancel(self) -> None:
        """Call nothing from now on. A call in progress is waited for."""
        with self._lock:
            self._end = None

    def expire(self) -> None:
        """Call ``end``, once."""
        with self._lock:
            end, self._end = self._end, None
            if end is None:
                return
            self.passed = True
            with contextlib.suppress(Exception):
                end()


class _Watcher:
    """The deadlines of this process, and the thread that waits for the next of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Deadline]] = []
        self._numbers = itertools.count()
        self._until = float("inf")
        threading.Thread(target=self._run, name="deadlines", daemon=True).start()

    def add(self, at: float, deadline: Deadline) -> None:
        with self._changed:
            while self._waiting and self._waiting[0][2].cancelled:
                heapq.heappop(self._waiting)
            heapq.heappush(self._waiting, (at, next(self._numbers), deadline))
            if at < self._until:  # the thread sleeps longer than that
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = []
                while self._waiting and (self._waiting[0][2].cancelled or self._waiting[0][0] <= now):
                    due.append(heapq.heappop(self._waiting)[2])
                if not due:
                    self._until = self._waiting[0][0] if self._waiting else float("inf")
                    self._changed.wait(None if self._until == float("inf") else self._until - now)
            for deadline in due:
                deadline.expire()


_lock = threading.Lock()
_watchers: dict[int, _Watcher] = {}


def _watch(at: float, deadline: Deadline) -> None:
    """Add a deadline. A forked process has no thread of its parent, so that it begins with its own."""
    watcher = _watchers.get(os.getpid())
    if watcher is None:
        with _lock:
            watcher = _watchers.get(os.getpid())
            if watcher is None:
                watcher = _Watcher()
                _watchers.clear()
                _watchers[os.getpid()] = watcher
    watcher.add(at, deadline)

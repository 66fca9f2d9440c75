"""A pool of Ray actors that process items. If a worker or its node is lost, only its items in progress are affected.

``cliplab scan --engine ray`` uses it. It uses plain actors and not Ray Data, which retries the items of a lost worker
without end, also an item that kills each worker, and reads all items before it begins (docs/scaling.md).
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from adapters.errors import ClusterError, MissingExtraError, install_command

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as missing:
    raise MissingExtraError("ray", "scale") from missing

# Items of a worker at a time: the next one has arrived when one is done.
ITEMS_PER_WORKER = 2
# An item is given up when this many workers were lost while they processed it. Once or twice may be by chance.
MAX_LOST_WORKERS = 3
# The pool is given up when this many workers were lost in a row before they were ready.
MAX_FAILED_STARTS = 4
_WAIT_SECONDS = 1.0
_COUNT_SECONDS = 5.0  # interval of requests for the cluster's size
_PATIENCE_SECONDS = 30.0  # time without a ready worker after which a note says so

Item = TypeVar("Item")
OnNote = Callable[[str], object]


class Worker(Protocol):
    """What an actor runs. ``work`` is called after ``start``, by several threads at once."""

    def start(self) -> None:
        """Prepare the worker. An error ends the pool."""

    def work(self, item: Any) -> Any:
        """Return the result of an item. An error ends the pool.

        Args:
            item: The item.

        Returns:
            Its result, which is sent to the driver.
        """


@dataclass(frozen=True)
class LostItem:
    """In place of the result of an item whose workers were lost.

    Attributes:
        lost_workers: Number of workers that were lost while they processed the item. All but the first processed no
            other item at that time.
    """

    lost_workers: int


@dataclass(eq=False)
class _PoolWorker:
    """An actor. started: reference of its ``start``; None once done. isolated: it processes a retried item only."""

    actor: Any
    started: Any
    pending: dict[Any, Any] = field(default_factory=dict)  # reference of the result -> item
    isolated: bool = False


def process_items(
    worker: Callable[..., Worker],
    arguments: tuple[Any, ...],
    items: Iterator[Item],
    *,
    workers: int | None = None,
    gpus: int = 0,
    items_per_worker: int = ITEMS_PER_WORKER,
    on_note: OnNote = lambda text: None,
) -> Iterator[tuple[Item, Any]]:
    """Process items on the workers of a cluster, and yield each item with its result as it is done.

    Needs ``ray_cluster.cluster_connection``. An item whose worker was lost goes to another worker that has no other
    item in progress, so that an item that kills its worker affects no others. Closing the iterator ends the workers.

    Args:
        worker: Makes a worker, in the process of its actor.
        arguments: What ``worker`` is called with.
        items: Pulled as workers become free.
        workers: Number of actors, of one CPU each; None for one per CPU (or per group of ``gpus`` GPUs) of the cluster,
            also of nodes that join later.
        gpus: GPUs per worker.
        items_per_worker: Items that a worker has at a time, each in a thread.
        on_note: Receives a sentence about what the cluster did: a lost worker, a wait for a free CPU.

    Yields:
        An item, and the return value of ``worker.work(item)`` or a ``LostItem``.

    Raises:
        ClusterError: No worker can be started.
        Exception: Whatever a worker raises.
    """
    pool = _Pool(worker, arguments, workers, gpus, items_per_worker, on_note)
    try:
        yield from pool.results(items)
    finally:
        pool.dismiss()


class _Pool:
    def __init__(
        self,
        worker: Callable[..., Worker],
        arguments: tuple[Any, ...],
        count: int | None,
        gpus: int,
        items_per_worker: int,
        note: OnNote,
    ) -> None:
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        self._class = ray.remote(**options, max_concurrency=items_per_worker, scheduling_strategy="SPREAD")(worker)
        self._arguments, self._fixed, self._gpus, self._note = arguments, count, gpus, note
        self._items_per_worker = items_per_worker
        self._workers: list[_PoolWorker] = []
        self._losses: Counter[int] = Counter()  # id of an item -> workers lost over it
        self._retries: deque[Any] = deque()
        self._failed_starts = self._wanted = 0
        self._counted = self._worked = time.monotonic()

    def results(self, items: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        left = True
        while True:
            self._start_workers()
            left = self._hand_out(items) if left or self._retries else False
            if not left and not self._retries and not any(worker.pending for worker in self._workers):
                return
            for worker, reference in self._done():
                if worker in self._workers:  # not lost meanwhile
                    yield from self._settle(worker, reference)

    def dismiss(self) -> None:
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers.clear()

    def _start_workers(self) -> None:
        """Start as many workers as are wanted. Those that do not fit yet wait in the cluster."""
        now = time.monotonic()
        if self._fixed is not None:
            self._wanted = self._fixed
        elif not self._wanted or now - self._counted >= _COUNT_SECONDS:
            room = ray.cluster_resources()
            fits = room.get("GPU", 0) // self._gpus if self._gpus else room.get("CPU", 0)
            self._wanted, self._counted = max(1, int(fits)), now
        while len(self._workers) < self._wanted:
            actor = self._class.remote(*self._arguments)
            self._workers.append(_PoolWorker(actor, actor.start.remote()))
        if any(worker.started is None for worker in self._workers):
            self._worked = now
        elif now - self._worked >= _PATIENCE_SECONDS:
            self._worked = now
            self._note(
                f"no worker is ready: {len(self._workers)} wait for a free CPU or for their model; see: ray status"
            )

    def _hand_out(self, items: Iterator[Any]) -> bool:
        """Give items to ready workers; returns whether there may be more items."""
        # Each gets one before any gets a second. While a retried item waits, none gets a second, so that one is idle.
        for most in range(1, 2 if self._retries else self._items_per_worker + 1):
            for worker in self._workers:
                if worker.started is not None or worker.isolated or len(worker.pending) >= most:
                    continue
                if self._retries and not worker.pending:
                    worker.isolated = True
                    self._give(worker, self._retries.popleft())
                    continue
                try:
                    item = next(items)
                except StopIteration:
                    return False
                self._give(worker, item)
        return True

    def _give(self, worker: _PoolWorker, item: Any) -> None:
        worker.pending[worker.actor.work.remote(item)] = item

    def _done(self) -> list[tuple[_PoolWorker, Any]]:
        """Workers and their references that are done; waits a short time for the first."""
        owners = {reference: worker for worker in self._workers for reference in worker.pending}
        owners |= {worker.started: worker for worker in self._workers if worker.started is not None}
        references = list(owners)
        if ray.wait(references, num_returns=1, timeout=_WAIT_SECONDS, fetch_local=False)[0]:
            done, _ = ray.wait(references, num_returns=len(references), timeout=0, fetch_local=False)
            return [(owners[reference], reference) for reference in done]
        return []

    def _settle(self, worker: _PoolWorker, reference: Any) -> Iterator[tuple[Any, Any]]:
        try:
            result = ray.get(reference)
        except RayTaskError as error:
            raise _cause(error) from error
        except RayError as error:  # the actor or its node died, or ran out of memory, or the result is lost
            yield from self._lose(worker, error)
            return
        if reference == worker.started:
            worker.started, self._failed_starts = None, 0
            return
        item = worker.pending.pop(reference)
        self._losses.pop(id(item), None)
        worker.isolated = False
        yield item, result

    def _lose(self, worker: _PoolWorker, error: Exception) -> Iterator[tuple[Any, Any]]:
        """Remove a lost worker. Its items go to others or are given up."""
        self._workers.remove(worker)
        ray.kill(worker.actor)  # in case it still runs
        if worker.started is not None:
            self._failed_starts += 1
            if getattr(error, "actor_init_failed", False) or self._failed_starts >= MAX_FAILED_STARTS:
                raise ClusterError(
                    f"the cluster's workers do not start; the last one ended with: {_short_reason(error)}. Every node "
                    f"needs the same Python, enough memory, and cliplab with its extra: {install_command('scale')}"
                ) from error
            return
        items = list(worker.pending.values())
        self._note(
            f"a worker was lost while it had {len(items)} items; other workers take them: {_short_reason(error)}"
        )
        for item in items:
            self._losses[id(item)] += 1
            if self._losses[id(item)] < MAX_LOST_WORKERS:
                self._retries.append(item)
            else:
                yield item, LostItem(self._losses.pop(id(item)))


def _cause(error: Any) -> BaseException:
    """The exception that a worker raised, or Ray's if the original is not available."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error


def _short_reason(error: Exception) -> str:
    """Ray's reason in one line: the first line, or a later one if the first only says that the actor died."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    telling = [
        line for line in lines[1:] if any(word in line for word in ("Error", "died", "killed", "failed", "dead"))
    ]
    return (telling[-1] if telling and lines[0].startswith("The actor died") else lines[0])[:300]

"""Ray: items worked off by actors, any of which may be lost: with a worker or its node go the items in its hands alone.

Plain actors and not Ray Data: that does a lost worker's items again without end, also the one that kills whoever takes
it, and asks for all items before it begins (docs/scaling.md).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from adapters.errors import ClusterError, MissingExtraError

# Ray sends usage figures unless told otherwise before it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as missing:
    raise MissingExtraError("ray", "scale") from missing

_log = logging.getLogger(__name__)
# The next one is there when one is done.
ITEMS_PER_WORKER = 2
# So many workers may be lost over an item: a node that goes takes it along by chance, once or twice.
MAX_LOST_WORKERS = 3
# So many workers may be lost before any was ready.
MAX_FAILED_STARTS = 4
_CONNECT_SECONDS = 10.0
_WAIT_SECONDS = 1.0
_COUNT_SECONDS = 5.0  # how often the cluster is asked how large it is
_PATIENCE_SECONDS = 30.0  # without a worker: then a note says so

Item = TypeVar("Item")
OnNote = Callable[[str], object]


class Worker(Protocol):
    """What an actor runs; ``work`` after ``start``, and in several threads at once."""

    def start(self) -> None:
        """Get ready; what this raises ends everything."""

    def work(self, item: Any) -> Any:
        """The result of an item; what this raises ends everything."""


@dataclass(frozen=True)
class LostItem:
    """In place of a result: so many workers were lost while they had the item in hand, the last ones it alone."""

    lost_workers: int


@dataclass(eq=False)
class _PoolWorker:
    """An actor. started: what its ``start`` gives; None once it has. alone: its item may be a deadly one."""

    actor: Any
    started: Any
    pending: dict[Any, Any] = field(default_factory=dict)  # reference of the result -> item
    isolated: bool = False


@contextlib.contextmanager
def cluster_connection(address: str | None) -> Iterator[None]:
    """Be connected to a cluster, as before where this process is already. address: ``host:port``.

    ``auto`` is the one that runs here. None: that in RAY_ADDRESS, else one of this machine, which ends with the block:
    Ray itself would wait for minutes for one that ran here once.
    Raises ClusterError where none answers, and where this process is connected already and an address is given.
    """
    if ray.is_initialized():
        if address is not None and address != ray.get_runtime_context().gcs_address:
            raise ClusterError(
                f"this process is connected to the Ray cluster at {ray.get_runtime_context().gcs_address} already, not "
                f"to {address}. Leave the address out, or call ray.shutdown() first."
            )
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        _check_reachable(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address} ({str(error).splitlines()[0]}). Check the address with: "
            "ray status --address HOST:PORT"
        ) from error
    with contextlib.redirect_stdout(_StdoutWithoutRay(sys.stdout)) as output:
        try:
            yield
        finally:
            output.is_closing = True
            ray.shutdown()


class _StdoutWithoutRay:
    """Standard output but for what Ray prints there, pages on each lost worker, though asked for no logs.

    It goes to the log of this module, for those who turn on debugging. Programs read our standard output. Ray prints in
    threads of its own and, what is left, in the one that disconnects.
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self.is_closing = stream, False

    def write(self, text: str) -> int:
        if self.is_closing or threading.current_thread().name.startswith("ray_"):
            _log.debug("%s", text)
            return len(text)
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _check_reachable(address: str) -> None:
    """OSError where nothing listens at an address of host and port: Ray itself would go on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()


def share(value: Any) -> Any:
    """Put a value where the workers of all nodes reach it; they get it as an argument in place of what this gives."""
    return ray.put(value)


def node_name() -> str:
    """The address of the node that this worker runs on, for messages."""
    return str(ray.util.get_node_ip_address())


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

    Needs ``cluster_connection``. An item whose worker was lost goes to another worker that has no other item in
    progress, so that one deadly item takes no others along. Closing the iterator ends the workers.

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
        """As many workers as are wanted; those for which there is no room yet wait in the cluster."""
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
        """Give the workers that are ready what they can take; whether there may be more items."""
        # Each gets one before any gets a second; none gets one where an item waits for a worker that has none.
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
        """Workers and the references of theirs that are there; waits a while for the first."""
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
        """A worker is gone: what it had in hand goes to others, or is given up."""
        self._workers.remove(worker)
        ray.kill(worker.actor)  # one that only seems to be gone must not go on
        if worker.started is not None:
            self._failed_starts += 1
            if getattr(error, "actor_init_failed", False) or self._failed_starts >= MAX_FAILED_STARTS:
                raise ClusterError(
                    f"the cluster's workers do not start; the last one ended with: {_short_reason(error)}. Every node "
                    "needs the same Python, cliplab with its extra (pip install 'cliplab[scale]') and enough memory."
                ) from error
            return
        items = list(worker.pending.values())
        self._note(f"a worker was lost with {len(items)} items in hand, which go to others: {_short_reason(error)}")
        for item in items:
            self._losses[id(item)] += 1
            if self._losses[id(item)] < MAX_LOST_WORKERS:
                self._retries.append(item)
            else:
                yield item, LostItem(self._losses.pop(id(item)))


def _cause(error: Any) -> BaseException:
    """What a worker raised, as itself where it can be had."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error


def _short_reason(error: Exception) -> str:
    """Ray's reason in a line: the first of its many, or what stands below where that says no more than that it died."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    telling = [
        line for line in lines[1:] if any(word in line for word in ("Error", "died", "killed", "failed", "dead"))
    ]
    return (telling[-1] if telling and lines[0].startswith("The actor died") else lines[0])[:300]

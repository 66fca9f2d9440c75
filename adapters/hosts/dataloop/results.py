"""Results of many items: uploads that run while the model predicts, and errors that name the failed items."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from adapters.errors import AdapterError
from adapters.hosts.dataloop.items import ItemResult

logger = logging.getLogger("cliplab.dataloop")
# Number of uploads of annotations that run at the same time.
PARALLEL_UPLOADS = 4


def upload_all(
    results: Iterable[ItemResult],
    upload: Callable[[ItemResult], Iterable[Any]],
    count: int,
    progress: Any = None,
) -> tuple[list[Any], dict[str, str]]:
    """Upload each successful result as soon as it is ready.

    Args:
        results: Results of items.
        upload: Sends one item's annotations and returns them; called in threads.
        count: Number of items, for the progress.
        progress: The platform's progress, which is updated after each item; None for no updates.

    Returns:
        All uploaded annotations, and the reason of each failed item by the item's id.
    """
    uploaded: list[Any] = []
    failures: dict[str, str] = {}
    under_way: deque[tuple[Any, Future[Iterable[Any]]]] = deque()

    def finish(most: int) -> None:
        while len(under_way) > most:
            item, future = under_way.popleft()
            try:
                uploaded.extend(future.result())
            except Exception as error:  # an error of the client concerns this item only
                reason = error if isinstance(error, AdapterError) else f"{type(error).__name__}: {error}"
                failures[item.id] = describe_failure(item, f"cannot be annotated: {reason}")
                logger.error("%s", failures[item.id])

    with ThreadPoolExecutor(PARALLEL_UPLOADS, thread_name_prefix="upload") as pool:
        for done, result in enumerate(results, 1):
            if result.error is not None:
                failures[result.item.id] = describe_failure(result.item, result.error)
                logger.error("%s", failures[result.item.id])
            else:
                for warning in result.warnings:
                    logger.warning("%s", describe_failure(result.item, warning))
                under_way.append((result.item, pool.submit(upload, result)))
            finish(2 * PARALLEL_UPLOADS)
            if progress is not None:
                progress.update(progress=int(100 * done / count), message=f"{done} of {count} items")
        finish(0)
    return uploaded, failures


def describe_failure(item: Any, reason: str) -> str:
    """Return a sentence that names an item and its error."""
    return f"{item.filename} (item {item.id}): {reason}"


def raise_failures(failures: Mapping[str, str], count: int, what: str) -> None:
    """Raise an error if items failed.

    Args:
        failures: A sentence for each failed item, by the item's id.
        count: Number of all items.
        what: What could not be done, for example "predicted".

    Raises:
        AdapterError: Items failed; the message has the reason of each.
    """
    if failures:
        rest = f"; the other {count - len(failures)} were" if len(failures) < count else ""
        lines = "\n  ".join(failures.values())
        raise AdapterError(f"{len(failures)} of {count} items could not be {what}{rest}. The reasons:\n  {lines}")

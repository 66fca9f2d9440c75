"""Events from the server to the open pages, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

MOST_WAITING = 1000  # messages for one page that does not read; then it is closed, and connects again
MOST_PAGES = 200
PING_SECONDS = 15.0


class EventHub:
    """Sends what happens to every open page. ``publish`` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: dict[asyncio.Queue[str | None], asyncio.AbstractEventLoop] = {}
        self._closed = False

    def publish(self, topic: str, data: Mapping[str, Any]) -> None:
        """Send an event to every open page.

        Args:
            topic: Name of the event, such as "labels", "job" or "epoch": letters, digits, "-" and "_".
            data: What happened, as JSON values.
        """
        if not topic.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"topic is {topic!r}; letters, digits, - and _ are allowed")
        # JSON of ASCII characters has no line breaks of its own, so that no data can begin another event.
        message = f"event: {topic}\ndata: {json.dumps(dict(data), allow_nan=False)}\n\n"
        with self._lock:
            for queue, loop in self._pages.items():
                loop.call_soon_threadsafe(_put, queue, message)

    async def events(self) -> AsyncIterator[str]:
        """Yield the events of one page, until the hub closes.

        Yields:
            One event, or a comment that keeps the connection open, in the format of server-sent events.
        """
        queue: asyncio.Queue[str | None] = asyncio.Queue(MOST_WAITING)
        with self._lock:
            if self._closed or len(self._pages) >= MOST_PAGES:
                return
            self._pages[queue] = asyncio.get_running_loop()
        try:
            yield "retry: 1000\n: open\n\n"
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), PING_SECONDS)
                except TimeoutError:
                    message = ": still here\n\n"
                if message is None:
                    return
                yield message
        finally:
            with self._lock:
                self._pages.pop(queue, None)

    def close(self) -> None:
        """End the streams of all pages; new ones end at once."""
        with self._lock:
            self._closed = True
            for queue, loop in self._pages.items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_put, queue, None)


def _put(queue: asyncio.Queue[str | None], message: str | None) -> None:
    if queue.full():  # the page does not read; it connects again and asks for the present state
        while not queue.empty():
            queue.get_nowait()
        message = None
    queue.put_nowait(message)

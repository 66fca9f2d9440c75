"""uvicorn's HTTP/1.1 and WebSocket protocols with limits that uvicorn leaves to a proxy.

They limit how long a client may take to send a request's head, and the rest of a body after an early answer, and how
long it may leave an answer unread. Where all connections are in use, a new one takes the place of the one that has
waited longest for its client, so that clients that open many and send little keep nobody out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# Limit from the connection or a head's first byte to the head's end, and from an early answer to its request's end.
STALL_TIMEOUT_SECONDS = 10.0
# Limit for the next bytes of an answer to be read, and for all of it.
UNREAD_SECONDS, UNREAD_TOTAL_SECONDS = 10.0, 60.0
_LATER = "Retry-After: 10\r\n"


class _UnreadGuard(asyncio.Protocol):
    """Ends a connection whose client does not read what is written."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _unread: asyncio.TimerHandle | None = None
    _unread_since = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # Anything unread counts, also what remains when the connection is to be closed. Not 0: asyncio's TLS pauses a
        # writer whose buffer holds as much as the limit, which an empty one does, and it would wait for ever.
        transport.set_write_buffer_limits(high=1)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_unread()
        self._unread_since = self.loop.time()
        self._watch_unread(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_unread()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_unread()
        super().connection_lost(exc)

    def _watch_unread(self, size: int) -> None:
        self._unread = self.loop.call_later(UNREAD_SECONDS, self._look_at_unread, size)

    def _look_at_unread(self, before: int) -> None:
        size = self.transport.get_write_buffer_size()
        if size >= before or self.loop.time() - self._unread_since > UNREAD_TOTAL_SECONDS:
            self.transport.abort()
        else:
            self._watch_unread(size)

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class GuardedWebSocket(_UnreadGuard, WebSocketsSansIOProtocol):
    """A WebSocket whose client has to read."""


class GuardedProtocol(_UnreadGuard, H11Protocol):
    """Closes a connection whose client is slow to send what it began, while no request's own time limit applies."""

    max_connections = 1024  # a subclass of each server has its own
    _deadline: asyncio.TimerHandle | None = None
    _active = 0.0  # when the client last sent something

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._active = self.loop.time()
        if len(self.connections) > self.max_connections:
            self._make_room()
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._active = self.loop.time()
        try:
            super().data_received(data)
        except Exception:  # what neither h11 nor uvicorn expects a client to send
            self.logger.warning("a request could not be read", exc_info=True)
            self.send_400_response("the request is not HTTP/1.1")
        self._watch()

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Answer 400 if the request is not a WebSocket handshake: uvicorn would wait for another one for ever."""
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if isinstance(protocol, WebSocketsSansIOProtocol) and not protocol.handshake_initiated:
            self._answer_and_close("400 Bad Request", "the request is not a WebSocket handshake")

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Answer 400 if the client stops sending within a body: it may still read."""
        cycle = self.cycle
        if cycle is not None and cycle.more_body and not cycle.response_complete:
            self.send_400_response("the body was cut short: the connection ended before its Content-Length was sent")

    def send_400_response(self, msg: str) -> None:
        """Answer in the host's error format if the received data is not HTTP."""
        self._answer_and_close("400 Bad Request", msg)

    def _answer_and_close(self, status: str, message: str, header: str = "") -> None:
        body = json.dumps({"error": message}).encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n{header}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _make_room(self) -> None:
        """Close the connection that has waited longest for its client, or this one where each is being answered."""
        waiting = [
            item for item in self.connections if isinstance(item, GuardedProtocol) and item.waits_for_client(body=False)
        ] or [item for item in self.connections if isinstance(item, GuardedProtocol) and item.waits_for_client()]
        others = [item for item in waiting if item is not self]
        if others:
            min(others, key=lambda item: item._active).transport.abort()
        else:
            self._answer_and_close("503 Service Unavailable", "all connections are in use. Try again later", _LATER)

    def waits_for_client(self, body: bool = True) -> bool:
        """Whether the client has to send something before anything can be answered.

        Args:
            body: Whether a body that has not arrived counts.
        """
        if self.transport.is_closing():
            return False
        if self.cycle is None or self.cycle.response_complete:
            return True
        return body and bool(self.cycle.more_body)

    def _watch(self) -> None:
        if not self._awaits_client():
            self._cancel_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(STALL_TIMEOUT_SECONDS, self.transport.abort)

    def _awaits_client(self) -> bool:
        """Whether the client has begun to send something incomplete, and no request is being answered."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # a WebSocket took over
            return False
        if self.cycle is None:
            return True
        if not self.cycle.response_complete:
            return False
        # Compared by name: h11 is a dependency of uvicorn, not of ours.
        return repr(self.conn.their_state) == "SEND_BODY" or bool(self.conn.trailing_data[0])

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def max_connections(wanted: int) -> int:
    """The number of connections that a process can have beside its files.

    Args:
        wanted: The number where the system allows as many.
    """
    try:
        import resource
    except ImportError:  # Windows
        return wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else max(16, min(wanted, soft // 2))


def raise_file_limit(connections: int) -> None:
    """Let this process open as many files as this number of connections needs, as far as the system allows.

    The usual limit of 1,024 is one that a program may raise itself; without this, a fleet of 1,000 devices would take
    each other's connections.

    Args:
        connections: The number that ``max_connections`` is asked for.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections if hard == resource.RLIM_INFINITY else min(2 * connections, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

"""uvicorn's HTTP/1.1 protocol with time limits that uvicorn leaves to a proxy.

They limit how long a client may take to send a request's head, and the rest of a body after an early answer.
"""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.h11_impl import H11Protocol

# Limit from the connection or a head's first byte to the head's end, and from an early answer to its request's end.
STALL_TIMEOUT_SECONDS = 10.0


class GuardedProtocol(H11Protocol):
    """Closes a connection whose client is slow to send what it began, while no request's own time limit applies."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

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
        body = json.dumps({"error": msg}).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _watch(self) -> None:
        if not self._awaits_client():
            self._cancel_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(STALL_TIMEOUT_SECONDS, self.transport.close)

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

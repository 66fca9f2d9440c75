"""What can go wrong on request: answers that fail, that wait, and bodies that end too early."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send


@dataclass
class Fault:
    """What happens to the next ``times`` requests of a method whose path contains a text.

    status: answer with it, no route is asked. stall_seconds: wait before answering. cut: bytes of the body that are
    sent before the connection ends; the declared length stays whole.
    """

    method: str
    path: str
    times: int = 10**9
    status: int | None = None
    stall_seconds: float = 0.0
    cut: int | None = None

    def fits(self, method: str, path: str) -> bool:
        return self.times > 0 and method == self.method and self.path in path


@dataclass
class Faults:
    """latency_seconds: what every answer takes. planned: the first that fits a request is used."""

    latency_seconds: float = 0.0
    planned: list[Fault] = field(default_factory=list)

    def fail(self, method: str, path: str, *, status: int = 500, times: int = 10**9) -> None:
        self.planned.append(Fault(method, path, times, status=status))

    def stall(self, method: str, path: str, seconds: float, *, times: int = 10**9) -> None:
        self.planned.append(Fault(method, path, times, stall_seconds=seconds))

    def cut(self, path: str, size: int, *, times: int = 10**9) -> None:
        """End downloads after ``size`` bytes."""
        self.planned.append(Fault("GET", path, times, cut=size))

    def take(self, method: str, path: str) -> Fault:
        """The fault for one request, used up by it; one without effect where none is planned."""
        for fault in self.planned:
            if fault.fits(method, path):
                fault.times -= 1
                return fault
        return Fault(method, path)

    async def delay(self, fault: Fault) -> None:
        await asyncio.sleep(self.latency_seconds + fault.stall_seconds)


def failure(status: int) -> Response:
    """An error as the service words it: exceptions.py (PlatformException) reads ``message`` and ``statusCode``."""
    return JSONResponse({"statusCode": status, "message": "failed on request"}, status)


class CutResponse(Response):
    """A body that ends early although its whole length was declared."""

    def __init__(self, content: bytes, size: int, **more: Any) -> None:
        super().__init__(content, **more)
        self.size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: self.size], "more_body": True})
        # uvicorn closes the connection of an application that returns before its body is complete.

"""The web app of ``cliplab registry serve``: who may ask for what, the routes, and their limits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from adapters.errors import AdapterError
from adapters.hosts.http_server.errors import (
    ClientDisconnectedError,
    RequestError,
    error_response,
    json_response,
    to_request_error,
)
from adapters.hosts.http_server.request_limits import (
    Message,
    Receive,
    Scope,
    Send,
    body_in_time,
    check_body,
    check_origin,
    check_target,
)
from adapters.system import parse_json
from cliplab.registry import Registry
from cliplab.rollout.names import check_device_name
from cliplab.rollout.report import ReportError, read_report
from cliplab.rollout.serving.devices import DeviceTokens
from cliplab.rollout.serving.examples import EXAMPLE_BYTES, ExampleStore
from cliplab.rollout.serving.files import SignedFiles
from cliplab.rollout.serving.intake import Rates, ReportIntake
from cliplab.rollout.serving.metrics import FleetMetrics
from cliplab.rollout.storing import StoredReport

REPORT_BYTES = 128_000
BODY_SECONDS = 30.0
# A report of one model has about 2 kB. Larger ones are read a few at a time: thousands that come slowly fill memory.
SMALL_BYTES, MAX_LARGE_AT_ONCE = 16_000, 64
# Examples that are read at the same time: each may take EXAMPLE_BYTES of memory.
MAX_EXAMPLES_AT_ONCE = 8
_log = logging.getLogger(__name__)


class Fleet:
    """What the routes share.

    Args:
        registry: The registry that is served.
        open_to_all: Whether no token is asked for: a server that only this machine reaches and that has no devices.
    """

    def __init__(self, registry: Registry, open_to_all: bool) -> None:
        self.registry, self.open_to_all = registry, open_to_all
        self.tokens = DeviceTokens(registry.folder)
        self.files = SignedFiles(registry.tuf_folder)
        self.metrics = FleetMetrics(registry.engine)
        self.intake = ReportIntake(registry.engine, self._stored)
        self.examples = ExampleStore(registry.folder / "examples")
        self.example_slots = asyncio.Semaphore(MAX_EXAMPLES_AT_ONCE)
        self.large_slots = asyncio.Semaphore(MAX_LARGE_AT_ONCE)
        self.rates = Rates()
        self._news = False

    def take_news(self) -> bool:
        """Whether reports were stored since the last call."""
        news, self._news = self._news, False
        return news

    def _stored(self, stored: Sequence[StoredReport]) -> None:
        self._news = True
        self.metrics.reports.labels("stored").inc(sum(item.new for item in stored))
        self.metrics.reports.labels("repeated").inc(sum(not item.new for item in stored))


class Guard:
    """The outermost part of the app: who may ask, the limits on a body, and each failure as one line of JSON.

    Args:
        app: The routes.
        fleet: What they share.
    """

    def __init__(self, app: Router, fleet: Fleet) -> None:
        self._app, self._fleet = app, fleet
        self.state = SimpleNamespace(fleet=fleet)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope["app"] = self
        begun, status = time.monotonic(), 499

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            scope["device"] = self._admit(scope)
            check_body(scope, EXAMPLE_BYTES if scope["path"].endswith("/examples") else REPORT_BYTES)
            await self._app(scope, body_in_time(receive, BODY_SECONDS), sending)
        except ClientDisconnectedError:
            pass
        except Exception as error:
            if status == 499:
                refused = _as_request_error(scope, error)
                await error_response(refused.status, refused.message, refused.headers)(scope, receive, sending)
            else:
                _log.warning("a response was cut off: %s %s (%s)", scope["method"], scope["path"], error)
        operation = getattr(scope.get("endpoint"), "__name__", "none")
        self._fleet.metrics.requests.labels(operation, str(status)).inc()
        self._fleet.metrics.request_seconds.labels(operation).observe(time.monotonic() - begun)

    def _admit(self, scope: Scope) -> str | None:
        """The device that asks; None where no token is asked for."""
        headers = Headers(scope=scope)
        check_target(scope, headers)
        if scope["path"] == "/health":
            return None
        if self._fleet.open_to_all and not len(self._fleet.tokens):
            check_origin(headers)
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        device = self._fleet.tokens.device_of(token.strip()) if scheme.lower() == "bearer" else None
        if device is None:
            raise RequestError(
                401,
                "a device's token is required: Authorization: Bearer TOKEN. Create one on the registry: cliplab "
                "registry device add NAME",
                {"WWW-Authenticate": "Bearer"},
            )
        return device


def make_app(fleet: Fleet) -> Guard:
    """The ASGI app.

    Args:
        fleet: What the routes share; ``fleet.intake.run`` must run beside it.
    """
    routes: list[tuple[str, Callable[[Request], Awaitable[Response]], str]] = [
        ("/health", health, "GET"),
        ("/metrics", metrics, "GET"),
        ("/tuf/metadata/{name:path}", metadata, "GET"),
        ("/tuf/targets/{name:path}", targets, "GET"),
        ("/devices/{device}/reports", report, "POST"),
        ("/devices/{device}/examples", example, "POST"),
    ]
    router = Router(
        [Route(path, handler, methods=[method]) for path, handler, method in routes], redirect_slashes=False
    )
    return Guard(router, fleet)


async def health(request: Request) -> Response:
    """Answer ``GET /health``: the process runs."""
    return json_response({"live": True})


async def metrics(request: Request) -> Response:
    """Answer ``GET /metrics`` in Prometheus' text format."""
    fleet: Fleet = request.app.state.fleet
    text = await asyncio.to_thread(fleet.metrics.text, fleet.intake.waiting)
    return Response(text, media_type="text/plain; version=0.0.4")


async def metadata(request: Request) -> Response:
    """Answer ``GET /tuf/metadata/NAME``."""
    fleet: Fleet = request.app.state.fleet
    return await fleet.files.answer(request, "metadata", request.path_params["name"])


async def targets(request: Request) -> Response:
    """Answer ``GET /tuf/targets/NAME``."""
    fleet: Fleet = request.app.state.fleet
    return await fleet.files.answer(request, "targets", request.path_params["name"])


async def report(request: Request) -> Response:
    """Answer ``POST /devices/NAME/reports``: the report is stored when this answers 200."""
    fleet: Fleet = request.app.state.fleet
    device = _device(request)
    fleet.rates.take(device)
    if int(request.headers.get("content-length", 0)) <= SMALL_BYTES:  # by check_body a number, or there is no body
        body = await _read_body(request, SMALL_BYTES)
    else:
        async with _slot(fleet.large_slots, f"{MAX_LARGE_AT_ONCE} reports of more than {SMALL_BYTES} bytes"):
            body = await _read_body(request, REPORT_BYTES)
    try:
        value = parse_json(bytes(body).decode("utf-8"), 10)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"report of device {device}: is not JSON ({error})") from None
    read = read_report(device, value)
    fleet.rates.take_versions(read)
    stored = await fleet.intake.store(read)
    if stored.warning:
        _log.warning("%s", stored.warning)
    answer = {"device": stored.device, "sequence": stored.sequence, "new": stored.new}
    return json_response(answer | ({"warning": stored.warning} if stored.warning else {}))


async def example(request: Request) -> Response:
    """Answer ``POST /devices/NAME/examples``: the example is on the disk when this answers 200."""
    fleet: Fleet = request.app.state.fleet
    device = _device(request)
    fleet.rates.take(device)
    async with _slot(fleet.example_slots, f"{MAX_EXAMPLES_AT_ONCE} examples"):
        body = await _read_body(request, EXAMPLE_BYTES)
        name, new = await asyncio.to_thread(fleet.examples.put, device, bytes(body))
    return json_response({"device": device, "name": name, "new": new})


@asynccontextmanager
async def _slot(slots: asyncio.Semaphore, what: str) -> AsyncIterator[None]:
    """A place among the bodies that are read at the same time; refused where there is none."""
    if slots.locked():
        raise RequestError(429, f"{what} are being received. Send it again later", {"Retry-After": "10"})
    async with slots:
        yield


def _device(request: Request) -> str:
    named, shown = request.path_params["device"], request.scope["device"]
    if shown is not None and shown != named:
        raise RequestError(
            403, f"this token belongs to {shown}, but the request is from {named[:64]!r}. Use its own token"
        )
    return check_device_name(named)


async def _read_body(request: Request, max_bytes: int) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise RequestError(413, f"the body is too large; at most {max_bytes} bytes are allowed")
    return body


def _as_request_error(scope: Scope, error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, HTTPException):
        what = {404: "there is nothing at this path", 405: f"{scope['method']} is not allowed for this path"}
        return RequestError(error.status_code, what.get(error.status_code, error.detail), error.headers)
    if isinstance(error, ReportError):
        return RequestError(400, str(error))
    if isinstance(error, AdapterError):
        return to_request_error(error)
    _log.error("a request failed: %s %s", scope["method"], scope["path"], exc_info=error)
    return RequestError(500, "internal error; the registry's log has the details")

"""Middleware of every request: its token or origin, the state of the server, and the limits on its body."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Router

from adapters.hosts.http_server.errors import ClientDisconnectedError, RequestError, error_response
from adapters.hosts.http_server.options import is_loopback

if TYPE_CHECKING:
    from adapters.hosts.http_server.state import HttpHost

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Probes carry no token.
OPEN_PATHS = ("/v2/health/live", "/v2/health/ready")
_log = logging.getLogger(__name__)


class RequestLimits:
    """The outermost part of the app: refuses, measures, and answers each failure with one line of JSON.

    A refused request is answered before its body is read: 401 without the token, 403 from another machine or page
    where the server has no token, 411, 413 or 415 for its headers, 503 while the server shuts down. A body that is
    late is answered with 408.

    Args:
        app: The routes.
        host: Whose options and metrics are used.

    Attributes:
        routes: Those of ``app``.
        state: ``state.host`` is ``host``; handlers find it as ``request.app.state.host``.
    """

    def __init__(self, app: Router, host: HttpHost) -> None:
        self._app, self._host, self.routes = app, host, app.routes
        self.state = SimpleNamespace(host=host)  # as request.app.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            try:
                self._admit(scope)
            except RequestError as refused:
                await _deny(scope, receive, send, refused)
                return
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, status = time.monotonic(), 499

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        async def refuse(refused: RequestError) -> None:
            if status == 499:  # nothing is sent yet
                await error_response(refused.status, refused.message, refused.headers)(scope, receive, sending)

        try:
            self._admit(scope)
            _check_body(scope, self._host.options.body_bytes)
            await self._app(scope, _in_time(receive, self._host.options.timeout_seconds), sending)
        except RequestError as refused:
            await refuse(refused)
        except HTTPException as error:  # the router's
            await refuse(_routed(scope, error))
        except ClientDisconnectedError:
            pass
        except Exception:
            _log.exception("a request failed: %s %s", scope["method"], scope["path"])
            await refuse(RequestError(500, "this is a fault of the server, whose log tells more"))
        operation = getattr(scope.get("endpoint"), "__name__", "none")
        self._host.metrics.requests.labels(operation, str(status)).inc()
        self._host.metrics.request_seconds.labels(operation).observe(time.monotonic() - begun)

    def _admit(self, scope: Scope) -> None:
        headers, token = Headers(scope=scope), self._host.options.token
        if token is None:
            _check_origin(headers)
        elif scope["path"] not in OPEN_PATHS:
            shown = _shown_token(headers.get("authorization", ""))
            if shown is None or not hmac.compare_digest(shown, token.encode()):
                raise RequestError(
                    401,
                    "a token is needed: send the header Authorization: Bearer TOKEN with the server's token",
                    {"WWW-Authenticate": "Bearer"},
                )
        if self._host.draining and scope["path"] != "/v2/health/live":
            raise RequestError(
                503, "the server is shutting down. Ask another, or later", {"Retry-After": "5", "Connection": "close"}
            )


def _routed(scope: Scope, error: HTTPException) -> RequestError:
    what = {404: "there is nothing at this path", 405: f"{scope['method']} is not for this path"}
    message = what.get(error.status_code, error.detail)
    return RequestError(error.status_code, f"{message}; GET /openapi.json tells what there is", error.headers)


def _shown_token(authorization: str) -> bytes | None:
    """The token of a Bearer header, or the password of a Basic one for callers that know no other."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except ValueError:
            return None
    return None


def _check_origin(headers: Headers) -> None:
    """Refuse other machines, and web pages that are open in a browser of this one. For a server without a token."""
    host, origin = headers.get("host", ""), headers.get("origin")
    name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    if not is_loopback(name):
        raise RequestError(
            403,
            f"without a token only this machine is served, and the Host header is {host!r}. Ask for 127.0.0.1 or "
            "localhost, or start the server with a token",
        )
    if origin is not None and origin.partition("://")[2] != host:
        raise RequestError(403, f"without a token no other page may ask, and the Origin header is {origin!r}")


def _check_body(scope: Scope, limit_bytes: int) -> None:
    """Refuse a body of unknown size, above the limit, or compressed: the limit is on the bytes as they are sent."""
    headers = Headers(scope=scope)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise RequestError(
            415, f"Content-Encoding is {encoding!r}; bodies are taken as they are. Send it uncompressed", _UNCOMPRESSED
        )
    if "transfer-encoding" in headers:
        raise RequestError(411, "the body's length must be known: send Content-Length in place of Transfer-Encoding")
    size = int(headers.get("content-length", "0"))  # the server has checked that it is a number
    if size > limit_bytes:
        raise RequestError(413, f"the body has {size} bytes and at most {limit_bytes} are taken. Send less")


_CLOSE = {"Connection": "close"}
_UNCOMPRESSED = {"Accept-Encoding": "identity"}


def _in_time(receive: Receive, seconds: float) -> Receive:
    """Limit the time until the whole body has arrived; later messages, which report a disconnect, are not limited."""
    end, whole = asyncio.get_running_loop().time() + seconds, False

    async def receiving() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError:
            raise RequestError(
                408, f"the body was not there after {seconds:g} s. Send it faster, or have the limit raised", _CLOSE
            ) from None
        whole = not message.get("more_body", False)
        return message

    return receiving


async def _deny(scope: Scope, receive: Receive, send: Send, refused: RequestError) -> None:
    """Refuse a WebSocket by an HTTP answer to its handshake."""
    from starlette.websockets import WebSocket

    socket = WebSocket(scope, receive=receive, send=send)
    await socket.send_denial_response(error_response(refused.status, refused.message, refused.headers))

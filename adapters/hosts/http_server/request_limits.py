"""Middleware of every request: its token or origin, the state of the server, and the limits on its body."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Router

from adapters.hosts.http_server.compression import COMPRESSED, PLAIN
from adapters.hosts.http_server.errors import ClientDisconnectedError, RequestError, error_response
from adapters.hosts.http_server.options import is_loopback

if TYPE_CHECKING:
    from adapters.hosts.http_server.state import HttpHost

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_HOST = re.compile(
    r"(?:\[(?P<address>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{0,5}))?"
)
# Limit for the next bytes of a body; ``timeout_seconds`` is that of all of it.
BODY_STALL_SECONDS = 20.0
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
            check_body(scope, self._host.options.body_bytes)
            await self._app(scope, body_in_time(receive, self._host.options.timeout_seconds), sending)
        except RequestError as refused:
            await refuse(refused)
        except HTTPException as error:  # the router's
            await refuse(_routed(scope, error))
        except ClientDisconnectedError:
            pass
        except Exception:
            _log.exception("a request failed: %s %s", scope["method"], scope["path"])
            await refuse(RequestError(500, "internal error; the server's log has the details"))
        operation = getattr(scope.get("endpoint"), "__name__", "none")
        self._host.metrics.requests.labels(operation, str(status)).inc()
        self._host.metrics.request_seconds.labels(operation).observe(time.monotonic() - begun)

    def _admit(self, scope: Scope) -> None:
        headers, token = Headers(scope=scope), self._host.options.token
        check_target(scope, headers)
        if token is None:
            check_origin(headers)
        elif scope["path"] not in OPEN_PATHS:
            shown = _shown_token(headers.get("authorization", ""))
            if shown is None or not hmac.compare_digest(shown, token.encode()):
                raise RequestError(
                    401,
                    "a token is required: send the header Authorization: Bearer TOKEN with the server's token",
                    {"WWW-Authenticate": "Bearer"},
                )
        if self._host.draining and scope["path"] != "/v2/health/live":
            raise RequestError(
                503, "the server is shutting down. Try again later", {"Retry-After": "5", "Connection": "close"}
            )


def _routed(scope: Scope, error: HTTPException) -> RequestError:
    what = {404: "there is nothing at this path", 405: f"{scope['method']} is not allowed for this path"}
    message = what.get(error.status_code, error.detail)
    return RequestError(error.status_code, f"{message}; GET /openapi.json lists the requests", error.headers)


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


def check_origin(headers: Headers) -> None:
    """Refuse other machines, and web pages that are open in a browser of this one. For a server without a token.

    Args:
        headers: The request's headers.

    Raises:
        RequestError: 403, the Host header is not of this machine or the Origin header is of another page.
    """
    host, origins = headers.get("host", ""), headers.getlist("origin")
    if not is_loopback(host_name(host)):
        raise RequestError(
            403,
            f"a server without a token accepts only local requests, but the Host header is {host!r}. Use 127.0.0.1 or "
            "localhost, or start the server with a token",
        )
    if any(origin not in (f"http://{host}", f"https://{host}") for origin in origins):
        raise RequestError(
            403, f"a server without a token accepts no requests of other web pages, but the Origin is {origins!r}"
        )


def host_name(host: str) -> str:
    """The name or address of a Host header, without its port; "" where it has none.

    Args:
        host: The header's value.

    Raises:
        RequestError: 400, the header is not NAME, NAME:PORT, ADDRESS or ADDRESS:PORT (RFC 9110, 7.2).
    """
    if not host:
        return ""  # HTTP/1.0
    parts = _HOST.fullmatch(host)
    port = parts["port"] if parts else None
    if parts is None or (port and int(port) > 65535):
        raise RequestError(
            400, f"the Host header is {host!r}; a host name or address is required, with or without :PORT"
        )
    return (parts["address"] or parts["name"]).lower()


def check_target(scope: Scope, headers: Headers) -> None:
    """Refuse what no client of a server sends: two Host headers, or a target that is not a path.

    Args:
        scope: The request.
        headers: Its headers.

    Raises:
        RequestError: 400, see above.
    """
    hosts = headers.getlist("host")
    if len(hosts) > 1:
        raise RequestError(400, f"a request must have one Host header, got {hosts!r}")
    host_name(headers.get("host", ""))
    target = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    if not target.startswith(b"/"):
        raise RequestError(400, f"the request's target must be a path such as /v2, got {target[:100]!r}")


def check_body(scope: Scope, limit_bytes: int) -> None:
    """Refuse a body of unknown size, above the limit, or of an unknown compression.

    Args:
        scope: The request.
        limit_bytes: Size of the largest body.

    Raises:
        RequestError: 400, 411, 413 or 415, by its headers.
    """
    headers = Headers(scope=scope)
    encodings = ", ".join(headers.getlist("content-encoding")).strip().lower()
    if encodings not in (*PLAIN, *COMPRESSED):
        raise RequestError(
            415,
            f"Content-Encoding is {encodings!r}; only gzip or deflate is supported. Send the body with "
            "one of them, or uncompressed",
            _ENCODINGS,
        )
    if "transfer-encoding" in headers:
        raise RequestError(411, "the body's length must be known: send Content-Length instead of Transfer-Encoding")
    lengths = headers.getlist("content-length")
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        raise RequestError(400, f"Content-Length must be one number, got {', '.join(lengths)[:100]!r}")
    size = int(lengths[0]) if lengths else 0
    if size > limit_bytes:
        raise RequestError(413, f"the body has {size} bytes; at most {limit_bytes} are allowed. Send less")


_CLOSE = {"Connection": "close"}
_ENCODINGS = {"Accept-Encoding": "gzip, deflate"}
_LENGTH = re.compile("[0-9]{1,15}")


def body_in_time(receive: Receive, seconds: float) -> Receive:
    """Limit the time until the whole body has arrived; later messages, which report a disconnect, are not limited.

    Args:
        receive: Receives the request's messages.
        seconds: Time for the whole body.

    Returns:
        ``receive``, which raises RequestError with 408 when the body is late.
    """
    end, whole = asyncio.get_running_loop().time() + seconds, False

    async def receiving() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(end, now + BODY_STALL_SECONDS)):
                message = await receive()
        except TimeoutError:
            waited = f"the body was not complete after {seconds:g} s"
            if end > now + BODY_STALL_SECONDS:
                waited = f"no part of the body arrived for {BODY_STALL_SECONDS:g} s"
            raise RequestError(
                408, f"{waited}. Send it faster, or raise the limit (--timeout-seconds)", _CLOSE
            ) from None
        whole = not message.get("more_body", False)
        return message

    return receiving


async def _deny(scope: Scope, receive: Receive, send: Send, refused: RequestError) -> None:
    """Refuse a WebSocket by an HTTP answer to its handshake."""
    from starlette.websockets import WebSocket

    socket = WebSocket(scope, receive=receive, send=send)
    await socket.send_denial_response(error_response(refused.status, refused.message, refused.headers))

"""Who may use the studio: the checks that every request passes, the headers of every answer, and the audit log.

On loopback nobody needs a token, and only this machine and the studio's own pages are answered. On any other address
a page shows a token once, which it got in its URL's fragment (never sent to a server, nor kept in a log), and holds a
cookie from then on. Writes need the header X-CSRF-Token, which another site's page can neither read nor send.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from adapters.errors import AdapterError, StorageError
from adapters.hosts.http_server.errors import ClientDisconnectedError, RequestError, error_response, to_request_error
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
from adapters.system import storage_error
from cliplab.studio.context import Studio, without_folders
from cliplab.studio.pages import BODY_BYTES, render

# Reached without a token: what the page that asks for it is made of.
OPEN_PATHS = ("/token", "/static/token.js", "/static/studio.css", "/static/vendor/pico.min.css", "/static/icon.svg")
_READS = ("GET", "HEAD")
_BODY_SECONDS = 60.0
_WRONG_TOKEN_SECONDS = 0.5
_AUDIT_BYTES = 10_000_000
_HEADERS = {
    # Pico's own arrows and ticks are data: pictures; frames that a page has in memory are blob: pictures.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # "no-referrer" would make the Origin of a plain form null, which is refused.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_log = logging.getLogger(__name__)
_audit_lock = threading.Lock()


class Guard:
    """The outermost part of the app: refuses, limits, and answers each failure in the form that was asked for.

    Args:
        app: The routes.
        studio: Whose options are used.

    Attributes:
        state: ``state.studio`` is ``studio``; handlers find it with ``studio_of(request)``.
    """

    def __init__(self, app: Router, studio: Studio) -> None:
        self._app, self._studio = app, studio
        self.state = SimpleNamespace(studio=studio)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        if scope["type"] != "http":
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._admit(scope)
            check_body(scope, self._limit(scope["path"]))
            await self._app(scope, body_in_time(receive, _BODY_SECONDS), sending)
        except ClientDisconnectedError:
            return
        except Exception as error:
            if started:
                _log.exception("a response was cut off: %s %s", scope["method"], scope["path"])
                return
            await self._refuse(scope, receive, sending, _as_request_error(scope, error))

    async def _admit(self, scope: Scope) -> None:
        headers, token = Headers(scope=scope), self._studio.options.token
        check_target(scope, headers)
        _check_site(headers, scope["method"])
        if token is None:
            check_origin(headers)
        elif scope["path"] not in OPEN_PATHS and not self._knows_token(headers):
            raise RequestError(
                401, "this studio requires its token. Open the address that it printed when it started, with its #token"
            )
        if scope["method"] in _READS or scope["path"] == "/token":
            return
        if not hmac.compare_digest(_shown_csrf(scope, headers).encode(), self._studio.csrf.encode()):
            raise RequestError(
                403,
                "the header X-CSRF-Token is not that of this studio. Reload the page, or get it from GET /session",
                {"X-CSRF": "stale"},
            )

    def _knows_token(self, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(cookie_name(self._studio))
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), session_value(self._studio).encode())

    def _limit(self, path: str) -> int:
        for page in self._studio.pages:
            for where, limit in page.body_limits.items():
                if path == where or (where.endswith("/") and path.startswith(where)):
                    return limit
        return BODY_BYTES

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, refused: RequestError) -> None:
        request = Request(scope, receive)
        refused.message = without_folders(self._studio, refused.message)
        wants_page = request.method in _READS and "text/html" in request.headers.get("accept", "")
        if wants_page and refused.status == 401:
            answer = render(request, "token.html", status=401)
        elif wants_page or request.headers.get("hx-request") == "true":
            template = "error_fragment.html" if request.headers.get("hx-request") == "true" else "error.html"
            answer = render(request, template, {"status": refused.status, "message": refused.message}, refused.status)
        else:
            answer = error_response(refused.status, refused.message, refused.headers)
        if refused.status in (401, 403):
            await asyncio.to_thread(audit, self._studio, "refused", {"why": refused.message, **_who(request)})
        await answer(scope, receive, send)


def _shown_csrf(scope: Scope, headers: Headers) -> str:
    """The header; for a plain form of a browser without JavaScript, which cannot send one, "csrf" in its address."""
    forms = ("application/x-www-form-urlencoded", "multipart/form-data")
    if "x-csrf-token" in headers or not headers.get("content-type", "").startswith(forms):
        return headers.get("x-csrf-token", "")
    return QueryParams(scope["query_string"]).get("csrf", "")


def _as_request_error(scope: Scope, error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, HTTPException):
        what = {404: "there is nothing at this path", 405: f"{scope['method']} is not allowed for this path"}
        return RequestError(error.status_code, what.get(error.status_code, error.detail), error.headers)
    if isinstance(error, StorageError):
        return RequestError(507, str(error))
    if isinstance(error, AdapterError):
        return to_request_error(error)
    _log.error("a request failed: %s %s", scope["method"], scope["path"], exc_info=error)
    return RequestError(500, "internal error; the terminal of the studio has the details")


def _check_site(headers: Headers, method: str) -> None:
    """Refuse requests that a page of another site makes; opening the studio by a link is allowed."""
    site = headers.get("sec-fetch-site", "none")
    opened = method in _READS and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("same-origin", "none") and not opened:
        raise RequestError(403, f"only the studio's own pages may send requests, but Sec-Fetch-Site is {site!r}")
    host = headers.get("host", "")
    origins = headers.getlist("origin")
    if any(origin not in (f"http://{host}", f"https://{host}") for origin in origins):
        raise RequestError(403, f"only the studio's own pages may send requests, but the Origin header is {origins!r}")


def cookie_name(studio: Studio) -> str:
    """Return the name of the cookie; browsers share cookies between the ports of a machine."""
    return f"cliplab_studio_{studio.options.port}"


def session_value(studio: Studio) -> str:
    """Return the value of the cookie: it follows from the token, and the token does not follow from it."""
    return hmac.new((studio.options.token or "").encode(), b"cliplab studio session", hashlib.sha256).hexdigest()


async def accept_token(request: Request, studio: Studio, shown_token: str) -> Response:
    """Answer a page that shows a token: with the cookie, or with 403.

    Args:
        request: The request.
        studio: The studio.
        shown_token: What the page has from its URL's fragment.

    Raises:
        RequestError: 403, it is not the token.
    """
    token = studio.options.token
    if token is not None and not hmac.compare_digest(shown_token.encode("utf-8", "replace"), token.encode()):
        await asyncio.sleep(_WRONG_TOKEN_SECONDS)
        raise RequestError(
            403, "this is not the token of this studio. Open the address that it printed when it started"
        )
    answer = Response(status_code=204)
    if token is not None:
        answer.set_cookie(
            cookie_name(studio),
            session_value(studio),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            max_age=30 * 24 * 3600,
        )
        await asyncio.to_thread(audit, studio, "token accepted", _who(request))
    return answer


def _who(request: Request) -> dict[str, Any]:
    return {"client": request.client.host if request.client else "", "request": f"{request.method} {request.url.path}"}


def inside(studio: Studio, path: str | Path) -> Path:
    """Return a path below the data folder.

    Args:
        studio: The studio.
        path: Absolute, or relative to the data folder. Symbolic links are followed before the check.

    Raises:
        RequestError: 403, it is outside the folder; 400, it cannot be a path.
    """
    root = os.path.realpath(studio.options.data_dir)
    try:
        found = os.path.realpath(os.path.join(root, path))
    except ValueError as error:  # a NUL character
        raise RequestError(400, f"{str(path)[:100]!r} cannot be a path ({error})") from None
    if os.path.commonpath([root, found]) != root:
        raise RequestError(403, f"{str(path)[:100]!r} is outside the studio's folder. Give a file below it")
    return Path(found)


def audit(studio: Studio, action: str, detail: Mapping[str, Any]) -> None:
    """Write a line of ``studio_audit.jsonl`` in the data folder: who changed what, and what was refused.

    A folder that cannot be written does not stop the studio.

    Args:
        studio: The studio.
        action: What was done, in two or three words.
        detail: JSON values.
    """
    path = studio.options.data_dir / "studio_audit.jsonl"
    line = json.dumps({"at": round(time.time(), 3), "action": action, **detail}, default=str) + "\n"
    with _audit_lock:
        try:
            if path.exists() and path.stat().st_size > _AUDIT_BYTES:
                path.replace(path.with_suffix(".1.jsonl"))
            # Not through a link that somebody put there.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            with open(os.open(path, flags, 0o600), "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            _log.warning("%s", storage_error(path, error))

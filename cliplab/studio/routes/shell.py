"""What every page needs: the way in, the session, the stream of events, and the icon."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from adapters.hosts.http_server.errors import json_response
from cliplab.studio.pages import json_body, studio_of
from cliplab.studio.security import accept_token


async def home(request: Request) -> Response:
    """Answer ``GET /``: the first page."""
    return RedirectResponse("/label", 303)


async def token(request: Request) -> Response:
    """Answer ``POST /token``: a page shows the token of its URL's fragment."""
    body = await json_body(request, ["token"])
    return await accept_token(request, studio_of(request), str(body["token"]))


async def session(request: Request) -> Response:
    """Answer ``GET /session``: what a page needs that outlived the server which made it."""
    return json_response({"csrf": studio_of(request).csrf})


async def stream(request: Request) -> Response:
    """Answer ``GET /stream``: server-sent events of all topics."""
    return StreamingResponse(studio_of(request).hub.events(), media_type="text/event-stream")


async def icon(request: Request) -> Response:
    """Answer ``GET /favicon.ico``."""
    return RedirectResponse("/static/icon.svg", 308)


ROUTES = [
    Route("/", home),
    Route("/token", token, methods=["POST"]),
    Route("/session", session),
    Route("/stream", stream),
    Route("/favicon.ico", icon),
]

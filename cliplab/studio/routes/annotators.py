"""The Annotators page: who labels, how far each is, how far they agree, and who has which items."""

from __future__ import annotations

import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.errors import AdapterError, StorageError
from adapters.hosts.http_server.errors import RequestError, json_response
from cliplab.studio.annotators import annotators_report
from cliplab.studio.context import Page, Studio
from cliplab.studio.pages import json_body, render, studio_of

_MOST_LEASED, _MOST_MINUTES = 5000, 7 * 24 * 60


def _available(studio: Studio) -> str | None:
    if studio.store.progress()["items"]:
        return None
    return "There is nothing to label yet: add media to the folder first."


PAGE = Page(path="/annotators", title="Annotators", order=25, available=_available)


def page(request: Request) -> Response:
    """Answer ``GET /annotators``: the page."""
    return render(request, "annotators.html", _content(request))


def table(request: Request) -> Response:
    """Answer ``GET /annotators/table``: its figures as a fragment, for a page that is open already."""
    return render(request, "annotators_table.html", _content(request))


def _content(request: Request) -> dict[str, Any]:
    store = studio_of(request).store
    return {
        "report": annotators_report(store),
        "progress": store.progress(),
        "ago": _ago,
        "figure": _figure,
    }


def data(request: Request) -> Response:
    """Answer ``GET /annotators/data``: the same as JSON."""
    return json_response(annotators_report(studio_of(request).store).to_json())


async def overlap(request: Request) -> Response:
    """Answer ``POST /annotators/overlap``: the share of items that two people label."""
    body = await json_body(request, ["percent"])
    percent = body["percent"]
    if isinstance(percent, bool) or not isinstance(percent, (int, float)):
        raise RequestError(400, f"percent must be a number from 0 to 100, got {percent!r:.40}")
    await _stored(studio_of(request).store.set_overlap, float(percent))
    return json_response({"percent": float(percent)})


async def lease(request: Request) -> Response:
    """Answer ``POST /annotators/lease``: reserves the next items for a person; 0 items ends the reservation."""
    body = await json_body(request, ["annotator", "count", "minutes"])
    count, minutes = body["count"], body["minutes"]
    for name, value, most in (("count", count, _MOST_LEASED), ("minutes", minutes, _MOST_MINUTES)):
        least = 0 if name == "count" else 1
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise RequestError(400, f"{name} must be a number from {least} to {most:,}, got {value!r:.40}")
    store = studio_of(request).store
    items = await _stored(store.lease, body["annotator"], int(count), float(minutes) * 60)
    return json_response({"items": items})


async def _stored(function: Any, *values: Any) -> Any:
    try:
        return await run_in_threadpool(function, *values)
    except StorageError:
        raise
    except AdapterError as error:
        raise RequestError(400, str(error)) from None


def _ago(at: float | None) -> str:
    if at is None:
        return "never"
    seconds = max(time.time() - at, 0.0)
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "just now"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


ROUTES = [
    Route("/annotators", page),
    Route("/annotators/table", table),
    Route("/annotators/data", data),
    Route("/annotators/overlap", overlap, methods=["POST"]),
    Route("/annotators/lease", lease, methods=["POST"]),
]

"""The label loop: items by pages, their state, and the events of the outbox. JSON, no pages."""

from __future__ import annotations

import dataclasses
from typing import Any, cast, get_args

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.errors import DatasetError
from adapters.hosts.http_server.errors import RequestError, json_response
from cliplab.studio.alike import alike_items
from cliplab.studio.context import Studio, shown, shown_place, without_folders
from cliplab.studio.events import event_from_json
from cliplab.studio.item_index import read_index
from cliplab.studio.pages import json_body, studio_of
from cliplab.studio.queries import ItemFilter, ItemRow, Want, read_item

MOST_EVENTS = 500
MOST_ROWS = 200
_TEXT_FILTERS = ("kind", "state", "label", "annotator", "text", "group", "split", "model", "predicted")
_NUMBER_FILTERS = ("score_below", "score_above")


async def post_events(request: Request) -> Response:
    """Answer ``POST /events``: which events are stored for good, and which were refused and why."""
    body = await json_body(request, ["events"])
    events = body["events"]
    if not isinstance(events, list) or len(events) > MOST_EVENTS:
        raise RequestError(400, f"events must be a list of at most {MOST_EVENTS}; send the rest in another request")
    return json_response(await run_in_threadpool(store_events, studio_of(request), events))


def store_events(studio: Studio, contents: list[Any]) -> dict[str, Any]:
    """Store events, and tell the other pages.

    Args:
        studio: The studio.
        contents: JSON values, one for each event.

    Returns:
        ``durable``, the numbers of stored events by client, and ``refused``, a list with client, sequence and error.

    Raises:
        StorageError: Nothing was stored.
    """
    events, refused = [], []
    for content in contents:
        try:
            events.append(event_from_json(content))
        except DatasetError as error:
            known = content if isinstance(content, dict) else {}
            refused.append({"client": known.get("client"), "sequence": known.get("sequence"), "error": str(error)})
    result = studio.store.append(events)
    refused += [dataclasses.asdict(one) for one in result.refused]
    if result.applied:
        items = sorted({event.item for _, event in result.applied if event.item is not None})
        who = sorted({event.annotator for _, event in result.applied})
        clients = sorted({event.client for _, event in result.applied})
        studio.hub.publish("labels", {"items": items, "annotators": who, "clients": clients})
        studio.labels_changed()
    return {"durable": result.durable, "refused": refused}


def get_items(request: Request) -> Response:
    """Answer ``GET /items?after=&limit=`` with filters, or ``GET /items?ids=1,2,3``: rows of items."""
    store, query = studio_of(request).store, request.query_params
    if "ids" in query:
        numbers = [_whole(text, "ids") for text in query["ids"].split(",") if text][: MOST_ROWS + 1]
        if len(numbers) > MOST_ROWS:
            raise RequestError(400, f"ids may name at most {MOST_ROWS} items")
        with store.reading() as connection:
            found = [read_item(connection, number) for number in numbers]
        rows = [row for row in found if row is not None]
    else:
        after, limit = _whole(query.get("after", "0"), "after"), _whole(query.get("limit", "50"), "limit")
        rows = store.items(after, min(limit, MOST_ROWS), filters=filters_of(request))
    return json_response({"items": [row_json(row, query.get("as", "")) for row in rows]})


def get_index(request: Request) -> Response:
    """Answer ``GET /items/index`` with filters and ``as=ANNOTATOR``: see ``read_index``."""
    data = read_index(studio_of(request).store, filters_of(request), request.query_params.get("as", ""))
    return Response(data, media_type="application/octet-stream")


def get_state(request: Request) -> Response:
    """Answer ``GET /state/ITEM``: the item with its labels, notes and scores."""
    store, number = studio_of(request).store, request.path_params["item"]
    try:
        row = store.item(number)
    except DatasetError as error:
        raise RequestError(404, str(error)) from None
    return json_response(
        {
            **row_json(row, request.query_params.get("as", "")),
            "notes": store.notes_of(number),
            "scores": store.scores(number),
        }
    )


def get_alike(request: Request) -> Response:
    """Answer ``GET /items/ITEM/alike``: the neighbours that look nearly the same."""
    studio, number = studio_of(request), request.path_params["item"]
    try:
        studio.store.item(number)
    except DatasetError as error:
        raise RequestError(404, str(error)) from None
    return json_response({"items": alike_items(studio, number)})


def get_next(request: Request) -> Response:
    """Answer ``GET /next?want=&after=&as=``: the number of the next item to see, or null."""
    query = request.query_params
    want = query.get("want", "unlabelled")
    if want not in get_args(Want):
        raise RequestError(400, f"want must be one of {', '.join(get_args(Want))}, got {want[:80]!r}")
    after = _whole(query.get("after", "0"), "after")
    row = studio_of(request).store.next_item(query.get("as", ""), after, want=cast(Want, want))
    return json_response({"item": None if row is None else row.id})


def get_progress(request: Request) -> Response:
    """Answer ``GET /progress``: how far the work is, and why nothing can be stored if that is so."""
    store = studio_of(request).store
    return json_response({**store.progress(), "read_only": shown(without_folders(studio_of(request), store.read_only))})


def filters_of(request: Request) -> ItemFilter:
    """Return the filter that a request's query has; other keys are left alone.

    Args:
        request: The request.

    Raises:
        RequestError: 400, a number is not one.
    """
    query = request.query_params
    given: dict[str, Any] = {key: query[key] for key in _TEXT_FILTERS if query.get(key)}
    for key in _NUMBER_FILTERS:
        if query.get(key):
            try:
                given[key] = float(query[key])
            except ValueError:
                raise RequestError(400, f"{key} must be a number, got {query[key][:40]!r}") from None
    return ItemFilter(**given)


def row_json(row: ItemRow, annotator: str) -> dict[str, Any]:
    """Return an item for a page: ``name`` is its path as one harmless line; the path itself stays here.

    While fewer people labelled it than are to, ``labels`` is empty: they label without seeing each other's.

    Args:
        row: The item.
        annotator: Whose label is ``own``.
    """
    values = {key: value for key, value in row.to_json().items() if key not in ("path", "fingerprint")}
    values["own"] = row.labels.get(annotator)
    if row.done < row.wanted:
        values["labels"] = {}
    return {**values, "name": shown_place(row.path), "source": shown_place(row.source)}


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RequestError(400, f"{name} must be a whole number, got {text[:40]!r}")
    return int(text)


ROUTES = [
    Route("/events", post_events, methods=["POST"]),
    Route("/items", get_items),
    Route("/items/index", get_index),
    Route("/items/{item:number}/alike", get_alike),
    Route("/state/{item:number}", get_state),
    Route("/next", get_next),
    Route("/progress", get_progress),
]

"""The Label page of a video: its intervals."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from adapters.errors import DatasetError
from adapters.hosts.http_server.errors import RequestError
from cliplab.studio.context import Studio, shown_place
from cliplab.studio.pages import render, studio_of
from cliplab.studio.queries import ItemRow
from cliplab.studio.video_scores import score_rows


def page(request: Request) -> Response:
    """Answer ``GET /label/video/ID``: the page of a video."""
    item = _item(studio_of(request), request.path_params["item"])
    return render(request, "label_video.html", {"item": item.id, "name": shown_place(item.path)})


def intervals(request: Request) -> Response:
    """Answer ``GET /items/ID/intervals?as=ANNOTATOR``: this person's intervals, others', and the classes.

    Others' are left out while two people are to label the video without seeing each other's.
    """
    studio = studio_of(request)
    item = _item(studio, request.path_params["item"])
    return JSONResponse(intervals_json(studio, item, request.query_params.get("as", "")))


def intervals_json(studio: Studio, item: ItemRow, annotator: str) -> dict[str, Any]:
    """What a page needs to show the intervals of a video.

    Args:
        studio: The studio.
        item: The video.
        annotator: The person that asks.

    Returns:
        ``mine``, ``others`` by name, ``classes``, ``scores`` over time (see ``score_rows``), and
        ``notice``, a sentence or "".
    """
    mine: list[dict[str, Any]] = []
    others: dict[str, list[dict[str, Any]]] = {}
    for one in studio.store.intervals(item.id):
        row = {"id": one.id, "label": one.label, "start": one.start, "end": one.end}
        (mine if one.annotator == annotator else others.setdefault(one.annotator, [])).append(row)
    notice = ""
    if item.wanted > 1 and item.done < item.wanted:
        others, notice = {}, "Two people label this video without seeing each other's intervals."
    elif others:
        notice = "Intervals of others are shown below yours and cannot be changed here."
    if studio.store.read_only:
        notice = f"{studio.store.read_only}. Your labels are kept in this browser until they can be stored."
    classes = [{"name": one.name, "key": one.key} for one in studio.store.classes()]
    scores = score_rows(item.fingerprint, [one["name"] for one in classes])
    return {"mine": mine, "others": others, "classes": classes, "scores": scores, "notice": notice}


def _item(studio: Studio, number: int) -> ItemRow:
    try:
        item: ItemRow = studio.store.item(number)
    except DatasetError as error:
        raise RequestError(404, str(error)) from None
    return item


ROUTES = [Route("/label/video/{item:number}", page), Route("/items/{item:number}/intervals", intervals)]

"""The Rate page: one clip after the other, one key a rating, and what is learned from them."""

from __future__ import annotations

import mimetypes
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from adapters.hosts.http_server.errors import RequestError, json_response
from cliplab.studio.context import Page, shown, shown_place
from cliplab.studio.pages import json_body, render, studio_of
from cliplab.studio.rated_clips import (
    clip_file,
    clips_of,
    clips_to_write,
    picture_file,
    refusing,
    request_key,
    seen_at,
    why_no_clips,
    why_not_shown,
)
from cliplab.studio.security import audit

PAGE = Page(path="/rate", title="Rate", order=50, available=why_no_clips)
_MOST = 50


def page(request: Request) -> Response:
    """Answer ``GET /rate``: the page."""
    from cliplab.clips import STARS

    return render(request, "rate.html", {"stars": STARS})


def following(request: Request) -> Response:
    """Answer ``GET /rate/next?rater=&limit=``: clips to rate, why each, and what raised its expected score."""
    from cliplab.clips import ClipError, next_to_rate

    manager, trainer = clips_of(studio_of(request))
    rater = request.query_params.get("rater") or None
    try:
        limit = int(request.query_params.get("limit", "20"))
    except ValueError:
        raise RequestError(400, f"limit must be a number from 1 to {_MOST}") from None
    if not 1 <= limit <= _MOST:
        raise RequestError(400, f"limit must be a number from 1 to {_MOST}, got {limit}")
    with refusing():
        found = next_to_rate(manager, trainer, limit, rater)
    models = trainer.models()
    rows, hidden = [], 0
    for one in found:
        if why_not_shown(studio_of(request), one.clip):
            hidden += 1
            continue
        model, effects = models.get(one.clip.clip_type), []
        if model is not None:
            with suppress(ClipError):  # features that a script wrote badly
                effects = model.explain(one.clip.features, 3)
        rows.append({**_shown_clip(one.to_json()), "effects": effects})
    return json_response({"clips": rows, "hidden": hidden, **_state(request)})


def state(request: Request) -> Response:
    """Answer ``GET /rate/state``: statistics, and how far training is."""
    return json_response(_state(request))


def agreement(request: Request) -> Response:
    """Answer ``GET /rate/agreement``: how far raters agree with one another, and each with earlier ratings."""
    from cliplab.clips import rater_agreement

    manager, _ = clips_of(studio_of(request))
    found = rater_agreement(manager).to_json()
    raters = [{**one, "rater": shown(one["rater"])} for one in found["raters"]]
    return json_response({**found, "raters": raters})


async def rate(request: Request) -> Response:
    """Answer ``POST /rate``: store one rating. The same client and sequence are stored once."""
    body = await json_body(request, ("clip", "stars", "rater", "client", "sequence"))
    manager, _ = clips_to_write(studio_of(request))
    client, sequence = request_key(body)
    created_at = seen_at(body, "created_at")

    def store() -> bool:
        with refusing():
            return manager.rate_clip(
                body["clip"],
                body["stars"],
                rater=body["rater"],
                confidence=body.get("confidence"),
                client=client,
                sequence=sequence,
                created_at=created_at,
            )

    stored = await run_in_threadpool(store)
    return json_response({"stored": stored, **await run_in_threadpool(_state, request)})


def train(request: Request) -> Response:
    """Answer ``POST /rate/train``: begin a training in the background."""
    studio = studio_of(request)
    _, trainer = clips_of(studio)
    trainer.start_training()
    audit(studio, "ratings training started", {})
    return json_response(_state(request))


def media(request: Request) -> Response:
    """Answer ``GET /rate/clips/ID/media``: the clip's file, in ranges, if it lies in the studio's folder."""
    path, name = clip_file(studio_of(request), request.path_params["clip"])
    kind = mimetypes.guess_type(path.name)[0] or ""
    if not kind.startswith(("video/", "audio/")):
        raise RequestError(415, f"{shown(name)}: does not have the name of a video or sound file")
    return FileResponse(path, media_type=kind)


def picture(request: Request) -> Response:
    """Answer ``GET /rate/clips/ID/picture``: the thumbnail that lies beside the clip's file."""
    studio = studio_of(request)
    manager, _ = clips_of(studio)
    with refusing():
        path = picture_file(studio, manager.get_clip(request.path_params["clip"]))
    if path is None:
        raise RequestError(404, "this clip has no thumbnail")
    return FileResponse(path, media_type="image/jpeg")


def _state(request: Request) -> dict[str, Any]:
    manager, trainer = clips_of(studio_of(request))
    statistics = manager.get_statistics()
    progress = trainer.get_training_progress(statistics)
    said = [result["why"] for result in progress["last"].values()]
    return {"statistics": statistics, "training": {**progress, "said": said}}


def _shown_clip(clip: dict[str, Any]) -> dict[str, Any]:
    return {**clip, "filename": shown(clip["filename"]), "filepath": shown_place(clip["filepath"])}


ROUTES = [
    Route("/rate", page),
    Route("/rate", rate, methods=["POST"]),
    Route("/rate/next", following),
    Route("/rate/state", state),
    Route("/rate/agreement", agreement),
    Route("/rate/train", train, methods=["POST"]),
    Route("/rate/clips/{clip:number}/media", media),
    Route("/rate/clips/{clip:number}/picture", picture),
]

"""The Compare page: which of two clips is better, by one arrow key."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.hosts.http_server.errors import json_response
from cliplab.studio.context import Page, Studio, shown, shown_place
from cliplab.studio.pages import json_body, render, studio_of
from cliplab.studio.rated_clips import (
    clips_of,
    clips_to_write,
    refusing,
    request_key,
    seen_at,
    why_no_clips,
    why_not_shown,
)

_PAIRS = 10
_DRAWN = 3 * _PAIRS  # some have clips that nobody can see


def _available(studio: Studio) -> str | None:
    missing = why_no_clips(studio)
    if missing is None and len(clips_of(studio)[0].list_clips(2)) < 2:
        return "There is only one clip, but a comparison needs two. Register more clips in clips.db."
    return missing


PAGE = Page(path="/compare", title="Compare", order=60, available=_available)


def page(request: Request) -> Response:
    """Answer ``GET /compare``: the page."""
    return render(request, "compare_clips.html")


def pairs(request: Request) -> Response:
    """Answer ``GET /compare/pairs``: pairs of clips of one type whose files are there, and how many clips are not."""
    from cliplab.clips import next_pairs

    studio = studio_of(request)
    manager, trainer = clips_of(studio)
    found = next_pairs(manager, trainer, _DRAWN)
    hidden = {clip.id for pair in found for clip in pair if why_not_shown(studio, clip)}
    seen = [pair for pair in found if not hidden & {clip.id for clip in pair}]
    pairs = [[_shown_clip(one), _shown_clip(other)] for one, other in seen[:_PAIRS]]
    return json_response({"pairs": pairs, "hidden": len(hidden)})


def _shown_clip(clip: Any) -> dict[str, Any]:
    found = clip.to_json()
    return {**found, "filename": shown(found["filename"]), "filepath": shown_place(found["filepath"])}


async def compare(request: Request) -> Response:
    """Answer ``POST /compare``: store which of two clips is better. The same client and sequence are stored once."""
    body = await json_body(request, ("better", "worse", "rater", "client", "sequence"))
    manager, _ = clips_to_write(studio_of(request))
    client, sequence = request_key(body)
    created_at = seen_at(body, "better_created_at"), seen_at(body, "worse_created_at")

    def store() -> dict[str, Any]:
        with refusing():
            stored = manager.compare_clips(
                body["better"],
                body["worse"],
                rater=body["rater"],
                client=client,
                sequence=sequence,
                created_at=created_at,
            )
            return {"stored": stored}

    return json_response(await run_in_threadpool(store))


ROUTES = [Route("/compare", page), Route("/compare", compare, methods=["POST"]), Route("/compare/pairs", pairs)]

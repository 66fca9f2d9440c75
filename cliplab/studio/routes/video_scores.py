"""Score a video over time, for the rows of models below its intervals."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.errors import AdapterError, DatasetError
from adapters.hosts.http_server.errors import RequestError, json_response
from cliplab.studio.child_job import run_child
from cliplab.studio.context import Studio, shown, shown_place
from cliplab.studio.jobs import Job
from cliplab.studio.model_list import ModelRef
from cliplab.studio.model_pages import read_detail, timeline_window
from cliplab.studio.model_requests import library_of
from cliplab.studio.model_work import MOST_POINTS
from cliplab.studio.pages import json_body, studio_of
from cliplab.studio.video_scores import keep_scores


def get_models(request: Request) -> Response:
    """Answer ``GET /video-scores/models``: the models that can score a video, and a sentence where there is none."""
    refs = _models(studio_of(request))
    none = "You have no model that can score a video yet. Train one on the Models page."
    return json_response(
        {"models": [{"id": ref.id, "name": shown(ref.name)} for ref in refs], "none": "" if refs else none}
    )


async def start(request: Request) -> Response:
    """Answer ``POST /items/ID/video-scores``: start to score a video; the rows come with the video's intervals."""
    body = await json_body(request, ["model"])
    return await run_in_threadpool(_start, request, body["model"])


def _models(studio: Studio) -> list[ModelRef]:
    return [ref for ref in library_of(studio).refs() if ref.kind in ("bundle", "tflite")]


def _start(request: Request, model: Any) -> Response:
    studio, number = studio_of(request), request.path_params["item"]
    try:
        item = studio.store.item(number)
    except DatasetError as error:
        raise RequestError(404, str(error)) from None
    ref = next((one for one in _models(studio) if one.id == model), None)
    if ref is None:
        raise RequestError(422, f"{model!r:.100} is not a model of this studio. Choose one from the list")
    if item.missing is not None:
        raise RequestError(409, f"{shown_place(item.path)}: the file is {item.missing}. Restore it and try again")
    try:
        window = timeline_window(read_detail(ref))
        length = studio.frames.info(number).get("duration_seconds") or 0.0
        arguments = {
            "folder": str(library_of(studio).folder),
            "model": ref.id,
            "video": str(studio.store.media_path(item)),
            "name": shown_place(item.path),
            "window": window,
            # A long video gets as many windows as a timeline can hold, spread over all of it.
            "stride": max(length / (MOST_POINTS - 1), window) if length > window * MOST_POINTS else None,
        }

        def work(job: Job) -> dict[str, Any]:
            found = run_child(job, "cliplab.studio.model_work:try_video", arguments) or {}
            keep_scores(item.fingerprint, ref.name, found)
            return {"item": number, "model": ref.name, "windows": len(found["starts"]), "warnings": found["warnings"]}

        job = studio.jobs.start("scores", f"Score {arguments['name']} over time by {ref.name}", work)
    except (AdapterError, OSError) as error:
        raise RequestError(409, shown(error)) from None
    return json_response({"job": job.id, "windows_seconds": window}, 202)


ROUTES = [
    Route("/video-scores/models", get_models),
    Route("/items/{item:number}/video-scores", start, methods=["POST"]),
]

"""Try a model on a video: drop a file or name one of the data folder, see its scores over time, explain a clip."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from adapters.errors import AdapterError
from adapters.hosts.http_server.errors import RequestError
from adapters.hosts.http_server.upload import body_size, uploaded
from adapters.hosts.http_server.worker_pool import ByteBudget
from cliplab.studio.child_job import run_child
from cliplab.studio.context import Studio
from cliplab.studio.jobs import Job
from cliplab.studio.media_files import folder_videos
from cliplab.studio.model_list import ModelRef
from cliplab.studio.model_pages import read_detail, timeline_window
from cliplab.studio.model_requests import UPLOAD_BYTES, find_model, form_values, library_of
from cliplab.studio.pages import render, studio_of
from cliplab.studio.security import audit, inside
from cliplab.studio.uploads import find_upload, keep_upload, uploads_folder

_budget = ByteBudget(2 * UPLOAD_BYTES, "uploads")


async def try_form(request: Request) -> Response:
    """Answer ``GET /models/m/ID/try``: where a video is dropped or chosen."""
    return await run_in_threadpool(_page, request, {}, "")


def _page(request: Request, values: Mapping[str, str], problem: str, status: int = 200) -> Response:
    studio, ref = studio_of(request), find_model(request)
    try:
        detail = read_detail(ref)
    except (AdapterError, OSError) as error:
        return render(request, "model_damaged.html", {"ref": ref, "error": str(error)})
    context = {
        "ref": ref,
        "detail": detail,
        "videos": folder_videos(studio.options.data_dir),
        "path": values.get("path", ""),
        "window": values.get("window", f"{timeline_window(detail):g}"),
        "stride": values.get("stride", ""),
        "problem": problem,
        "limit": UPLOAD_BYTES // 1_000_000,
    }
    return render(request, "model_try.html", context, status)


async def choose(request: Request) -> Response:
    """Answer ``POST /models/m/ID/try``: try a video of the data folder."""
    values = await form_values(request)
    return await run_in_threadpool(_choose, request, values)


def _choose(request: Request, values: Mapping[str, str]) -> Response:
    studio, ref = studio_of(request), find_model(request)
    try:
        path = inside(studio, values.get("path", ""))
        if not path.is_file():
            raise RequestError(
                422, f"{values.get('path', '')!r:.200} is not a file in the data folder. Choose a video in it"
            )
        job = _start(studio, ref, path, path.name, values, {"path": values["path"]})
    except (RequestError, AdapterError) as error:
        return _page(request, values, str(getattr(error, "message", error)), 422)
    return RedirectResponse(f"/models/jobs/{job.id}", 303)


async def upload(request: Request) -> Response:
    """Answer ``POST /models/upload/ID?window=&stride=``: try the video of a multipart form."""
    studio, ref = studio_of(request), await run_in_threadpool(find_model, request)
    folder = await run_in_threadpool(uploads_folder, studio.options.data_dir)
    with _budget.share(body_size(request)) as share:
        async with uploaded(request, folder, UPLOAD_BYTES, share) as (path, name):
            if path.stat().st_size == 0:
                raise RequestError(422, "the file is empty. Choose a video")
            upload_id = keep_upload(studio.options.data_dir, path)
    values = dict(request.query_params)
    try:
        kept = find_upload(studio.options.data_dir, upload_id)
        job = await run_in_threadpool(_start, studio, ref, kept, name, values, {"upload": upload_id, "name": name})
    except AdapterError as error:
        raise RequestError(422, str(error)) from None
    await run_in_threadpool(audit, studio, "video uploaded", {"name": name, "model": ref.name, "job": job.id})
    return RedirectResponse(f"/models/jobs/{job.id}", 303)


def _start(
    studio: Studio, ref: ModelRef, video: Path, name: str, values: Mapping[str, str], source: dict[str, str]
) -> Job:
    arguments = {
        "folder": str(library_of(studio).folder),
        "model": ref.id,
        "video": str(video),
        "name": name,
        "window": _seconds(values, "window"),
        "stride": _seconds(values, "stride"),
    }

    def work(job: Job) -> dict[str, Any]:
        result = run_child(job, "cliplab.studio.model_work:try_video", arguments) or {}
        return {**result, "model": ref.id, "model_name": ref.name, "source": source}

    again = f"/models/m/{ref.id}/try"
    job: Job = studio.jobs.start("try", f"Try {ref.name} on {name}", work, again)
    return job


def _seconds(values: Mapping[str, str], name: str) -> float | None:
    """A number of seconds that was typed; None where it was left empty.

    Raises:
        RequestError: 422, it is not a number that is allowed.
    """
    text = values.get(name, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.01 <= number <= 86400 or not text.isascii() or "_" in text:
        raise RequestError(
            422, f"the {name} must be a number of seconds from 0.01 to 86400, such as 2.5, got {text!r:.40}"
        )
    return number


async def explain(request: Request) -> Response:
    """Answer ``POST /models/explain/JOB``: explain a stretch of a video that was tried."""
    return await run_in_threadpool(_explain, request, await form_values(request))


def _explain(request: Request, values: Mapping[str, str]) -> Response:
    studio = studio_of(request)
    tried: Job | None = studio.jobs.get(request.path_params["job"])
    if tried is None or tried.kind != "try" or tried.state != "done" or tried.result is None:
        raise RequestError(404, "this video is no longer available. Try it again")
    result, data_dir = tried.result, studio.options.data_dir
    start, end = _seconds_from_zero(values, "start"), _seconds_from_zero(values, "end")
    if end <= start:
        raise RequestError(422, f"the clip must end after it starts, got {start:g} to {end:g} s")
    label = values.get("label") or None
    if label is not None and label not in result["labels"]:
        raise RequestError(422, f"{label!r:.80} is not a class of this model. Choose one from the list")
    source = result["source"]
    if "upload" in source:
        video = find_upload(data_dir, str(source["upload"]))
    else:
        video = inside(studio, str(source["path"]))
    arguments = {
        "folder": str(library_of(studio).folder),
        "model": result["model"],
        "video": str(video),
        "name": result["name"],
        "start": start,
        "end": end,
        "label": label,
    }

    def work(job: Job) -> dict[str, Any] | None:
        picture = uploads_folder(data_dir) / f"explanation-{job.id}.png"
        return run_child(job, "cliplab.studio.model_work:explain_clip", {**arguments, "picture": str(picture)})

    title = f"Explain {result['name']}, {start:g} to {end:g} s, by {result['model_name']}"
    job = studio.jobs.start("explain", title, work, f"/models/jobs/{tried.id}")
    return RedirectResponse(f"/models/jobs/{job.id}", 303)


def _seconds_from_zero(values: Mapping[str, str], name: str) -> float:
    if values.get(name, "").strip() in ("0", "0.0", "0.00", "0.000"):
        return 0.0
    found = _seconds(values, name)
    if found is None:
        raise RequestError(422, f"the clip's {name} is missing. Give seconds, such as 2.5")
    return found


async def picture(request: Request) -> Response:
    """Answer ``GET /models/jobs/JOB/picture``: the picture of an explanation."""
    studio = studio_of(request)
    job: Job | None = studio.jobs.get(request.path_params["job"])
    if job is None or job.kind != "explain":
        raise RequestError(404, "there is no such explanation")
    path = await run_in_threadpool(uploads_folder, studio.options.data_dir)
    path = path / f"explanation-{job.id}.png"
    if not path.is_file():
        raise RequestError(404, "this picture was deleted when the studio was restarted. Explain the clip again")
    return FileResponse(path, media_type="image/png")


ROUTES = [
    Route("/models/m/{id}/try", try_form),
    Route("/models/m/{id}/try", choose, methods=["POST"]),
    Route("/models/upload/{id}", upload, methods=["POST"]),
    Route("/models/explain/{job}", explain, methods=["POST"]),
    Route("/models/jobs/{job}/picture", picture),
]

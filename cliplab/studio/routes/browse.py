"""The Browse page: the clips as a gallery, filters, files to take away, and reels of chosen clips."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from adapters.hosts.http_server.errors import RequestError, json_response
from cliplab.studio.child_job import run_child
from cliplab.studio.context import Page, Studio
from cliplab.studio.pages import json_body, render, studio_of
from cliplab.studio.rated_clips import clip_file, clips_of, picture_file, refusing, why_no_clips, why_not_shown
from cliplab.studio.security import audit

PAGE = Page(path="/browse", title="Browse", order=70, available=why_no_clips)
_PAGE = 50
_MOST_BYTES = 4 << 30  # of a zip, which is made on this machine's disk first
_REELS, _KEPT_REELS = Path(".studio") / "reels", 20
_REEL, _REEL_WORK = re.compile(r"[0-9a-f]{16}"), "cliplab.studio.reel_work:make_reel"
_FILTERS = ("= 1", "= 2", "= 3", "= 4", "= 5", ">= 2", ">= 3", ">= 4", "unrated")


def page(request: Request) -> Response:
    """Answer ``GET /browse?rating=&tag=&type=&before=``: up to 50 clips, the newest first."""
    from cliplab.clips import clip_filter

    manager, trainer = clips_of(studio_of(request))
    query = request.query_params
    rating, tag, kind = query.get("rating", ""), query.get("tag", "").strip(), query.get("type", "")
    with refusing():
        before = manager.get_clip(_whole(query["before"])) if query.get("before") else None
        found = manager.list_clips(
            _PAGE + 1,
            before=before,
            rating=None if rating in ("", "unrated") else clip_filter(rating),
            rated=False if rating == "unrated" else None,
            tag=tag or None,
            clip_type=kind or None,
        )
    shown = found[:_PAGE]
    kept = {"rating": rating, "tag": tag, "type": kind}
    more = urlencode({**kept, "before": shown[-1].id}) if len(found) > _PAGE else ""
    tags = manager.tags([clip.id for clip in shown])
    numbers = manager.get_statistics()
    studio = studio_of(request)
    faults = {clip.id: why for clip in shown if (why := why_not_shown(studio, clip))}
    pictures = {clip.id for clip in shown if picture_file(studio, clip)}
    seen = [clip for clip in shown if clip.id not in faults]
    facts = {"seen": seen, "faults": faults, "pictures": pictures, "serving": sorted(trainer.models())}
    context = {"clips": shown, "tags": tags, "filters": _FILTERS, "more": more, "numbers": numbers, **kept}
    return render(request, "browse.html", {**context, **facts})


def download(request: Request) -> Response:
    """Answer ``GET /browse/clips/ID/download``: the clip's file, to be kept."""
    studio = studio_of(request)
    path, name = clip_file(studio, request.path_params["clip"])
    audit(studio, "clip downloaded", {"clip": request.path_params["clip"]})
    return FileResponse(path, media_type="application/octet-stream", filename=name)


def archive(request: Request) -> Response:
    """Answer ``GET /browse/zip?id=1&id=2``: the files of up to 50 clips in one zip."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise RequestError(403, "a zip can only be requested from this studio's own pages, since it needs disk space")
    studio = studio_of(request)
    numbers = [_whole(text) for text in request.query_params.getlist("id")]
    if not 0 < len(numbers) <= _PAGE:
        raise RequestError(400, f"choose 1 to {_PAGE} clips, got {len(numbers)}")
    path = _zip(studio, list(dict.fromkeys(numbers)))
    audit(studio, "clips downloaded", {"clips": numbers})
    remove = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, media_type="application/zip", filename="clips.zip", background=remove)


async def make_reel(request: Request) -> Response:
    """Answer ``POST /browse/reels`` with ``clips``, ``order`` and ``transitions``: begin a reel of these clips."""
    body = await json_body(request, ("clips", "order", "transitions"))
    return await run_in_threadpool(_make_reel, studio_of(request), body)


def _make_reel(studio: Studio, body: Mapping[str, Any]) -> Response:
    numbers = body["clips"]
    if not isinstance(numbers, list) or not all(type(number) is int and 0 < number < 2**53 for number in numbers):
        raise RequestError(400, "clips must be a list of their numbers")
    numbers = list(dict.fromkeys(numbers))
    if not 0 < len(numbers) <= _PAGE:
        raise RequestError(400, f"choose 1 to {_PAGE} clips, got {len(numbers)}")
    if body["order"] not in ("rating", "time") or not isinstance(body["transitions"], bool):
        raise RequestError(400, "order must be rating or time, and transitions true or false")
    manager, _ = clips_of(studio)
    with refusing():
        clips = [manager.get_clip(number) for number in numbers]
    if body["order"] == "rating":
        clips.sort(key=lambda clip: (-(clip.rating or 0), -clip.score, clip.id))
    else:
        clips.sort(key=lambda clip: (clip.source_url or "", clip.start_time, clip.id))
    paths = [str(clip_file(studio, clip.id)[0]) for clip in clips]
    if any(job.state == "running" for job in studio.jobs.all("reel")):
        raise RequestError(409, "a reel is being made. Wait until it finishes, or stop it")
    _remove_old(studio)
    reel = secrets.token_hex(8)
    arguments = {"clips": paths, "output": str(_reel_path(studio, reel)), "transitions": body["transitions"]}
    title = f"Reel of {len(paths)} clips"
    job = studio.jobs.start("reel", title, lambda job: run_child(job, _REEL_WORK, arguments), "/browse")
    audit(studio, "reel begun", {"clips": numbers, "job": job.id})
    return json_response({"job": job.id, "reel": reel})


def reel(request: Request) -> Response:
    """Answer ``GET /browse/reels/REEL``: the MP4, to be kept."""
    studio, name = studio_of(request), request.path_params["reel"]
    path = _reel_path(studio, name) if _REEL.fullmatch(name) else None
    if path is None or not path.is_file():
        raise RequestError(404, "this reel no longer exists. Make it again")
    audit(studio, "reel downloaded", {"reel": name})
    return FileResponse(path, media_type="application/octet-stream", filename="reel.mp4")


def _reel_path(studio: Studio, reel: str) -> Path:
    return studio.options.data_dir / _REELS / f"{reel}.mp4"


def _remove_old(studio: Studio) -> None:
    """Keep the latest reels only: each can be made again."""
    made = (studio.options.data_dir / _REELS).glob("*.mp4")
    found = sorted((path.stat().st_mtime, path) for path in made if path.is_file())
    for _, path in found[: max(len(found) - _KEPT_REELS + 1, 0)]:
        path.unlink(missing_ok=True)


def _zip(studio: Studio, numbers: Sequence[int]) -> Path:
    files = [clip_file(studio, number) for number in numbers]
    total = sum(path.stat().st_size for path, _ in files)
    if total > _MOST_BYTES:
        raise RequestError(413, f"these clips have {total:,} bytes; a zip may have {_MOST_BYTES:,}. Choose fewer")
    handle, name = tempfile.mkstemp(prefix="cliplab-clips-", suffix=".zip")
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made:
            for number, (path, shown) in zip(numbers, files, strict=True):
                made.write(path, f"{number:06d}_{shown}")
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 12:
        raise RequestError(400, f"clips must be given by their numbers, got {text[:40]!r}")
    return int(text)


ROUTES = [
    Route("/browse", page),
    Route("/browse/clips/{clip:number}/download", download),
    Route("/browse/zip", archive),
    Route("/browse/reels", make_reel, methods=["POST"]),
    Route("/browse/reels/{reel}", reel),
]

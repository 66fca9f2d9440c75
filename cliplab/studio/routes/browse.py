"""The Browse page: the clips as a gallery, filters, and files to take away."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from adapters.hosts.http_server.errors import RequestError
from cliplab.studio.context import Page, Studio
from cliplab.studio.pages import render, studio_of
from cliplab.studio.rated_clips import clip_file, clips_of, refusing, why_no_clips
from cliplab.studio.security import audit

PAGE = Page(path="/browse", title="Browse", order=70, available=why_no_clips)
_PAGE = 50
_MOST_BYTES = 4 << 30  # of a zip, which is made on this machine's disk first
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
    context = {"clips": shown, "tags": tags, "filters": _FILTERS, "more": more, "numbers": numbers, **kept}
    return render(request, "browse.html", {**context, "serving": sorted(trainer.models())})


def download(request: Request) -> Response:
    """Answer ``GET /browse/clips/ID/download``: the clip's file, to be kept."""
    studio = studio_of(request)
    path, name = clip_file(studio, request.path_params["clip"])
    audit(studio, "clip downloaded", {"clip": request.path_params["clip"]})
    return FileResponse(path, media_type="application/octet-stream", filename=name)


def archive(request: Request) -> Response:
    """Answer ``GET /browse/zip?id=1&id=2``: the files of up to 50 clips in one zip."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise RequestError(403, "a zip is made for this studio's own pages only, since it takes room on the disk")
    studio = studio_of(request)
    numbers = [_whole(text) for text in request.query_params.getlist("id")]
    if not 0 < len(numbers) <= _PAGE:
        raise RequestError(400, f"choose 1 to {_PAGE} clips, got {len(numbers)}")
    path = _zip(studio, list(dict.fromkeys(numbers)))
    audit(studio, "clips downloaded", {"clips": numbers})
    remove = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, media_type="application/zip", filename="clips.zip", background=remove)


def _zip(studio: Studio, numbers: Sequence[int]) -> Path:
    files = [clip_file(studio, number) for number in numbers]
    total = sum(path.stat().st_size for path, _ in files)
    if total > _MOST_BYTES:
        raise RequestError(413, f"these clips are {total:,} bytes, and a zip holds {_MOST_BYTES:,}. Choose fewer")
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
        raise RequestError(400, f"clips are named by their numbers, got {text[:40]!r}")
    return int(text)


ROUTES = [
    Route("/browse", page),
    Route("/browse/clips/{clip:number}/download", download),
    Route("/browse/zip", archive),
]

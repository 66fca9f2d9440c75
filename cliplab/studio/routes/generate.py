"""The Generate page: a stream or recording to highlights on a timeline, and those to clips."""

from __future__ import annotations

import math
import mimetypes
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from adapters.errors import AdapterError, MissingExtraError
from adapters.hosts.http_server.errors import RequestError, json_response
from adapters.system import parse_json, read_regular_bytes
from cliplab.studio.child_job import run_child
from cliplab.studio.context import Page, Studio, shown
from cliplab.studio.jobs import Job
from cliplab.studio.media_files import folder_videos
from cliplab.studio.pages import json_body, render, studio_of
from cliplab.studio.security import audit, inside
from cliplab.studio.web_addresses import is_address, require_public_address

OUTPUT = "output_clips"
_REPORTS = Path(".studio") / "highlights"
_REPORT = re.compile(r"[0-9a-f]{16}")
_MOST_BYTES = 64 << 20
_MOST_CLIPS = 500
_LEAST_SECONDS = 0.2  # of a clip
_DURATION, _GAP = 30.0, 30.0
# What the controls take: name, least, most.
_NUMBERS = (("clip_seconds", 1.0, 300.0), ("min_gap_seconds", 0.0, 86_400.0))


def _available(studio: Studio) -> str | None:
    try:
        from cliplab.clips import ClipManager  # noqa: F401 - where clips are entered
    except MissingExtraError as error:
        return str(error)
    return None


PAGE = Page(path="/generate", title="Generate", order=40, available=_available)


def page(request: Request) -> Response:
    """Answer ``GET /generate``: the page. It goes on with the latest analysis."""
    studio = studio_of(request)
    latest = next((job for job in studio.jobs.all("detect") if job.state in ("running", "done")), None)
    context = {
        "videos": folder_videos(studio.options.data_dir),
        "duration": _DURATION,
        "gap": _GAP,
        "job": latest.id if latest is not None and latest.state == "running" else "",
        "report": "" if latest is None else latest.again.partition("=")[2],
    }
    return render(request, "generate.html", context)


async def analyze(request: Request) -> Response:
    """Answer ``POST /generate/analyze`` with ``source``, ``clip_seconds``, ``min_gap_seconds``: begin an analysis."""
    body = await json_body(request, ("source", "clip_seconds", "min_gap_seconds"))
    return await run_in_threadpool(_analyze, studio_of(request), body)


def _analyze(studio: Studio, body: Mapping[str, Any]) -> Response:
    text = body["source"].strip() if isinstance(body["source"], str) else ""
    if not text:
        raise RequestError(400, "give a stream URL, or a video in the studio's folder")
    options = {name: _number(body[name], name, least, most) for name, least, most in _NUMBERS}
    local = not is_address(text)
    source = str(_file(studio, text)) if local else require_public_address(text)
    if any(job.state == "running" for job in studio.jobs.all("detect")):
        raise RequestError(409, "an analysis is running. Wait until it finishes, or stop it")
    report = secrets.token_hex(8)
    arguments = {
        "source": source,
        "name": shown(text),
        "local": local,
        "report": str(_report_path(studio, report)),
        "options": options,
        "folder": str(studio.options.data_dir),
    }
    title = f"Analyze {shown(text)}"
    job = studio.jobs.start(
        "detect", title, lambda job: _child(job, "analyze", arguments), f"/generate?report={report}"
    )
    audit(studio, "analysis started", {"source": text[:300], "job": job.id})
    return json_response({"job": job.id, "report": report})


def report(request: Request) -> Response:
    """Answer ``GET /generate/reports/ID``: the candidates, the length, notes, and the waveform where there is one."""
    path = _known_report(request)
    found = _read_report(path)
    local = not is_address(found["source"])
    answer = {
        "source": shown(Path(found["source"]).name if local else found["source"]),
        "local": local,
        "duration": found["duration_seconds"],
        "candidates": found["candidates"],
        "notes": [shown(note) for note in found["notes"]],
        "sound": None,
    }
    sound = path.with_suffix(".sound.json")
    if sound.is_file():
        answer["sound"] = _read(sound)
    return json_response({**answer, "playable": local and _kind(found["source"]).startswith(("video/", "audio/"))})


def media(request: Request) -> Response:
    """Answer ``GET /generate/reports/ID/media``: the source, in ranges, if it lies below the studio's folder."""
    source = _read_report(_known_report(request))["source"]
    if is_address(source):
        raise RequestError(404, "the source is a stream; its clips can be played once they are written")
    path = _file(studio_of(request), source)
    kind = _kind(path.name)
    if not kind.startswith(("video/", "audio/")):
        raise RequestError(415, f"{shown(path.name)}: does not have the name of a video or sound file")
    return FileResponse(path, media_type=kind)


async def generate(request: Request) -> Response:
    """Answer ``POST /generate/clips`` with ``report`` and ``clips`` of ``number``, ``start``, ``end``: write them."""
    body = await json_body(request, ("report", "clips"))
    return await run_in_threadpool(_generate, studio_of(request), body)


def _generate(studio: Studio, body: Mapping[str, Any]) -> Response:
    path = _require_report(studio, body["report"])
    found = _read_report(path)
    rows = body["clips"]
    if not isinstance(rows, list) or not 0 < len(rows) <= _MOST_CLIPS:
        raise RequestError(400, f"choose 1 to {_MOST_CLIPS} highlights")
    clips = [_clip(row, len(found["candidates"]), found["duration_seconds"]) for row in rows]
    if any(job.state == "running" for job in studio.jobs.all("generate")):
        raise RequestError(409, "clips are being written. Wait until they are done, or stop the job")
    root = studio.options.data_dir
    arguments = {
        "report": str(path),
        "local": not is_address(found["source"]),
        "folder": str(root),
        "output": str(inside(studio, OUTPUT)),
        "database": studio.options.clip_database,
        "clips": clips,
    }
    title = f"Generate {len(clips)} clips of {shown(Path(found['source']).name)}"
    again = f"/generate?report={body['report']}"
    job = studio.jobs.start("generate", title, lambda job: _child(job, "generate", arguments), again)
    audit(studio, "clips generated", {"clips": len(clips), "report": body["report"], "job": job.id})
    return json_response({"job": job.id})


def _clip(row: Any, candidates: int, duration: float) -> dict[str, Any]:
    if not isinstance(row, dict) or not {"number", "start", "end"} <= row.keys():
        raise RequestError(400, "a clip must have number, start and end")
    number = row["number"]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < candidates:
        raise RequestError(400, f"number must be that of a highlight, 0 to {candidates - 1}, got {number!r:.40}")
    start = _number(row["start"], "start", 0.0, duration)
    end = _number(row["end"], "end", 0.0, duration + 1.0)
    if end - start < _LEAST_SECONDS:
        raise RequestError(
            400, f"a clip must end at least {_LEAST_SECONDS} s after it begins, got {start:g} to {end:g}"
        )
    return {"number": number, "start": start, "end": min(end, duration)}


def _number(value: Any, name: str, least: float, most: float) -> float:
    allowed = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not allowed or not least <= value <= most:
        raise RequestError(400, f"{name} must be a number from {least:g} to {most:g}, got {value!r:.40}")
    return float(value)


def _file(studio: Studio, text: str) -> Path:
    path = inside(studio, text)
    if not path.is_file():
        raise RequestError(404, f"{shown(text)}: there is no such file in the studio's folder")
    return path


def _kind(name: str) -> str:
    return mimetypes.guess_type(name)[0] or ""


def _report_path(studio: Studio, report: str) -> Path:
    return studio.options.data_dir / _REPORTS / f"{report}.json"


def _known_report(request: Request) -> Path:
    return _require_report(studio_of(request), request.path_params["report"])


def _require_report(studio: Studio, report: Any) -> Path:
    path = _report_path(studio, report) if isinstance(report, str) and _REPORT.fullmatch(report) else None
    if path is None or not path.is_file():
        raise RequestError(404, "there is no such analysis. Analyze the stream again")
    return path


def _read_report(path: Path) -> dict[str, Any]:
    """The analysis that was stored, checked: a disk may damage it."""
    from cliplab.detect import read_report

    try:
        return read_report(path).to_json()
    except (AdapterError, OSError):
        raise _unreadable() from None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(read_regular_bytes(path, _MOST_BYTES, AdapterError))
        if isinstance(found, dict):
            return found
    except (AdapterError, OSError, ValueError):
        pass
    raise _unreadable()


def _unreadable() -> RequestError:
    return RequestError(404, "the stored analysis cannot be read. Analyze the stream again")


def _child(job: Job, function: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    return run_child(job, f"cliplab.studio.highlight_work:{function}", arguments)


ROUTES = [
    Route("/generate", page),
    Route("/generate/analyze", analyze, methods=["POST"]),
    Route("/generate/reports/{report}", report),
    Route("/generate/reports/{report}/media", media),
    Route("/generate/clips", generate, methods=["POST"]),
]

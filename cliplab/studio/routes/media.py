"""What pages show of the media: frames, times, thumbnails, sound, cuts, and the files themselves for players."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from adapters.errors import AdapterError, DatasetError, StorageError
from adapters.system import terminal_text
from cliplab.studio.context import without_folders
from cliplab.studio.frames import DEFAULT_PEAKS_PER_SECOND, FrameService
from cliplab.studio.media_files import FileGoneError, FileReplacedError

Handler = Callable[[Request, FrameService, int], Response]
# A picture never changes under its ETag, but the file of the item may: the browser asks, and mostly gets 304.
_CACHED = {"Cache-Control": "private, no-cache"}
_MOST_HEIGHT = 4320


def _answer(handler: Handler) -> Callable[[Request], Response]:
    """A handler whose errors become JSON: what is wrong in words, for the page to show in place of the picture."""

    def answer(request: Request) -> Response:
        frames: FrameService = request.app.state.studio.frames
        try:
            return handler(request, frames, request.path_params["item"])
        except ValueError as error:
            return _error(request, 400, error)
        except FileGoneError as error:
            return _error(request, 410, error)
        except FileReplacedError as error:
            return _error(request, 409, error)
        except DatasetError as error:
            return _error(request, 404, error)
        except StorageError as error:
            return _error(request, 503, error)
        except AdapterError as error:
            return _error(request, 422, error)

    return answer


def _error(request: Request, status: int, error: Exception) -> Response:
    sentence = without_folders(request.app.state.studio, str(error))
    return JSONResponse({"error": terminal_text(sentence, one_line=True)}, status, {"Cache-Control": "no-store"})


def _number(request: Request, name: str, default: float | None = None) -> float:
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    try:
        return float(text or "")
    except ValueError:
        raise ValueError(f"{name} must be a number, got {(text or '')[:40]!r}") from None


def _height(request: Request) -> int:
    height = _number(request, "h", 480.0)
    if not 1 <= height <= _MOST_HEIGHT:
        raise ValueError(f"h must be a height from 1 to {_MOST_HEIGHT} pixels, got {height!r}")
    return int(height)


def _tagged(request: Request, data: Callable[[], bytes], tag: str, headers: dict[str, str]) -> Response:
    headers = {**_CACHED, **headers, "ETag": f'"{tag}"'}
    known = [given.strip().removeprefix("W/") for given in request.headers.get("if-none-match", "").split(",")]
    if headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    return Response(data(), media_type="image/jpeg", headers=headers)


def frame(request: Request, frames: FrameService, item: int) -> Response:
    """Answer ``GET /items/ID/frame?t=&h=``: a JPEG; the frame's exact time is in the header X-Frame-Time.

    Without t it is the item's first frame.
    """
    height = _height(request)
    moment = _number(request, "t") if "t" in request.query_params else frames.start_seconds(item)
    picture, exact = frames.frame_jpeg(item, moment, height)
    tag = frames.frame_tag(item, exact, height)
    return _tagged(request, lambda: picture, tag, {"X-Frame-Time": repr(exact)})


def thumbnail(request: Request, frames: FrameService, item: int) -> Response:
    """Answer ``GET /items/ID/thumbnail?h=``."""
    height = _height(request)
    tag = "thumbnail-" + frames.frame_tag(item, 0.0, height)
    return _tagged(request, lambda: frames.thumbnail(item, height), tag, {})


def times(request: Request, frames: FrameService, item: int) -> Response:
    """Answer ``GET /items/ID/times?start=&end=``: the exact times of the frames of a stretch, in seconds."""
    start, end = _number(request, "start", 0.0), _number(request, "end", 60.0)
    return JSONResponse({"times": frames.times(item, start, end).tolist()})


def info(request: Request, frames: FrameService, item: int) -> Response:
    """Answer ``GET /items/ID/info``: size, length, rate and sound of the video."""
    return JSONResponse(frames.info(item))


def peaks(request: Request, frames: FrameService, item: int) -> Response:
    """Answer ``GET /items/ID/peaks?per_second=``: int8 in base64, the lowest and highest sample of each bin."""
    per_second = _number(request, "per_second", DEFAULT_PEAKS_PER_SECOND)
    found = frames.peaks(item, per_second)
    answer: dict[str, Any] = {"sound": found is not None, "per_second": per_second, "peaks": ""}
    if found is None:
        return JSONResponse({**answer, "reason": "This video has no sound."})
    return JSONResponse({**answer, "peaks": base64.b64encode(found.tobytes()).decode()})


def cut(request: Request, frames: FrameService, item: int) -> Response:
    """Answer ``GET /items/ID/cut?after=``: when the next shot begins, or null; and up to when it was looked for."""
    found, searched_to = frames.next_cut(item, _number(request, "after", 0.0))
    return JSONResponse({"cut": found, "searched_to": searched_to})


def media(request: Request, frames: FrameService, item: int) -> Response:
    """Answer ``GET /items/ID/media``: the file itself, in ranges, for the browser's player."""
    file = frames.file(item)
    kind = mimetypes.guess_type(f"media{file.path.suffix.lower()}")[0] or "application/octet-stream"
    if not kind.startswith(("video/", "audio/", "image/")) or kind == "image/svg+xml":
        kind = "application/octet-stream"
    headers = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(file.path, media_type=kind, headers=headers)


ROUTES = [
    Route("/items/{item:number}/frame", _answer(frame)),
    Route("/items/{item:number}/thumbnail", _answer(thumbnail)),
    Route("/items/{item:number}/times", _answer(times)),
    Route("/items/{item:number}/info", _answer(info)),
    Route("/items/{item:number}/peaks", _answer(peaks)),
    Route("/items/{item:number}/cut", _answer(cut)),
    Route("/items/{item:number}/media", _answer(media)),
]

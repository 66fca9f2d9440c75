"""Scripts and styles of the pages, from memory: a page asks for some fifteen of them before it shows anything."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}


@dataclass(frozen=True)
class _Asset:
    content: bytes
    kind: str
    tag: str


def assets_route(folder: Path) -> Route:
    """Return the route of the files of a folder, which are read once.

    Args:
        folder: The folder.
    """
    found = {path.relative_to(folder).as_posix(): _read(path) for path in folder.rglob("*") if path.is_file()}

    async def answer(request: Request) -> Response:
        asset = found.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        # The browser asks each time and is answered in a few bytes: a newer cliplab is seen at once.
        headers = {"Cache-Control": "no-cache", "ETag": asset.tag}
        if asset.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.kind, headers=headers)

    return Route("/static/{name:path}", answer)


def _read(path: Path) -> _Asset:
    content = path.read_bytes()
    kind = _KINDS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _Asset(content, kind, f'"{hashlib.sha256(content).hexdigest()[:20]}"')

"""The files of the signed repository over HTTP: entity tags, ranges, and nothing outside of two folders."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from adapters.hosts.http_server.errors import RequestError

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+%-]{0,250}")
_DIGEST = re.compile(r"([0-9a-f]{64})\..+")
_NUMBERED = re.compile(r"[0-9]+\..+")
_ROOT = re.compile(r"([0-9]{1,9})\.root\.json")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
# With the timestamp: which root is the newest, so that a device need not ask for the next one to be told that there is
# none. It is not signed, and neither is a 404.
ROOT_HEADER = "X-Cliplab-Root"
_SMALL_BYTES, _BLOCK_BYTES = 256 * 1024, 256 * 1024
# What a name with a digest or a version number holds never changes.
_FOR_EVER, _NEVER = "public, max-age=31536000, immutable", "no-cache"


class SignedFiles:
    """The files below a registry's ``tuf`` folder.

    Args:
        folder: With ``metadata`` and ``targets``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[Path, tuple[tuple[int, int, int], bytes, str]] = {}
        self._root: tuple[int, int] = (-1, 0)

    async def answer(self, request: Request, kind: str, name: str) -> Response:
        """Answer a GET or HEAD.

        Args:
            request: The request.
            kind: "metadata" or "targets".
            name: The path below it.

        Raises:
            RequestError: 404, there is no such file; 416, the range is outside of it.
        """
        path = self._path(kind, name)
        try:
            found = path.stat()
        except OSError:
            raise RequestError(404, f"there is no {kind} file {name[:100]!r}") from None
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        if found.st_size <= _SMALL_BYTES:
            data, tag = self._small(path, stamp)
        else:
            data, tag = None, await self._tag(path, stamp)
        final = _DIGEST.fullmatch(path.name) or _NUMBERED.fullmatch(path.name)
        headers = {
            "ETag": f'"{tag}"',
            "Accept-Ranges": "bytes",
            "Cache-Control": _FOR_EVER if final else _NEVER,
            "X-Content-Type-Options": "nosniff",
        }
        if kind == "metadata" and not final and (root := self._newest_root(path.parent)):
            headers[ROOT_HEADER] = str(root)
        if f'"{tag}"' in request.headers.get("if-none-match", "") or request.headers.get("if-none-match") == "*":
            return Response(status_code=304, headers=headers)
        size = found.st_size if data is None else len(data)
        start, end, status = _range(request, size, tag)
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        kind_of = "application/json" if path.name.endswith(".json") else "application/octet-stream"
        if data is not None:
            return Response(data[start:end], status, headers, kind_of)
        headers["Content-Length"] = str(end - start)
        body = _blocks(path, start, end) if request.method == "GET" else _nothing()
        return StreamingResponse(body, status, headers, kind_of)

    def _path(self, kind: str, name: str) -> Path:
        parts = name.split("/")
        if len(parts) > 8 or not all(_PART.fullmatch(part) for part in parts):
            raise RequestError(404, f"there is no {kind} file {name[:100]!r}")
        path = self._folder.joinpath(kind, *parts)
        if not _is_plain(path, len(parts)):
            # A link inside of the folder must not lead out of it.
            root = (self._folder / kind).resolve()
            if not path.is_file() or not path.resolve().is_relative_to(root):
                raise RequestError(404, f"there is no {kind} file {name[:100]!r}")
        return path

    def _newest_root(self, folder: Path) -> int:
        """The number of the newest root; 0 where there is none."""
        changed = folder.stat().st_mtime_ns
        if self._root[0] != changed:
            numbers = (_ROOT.fullmatch(name) for name in os.listdir(folder))
            self._root = (changed, max((int(match[1]) for match in numbers if match), default=0))
        return self._root[1]

    def _small(self, path: Path, stamp: tuple[int, int, int]) -> tuple[bytes, str]:
        kept = self._kept.get(path)
        if kept is not None and kept[0] == stamp:
            return kept[1], kept[2]
        data = path.read_bytes()
        if len(self._kept) > 200:
            self._kept.clear()
        self._kept[path] = (stamp, data, hashlib.sha256(data).hexdigest())
        return data, self._kept[path][2]

    async def _tag(self, path: Path, stamp: tuple[int, int, int]) -> str:
        """The digest that is in a target's name, otherwise what changes when the file does."""
        named = _DIGEST.fullmatch(path.name)
        return named[1] if named else "-".join(map(str, stamp))


def _is_plain(path: Path, parts: int) -> bool:
    """Whether a path is a file without a link among its last parts: the usual case, without resolving all of it."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        folders = list(path.parents)[: parts - 1]
        return all(stat.S_ISDIR(os.lstat(folder).st_mode) for folder in folders)
    except OSError:
        return False


def _range(request: Request, size: int, tag: str) -> tuple[int, int, int]:
    """Begin, end and status of what is sent. Several ranges, and ranges of another version, get the whole file."""
    wanted = _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted is None or wanted[0] == "bytes=-" or request.headers.get("if-range", f'"{tag}"') != f'"{tag}"':
        return 0, size, 200
    if not wanted[1]:
        start, end = max(0, size - int(wanted[2])), size
    else:
        start, end = int(wanted[1]), min(size, int(wanted[2]) + 1) if wanted[2] else size
    if start >= end:
        raise RequestError(416, f"the range is outside the file's {size} bytes", {"Content-Range": f"bytes */{size}"})
    return start, end, 206


async def _blocks(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        file.seek(start)
        while start < end:
            block = await asyncio.to_thread(file.read, min(_BLOCK_BYTES, end - start))
            if not block:
                raise OSError(f"{path}: became shorter while it was sent")
            start += len(block)
            yield block


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield

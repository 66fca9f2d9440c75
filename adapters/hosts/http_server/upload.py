"""The body of a request: into memory for tensors, into a temporary file for an uploaded video.

The form is parsed here and not by ``request.form()``, which spools a file in the system's temporary folder, from where
it would have to be copied: an upload is written once, below the folder that the limit on disk space counts.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from adapters.hosts.http_server.errors import ClientDisconnectedError, RequestError

FIELD = "file"
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_MAX_HEADER_BYTES = 4096  # of one part


async def chunks(request: Request) -> AsyncIterator[bytes]:
    """Read the body as it arrives.

    Yields:
        The next bytes; they may be empty.

    Raises:
        ClientDisconnectedError: The connection ended before the body did.
    """
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        more = message.get("more_body", False)
        yield message.get("body", b"")


def body_size(request: Request) -> int:
    """The body's length in bytes, from its header; ``RequestLimits`` has refused requests without it."""
    return int(request.headers.get("content-length", "0"))


async def read_body(request: Request, limit_bytes: int) -> bytearray:
    """Read the whole body into memory.

    Raises:
        RequestError: 413, the body has more than ``limit_bytes``.
        ClientDisconnectedError: The connection ended before the body did.
    """
    size = body_size(request)
    if size > limit_bytes:
        raise RequestError(413, f"the body has {size} bytes and at most {limit_bytes} are taken here. Send less")
    body = bytearray()
    async for chunk in chunks(request):
        body += chunk
    return body


@asynccontextmanager
async def uploaded(request: Request, folder: Path) -> AsyncIterator[tuple[Path, str]]:
    """Write the video of a multipart form to a file, which is removed when the block ends.

    Args:
        request: With the form as its body.
        folder: Where the file is written.

    Yields:
        The file, and the name that the client gave it, without folders.

    Raises:
        RequestError: 400, the form does not have exactly one field, "file"; 507, the disk is full; 500, another error
            in writing.
        ClientDisconnectedError: The connection ended before the body did.
    """
    descriptor, name = tempfile.mkstemp(dir=folder, prefix="upload-")
    path = Path(name)
    try:
        try:
            with os.fdopen(descriptor, "wb") as sink:
                form = _Form(sink)
                await form.read(request)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            raise RequestError(507 if full else 500, f"the upload could not be written ({error.strerror})") from None
        # FFmpeg looks at the suffix too, where contents alone leave it in doubt.
        suffix = Path(form.filename).suffix
        if _SUFFIX.fullmatch(suffix):
            path = path.rename(path.with_suffix(suffix.lower()))
        yield path, form.filename
    finally:
        path.unlink(missing_ok=True)


@dataclass
class _Form:
    """A multipart form while it is read; the bytes of its one file go to ``sink``."""

    sink: BinaryIO
    filename: str = ""
    found: bool = False
    ended: bool = False

    async def read(self, request: Request) -> None:
        """Read the form to its end."""
        _, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get(b"boundary")
        if not boundary:
            raise RequestError(400, "the form's Content-Type has no boundary. Send it as curl -F file=@clip.mp4 does")
        parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type] # a dictionary of functions
        try:
            async for chunk in chunks(request):
                parser.write(chunk)
            parser.finalize()
        except FormParserError as error:
            raise RequestError(400, f"the form is not multipart/form-data as its boundary says ({error})") from None
        if not self.ended:
            raise RequestError(400, "the form ends before its last boundary: was the body cut short?")
        if not self.found:
            raise RequestError(400, f'the form has no field "{FIELD}". Send one video: curl -F {FIELD}=@clip.mp4')

    def _callbacks(self) -> dict[str, object]:
        headers: dict[bytes, bytes] = {}
        field, value = bytearray(), bytearray()

        def append(to: bytearray, data: bytes, start: int, end: int) -> None:
            to += data[start:end]
            if len(to) > _MAX_HEADER_BYTES:
                raise RequestError(400, f"a header of a form's part is longer than {_MAX_HEADER_BYTES} bytes")

        def header_ends() -> None:
            headers[bytes(field).lower()] = bytes(value)
            field.clear()
            value.clear()

        return {
            "on_part_begin": headers.clear,
            "on_header_field": lambda data, start, end: append(field, data, start, end),
            "on_header_value": lambda data, start, end: append(value, data, start, end),
            "on_header_end": header_ends,
            "on_headers_finished": lambda: self._part_begins(headers),
            "on_part_data": lambda data, start, end: self.sink.write(memoryview(data)[start:end]),
            "on_end": self._end,
        }

    def _part_begins(self, headers: dict[bytes, bytes]) -> None:
        _, options = parse_options_header(headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != FIELD or self.found:
            given = f"{name!r}" if name != FIELD else f"{FIELD} twice"
            raise RequestError(400, f'the form must have one field, "{FIELD}", with one video, got {given}')
        self.found = True
        given_name = options.get(b"filename", b"").decode("utf-8", "replace")
        self.filename = re.split(r"[/\\]", given_name)[-1] or "upload"

    def _end(self) -> None:
        self.ended = True

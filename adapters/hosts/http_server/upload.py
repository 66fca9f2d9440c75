"""The body of a request: into memory for tensors, into a temporary file for an uploaded video.

The form is parsed here and not by ``request.form()``, which spools a file in the system's temporary folder, from where
it would have to be copied: an upload is written once, below the folder that the limit on disk space counts.
"""

from __future__ import annotations

import asyncio
import errno
import logging
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

from adapters.hosts.http_server.compression import PLAIN, Decompressor
from adapters.hosts.http_server.errors import ClientDisconnectedError, RequestError
from adapters.hosts.http_server.worker_pool import BodyShare

FIELD = "file"
# Its parser logs what is wrong with a form, which is sent to the client.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_MAX_HEADER_BYTES = 4096  # of one part
_MAX_BOUNDARY_BYTES = 200  # by RFC 2046 they have at most 70


async def chunks(request: Request, limit_bytes: int, share: BodyShare | None = None) -> AsyncIterator[bytes]:
    """Read the body as it arrives, and unfold it if it is compressed.

    Args:
        request: The request.
        limit_bytes: Size of the largest body, unfolded.
        share: Counts the bytes; None counts nothing.

    Yields:
        The next bytes.

    Raises:
        RequestError: 413, the body has more than ``limit_bytes``; 429, more than the share may grow to; 400, it is not
            compressed as it says.
        ClientDisconnectedError: The connection ended before the body did.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    machine = None if encoding in PLAIN else Decompressor(encoding)
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        more = message.get("more_body", False)
        data = message.get("body", b"")
        for piece in (data,) if machine is None else machine.feed(data):
            size += len(piece)
            if size > limit_bytes:
                unfolded = "" if machine is None else " after decompression"
                raise RequestError(413, f"the body has more than {limit_bytes} bytes{unfolded}, the maximum. Send less")
            if share is not None:
                share.grow(len(piece))
            yield piece
            if machine is not None:
                await asyncio.sleep(0)  # a small body may unfold to many pieces
    if machine is not None:
        machine.finish()


def body_size(request: Request) -> int:
    """The body's length in bytes, from its header; ``RequestLimits`` has refused requests without it."""
    return int(request.headers.get("content-length", "0"))


async def read_body(request: Request, limit_bytes: int, share: BodyShare | None = None) -> bytearray:
    """Read the whole body into memory.

    Args:
        request: The request.
        limit_bytes: Size of the largest body.
        share: Counts the bytes; None counts nothing.

    Raises:
        RequestError: 413, the body has more than ``limit_bytes``; otherwise see ``chunks``.
        ClientDisconnectedError: The connection ended before the body did.
    """
    size = body_size(request)
    if size > limit_bytes:
        raise RequestError(413, f"the body has {size} bytes; at most {limit_bytes} are allowed. Send less")
    body = bytearray()
    async for chunk in chunks(request, limit_bytes, share):
        body += chunk
    return body


@asynccontextmanager
async def uploaded(
    request: Request, folder: Path, limit_bytes: int, share: BodyShare
) -> AsyncIterator[tuple[Path, str]]:
    """Write the video of a multipart form to a file, which is removed when the block ends.

    Args:
        request: With the form as its body.
        folder: Where the file is written.
        limit_bytes: Size of the largest body.
        share: Counts the bytes.

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
                await form.read(request, limit_bytes, share)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            next_step = "Free some space on the server's disk" if full else "Check the server's disk"
            raise RequestError(
                507 if full else 500,
                f"the upload could not be written ({error.strerror}). {next_step}, then send the file again",
            ) from None
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

    async def read(self, request: Request, limit_bytes: int, share: BodyShare) -> None:
        """Read the form to its end."""
        boundary = _options(request.headers.get("content-type", "").encode("latin-1")).get(b"boundary", b"")
        if not boundary:
            raise RequestError(400, "the form's Content-Type has no boundary. Send it as curl -F file=@clip.mp4 does")
        if len(boundary) > _MAX_BOUNDARY_BYTES:
            raise RequestError(
                400,
                f"the form's boundary has {len(boundary)} bytes; at most {_MAX_BOUNDARY_BYTES} are allowed. Send the "
                "form as curl -F file=@clip.mp4 does",
            )
        parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type] # a dictionary of functions
        try:
            async for chunk in chunks(request, limit_bytes, share):
                parser.write(chunk)
            parser.finalize()
        except FormParserError as error:
            raise RequestError(400, f"the form is not multipart/form-data as its boundary says ({error})") from None
        if not self.ended:
            raise RequestError(400, "the form ends before its last boundary. Check that the body was sent completely")
        if not self.found:
            raise RequestError(400, f'the form has no field "{FIELD}". Send one video: curl -F {FIELD}=@clip.mp4')

    def _callbacks(self) -> dict[str, object]:
        headers: dict[bytes, bytes] = {}
        field, value = bytearray(), bytearray()

        def append(to: bytearray, data: bytes, start: int, end: int) -> None:
            to += data[start:end]
            if len(to) > _MAX_HEADER_BYTES:
                raise RequestError(400, f"a header of a part of the form is longer than {_MAX_HEADER_BYTES} bytes")

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
        options = _options(headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != FIELD or self.found:
            given = f"{name!r}" if name != FIELD else f"{FIELD} twice"
            raise RequestError(400, f'the form must have one field, "{FIELD}", with one video, got {given}')
        self.found = True
        given_name = options.get(b"filename", b"").decode("utf-8", "replace")
        self.filename = re.split(r"[/\\]", given_name)[-1] or "upload"

    def _end(self) -> None:
        self.ended = True


def _options(header: bytes) -> dict[bytes, bytes]:
    """The parameters of a header's value. RequestError: 400 if it is not of the form of one."""
    try:
        return parse_options_header(header)[1]
    except Exception:  # the parser's own, and those of the standard library's that it calls
        raise RequestError(400, f"the header value {header[:100]!r} cannot be understood") from None

"""Compressed request bodies, unfolded in small pieces so that the limits on their size count what comes out."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from adapters.hosts.http_server.errors import RequestError

# Values of Content-Encoding; "" and "identity" mean uncompressed.
PLAIN = ("", "identity")
COMPRESSED = ("gzip", "x-gzip", "deflate")
_PIECE_BYTES = 1 << 18
_GZIP = 16 + zlib.MAX_WBITS


class Decompressor:
    """Unfolds a body as it arrives.

    Args:
        encoding: One of ``COMPRESSED``.
    """

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding.endswith("gzip")
        self._machine = zlib.decompressobj(_GZIP) if self._gzip else None
        self._head = b""  # of a deflate body, until its form is known
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Unfold the next bytes of the body.

        Args:
            data: As received.

        Yields:
            What they unfold to, in pieces of at most 256 kB.

        Raises:
            RequestError: 400, the body is not compressed as its header says.
        """
        if self._machine is None:
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return
            self._machine, self._head = zlib.decompressobj(_window_bits(data)), b""
        self._begun = self._begun or bool(data)
        while data or not self._machine.eof:
            if self._machine.eof:
                data = self._following_member(data)
            try:
                piece = self._machine.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise _wrong(str(error)) from None
            data = self._machine.unused_data if self._machine.eof else self._machine.unconsumed_tail
            if piece:
                yield piece
            elif not data:
                return

    def finish(self) -> None:
        """Check that the body was whole.

        Raises:
            RequestError: 400, it was cut short.
        """
        if (self._begun and (self._machine is None or not self._machine.eof)) or self._head:
            raise _wrong("the compressed data is incomplete")

    def _following_member(self, data: bytes) -> bytes:
        if not (self._gzip and data[:1] == b"\x1f"):
            raise _wrong(f"{len(data)} extra bytes follow the compressed data")
        self._machine = zlib.decompressobj(_GZIP)
        return data


def _window_bits(head: bytes) -> int:
    """zlib's form by RFC 9110, which has a header (RFC 1950), or the raw one that some clients send."""
    wrapped = head[0] & 15 == 8 and int.from_bytes(head[:2]) % 31 == 0
    return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS


def _wrong(why: str) -> RequestError:
    return RequestError(400, f"the body is not compressed as its Content-Encoding says ({why})")

"""MP4 files of boxes (ISO/IEC 14496-12) made by hand, for tables that no muxer writes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
SELF_CONTAINED = b"\0\0\0\x1cdref\0\0\0\0\0\0\0\x01\0\0\0\x0curl \0\0\0\x01"


def numbers(*values: int) -> bytes:
    """As 32-bit big-endian words."""
    return struct.pack(f">{len(values)}I", *values)


def box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def full_box(kind: bytes, *content: bytes, flags: int = 0) -> bytes:
    return box(kind, numbers(flags), *content)


def sample_entry(kind: bytes = b"mp4v") -> bytes:
    shape = struct.pack(">HH", 64, 48)
    rest = numbers(0x480000, 0x480000, 0) + b"\0\1" + bytes(32) + b"\0\x18\xff\xff"
    return full_box(b"stsd", numbers(1), box(kind, bytes(6), b"\0\1", bytes(16), shape, rest))


def tables(samples: int, size: int = 1, entry: bytes = b"mp4v", ticks: int = 40) -> list[bytes]:
    """A sample table of so many samples of one size in one chunk, in a few bytes."""
    return [
        sample_entry(entry),
        full_box(b"stts", numbers(1, samples, ticks)),
        full_box(b"stsc", numbers(1, 1, samples, 1)),
        full_box(b"stsz", numbers(size, samples)),
        full_box(b"stco", numbers(1, 40)),
    ]


def track(
    number: int,
    boxes: Sequence[bytes],
    handler: bytes = b"vide",
    edits: Sequence[tuple[int, int]] = (),
    data_reference: bytes = SELF_CONTAINED,
    duration: int = 1000,
) -> bytes:
    """A track with these boxes in its sample table; edits are pairs of duration and media time in milliseconds."""
    size = numbers(64 << 16, 48 << 16)
    header = full_box(b"tkhd", numbers(0, 0, number, 0, duration, 0, 0, 0, 0), _MATRIX, size, flags=7)
    rows = [word for length, at in edits for word in (length, at, 0x10000)]
    listed = box(b"edts", full_box(b"elst", numbers(len(edits), *rows))) if edits else b""
    media = box(
        b"mdia",
        full_box(b"mdhd", numbers(0, 0, 1000, duration), b"\x55\xc4\0\0"),
        full_box(b"hdlr", numbers(0), handler, bytes(12), b"\0"),
        box(b"minf", full_box(b"vmhd", bytes(8), flags=1), box(b"dinf", data_reference), box(b"stbl", *boxes)),
    )
    return box(b"trak", header, listed, media)


def movie_header(*tracks: bytes) -> bytes:
    rest = numbers(0, 0, 1000, 1000, 0x10000) + b"\1\0" + bytes(10) + _MATRIX + bytes(24) + numbers(9)
    return box(b"moov", full_box(b"mvhd", rest), *tracks)


def mp4(*tracks: bytes, data: bytes = bytes(100), after: bytes = b"") -> bytes:
    """A whole file: type, media data, header."""
    return box(b"ftyp", b"isom", numbers(512), b"isom") + box(b"mdat", data) + movie_header(*tracks) + after

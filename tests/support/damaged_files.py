"""Changes to the bytes of video files: boxes of MP4, headers of AVI, timestamps of transport streams, packets."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av

MPEG_WRAP = 2**33


def boxes(data: bytes) -> list[tuple[str, bytes]]:
    """The boxes of an MP4 at its top level, with their names."""
    found, at = [], 0
    while at + 8 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        found.append((data[at + 4 : at + 8].decode("latin-1"), data[at : at + size]))
        at += size
    return found


def later_fragments(data: bytes, numbers: range) -> bytes:
    """The header of a fragmented MP4 and some of its fragments, as a player that joined late has them."""
    parts = boxes(data)
    fragments = [part + following[1] for (name, part), following in pairwise(parts) if name == "moof"]
    header = b"".join(part for name, part in parts if name in ("ftyp", "moov"))
    return header + b"".join(fragments[number] for number in numbers)


def with_box_field(data: bytes, box: bytes, offset: int, value: int) -> bytes:
    """The data with a 32-bit field changed, at an offset from the end of the name of the first such box."""
    changed, at = bytearray(data), data.index(box) + len(box) + offset
    changed[at : at + 4] = struct.pack(">I", value)
    return bytes(changed)


def with_avi_field(data: bytes, offset: int, value: int) -> bytes:
    """The data with a field of the first stream header of an AVI changed, at an offset in its content."""
    changed, at = bytearray(data), data.index(b"strh") + 8 + offset
    changed[at : at + 4] = struct.pack("<I", value)
    return bytes(changed)


def picture_headers(data: bytes) -> Iterator[int]:
    """Where the headers of pictures begin in a transport stream."""
    for at in range(0, len(data), 188):
        place = data.find(b"\0\0\1\xe0", at, at + 188)
        if data[at + 1] & 0x40 and place > 0:
            yield place


def flip_stamp(data: bytearray, header: int, bits: int, decoding: bool) -> bool:
    """Flip bits of a picture's time of presentation or of decoding; whether it has that one."""
    flags = data[header + 7] >> 6
    if not flags & (1 if decoding else 2):
        return False
    at = header + 9 + (5 if decoding else 0)
    stamp = (
        (data[at] >> 1 & 7) << 30 | data[at + 1] << 22 | data[at + 2] >> 1 << 15 | data[at + 3] << 7 | data[at + 4] >> 1
    )
    stamp ^= bits
    data[at] = data[at] & 0xF1 | (stamp >> 30 & 7) << 1
    data[at + 1 : at + 5] = bytes(
        [stamp >> 22 & 255, stamp >> 15 << 1 & 255 | 1, stamp >> 7 & 255, stamp << 1 & 255 | 1]
    )
    return True


def packets_of(path: Path) -> list[tuple[int, int, bool]]:
    """Position, size and whether it is a key frame of each packet of the video."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size, p.is_keyframe) for p in container.demux(video=0) if p.size and p.pos is not None]


def overwrite(path: Path, position: int, content: bytes) -> Path:
    """Write bytes into a file."""
    with path.open("r+b") as file:
        file.seek(position)
        file.write(content)
    return path

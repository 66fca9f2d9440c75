"""Whether the codec or the programme changes within a transport stream, as where two recordings were joined.

FFmpeg goes on with the decoder that it began with, and reports what follows as damage. The program map tables of the
stream (ISO/IEC 13818-1, 2.4.4.8) say which codec each part has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from adapters.errors import MediaError
from adapters.records import UInt8Array
from adapters.system import open_regular_file

_SYNC, _CHUNK_PACKETS, _MOST_BYTES = 0x47, 1 << 16, 8 << 30
_MOST_REST_BYTES = 64 << 20
_LAYOUTS = ((188, 0), (192, 4), (204, 0))  # bytes of a packet, and where its header begins
_PAT, _PAT_TABLE, _PMT_TABLE = 0, 0, 2
# Values of stream_type (ISO/IEC 13818-1, table 2-34).
_VIDEO = {
    0x01: "MPEG-1", 0x02: "MPEG-2", 0x10: "MPEG-4", 0x1B: "H.264", 0x20: "H.264", 0x21: "JPEG 2000", 0x24: "H.265",
    0x33: "H.266", 0x42: "AVS", 0xD2: "AVS2", 0xD4: "AVS3", 0xEA: "VC-1",
}  # fmt: skip


def codec_change(path: str | Path) -> str | None:
    """Which codecs follow one another, such as "H.264 to MPEG-2"; None where there is one, or no transport stream.

    Args:
        path: A local file, which is read as far as 8 GB.
    """
    found: dict[int, list[str]] = {}  # by the number of the table: several programs may run side by side
    try:
        for packets in _chunks(path):
            for number, codec in _video_codecs(packets):
                codecs = found.setdefault(number, [codec])
                if codecs[-1] != codec:
                    codecs.append(codec)
    except (OSError, MediaError):
        return None
    return next((" to ".join(codecs[:4]) for codecs in found.values() if len(codecs) > 1), None)


def other_video_follows(path: Path, start: int, known: Collection[int]) -> bool:
    """Whether the picture of another programme begins in the rest of a transport stream.

    Args:
        path: A local file, of which 64 MB behind ``start`` are read.
        start: Where the last packet of the picture begins, in bytes.
        known: The packet numbers of the streams that were there from the beginning.
    """
    read, own = 0, _PAT
    try:
        for packets in _chunks(path, start):
            numbers = (packets[:, 1].astype(np.int32) & 0x1F) << 8 | packets[:, 2]
            begins = (packets[:, 1] & 0x40) > 0
            own = own if read or not begins[0] else int(numbers[0])  # a programme may change its packet numbers
            for place in np.flatnonzero(begins & ~np.isin(numbers, [*known, own, _PAT])):
                if _begins_video(packets[place].tobytes()):
                    return True
            read += packets.size
            if read >= _MOST_REST_BYTES:
                return False
    except (OSError, MediaError):
        return False
    return False


def _begins_video(packet: bytes) -> bool:
    """Whether a packet of video begins in one of the transport stream (ISO/IEC 13818-1, 2.4.3.7: E0 to EF)."""
    at = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    return packet[at : at + 3] == b"\0\0\1" and packet[at + 3 : at + 4] >= b"\xe0" and packet[at + 3] <= 0xEF


def _chunks(path: str | Path, begin: int = 0) -> Iterator[UInt8Array]:
    """Packets of 188 bytes, uint8 [N, 188], from the one in which a place of the file lies."""
    with open_regular_file(path, MediaError) as file:
        head = np.frombuffer(file.read(204 * 8), np.uint8)
        size, start = next(
            ((size, start) for size, start in _LAYOUTS if len(head) >= 5 * size and _are_in_step(head, size, start)),
            (0, 0),
        )
        file.seek(begin // size * size if size else 0)
        while size and file.tell() < _MOST_BYTES:
            data = np.frombuffer(file.read(_CHUNK_PACKETS * size), np.uint8)
            count = len(data) // size
            if not count:
                return
            yield data[: count * size].reshape(count, size)[:, start : start + 188]


def _are_in_step(head: UInt8Array, size: int, start: int) -> bool:
    return bool((head[start::size][:5] == _SYNC).all())


def _video_codecs(packets: UInt8Array) -> Iterator[tuple[int, str]]:
    """The packet number of each program map table and the codec of its first video stream, in the order of the file."""
    numbers = (packets[:, 1].astype(np.int32) & 0x1F) << 8 | packets[:, 2]
    begins = (packets[:, 1] & 0x40) > 0
    tables = {number for row in packets[(numbers == _PAT) & begins] for number in _map_pids(row.tobytes())}
    for place in np.flatnonzero(np.isin(numbers, list(tables)) & begins):
        codec = _first_video(packets[place].tobytes())
        if codec is not None:
            yield int(numbers[place]), codec


def _section(packet: bytes, table: int) -> bytes:
    """The content of a section that begins in a packet, after its header and without its checksum; empty: another."""
    at = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    if not packet[3] & 0x10 or at >= len(packet):
        return b""
    at += 1 + packet[at]
    if at + 8 > len(packet) or packet[at] != table:
        return b""
    end = at + 3 + ((packet[at + 1] & 0x0F) << 8 | packet[at + 2]) - 4
    return packet[at + 8 : max(min(end, len(packet)), at + 8)]


def _map_pids(packet: bytes) -> list[int]:
    content = _section(packet, _PAT_TABLE)
    entries = (content[at : at + 4] for at in range(0, len(content) - 3, 4))
    return [(entry[2] & 0x1F) << 8 | entry[3] for entry in entries if entry[0] or entry[1]]


def _first_video(packet: bytes) -> str | None:
    content = _section(packet, _PMT_TABLE)
    if len(content) < 4:
        return None
    at = 4 + ((content[2] & 0x0F) << 8 | content[3])
    while at + 5 <= len(content):
        if content[at] in _VIDEO:
            return _VIDEO[content[at]]
        at += 5 + ((content[at + 3] & 0x0F) << 8 | content[at + 4])
    return None

"""The size of a picture as its decoder will see it, from the header alone: what is too large is never decoded.

A header that decoders could read in more than one way is refused: a JPEG's segments must follow one another without
bytes between them, as encoders write them.
"""

from __future__ import annotations

import struct

Size = tuple[int, int]
# What may stand before the frame. Markers without a segment (TEM, RSTn) may not: other readers pass over them.
_SEGMENTS = {0xC4, 0xC8, 0xCC, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)}  # DHT, JPG, DAC, DQT, DNL, DRI, COM, APPn
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323


def size_of_picture(data: bytes) -> Size | None:
    """Width and height of a JPEG, PNG, WebP, BMP, GIF or TIFF, as stored; None for anything else.

    Args:
        data: The content of the file.
    """
    try:
        for mark, read in _READERS:
            if data.startswith(mark):
                return read(data)
    except (struct.error, IndexError):  # cut short
        return None
    return None


def jpeg_size(data: bytes) -> Size | None:
    """Width and height of a JPEG, from its frame header (ITU-T T.81, B.2.2); None where it has no clear one.

    Args:
        data: The content of the file.
    """
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4])
        if marker in _FRAMES:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        if marker not in _SEGMENTS or length < 2:
            return None
        at += 2 + length
    return None


def _png_size(data: bytes) -> Size | None:
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    return (width, height) if (length, kind) == (13, b"IHDR") else None


def _bmp_size(data: bytes) -> Size | None:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return abs(width), abs(height)


def _gif_size(data: bytes) -> Size | None:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _webp_size(data: bytes) -> Size | None:
    if data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff_size(data: bytes) -> Size | None:
    """Of the first picture; each side is the larger of the picture's and its tiles'."""
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, first)
    found: dict[int, int] = {}
    for number in range(count):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, first + 2 + 12 * number)
        if tag in (_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT):
            if kind not in (3, 4) or values != 1 or tag in found:
                return None
            (found[tag],) = struct.unpack_from(order + "HI"[kind - 3], data, first + 10 + 12 * number)
    if not {_WIDTH, _HEIGHT} <= set(found):
        return None
    return max(found[_WIDTH], found.get(_TILE_WIDTH, 0)), max(found[_HEIGHT], found.get(_TILE_HEIGHT, 0))


_READERS = (
    (b"\xff\xd8", jpeg_size),
    (b"\x89PNG\r\n\x1a\n", _png_size),
    (b"RIFF", _webp_size),
    (b"BM", _bmp_size),
    (b"GIF8", _gif_size),
    (b"II*\x00", _tiff_size),
    (b"MM\x00*", _tiff_size),
)

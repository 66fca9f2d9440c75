"""Whether a GIF ends within a picture: its packets have no lengths, and FFmpeg decodes a part without an error.

Source: https://www.w3.org/Graphics/GIF/spec-gif89a.txt, sections 15 to 27.
"""

from __future__ import annotations

_SIGNATURES = (b"GIF87a", b"GIF89a")
_EXTENSION, _PICTURE, _END = 0x21, 0x2C, 0x3B
_SCREEN_BYTES, _PICTURE_BYTES = 13, 10


def is_whole_picture(data: bytes) -> bool:
    """Whether a packet of a GIF holds a whole picture.

    Args:
        data: The packet: blocks up to the end of a picture, in the first one behind the head of the file.
    """
    at = 0
    if data[:6] in _SIGNATURES:
        at = _SCREEN_BYTES + (_colours(data[10]) if len(data) > 10 else 0)
    try:
        while data[at] == _EXTENSION:
            at = _after_parts(data, at + 2)
        if data[at] != _PICTURE:
            return data[at] == _END
        at += _PICTURE_BYTES + _colours(data[at + _PICTURE_BYTES - 1])
        _after_parts(data, at + 1)  # behind the size of the codes
    except IndexError:
        return False
    return True


def _colours(flags: int) -> int:
    """The bytes of a table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_parts(data: bytes, at: int) -> int:
    """The place behind a row of parts, each with its length before it, which a length of 0 ends."""
    while length := data[at]:
        at += 1 + length
    return at + 1

"""Damage to bytes: of any file, and of the sizes, offsets and opcodes that certain formats are made of."""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Sequence
from random import Random

Mutator = Callable[[Random, bytearray], None]

# Values at which readers go wrong: signs, wraps of 8, 16, 32 and 64 bits, and sizes that nobody has the memory for.
NUMBERS = (0, 1, 2, 3, 4, 7, 8, 15, 16, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFFFFFF, 1 << 24)
NUMBERS += (0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def mutate(
    random: Random, data: bytes, own: Sequence[Mutator] = (), others: Sequence[bytes] = (), most: int = 8
) -> bytes:
    """The data, damaged in one to eight ways.

    Args:
        random: Decides what is done.
        data: A sound file.
        own: What damages the structure of its format; half of the damage is made by these.
        others: Sound files of the same format, to splice with.
        most: The most changes; few leave a file that is still read.
    """
    changed = bytearray(data)
    for _ in range(min(most, random.choice((1, 1, 1, 2, 2, 3, 5, 8)))):
        if not changed:
            break
        if others and random.random() < 0.05:
            other = random.choice(others)
            changed[random.randrange(len(changed)) :] = other[random.randrange(len(other)) :]
        elif own and random.random() < 0.5:
            random.choice(own)(random, changed)
        else:
            random.choice(ANYWHERE)(random, changed)
    return bytes(changed)


def _place(random: Random, data: bytearray) -> int:
    """Somewhere, mostly near an end of the file, where headers are."""
    near = min(len(data), 512)
    choice = random.random()
    if choice < 0.4:
        return random.randrange(near)
    return len(data) - 1 - random.randrange(near) if choice < 0.6 else random.randrange(len(data))


def flip_bits(random: Random, data: bytearray) -> None:
    for _ in range(random.choice((1, 1, 4, 32))):
        data[_place(random, data)] ^= 1 << random.randrange(8)


def set_number(random: Random, data: bytearray) -> None:
    width = random.choice(tuple(WIDTHS))
    at = _place(random, data) // width * width
    order = random.choice("<>")
    if at + width <= len(data):
        struct.pack_into(order + WIDTHS[width], data, at, random.choice(NUMBERS) % (1 << 8 * width))


def nudge_number(random: Random, data: bytearray) -> None:
    width = random.choice((1, 2, 4))
    at = _place(random, data) // width * width
    if at + width <= len(data):
        code = random.choice("<>") + WIDTHS[width]
        value = struct.unpack_from(code, data, at)[0] + random.choice((-16, -4, -1, 1, 4, 16))
        struct.pack_into(code, data, at, value % (1 << 8 * width))


def insert(random: Random, data: bytearray) -> None:
    at = _place(random, data)
    data[at:at] = random.randbytes(random.choice((1, 2, 4, 16, 256)))


def delete(random: Random, data: bytearray) -> None:
    at = _place(random, data)
    del data[at : at + random.choice((1, 2, 4, 16, 256, 4096))]


def cut(random: Random, data: bytearray) -> None:
    del data[_place(random, data) :]


def swap(random: Random, data: bytearray) -> None:
    size = random.choice((1, 4, 16, 188))
    a, b = _place(random, data), _place(random, data)
    if max(a, b) + size <= len(data):
        data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def repeat(random: Random, data: bytearray) -> None:
    at, size = _place(random, data), random.choice((4, 16, 188, 1024))
    piece = bytes(data[at : at + size])
    data[at:at] = piece * random.choice((1, 2, 20))


def fill(random: Random, data: bytearray) -> None:
    at, size = _place(random, data), random.choice((4, 16, 64, 512))
    end = min(len(data), at + size)
    data[at:end] = bytes([random.choice((0, 0, 0xFF, 0x7F, 0x20))]) * (end - at)


ANYWHERE: tuple[Mutator, ...] = (flip_bits, flip_bits, set_number, set_number, nudge_number)
ANYWHERE += (insert, delete, cut, swap, repeat, fill)


# Containers of video.

_BOXES = (
    "moov",
    "trak",
    "mdia",
    "minf",
    "stbl",
    "stsd",
    "stts",
    "ctts",
    "stsz",
    "stco",
    "stsc",
    "stss",
    "elst",
    "edts",
)
_BOXES += (
    "mvhd",
    "tkhd",
    "mdhd",
    "hdlr",
    "mvex",
    "trex",
    "moof",
    "traf",
    "tfhd",
    "trun",
    "tfdt",
    "sidx",
    "avc1",
    "avcC",
)
_BOXES += ("ftyp", "mdat", "udta", "meta", "ilst", "colr", "pasp", "hev1", "hvcC", "mp4v", "esds", "uuid", "free")
_CHUNKS = (b"RIFF", b"LIST", b"hdrl", b"avih", b"strl", b"strh", b"strf", b"movi", b"idx1", b"00dc", b"01wb", b"JUNK")
_CHUNKS += (b"WEBP", b"VP8 ", b"VP8X", b"ANMF", b"ANIM", b"EXIF")
# EBML identifiers: header, segment, seek head, info, tracks, entry, cluster, cues, block, timecode and sizes.
_ELEMENTS = tuple(
    bytes.fromhex(text)
    for text in [
        "1a45dfa3",
        "18538067",
        "114d9b74",
        "1549a966",
        "1654ae6b",
        "ae",
        "1f43b675",
        "1c53bb6b",
        "a3",
        "a0",
        "e7",
        "2ad7b1",
        "4489",
        "b0",
        "ba",
        "63a2",
        "1941a469",
        "1254c367",
        "23e383",
        "86",
        "53ab",
        "53ac",
        "f1",
        "f7",
    ]
)


def _near(random: Random, data: bytearray, marks: Sequence[bytes]) -> int:
    """The end of one of the marks that the data contains; -1 if it contains none of those that were tried."""
    for _ in range(8):
        mark = random.choice(marks)
        at = data.find(mark, random.randrange(len(data)))
        at = data.find(mark) if at < 0 else at
        if at >= 0:
            return at + len(mark)
    return -1


def box_size(random: Random, data: bytearray) -> None:
    """The size or the type of an MP4 box."""
    end = _near(random, data, [name.encode() for name in _BOXES])
    if end >= 8:
        if random.random() < 0.2:
            data[end - 4 : end] = random.choice(_BOXES).encode()
        else:
            size = struct.unpack_from(">I", data, end - 8)[0]
            near = size + random.choice((-8, -1, 1, 8, 0x1000000))
            struct.pack_into(">I", data, end - 8, random.choice((near, random.choice(NUMBERS))) % (1 << 32))


def box_field(random: Random, data: bytearray) -> None:
    """A number within the first 64 bytes of an MP4 box: versions, counts, durations, scales, sample sizes."""
    end = _near(random, data, [name.encode() for name in _BOXES])
    at = end + 4 * random.randrange(16)
    if end > 0 and at + 4 <= len(data):
        struct.pack_into(">I", data, at, random.choice(NUMBERS) % (1 << 32))


def box_copy(random: Random, data: bytearray) -> None:
    """An MP4 box once more, at its end or inside another."""
    end = _near(random, data, [name.encode() for name in _BOXES])
    if end >= 8:
        size = min(max(8, struct.unpack_from(">I", data, end - 8)[0]), 4096)
        target = _near(random, data, [name.encode() for name in _BOXES])
        at = random.choice((end - 8 + size, max(target, 0)))
        data[at:at] = bytes(data[end - 8 : end - 8 + size]) * random.choice((1, 1, 8))


def element_size(random: Random, data: bytearray) -> None:
    """The size of an EBML element, in one to eight bytes, or a number right after it."""
    end = _near(random, data, _ELEMENTS)
    if 0 <= end < len(data):
        if random.random() < 0.5:
            length = random.randrange(1, 9)
            value = (1 << 7 * length) | random.choice(NUMBERS) % (1 << 7 * length)
            data[end : end + length] = value.to_bytes(length, "big")
        else:
            data[end] = random.choice((0x80, 0x81, 0x88, 0xFF, 0x01, 0x00, 0x40))


def chunk_size(random: Random, data: bytearray) -> None:
    """The size of a RIFF chunk, or a number in its header."""
    end = _near(random, data, _CHUNKS)
    at = end + 4 * random.choice((0, 0, *range(14)))
    if end > 0 and at + 4 <= len(data):
        struct.pack_into("<I", data, at, random.choice(NUMBERS) % (1 << 32))


def packet_header(random: Random, data: bytearray) -> None:
    """Header, adaptation field or time stamp of a packet of a transport stream."""
    if len(data) > 188:
        at = random.randrange(len(data) // 188) * 188
        data[at + random.choice((0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13))] = random.randrange(256)


MP4: tuple[Mutator, ...] = (box_size, box_field, box_field, box_copy)
CONTAINERS: dict[str, tuple[Mutator, ...]] = {
    **dict.fromkeys((".mp4", ".mov", ".m4v"), MP4),
    **dict.fromkeys((".mkv", ".webm"), (element_size,)),
    **dict.fromkeys((".avi", ".webp"), (chunk_size,)),
    **dict.fromkeys((".ts", ".mts"), (packet_header,)),
}


# Models.


def table_offset(random: Random, data: bytearray) -> None:
    """An offset, a length, a vtable or a number of a FlatBuffer: any of its small integers."""
    for _ in range(64):
        at = 4 * random.randrange(len(data) // 4)
        if at + 4 <= len(data) and abs(struct.unpack_from("<i", data, at)[0]) < len(data):
            value = struct.unpack_from("<i", data, at)[0]
            other = value + random.choice((-64, -4, -1, 1, 2, 4, 64, 4096))
            struct.pack_into("<I", data, at, random.choice((other, random.choice(NUMBERS))) % (1 << 32))
            return


def vtable_entry(random: Random, data: bytearray) -> None:
    """A 16-bit number that may be an entry of a vtable."""
    for _ in range(64):
        at = 2 * random.randrange(len(data) // 2)
        if at + 2 <= len(data) and struct.unpack_from("<H", data, at)[0] < 64:
            struct.pack_into("<H", data, at, random.choice((0, 2, 4, 6, 8, 12, 16, 64, 0x7FFF, 0xFFFF)))
            return


FLATBUFFER: tuple[Mutator, ...] = (table_offset, table_offset, vtable_entry)
_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]


def pickle_opcode(random: Random, data: bytearray) -> None:
    """An opcode of the pickle inside a PyTorch file, in place of another or between two."""
    start = max(0, data.find(b"\x80\x02"))
    end = data.find(b"PK\x03\x04", start)
    at = start + random.randrange(max(1, (end if end > 0 else len(data)) - start))
    code = random.choice(_OPCODES)
    data[at : at + random.choice((0, 1))] = code


def pickle_number(random: Random, data: bytearray) -> None:
    """The argument of an opcode for whole numbers."""
    at = _near(random, data, (b"K", b"M", b"J", b"\x8a", b"X", b"q", b"r", b"h"))
    if 0 < at <= len(data) - 8:
        width = random.choice((1, 2, 4))
        struct.pack_into("<" + WIDTHS[width], data, at, random.choice(NUMBERS) % (1 << 8 * width))


def zip_field(random: Random, data: bytearray) -> None:
    """A field of a header of a zip archive: sizes, offsets, methods, flags."""
    at = _near(random, data, (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"))
    at += 2 * random.randrange(20)
    if 4 <= at <= len(data) - 4:
        struct.pack_into(random.choice("<>") + "I", data, at, random.choice(NUMBERS) % (1 << 32))


PICKLE: tuple[Mutator, ...] = (pickle_opcode, pickle_opcode, pickle_number, zip_field)
ZIP: tuple[Mutator, ...] = (zip_field,)


# Text: JSON, YAML, CSV.

_PIECES = (
    "null",
    "NaN",
    "-Infinity",
    "1e999",
    "-0",
    "0x10",
    "1" * 400,
    "9" * 5000,
    "true",
    '""',
    "[]",
    "{}",
    "[[",
    "}",
)
_PIECES += (
    '"\\ud800"',
    '"\\u0000"',
    "\u202e",
    "\x1b[2J",
    "é",
    "\ufeff",
    "[" * 3000,
    '{"a":' * 3000,
    "&a [*a,*a]",
    "*a",
)
_PIECES += (
    "!!python/object/apply:os.system [x]",
    "../../etc/passwd",
    "/dev/zero",
    "file:///etc/passwd",
    "\r",
    '"',
    ",,,",
)
_PIECES += (
    "http://127.0.0.1:1/x",
    "-x",
    "a" * 300,
    ":",
    "#",
    "'",
    "=1+1",
    "\t",
    "%00",
    "0",
    "-1",
    "1e308",
    "0.1",
    "2**9",
)


def put_text(random: Random, data: bytearray) -> None:
    """A word that parsers stumble over, in place of a value or somewhere."""
    piece = random.choice(_PIECES).encode("utf-8", "surrogatepass")
    at = random.randrange(len(data) + 1)
    if random.random() < 0.6:
        ends = [place for place in (data.find(mark, at) for mark in (b",", b"}", b"]", b"\n")) if place > 0]
        begin = max(data.rfind(b":", 0, at), data.rfind(b",", 0, at)) + 1
        data[begin : min(ends, default=at)] = piece
    else:
        data[at:at] = piece


TEXT: tuple[Mutator, ...] = (put_text,)

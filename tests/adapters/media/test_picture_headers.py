"""Sizes of pictures from headers that OpenCV does not write, made by hand from the formats' descriptions."""

from __future__ import annotations

import struct

import pytest

from adapters.media.picture_size import jpeg_size, size_of_picture


def webp(kind: bytes, data: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def three(value: int) -> bytes:
    return value.to_bytes(3, "little")


def tiff(order: str, *entries: tuple[int, int, int, int]) -> bytes:
    """A TIFF of one directory: entries of tag, type, number of values, and a value."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    rows = b""
    for tag, kind, count, value in entries:
        held = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        rows += struct.pack(order + "HHI", tag, kind, count) + held
    return mark + struct.pack(order + "IH", 8, len(entries)) + rows + struct.pack(order + "I", 0)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (300, 70000), (70000, 300)])
def test_an_extended_webp_has_the_size_of_its_canvas(width: int, height: int) -> None:
    data = webp(b"VP8X", b"\x10\0\0\0" + three(width - 1) + three(height - 1))
    assert size_of_picture(data) == (width, height)


def test_a_lossy_webp_has_14_bits_each_and_two_of_scale() -> None:
    def lossy(width: int, height: int) -> bytes:
        return webp(b"VP8 ", b"\x30\x01\0" + b"\x9d\x01\x2a" + struct.pack("<HH", width, height))

    assert size_of_picture(lossy(320, 200)) == (320, 200)
    assert size_of_picture(lossy(0x4000 | 320, 0xC000 | 0x3FFF)) == (320, 0x3FFF)
    assert size_of_picture(lossy(1, 2).replace(b"\x9d\x01\x2a", b"\x9d\x01\x2b")) is None


@pytest.mark.parametrize(("width", "height"), [(1, 1), (0x4000, 2), (3, 0x4000), (1000, 500)])
def test_a_lossless_webp_has_one_less_in_14_bits_each(width: int, height: int) -> None:
    bits = width - 1 | (height - 1) << 14 | 1 << 28
    assert size_of_picture(webp(b"VP8L", b"\x2f" + struct.pack("<I", bits))) == (width, height)
    assert size_of_picture(webp(b"VP8L", b"\x2e" + struct.pack("<I", bits))) is None


def test_other_files_of_riff_are_no_pictures() -> None:
    assert size_of_picture(b"RIFF\x24\0\0\0WAVEfmt " + bytes(24)) is None
    assert size_of_picture(webp(b"ANIM", bytes(20))) is None


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (struct.pack("<IHH", 12, 40, 30), (40, 30)),
        (struct.pack("<Iii", 40, 40, 30), (40, 30)),
        (struct.pack("<Iii", 40, 40, -30), (40, 30)),
    ],
)
def test_a_bmp_of_os2_and_of_windows_in_either_direction(header: bytes, size: tuple[int, int]) -> None:
    assert size_of_picture(b"BM" + bytes(12) + header) == size


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
def test_a_tiff_in_either_order_of_bytes_and_of_tiles(order: str, kind: int) -> None:
    sides = ((256, kind, 1, 500), (257, kind, 1, 400))
    assert size_of_picture(tiff(order, *sides)) == (500, 400)
    assert size_of_picture(tiff(order, *sides, (322, kind, 1, 512), (323, kind, 1, 256))) == (512, 400)
    assert size_of_picture(tiff(order, *sides, (322, kind, 1, 256), (323, kind, 1, 512))) == (500, 512)
    assert size_of_picture(tiff(order, (258, 3, 3, 8), *sides)) == (500, 400), "other entries have several values"


@pytest.mark.parametrize(
    "entries",
    [
        [(256, 3, 1, 5)],
        [(257, 3, 1, 5)],
        [(256, 3, 1, 5), (257, 3, 1, 5), (256, 3, 1, 9)],
        [(256, 3, 2, 5), (257, 3, 1, 5)],
        [(256, 2, 1, 5), (257, 3, 1, 5)],
        [(256, 5, 1, 5), (257, 3, 1, 5)],
    ],
)
def test_a_tiff_without_one_clear_size_has_none(entries: list[tuple[int, int, int, int]]) -> None:
    assert size_of_picture(tiff("<", *entries)) is None


def test_a_jpeg_may_have_bytes_of_fill_and_needs_a_frame() -> None:
    frame = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 48, 64) + bytes(10)
    assert jpeg_size(b"\xff\xd8" + frame) == (64, 48)
    assert jpeg_size(b"\xff\xd8\xff\xff\xff" + frame) == (64, 48)
    assert jpeg_size(b"\xff\xd8\xff\xe0\x00\x04ab" + frame) == (64, 48)
    assert jpeg_size(b"\xff\xd8\xff\xe0\x00\x01" + frame) is None
    assert jpeg_size(b"\xff\xd8\xff\xd9" + frame) is None
    assert jpeg_size(b"\x89PNG") is None

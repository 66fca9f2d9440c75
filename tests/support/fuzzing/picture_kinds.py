"""Damaged pictures: frames of a stream, and prepared frames of a dataset. A header may claim any size."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from fuzzing.case import Kind, Run, outcome, random_of
from fuzzing.mutators import Mutator, mutate

SIDES = (0, 1, 2, 255, 8000, 20_000, 32_767, 65_535, 1 << 20, (1 << 31) - 1)


def jpeg_size(random: Random, data: bytearray) -> None:
    """The size in the frame header; a second header, or markers without a length before it."""
    at = next((place for mark in (b"\xff\xc0", b"\xff\xc2") if (place := data.find(mark)) >= 0), -1)
    if at < 0 or at + 9 > len(data):
        return
    if random.random() < 0.7:
        struct.pack_into(">HH", data, at + 5, *(random.choice(SIDES) % 65_536 for _ in range(2)))
    choice = random.randrange(4)
    if choice == 0:
        data[at:at] = random.choice((b"\xff\x01", b"\xff\xff\xff", b"\xff\xd0", b"\xff\xfe\x00\x02", b"\x00\xff\x00"))
    elif choice == 1:
        header = bytes(data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")])
        data[at:at] = b"\xff\xe5" + struct.pack(">H", len(header) + 2) + header  # in a segment that readers pass over


def png_size(random: Random, data: bytearray) -> None:
    """The size in the header, with its checksum made right."""
    at = data.find(b"IHDR")
    if at >= 0 and at + 21 <= len(data):
        struct.pack_into(">II", data, at + 4, *(random.choice(SIDES) for _ in range(2)))
        struct.pack_into(">I", data, at + 17, zlib.crc32(data[at : at + 17]))


def bmp_size(random: Random, data: bytearray) -> None:
    """The size in the header of a BMP, also negative, or in the first entries of a TIFF."""
    if data[:2] == b"BM" and len(data) > 26:
        struct.pack_into("<ii", data, 18, *(random.choice((-1, 1)) * random.choice(SIDES) for _ in range(2)))


OWN: tuple[Mutator, ...] = (jpeg_size, png_size, bmp_size)


def pictures() -> list[bytes]:
    """A small picture in each format, as OpenCV writes it."""
    import cv2
    import numpy as np

    picture = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    progressive = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    kinds: list[tuple[str, list[int]]] = [(".jpg", []), (".jpg", []), (".jpg", progressive)]
    kinds += [(suffix, []) for suffix in (".png", ".webp", ".bmp", ".tiff")]
    return [cv2.imencode(suffix, picture, options)[1].tobytes() for suffix, options in kinds]


@contextmanager
def picture(folder: Path) -> Iterator[Run]:
    from adapters.media import decode_picture

    sound = pictures()

    def run(seed: int) -> str:
        random = random_of("picture", seed)
        data = mutate(random, random.choice(sound), OWN, sound)
        (folder / "case.bin").write_bytes(data)
        found: list[bool] = []
        result = outcome(lambda: found.append(decode_picture(data) is not None))
        return result if found != [False] else "refused: no picture"

    yield run


KINDS = {"picture": Kind(300, picture)}

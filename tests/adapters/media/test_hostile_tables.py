"""Tables of an MP4 that declare more than they hold, all together or before anybody looks."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from mp4_boxes import box, full_box, mp4, numbers, sample_entry, tables, track

from adapters.errors import MediaError
from adapters.media import probe

FILE_BYTES = 1_600_000
MANY = 900_000_000


def tables_of_the_whole_file(kind: bytes) -> bytes:
    """Small boxes, each of which declares the rest of the file, so that reading all is reading it 100,000 times."""
    entry = 12 if kind in (b"elst", b"stsc") else 4
    count = FILE_BYTES // 16
    boxes = b"".join(full_box(kind, numbers((FILE_BYTES - 16 * place) // entry)) for place in range(count))
    listed = track(1, [*tables(3), boxes])
    if kind == b"elst":
        listed = box(b"trak", box(b"edts", boxes), track(1, tables(3))[8:])
    return mp4(listed)


def items(*boxes: bytes) -> bytes:
    handler = full_box(b"hdlr", numbers(0), b"pict", bytes(12), b"\0")
    return mp4(track(1, tables(3)), after=full_box(b"meta", handler, *boxes))


def lying() -> list[bytes]:
    """A sample table of many samples in few bytes, without what it would have to begin with."""
    return tables(60_000_000)[1:4]


def within(kind: bytes) -> bytes:
    """A second sample table in a box that FFmpeg looks into, also where it does not belong."""
    return mp4(track(1, [*tables(3), box(kind, *lying())]))


def sample_entry_of(*more: bytes) -> bytes:
    whole = sample_entry()
    content = whole[16 + 8 :]  # of the entry, behind the box's header and number and the entry's header
    return full_box(b"stsd", numbers(1), box(b"mp4v", content, *more))


DECLARED = {
    **{f"many {kind.decode()}": tables_of_the_whole_file(kind) for kind in (b"stss", b"elst", b"stsc", b"stco")},
    "groups of samples": mp4(track(1, [*tables(3), box(b"sgpd", numbers(1 << 24), b"sync", numbers(1, MANY))])),
    "items": items(full_box(b"iinf", numbers(MANY), flags=1 << 24)),
    "places of items": items(box(b"iloc", numbers(2 << 24), b"\x44\0", struct.pack(">I", MANY))),
    "names": items(box(b"keys", numbers(0, 120_000_000))),
    **{f"within {kind.decode()}": within(kind) for kind in (b"sinf", b"schi", b"wave", b"ilst", b"ipco")},
    "within a sample entry": mp4(track(1, [sample_entry_of(*lying()), *tables(3)[1:]])),
    "edits": mp4(
        box(b"trak", box(b"edts", full_box(b"elst", numbers(200_000), bytes(2_400_000))), track(1, tables(3))[8:])
    ),
}


@pytest.mark.parametrize("name", DECLARED)
def test_they_are_refused_before_they_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "declared.mp4"
    path.write_bytes(DECLARED[name])
    began = time.process_time()
    with pytest.raises(MediaError, match="damaged"):
        probe(path)
    assert time.process_time() - began < 5

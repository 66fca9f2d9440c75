"""Boxes of an MP4 built here: what each says of a track, and each table that declares more than the file holds."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.media.inspection import inspect_file
from adapters.media.mp4_tables import DeclaredTooMuch, Mp4Tables, Track, read_tables


def box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def u32(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def full(kind: bytes, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, bytes([version]) + flags.to_bytes(3, "big"), *content)


def track(
    *tables: bytes, handler: bytes = b"vide", timescale: int = 600, duration: int = 1200, more: bytes = b""
) -> bytes:
    head = full(b"mdhd", u32(0, 0, timescale, duration), bytes(4))
    said = full(b"hdlr", bytes(4), handler, bytes(12))
    return box(b"trak", more, box(b"mdia", head, said, box(b"minf", box(b"stbl", *tables))))


def movie(*tracks: bytes, timescale: int = 1000, version: int = 0) -> bytes:
    times = struct.pack(">QQIQ", 0, 0, timescale, 0) if version else u32(0, 0, timescale, 0)
    return box(b"moov", full(b"mvhd", times, bytes(80), version=version), *tracks)


def read(*boxes: bytes, most: int | None = None) -> Mp4Tables:
    data = b"".join(boxes)
    return read_tables(io.BytesIO(data), len(data), most)


def only(*tables: bytes, **more: Any) -> Track:
    (found,) = read(movie(track(*tables, **more)), box(b"mdat", bytes(4000))).tracks
    return found


FTYP = box(b"ftyp", b"isom", u32(512), b"isomavc1")


def test_brands_kinds_and_the_time_of_the_movie() -> None:
    found = read(FTYP, movie(), box(b"mdat", b"x"))
    assert (found.brands, found.kinds) == ((b"isom", b"isom", b"avc1"), {b"ftyp", b"moov", b"mdat"})
    assert (found.tracks, found.fragment_samples, found.movie_timescale) == ([], 0, 1000)
    assert read(movie(timescale=90_000, version=1)).movie_timescale == 90_000
    assert read(movie(timescale=0)).movie_timescale == 1
    assert read(FTYP, movie(track()), most=1).kinds == {b"ftyp"}
    assert read(FTYP, movie(track()), most=1).tracks == []


def test_the_head_of_a_track() -> None:
    found = only(handler=b"soun", timescale=44_100, duration=88_200)
    assert (found.handler, found.timescale, found.duration) == (b"soun", 44_100, 88_200)
    long = full(b"mdhd", struct.pack(">QQIQ", 0, 0, 90_000, 2**40), bytes(4), version=1)
    (found,) = read(movie(box(b"trak", box(b"mdia", long)))).tracks
    assert (found.timescale, found.duration, found.handler) == (90_000, 2**40, b"")
    # The second handler, of QuickTime, does not count.
    twice = [full(b"hdlr", bytes(4), kind, bytes(12)) for kind in (b"vide", b"alis")]
    (found,) = read(movie(box(b"trak", box(b"mdia", *twice)))).tracks
    assert found.handler == b"vide"


@pytest.mark.parametrize(
    "table, count",
    [
        (full(b"stsz", u32(0, 3), u32(1, 2, 3)), 3),
        (full(b"stsz", u32(7, 9)), 9),
        (full(b"stz2", bytes([0, 0, 0, 8]), u32(4), b"abcd"), 4),
        (full(b"stz2", bytes([0, 0, 0, 4]), u32(4), b"ab"), 4),
        (full(b"stz2", bytes([0, 0, 0, 16]), u32(2), b"abcd"), 2),
    ],
)
def test_how_many_samples_there_are(table: bytes, count: int) -> None:
    assert only(table).samples == count
    assert only(full(b"stsz", u32(7, 5)), table).samples == max(count, 5)


@pytest.mark.parametrize(
    "table, chunks, first",
    [
        (full(b"stco", u32(2, 1000, 2000)), 2, 1000),
        (full(b"co64", u32(1), struct.pack(">Q", 2**33)), 1, 2**33),
        (full(b"stco", u32(0)), 0, None),
    ],
)
def test_where_the_first_chunk_begins(table: bytes, chunks: int, first: int | None) -> None:
    found = only(table)
    assert (found.chunks, found.first_byte) == (chunks, first)


@pytest.mark.parametrize("flags, external", [((1,), False), ((0,), True), ((0, 0), True), ((0, 1), False), ((), False)])
def test_media_data_in_another_file(flags: tuple[int, ...], external: bool) -> None:
    entries = b"".join(full(b"url ", flags=flag) for flag in flags)
    dref = full(b"dref", u32(len(flags)), entries)
    (found,) = read(movie(box(b"trak", box(b"mdia", box(b"minf", box(b"dinf", dref)))))).tracks
    assert found.external is external


@pytest.mark.parametrize("kind, encrypted", [(b"avc1", False), (b"encv", True), (b"drmi", True)])
def test_encrypted_entries(kind: bytes, encrypted: bool) -> None:
    assert only(full(b"stsd", u32(1), box(kind, bytes(70)))).encrypted is encrypted


@pytest.mark.parametrize("rows, each", [([(9, 1)], True), ([(9, 2)], False), ([(8, 1), (1, 1)], False)])
def test_samples_of_one_tick_each(rows: list[tuple[int, int]], each: bool) -> None:
    assert only(full(b"stts", u32(len(rows)), *(u32(*row) for row in rows))).one_tick_each is each


def test_boxes_of_64_bits_and_boxes_to_the_end() -> None:
    inner = movie(track())
    large = struct.pack(">I4sQ", 1, b"moov", 16 + len(inner) - 8) + inner[8:]
    assert len(read(FTYP, large, box(b"mdat", b"x")).tracks) == 1
    assert read(FTYP, large, box(b"mdat", b"x")).kinds == {b"ftyp", b"moov", b"mdat"}
    to_the_end = b"\0\0\0\0" + inner[4:]
    assert len(read(FTYP, to_the_end).tracks) == 1
    assert read(FTYP, b"\0\0\0\7mdat", movie(track())).tracks == [], "a length shorter than its own head"


def test_empty_boxes_are_passed_over() -> None:
    wide = struct.pack(">I4sQ", 1, b"skip", 16)
    found = read(FTYP, box(b"free"), wide, movie(track()))
    assert found.kinds == {b"ftyp", b"free", b"skip", b"moov"}
    assert len(found.tracks) == 1
    assert read(FTYP, struct.pack(">I4sQ", 1, b"skip", 15), movie(track())).tracks == []


def test_fragments_are_counted() -> None:
    run = full(b"trun", u32(3), u32(1, 2, 3), flags=0x200)
    assert read(movie(track()), box(b"moof", box(b"traf", run, run))).fragment_samples == 6
    assert read(movie(track()), box(b"moof", box(b"traf", full(b"trun", u32(3))))).fragment_samples == 3


def test_a_header_that_is_compressed(tmp_path: Path) -> None:
    def of(*boxes: bytes) -> Mp4Tables:
        path = tmp_path / "a.mov"
        path.write_bytes(b"".join(boxes))
        with path.open("rb") as file:
            return read_tables(file, path.stat().st_size)

    inner = movie(track(full(b"stsz", u32(7, 9))))
    packed = box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", u32(len(inner)), zlib.compress(inner)))
    (found,) = of(box(b"moov", packed)).tracks
    assert found.samples == 9
    twice = movie(box(b"trak", packed))
    again = box(b"cmov", box(b"cmvd", u32(len(twice)), zlib.compress(twice)))
    assert [item.samples for item in of(box(b"moov", again)).tracks] == [0], "one within another is read by nobody"
    assert [item.samples for item in of(box(b"moov", packed), movie(track(full(b"stsz", u32(7, 5))))).tracks] == [9, 5]
    damaged = box(b"cmov", box(b"cmvd", u32(len(inner)), b"no zlib data"))
    assert of(box(b"moov", damaged)).tracks == []


def inside(*tables: bytes) -> tuple[bytes, ...]:
    return FTYP, movie(track(*tables))


MANY = 2**31
TOO_MUCH = {
    "samples of sizes of their own": (inside(full(b"stsz", u32(0, 10_000_000))), "box stsz declares 10000000"),
    "samples of one size": (inside(full(b"stsz", u32(1, 10_000_000))), "declare 10000000 samples"),
    "compact sizes": (inside(full(b"stz2", bytes([0, 0, 0, 8]), u32(MANY))), "box stz2"),
    "times": (inside(full(b"stts", u32(MANY))), "box stts"),
    "offsets": (inside(full(b"ctts", u32(MANY))), "box ctts"),
    "chunks": (inside(full(b"stco", u32(MANY))), "box stco"),
    "large chunks": (inside(full(b"co64", u32(MANY))), "box co64"),
    "chunk samples": (inside(full(b"stsc", u32(MANY))), "box stsc|a table declares"),
    "keys": (inside(full(b"stss", u32(MANY))), "box stss|a table declares"),
    "edits": ((FTYP, movie(track(more=box(b"edts", full(b"elst", u32(MANY)))))), "box elst"),
    "a fragment": ((movie(), box(b"moof", box(b"traf", full(b"trun", u32(MANY), flags=0x100)))), "box trun"),
    "a fragment without tables": ((movie(), box(b"moof", box(b"traf", full(b"trun", u32(MANY))))), "samples or more"),
    "groups": (inside(full(b"sgpd", b"roll", u32(4, MANY), version=1)), "box sgpd"),
    "tracks": ((movie(*[box(b"trak")] * 1001),), "more than 1000 tracks"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_a_file_cannot_hold_is_refused_and_named(name: str) -> None:
    boxes, words = TOO_MUCH[name]
    with pytest.raises(DeclaredTooMuch, match=words):
        read(*boxes)
    found = inspect_file(io.BytesIO(b"".join(boxes)), sum(map(len, boxes)))
    assert str(found.refusal).startswith("damaged: ")


def test_boxes_may_be_nested_twelve_deep() -> None:
    def nested(depth: int) -> bytes:
        data = box(b"free")
        for _ in range(depth):
            data = box(b"udta", data)
        return box(b"moov", data)

    read(nested(11))
    with pytest.raises(DeclaredTooMuch, match="nested deeper than 12"):
        read(nested(12))


# FFmpeg's index


def test_an_index_has_an_entry_for_each_sample() -> None:
    assert Track(samples=50).index_entries(1000) == 50
    assert Track(samples=50, edits=[1000], timescale=600, duration=600).index_entries(1000) == 50


def test_edits_add_what_they_show_and_a_group_each() -> None:
    keys = np.array([[1], [11], [31]])
    several = Track(samples=50, edits=[500, 250], timescale=600, duration=600, keys=keys)
    # Three quarters of the media are shown again, and before each edit at most the longest group, of 20.
    assert several.index_entries(1000) == 50 + 37 + 2 * 20
    no_keys = Track(samples=50, edits=[500, 250], timescale=600, duration=600)
    assert no_keys.index_entries(1000) == 50 + 37 + 2 * 1
    whole = Track(samples=50, edits=[9000, 9000], timescale=600, duration=600)
    assert whole.index_entries(1000) == 50 + 2 * 50 + 2 * 1


def test_uncompressed_sound_is_read_by_parts_of_a_chunk() -> None:
    rows = np.array([[1, 3000, 1], [3, 100, 1]])
    sound = Track(b"soun", samples=9000, one_tick_each=True, chunks=4, chunk_samples=rows)
    assert sound.index_entries(1000) == 2 * 3 + 2 * 1
    assert Track(b"vide", samples=9, one_tick_each=True, chunks=4, chunk_samples=rows).index_entries(1000) == 9


# What a file is instead


@pytest.mark.parametrize(
    "boxes, words",
    [
        ((box(b"ftyp", b"avif", u32(0)), full(b"meta")), "a picture (AVIF)"),
        ((box(b"ftyp", b"isom", u32(0), b"heic"), full(b"meta")), "a picture (HEIC)"),
        ((FTYP, full(b"meta")), None),
        ((FTYP, movie(track(full(b"stsz", u32(1, 3))))), "an index but no media data"),
        ((FTYP, movie(track(full(b"stsz", u32(1, 3)))), box(b"mdat", b"xxx")), None),
        ((FTYP, movie(track(full(b"stsz", u32(1, 3)))), box(b"moof")), None),
        ((FTYP, movie(track(full(b"stco", u32(1, 900_000)))), box(b"mdat", b"x")), "an index but no media data"),
        ((FTYP, movie(track(full(b"stco", u32(1, 90)))), box(b"mdat", b"x")), None),
        ((FTYP, movie(track(handler=b"soun"))), None),
        ((box(b"moov", box(b"rmra")),), "media data are in another file"),
    ],
)
def test_why_a_file_shows_nothing(boxes: tuple[bytes, ...], words: str | None) -> None:
    data = b"".join(boxes)
    found = inspect_file(io.BytesIO(data), len(data))
    assert (words in str(found.refusal)) if words else found.refusal is None
    assert found.track(99) == Track()

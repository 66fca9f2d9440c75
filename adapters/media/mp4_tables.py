"""The boxes of an MP4 or MOV (ISO/IEC 14496-12), read before FFmpeg allocates what they declare.

FFmpeg builds an index entry for each sample that a file declares, and a few bytes can declare billions. A file holds
some bytes for each of its samples, so what is declared is compared with its size.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

Table: TypeAlias = npt.NDArray[np.int64]  # [rows, columns]

# A file may declare _FREE_SAMPLES samples, plus one per _BYTES_PER_SAMPLE bytes of its size. The smallest recordings
# (still screens in H.264) take about 30 bytes per sample, tables included.
_FREE_SAMPLES = 500_000
_BYTES_PER_SAMPLE = 16
_MOST_TRACKS = 1000  # FFmpeg's own limit
_MOST_UNPACKED_HEADER = 64 << 20
_MOST_BOXES = 1_000_000
_READ_AHEAD = 4096
_MOST_NESTED = 12  # FFmpeg refuses what is nested deeper than 10
_CONTAINERS = {
    b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"moof", b"traf", b"mvex", b"udta", b"tref",
    b"sinf", b"schi", b"wave", b"ilst", b"iprp", b"ipco",
}  # fmt: skip
# Minimum bytes per entry of sample groups, items (ISO/IEC 14496-12, 8.9.3, 8.11.6, 8.11.3) and metadata names
# (QuickTime): FFmpeg allocates memory for the declared number before it checks that the entries exist.
_LEAST_ITEM_BYTES = {b"sgpd": 1, b"iinf": 8, b"iloc": 4, b"keys": 8}
_MOST_EDITS = 100_000
# Each of the last samples may have a delay of its own: no frame is decoded longer before it is shown.
_LAST_DELAYS = 17
_MOST_ENTRY_BYTES = 1 << 20  # read at most of a sample description (stsd), which usually has a few hundred bytes
_TABLE_NAMES = re.compile(rb"stts|ctts|stsc|stco|co64|stss|stps|stsz|stz2|elst|trun|sgpd|iinf|iloc|keys")
# All tables together may declare this multiple of the file's size: damage can make one table overlap the next.
_MOST_TABLE_SHARE, _FREE_TABLE_BYTES = 3, 1 << 20
_ENTRY_BYTES = {b"stts": 8, b"ctts": 8, b"stsc": 12, b"stco": 4, b"co64": 8, b"stss": 4, b"stps": 4}
_ENCRYPTED = (b"encv", b"drmi")  # sample entries of protected video: ISO/IEC 14496-12 and FairPlay


class DeclaredTooMuch(Exception):
    """The boxes declare more than a file of this size can hold; the text says what."""


@dataclass
class Track:
    """What the boxes of one track say.

    Attributes:
        handler: Its kind of media, such as ``vide``.
        samples: How many it declares, without those of fragments.
        encrypted: Whether its samples are.
        external: Whether its media data are said to be in another file.
        timescale: Ticks per second of the media's time.
        duration: In these ticks.
        has_edits: Whether it has a list of edits that is not empty.
        edits: How long each edit that shows something lasts, in ticks of the movie's time.
        edit_starts: Where in the media, in its ticks, each of these edits begins.
        hides_all: Whether it has samples and its edits show none of them.
        keys: The numbers of the key samples; None: all.
        chunks: How many chunks of samples there are.
        first_byte: Where in the file the first of them begins; None: there is none.
        chunk_samples: From which chunk on, how many samples each chunk holds.
        one_tick_each: Whether each sample lasts a tick, as those of uncompressed sound do.
        last_delays: From decoding to presentation, in these ticks, of the last samples by runs; empty: none differ.
        no_tick_each: Whether there are several samples and each lasts 0 ticks.
    """

    handler: bytes = b""
    samples: int = 0
    encrypted: bool = False
    external: bool = False
    timescale: int = 0
    duration: int = 0
    edits: list[int] = field(default_factory=list)
    edit_starts: list[int] = field(default_factory=list)
    has_edits: bool = False
    hides_all: bool = False
    keys: Table | None = None
    chunks: int = 0
    first_byte: int | None = None
    chunk_samples: Table | None = None
    one_tick_each: bool = False
    no_tick_each: bool = False
    last_delays: tuple[int, ...] = ()

    def index_entries(self, movie_timescale: int) -> int:
        """How many entries FFmpeg's index of it gets.

        Args:
            movie_timescale: Ticks per second of the movie's time.
        """
        entries = self.samples
        if self.one_tick_each and self.handler == b"soun" and self.chunk_samples is not None:
            # FFmpeg reads uncompressed sound in pieces of up to 1024 samples of a chunk.
            rows = self.chunk_samples[: self.chunks]
            spans = np.diff(np.minimum(np.append(rows[:, 0], self.chunks + 1), self.chunks + 1)).clip(0)
            return int((spans * (rows[:, 1] // 1024 + 1)).sum())
        if len(self.edits) > 1:
            # Each edit adds the samples that it shows, and those from the key frame before.
            shown = sum(self.edits) * self.timescale / movie_timescale / max(self.duration, 1)
            keys = np.arange(0) if self.keys is None else self.keys[:, 0]
            group = int(np.diff(keys, append=self.samples + 1).clip(1).max(initial=1)) if len(keys) else 1
            entries += int(self.samples * min(shown, len(self.edits))) + len(self.edits) * min(group, self.samples)
        return entries


@dataclass
class Mp4Tables:
    """What the boxes of a file say.

    Attributes:
        brands: Of ``ftyp``, the major one first.
        tracks: In their order, which is that of FFmpeg's streams.
        kinds: The boxes at the top of the file that were seen, and ``rmra``, which refers to other files.
        fragment_samples: How many samples the fragments declare.
    """

    brands: tuple[bytes, ...] = ()
    tracks: list[Track] = field(default_factory=list)
    kinds: set[bytes] = field(default_factory=set)
    fragment_samples: int = 0
    movie_timescale: int = 1


def read_tables(file: BinaryIO, size: int, most_top_boxes: int | None = None) -> Mp4Tables:
    """Walk over the boxes of a file. A file of another kind has none, or a few by chance.

    Args:
        file: The file; its position changes.
        size: Its size in bytes.
        most_top_boxes: After this many boxes at the top of the file the walk ends; None: at the file's end.

    Raises:
        DeclaredTooMuch: The tables declare more than the file can hold.
    """
    walk = _Walk(file, size)
    for number, (kind, start, end) in enumerate(_boxes(file, 0, size)):
        if number == most_top_boxes:
            break
        walk.tables.kinds.add(kind)
        walk.visit(kind, start, end)
    return walk.tables


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, and beginning and end of the content, of the boxes in a range. Ends where no box begins."""
    data, base = b"", start
    while start + 8 <= end:
        if not 0 <= start - base <= len(data) - 16:
            file.seek(start)
            data, base = file.read(_READ_AHEAD), start
        head = data[start - base : start - base + 16]
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head[:8])
        header = 8
        if length == 1 and len(head) == 16:
            length, header = struct.unpack(">Q", head[8:])[0], 16
        elif length == 0:
            length = end - start
        if length < header:
            return
        yield kind, start + header, min(start + length, end)
        start += length


class _Walk:
    """A walk over the boxes of one file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.tables = file, size, Mp4Tables()
        self._most_samples = _FREE_SAMPLES + size // _BYTES_PER_SAMPLE
        self._samples = self._visited = self._table_bytes = 0
        self._most_table_bytes = _MOST_TABLE_SHARE * size + _FREE_TABLE_BYTES

    def visit(self, kind: bytes, start: int, end: int, depth: int = 0) -> None:
        self._visited += 1
        if self._visited > _MOST_BOXES or depth > _MOST_NESTED:
            raise DeclaredTooMuch(
                f"it has more than {_MOST_BOXES} boxes, or they are nested deeper than {_MOST_NESTED}"
            )
        if kind == b"trak":
            if len(self.tables.tracks) >= _MOST_TRACKS:
                raise DeclaredTooMuch(f"it declares more than {_MOST_TRACKS} tracks")
            self.tables.tracks.append(Track())
        if kind in _CONTAINERS:
            for inner, first, last in _boxes(self.file, start, end):
                self.visit(inner, first, last, depth + 1)
            if kind == b"trak":
                self._declare(self._track.index_entries(self.tables.movie_timescale))
                # What remains is kept as long as the file may be opened again.
                self._end_track(self._track)
            return
        if kind == b"rmra":
            self.tables.kinds.add(kind)
        if kind == b"meta":
            self._visit_meta(start, end, depth)
        if kind in _ENTRY_BYTES:
            self._require_bytes(self._entries(start), _ENTRY_BYTES[kind], start, kind)
        if kind in _READ:
            _READ[kind](self, start, end)

    def _end_track(self, track: Track) -> None:
        """Look at what all of its boxes say together, and forget what is large."""
        shown = (
            length and (start < track.duration or not track.duration)
            for length, start in zip(track.edits, track.edit_starts, strict=True)
        )
        track.hides_all = track.has_edits and track.samples > 0 and not any(shown)
        track.keys, track.chunk_samples, track.edits, track.edit_starts = None, None, [], []

    # -- what is read ------------------------------------------------------------------------------------------------

    def _bytes(self, at: int, count: int) -> bytes:
        self.file.seek(at)
        data = self.file.read(count)
        return data + bytes(count - len(data))

    def _number(self, at: int, length: int = 4) -> int:
        return int.from_bytes(self._bytes(at, length))

    def _entries(self, start: int) -> int:
        return self._number(start + 4)

    def _table(self, start: int, columns: int) -> Table:
        entries = self._entries(start)
        if entries > self._most_samples:
            raise DeclaredTooMuch(f"a table declares {entries} entries; a file of this size can hold fewer")
        data = self._bytes(start + 8, entries * columns * 4)
        return np.frombuffer(data, ">u4").reshape(-1, columns).astype(np.int64)

    def _require_bytes(self, entries: int, bytes_per_entry: float, start: int, kind: bytes) -> None:
        needed = entries * bytes_per_entry
        if needed > max(self.size - start, 0) + 1:
            raise DeclaredTooMuch(
                f"its box {kind.decode('latin-1')} declares {entries} entries, but the file ends early"
            )
        # FFmpeg reads on behind the end of a box: of many small ones each may declare the whole file.
        self._table_bytes += int(needed)
        if self._table_bytes > self._most_table_bytes:
            raise DeclaredTooMuch(f"its tables declare {self._table_bytes} bytes, but the file has {self.size}")

    def _declare(self, samples: int) -> None:
        self._samples += samples
        if self._samples > self._most_samples:
            raise DeclaredTooMuch(
                f"its tables declare {self._samples} samples or more, but a file of {self.size} bytes holds far fewer"
            )

    @property
    def _track(self) -> Track:
        return self.tables.tracks[-1] if self.tables.tracks else Track()

    def _read_ftyp(self, start: int, end: int) -> None:
        data = self._bytes(start, min(end - start, 256))
        self.tables.brands = (data[:4], *(data[at : at + 4] for at in range(8, len(data) - 3, 4)))

    def _read_cmov(self, start: int, end: int) -> None:
        """The whole header, compressed (QuickTime File Format, "Compressed movie resources")."""
        for kind, first, last in _boxes(self.file, start, end):
            if kind != b"cmvd" or isinstance(
                self.file, io.BytesIO
            ):  # no program reads a compressed header inside another one
                continue
            unpacker = zlib.decompressobj()
            try:
                data = unpacker.decompress(self._bytes(first + 4, last - first - 4), _MOST_UNPACKED_HEADER)
            except zlib.error:
                return  # FFmpeg reports the damaged header itself
            if unpacker.unconsumed_tail:
                raise DeclaredTooMuch(f"its compressed header is larger than {_MOST_UNPACKED_HEADER} bytes")
            self._most_table_bytes += _MOST_TABLE_SHARE * len(data)
            outer, self.file = self.file, io.BytesIO(data)
            outer_size, self.size = self.size, len(data)
            for inner, begin, finish in _boxes(self.file, 0, len(data)):
                self.visit(inner, begin, finish, 1)
            self.file, self.size = outer, outer_size

    def _read_mvhd(self, start: int, end: int) -> None:
        self.tables.movie_timescale = self._number(start + (20 if self._number(start, 1) else 12)) or 1

    def _read_mdhd(self, start: int, end: int) -> None:
        long = bool(self._number(start, 1))
        self._track.timescale = self._number(start + (20 if long else 12))
        self._track.duration = self._number(start + (24 if long else 16), 8 if long else 4)

    def _visit_meta(self, start: int, end: int, depth: int) -> None:
        """Visit the tables of items in it, from its handler on: FFmpeg looks for that in the same way."""
        at = -1
        for count in (_READ_AHEAD, end - start):
            data = self._bytes(start, min(count, end - start))
            at = data.find(b"hdlr")
            while at >= 0 and at % 4:
                at = data.find(b"hdlr", at + 1)
            if at >= 4:
                break
        for inner, first, last in _boxes(self.file, start + at - 4, end) if at >= 4 else ():
            if inner != b"hdlr":  # here it describes metadata, not a track
                self.visit(inner, first, last, depth + 1)

    def _read_sgpd(self, start: int, end: int) -> None:
        version = self._number(start, 1)
        self._read_items(start + 8 + 4 * min(version, 2), 4, start, b"sgpd")

    def _read_iinf(self, start: int, end: int) -> None:
        self._read_items(start + 4, 4 if self._number(start, 1) else 2, start, b"iinf")

    def _read_iloc(self, start: int, end: int) -> None:
        self._read_items(start + 6, 4 if self._number(start, 1) >= 2 else 2, start, b"iloc")

    def _read_keys(self, start: int, end: int) -> None:
        self._read_items(start + 4, 4, start, b"keys")

    def _read_items(self, at: int, width: int, start: int, kind: bytes) -> None:
        self._require_bytes(self._number(at, width), _LEAST_ITEM_BYTES[kind], start, kind)

    def _read_hdlr(self, start: int, end: int) -> None:
        # QuickTime has a second hdlr, in minf, for the data handler: keep the first.
        self._track.handler = self._track.handler or self._bytes(start + 8, 4)

    def _read_dref(self, start: int, end: int) -> None:
        flags = [self._number(first, 4) & 1 for _, first, _ in _boxes(self.file, start + 8, end)]
        self._track.external = bool(flags) and not any(flags)

    def _read_stsd(self, start: int, end: int) -> None:
        kind = next((kind for kind, _, _ in _boxes(self.file, start + 8, end)), b"")
        self._track.encrypted = kind in _ENCRYPTED
        # FFmpeg reads any boxes after the fixed part of an entry, whose length depends on its kind: search for tables.
        data = self._bytes(start, min(end - start, _MOST_ENTRY_BYTES))
        for found in _TABLE_NAMES.finditer(data):
            self.visit(found[0], start + found.end(), end, _MOST_NESTED)

    def _read_stsz(self, start: int, end: int) -> None:
        constant, count = self._number(start + 4), self._number(start + 8)
        if not constant:
            self._require_bytes(count, 4, start, b"stsz")
        self._track.samples = max(self._track.samples, count)

    def _read_stz2(self, start: int, end: int) -> None:
        bits, count = self._number(start + 7, 1), self._number(start + 8)
        self._require_bytes(count, bits / 8, start, b"stz2")
        self._track.samples = max(self._track.samples, count)

    def _read_stss(self, start: int, end: int) -> None:
        self._track.keys = self._table(start, 1)

    def _read_stco(self, start: int, end: int) -> None:
        self._read_chunks(start, 4)

    def _read_co64(self, start: int, end: int) -> None:
        self._read_chunks(start, 8)

    def _read_chunks(self, start: int, width: int) -> None:
        self._track.chunks = self._entries(start)
        self._track.first_byte = self._number(start + 8, width) if self._track.chunks else None

    def _read_stsc(self, start: int, end: int) -> None:
        self._track.chunk_samples = self._table(start, 3)

    def _read_stts(self, start: int, end: int) -> None:
        self._track.one_tick_each = self._entries(start) == 1 and self._number(start + 12) == 1
        if (
            self._entries(start) and self._number(start + 12) == 0
        ):  # read the whole table only if its first duration is 0
            rows = self._table(start, 2)
            self._track.no_tick_each = rows[:, 0].sum() > 1 and not rows[:, 1].any()

    def _read_ctts(self, start: int, end: int) -> None:
        entries = self._entries(start)
        count = min(entries, _LAST_DELAYS)
        rows = np.frombuffer(self._bytes(start + 8 + 8 * (entries - count), 8 * count), ">i4").reshape(-1, 2)
        self._track.last_delays = tuple(rows[:, 1].tolist())

    def _read_elst(self, start: int, end: int) -> None:
        long = bool(self._number(start, 1))
        entries, size = self._entries(start), 20 if long else 12
        self._require_bytes(entries, size, start, b"elst")
        if len(self._track.edits) + entries > _MOST_EDITS:
            raise DeclaredTooMuch(f"a track has more than {_MOST_EDITS} edits")
        data, width = self._bytes(start + 8, entries * size), 8 if long else 4
        self._track.has_edits = self._track.has_edits or entries > 0
        for at in range(0, len(data), size):
            if data[at + width : at + 2 * width] != b"\xff" * width:  # a media time of -1 is an empty edit
                self._track.edits.append(int.from_bytes(data[at : at + width]))
                self._track.edit_starts.append(int.from_bytes(data[at + width : at + 2 * width]))

    def _read_trun(self, start: int, end: int) -> None:
        flags, count = self._number(start) & 0xFFFFFF, self._entries(start)
        self._require_bytes(count, 4 * (flags >> 8 & 0xF).bit_count(), start, b"trun")
        self.tables.fragment_samples += count
        self._declare(count)


_READ: dict[bytes, Callable[[_Walk, int, int], None]] = {
    b"ftyp": _Walk._read_ftyp,
    b"cmov": _Walk._read_cmov,
    b"mvhd": _Walk._read_mvhd,
    b"mdhd": _Walk._read_mdhd,
    b"hdlr": _Walk._read_hdlr,
    b"dref": _Walk._read_dref,
    b"stsd": _Walk._read_stsd,
    b"stsz": _Walk._read_stsz,
    b"stz2": _Walk._read_stz2,
    b"stss": _Walk._read_stss,
    b"stco": _Walk._read_stco,
    b"co64": _Walk._read_co64,
    b"stsc": _Walk._read_stsc,
    b"stts": _Walk._read_stts,
    b"ctts": _Walk._read_ctts,
    b"elst": _Walk._read_elst,
    b"trun": _Walk._read_trun,
    b"sgpd": _Walk._read_sgpd,
    b"iinf": _Walk._read_iinf,
    b"iloc": _Walk._read_iloc,
    b"keys": _Walk._read_keys,
}

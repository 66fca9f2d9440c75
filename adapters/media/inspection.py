"""A look at a file before FFmpeg opens it: what it is not, what its tables cost, and by which demuxer it is read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from adapters.media.mp4_tables import DeclaredTooMuch, Mp4Tables, Track, read_tables
from adapters.media.recognition import HEAD_BYTES, has_video_behind, is_jpeg, is_jpeg_stream, refused_as

_PICTURE_BRANDS = {
    b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC",
    b"heim": "HEIC", b"heis": "HEIC", b"mif1": "HEIF", b"mif2": "HEIF", b"msf1": "HEIF", b"jxl ": "JPEG XL",
    b"crx ": "Canon raw",
}  # fmt: skip


@dataclass(frozen=True)
class Inspection:
    """What was seen of a file.

    Attributes:
        refusal: What it is instead of a video, or what is wrong with it, and what to do; None: it may be read.
        format: The demuxer to read it by; None: the one that FFmpeg chooses.
        tables: Its boxes, of an MP4 or MOV.
    """

    refusal: str | None = None
    format: str | None = None
    tables: Mp4Tables = field(default_factory=Mp4Tables)

    @property
    def picture(self) -> str | None:
        """The kind of picture that the file is by its brand, whether or not it has tracks; None: none."""
        return next((_PICTURE_BRANDS[brand] for brand in self.tables.brands if brand in _PICTURE_BRANDS), None)

    def track(self, index: int) -> Track:
        """The track of a stream, empty where it has none.

        Args:
            index: The index of FFmpeg's stream.
        """
        return self.tables.tracks[index] if index < len(self.tables.tracks) else Track()


def inspect_path(path: str | Path) -> Inspection:
    """Look at a local file.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    status = os.stat(path)
    return _inspect_path(os.fspath(path), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=64)
def _inspect_path(path: str, size: int, mtime_ns: int, inode: int) -> Inspection:
    with open(path, "rb") as file:
        return inspect_file(file, size)


def inspect_file(file: BinaryIO, size: int, most_top_boxes: int | None = None) -> Inspection:
    """Look at an open file.

    Args:
        file: The file, at its beginning; its position changes.
        size: Its size in bytes.
        most_top_boxes: How many boxes at the top of an MP4 are looked at; None: all.
    """
    head = file.read(HEAD_BYTES)
    if is_jpeg(head):
        file.seek(0)
        if is_jpeg_stream(file):
            return Inspection(format="mjpeg")
        file.seek(0)
        if has_video_behind(file):
            return Inspection(
                "a motion photo, a picture (JPEG) with a short video behind it. Export the video first, in the gallery "
                "of the phone"
            )
        return Inspection("a picture (JPEG), not a video. Give a video file or an animated GIF")
    if (refusal := refused_as(head)) is not None:
        return Inspection(refusal)
    try:
        tables = read_tables(file, size, most_top_boxes)
    except DeclaredTooMuch as error:
        return Inspection(f"damaged: {error}. Copy it again, or convert the original again")
    return Inspection(_why_no_footage(tables, size), None, tables)


def _why_no_footage(tables: Mp4Tables, size: int) -> str | None:
    """Why an MP4 shows nothing although its header may be whole."""
    found = Inspection(tables=tables)
    if b"moov" not in tables.kinds:
        if found.picture and tables.kinds & {b"meta"}:
            return f"a picture ({found.picture}), not a video. Give a video file or an animated GIF"
        return None
    videos = [track for track in tables.tracks if track.handler == b"vide"]
    if (videos and all(track.external for track in videos)) or (not tables.tracks and b"rmra" in tables.kinds):
        return "a MOV whose media data are in another file. Export it as a self-contained file"
    starts = [track.first_byte for track in videos]
    empty = bool(starts) and all(start is not None and start >= size for start in starts)
    if empty or (videos and any(track.samples for track in videos) and not tables.kinds & {b"mdat", b"moof"}):
        return "an MP4 or MOV that has an index but no media data: it is cut short. Copy it again"
    return None

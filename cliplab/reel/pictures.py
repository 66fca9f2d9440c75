"""The pictures of a reel in order: each cut at the reel's size and rate, letterboxed, crossfaded where two overlap."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence

import av
import numpy as np

from adapters.errors import MediaError
from adapters.inference import read_ahead
from adapters.media import open_video
from adapters.records import UInt8Array
from cliplab.library import openable
from cliplab.reel.plan import Format, Place
from cliplab.reel.sources import Cut

# A source may end this much before its window does, as containers round; its last picture stands in.
_SHORT_SECONDS = 0.25
_AHEAD = 8
_BLACK = 16, 128  # luma and chroma of black in limited range: ITU-R BT.709-6, 4.6


class SourceFailed(Exception):
    """A cut that could not be rendered, and why; the reel is made again without it."""

    def __init__(self, cut: Cut, reason: str) -> None:
        super().__init__(reason)
        self.cut, self.reason = cut, reason


def reel_pictures(places: Sequence[Place], form: Format) -> Generator[UInt8Array, None, None]:
    """All pictures of the reel, uint8 [H * 3 / 2, W]: luma, then Cb and Cr at half the size, BT.709 in limited range.

    Of a crossfade only the outgoing pictures are held. It is the same as one in RGB, which follows by a matrix.
    Raises SourceFailed for a cut that is missing or damaged.
    """
    import cv2

    tail: list[UInt8Array] = []
    for index, place in enumerate(places):
        following = places[index + 1].overlap if index + 1 < len(places) else 0
        held: list[UInt8Array] = []
        for number, picture in enumerate(_pictures(place, form)):
            if number < place.overlap:
                weight = (number + 1) / (place.overlap + 1)
                picture = np.asarray(cv2.addWeighted(picture, weight, tail[number], 1 - weight, 0), dtype=np.uint8)
            if number < place.frames - following:
                yield picture
            else:
                held.append(picture)
        tail = held


def _pictures(place: Place, form: Format) -> Iterator[UInt8Array]:
    """Exactly so many pictures of a cut at the reel's rate, letterboxed.

    Of each of the reel's intervals the picture is shown that the source shows in its middle: so no picture is more than
    half an interval early or late, and at the source's own rate rounded timestamps make none come twice.
    """
    cut, count = place.cut, 0
    last: UInt8Array | None = None
    try:
        with open_video(openable(cut.path)) as video:
            start = cut.start + 0.5 / float(form.fps)
            width, height = _fitted(cut, form)
            frames = video.frames(
                height=height, width=width, aspect="stretch", fps=float(form.fps), start_seconds=start, layout="yuv420p"
            )
            before: tuple[str, ...] = ()
            for _, (_, picture) in zip(range(place.frames), frames, strict=False):
                before = video.warnings if last is None else before
                last = _boxed(picture, form)
                count += 1
                yield last
            damage = video.warnings
            if damage != before:
                raise SourceFailed(cut, f"{cut.path}: is damaged in its best window: {damage[0]}")
    except (MediaError, av.FFmpegError, OSError) as error:
        raise SourceFailed(cut, str(error)) from error
    missing = place.frames - count
    if last is None or missing > _SHORT_SECONDS * form.fps + 1:
        raise SourceFailed(cut, f"{cut.path}: ends {missing / float(form.fps):.2f} s before its best window does")
    for _ in range(missing):
        yield last


def _fitted(cut: Cut, form: Format) -> tuple[int, int]:
    """Width and height, both even, of a cut that fits in the reel's frame."""
    scale = min(form.width / cut.width, form.height / cut.height)
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (cut.width, cut.height))
    return min(width, form.width), min(height, form.height)


def _boxed(picture: UInt8Array, form: Format) -> UInt8Array:
    """A picture that is at most as large as the reel, in the middle of black."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    if (height, width) == (form.height, form.width):
        return picture
    canvas = np.full((form.height * 3 // 2, form.width), _BLACK[1], np.uint8)
    canvas[: form.height] = _BLACK[0]
    # Chroma stands at every second pixel, so a picture begins at an even one.
    top, left = (form.height - height) // 4 * 2, (form.width - width) // 4 * 2
    canvas[top : top + height, left : left + width] = picture[:height]
    chroma = canvas[form.height :].reshape(2, form.height // 2, form.width // 2)
    chroma[:, top // 2 : (top + height) // 2, left // 2 : (left + width) // 2] = picture[height:].reshape(
        2, height // 2, width // 2
    )
    return canvas


def ahead(places: Sequence[Place], form: Format) -> Generator[UInt8Array, None, None]:
    """The pictures of the reel, decoded in another thread, a few ahead of the caller; close it to end that thread."""
    decoded = read_ahead(
        [places], lambda places: reel_pictures(places, form), threads=1, limit=_AHEAD, name="reel-decode"
    )
    with contextlib.closing(decoded):
        for _, picture in decoded:
            if picture is not None:
                yield picture

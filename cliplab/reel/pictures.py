"""The pictures of a reel in order: each clip at the reel's size and rate, letterboxed, crossfaded where two overlap."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence

import numpy as np

from adapters.errors import describe_failure
from adapters.inference import read_ahead
from adapters.media import open_video
from adapters.records import UInt8Array
from cliplab.library import openable
from cliplab.reel.plan import PlacedClip, ReelFormat
from cliplab.reel.sources import SourceClip

# A source may end this much before its window does, as containers round; its last picture is repeated.
_SHORT_SECONDS = 0.25
_AHEAD = 8
_BLACK = 16, 128  # luma and chroma of black in limited range: ITU-R BT.709-6, 4.6


class SourceFailed(Exception):
    """A clip that could not be rendered, and why; the reel is made again without it."""

    def __init__(self, clip: SourceClip, reason: str) -> None:
        super().__init__(reason)
        self.clip, self.reason = clip, reason


def reel_pictures(timeline: Sequence[PlacedClip], reel_format: ReelFormat) -> Generator[UInt8Array, None, None]:
    """All pictures of the reel, decoded as they are pulled.

    A crossfade in YUV equals one in RGB, as the two differ by a matrix. Only its outgoing pictures are held in memory.

    Args:
        timeline: The clips in the order of the reel.
        reel_format: Size and rate of the reel.

    Yields:
        uint8 [H * 3 / 2, W]: luma, then Cb and Cr at half the size, BT.709 in limited range.

    Raises:
        SourceFailed: A source is missing or damaged.
    """
    import cv2

    tail: list[UInt8Array] = []
    for index, placed in enumerate(timeline):
        following = timeline[index + 1].overlap if index + 1 < len(timeline) else 0
        held: list[UInt8Array] = []
        for number, picture in enumerate(_pictures(placed, reel_format)):
            if number < placed.overlap:
                weight = (number + 1) / (placed.overlap + 1)
                picture = np.asarray(cv2.addWeighted(picture, weight, tail[number], 1 - weight, 0), dtype=np.uint8)
            if number < placed.frames - following:
                yield picture
            else:
                held.append(picture)
        tail = held


def _pictures(placed: PlacedClip, reel_format: ReelFormat) -> Iterator[UInt8Array]:
    """The placed number of pictures of a clip at the reel's rate, letterboxed.

    For each interval of the reel, it is the picture that the source shows in the interval's middle. So no picture is
    more than half an interval early or late, and at the source's own rate rounded timestamps repeat none.
    """
    clip, count = placed.clip, 0
    last: UInt8Array | None = None
    try:
        with open_video(openable(clip.path)) as video:
            start = clip.start + 0.5 / float(reel_format.fps)
            width, height = _fitted(clip, reel_format)
            frames = video.frames(
                height=height,
                width=width,
                aspect="stretch",
                fps=float(reel_format.fps),
                start_seconds=start,
                layout="yuv420p",
            )
            before: tuple[str, ...] = ()
            for _, (_, picture) in zip(range(placed.frames), frames, strict=False):
                before = video.warnings if last is None else before
                last = _boxed(picture, reel_format)
                count += 1
                yield last
            damage = video.warnings
            if damage != before:
                raise SourceFailed(clip, f"{clip.path}: is damaged in its best window: {damage[0]}")
    except SourceFailed:
        raise
    except Exception as error:
        raise SourceFailed(clip, describe_failure(clip.path, error)) from error
    missing = placed.frames - count
    if last is None or missing > _SHORT_SECONDS * reel_format.fps + 1:
        raise SourceFailed(
            clip, f"{clip.path}: ends {missing / float(reel_format.fps):.2f} s before the end of its best window"
        )
    for _ in range(missing):
        yield last


def _fitted(clip: SourceClip, reel_format: ReelFormat) -> tuple[int, int]:
    """Width and height, both even, of a clip that fits in the reel's frame."""
    scale = min(reel_format.width / clip.width, reel_format.height / clip.height)
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (clip.width, clip.height))
    return min(width, reel_format.width), min(height, reel_format.height)


def _boxed(picture: UInt8Array, reel_format: ReelFormat) -> UInt8Array:
    """A picture that is at most as large as the reel, in the middle of black."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    if (height, width) == (reel_format.height, reel_format.width):
        return picture
    canvas = np.full((reel_format.height * 3 // 2, reel_format.width), _BLACK[1], np.uint8)
    canvas[: reel_format.height] = _BLACK[0]
    # Chroma is sampled at every second pixel, so a picture begins at an even one.
    top, left = (reel_format.height - height) // 4 * 2, (reel_format.width - width) // 4 * 2
    canvas[top : top + height, left : left + width] = picture[:height]
    chroma = canvas[reel_format.height :].reshape(2, reel_format.height // 2, reel_format.width // 2)
    chroma[:, top // 2 : (top + height) // 2, left // 2 : (left + width) // 2] = picture[height:].reshape(
        2, height // 2, width // 2
    )
    return canvas


def decode_ahead(timeline: Sequence[PlacedClip], reel_format: ReelFormat) -> Generator[UInt8Array, None, None]:
    """The pictures of the reel, decoded in another thread, a few ahead of the caller; close it to end that thread.

    Args:
        timeline: The clips in the order of the reel.
        reel_format: Size and rate of the reel.

    Yields:
        Pictures as those of ``reel_pictures``.
    """
    decoded = read_ahead(
        [timeline], lambda timeline: reel_pictures(timeline, reel_format), threads=1, limit=_AHEAD, name="reel-decode"
    )
    with contextlib.closing(decoded):
        for _, picture in decoded:
            if picture is not None:
                yield picture

"""What a model sees of a clip: which part of the picture, and which time each frame stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adapters.media import one_clip_spec, picture_fit
from adapters.records import Clip, InputSpec, UInt8Array
from cliplab.models import explain_masks as masks
from cliplab.models.explain_clip import ChosenClip
from cliplab.models.explain_report import PixelBox, SeenPicture


@dataclass(frozen=True, eq=False)
class ClipView:
    """A clip, and where what is hidden of it lies in time and in the video's picture.

    Attributes:
        clip: The clip.
        seen: The part of its frames that the model sees.
        stretches: Its frames in stretches of time.
        edges: Seconds [T + 1], from one to the next the time that each frame stands for.
        video_size: Width and height of the video's picture as shown, in pixels.
    """

    clip: Clip
    seen: masks.Box
    stretches: list[masks.FrameRange]
    edges: tuple[float, ...]
    video_size: tuple[int, int]

    def seconds(self, frames: masks.FrameRange) -> tuple[float, float]:
        """Where the time of some frames begins and ends, in seconds since the video's first frame."""
        return self.edges[frames.first], self.edges[frames.after]

    @property
    def time_spans(self) -> list[tuple[int, int]]:
        """Which stretches are hidden together: the first, and the one after the last."""
        return masks.time_masks(self.stretches)

    @property
    def color(self) -> UInt8Array:
        """The mean colour of what the model sees, uint8 [3] RGB."""
        return masks.mean_color(self.clip, self.seen)


def distinct_ways(specs: Sequence[InputSpec]) -> list[InputSpec]:
    """One spec for each way of fitting the picture, in order."""
    return list({(spec.width, spec.height, spec.aspect, spec.crop_fraction): spec for spec in specs}.values())


def seen_by_all(specs: Sequence[InputSpec], clip: Clip) -> masks.Box:
    """The smallest box that holds what each network sees of the clip's frames."""
    height, width = clip.frames.shape[1:3]
    boxes = np.array([picture_fit(spec, width, height).seen(spec) for spec in specs])
    left, top = boxes[:, :2].min(axis=0).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).tolist()
    return left, top, right, bottom


def pixel_box(box: masks.Box, size: tuple[int, int]) -> PixelBox:
    """A box in the pixels of the video's picture, whose width and height are ``size``."""
    left, top, right, bottom = box
    return PixelBox(left * size[0], top * size[1], (right - left) * size[0], (bottom - top) * size[1])


def seen_picture(spec: InputSpec, size: tuple[int, int]) -> SeenPicture:
    """What a network with this spec sees of a picture whose width and height are ``size``."""
    fit = picture_fit(spec, *size)
    left, top = max(-fit.left, 0), max(-fit.top, 0)
    right, bottom = max(spec.width - left - fit.width, 0), max(spec.height - top - fit.height, 0)
    return SeenPicture(pixel_box(fit.seen(spec), size), spec.aspect, spec.width, spec.height, left, top, right, bottom)


def lasting_stretches(edges: tuple[float, ...]) -> list[masks.FrameRange]:
    """A clip's frames in stretches of time; frames that stand for no time belong to the stretch before them.

    Such are the copies of the last frame that fill a short clip, and a last frame that begins where the clip ends.

    Args:
        edges: Seconds [T + 1], from one to the next the time that each frame stands for.
    """
    found: list[masks.FrameRange] = []
    for part in masks.stretches(len(edges) - 1):
        if found and edges[part.after] <= edges[part.first]:
            part = masks.FrameRange(found.pop().first, part.after)
        found.append(part)
    return found


def frame_edges(chosen: ChosenClip, spec: InputSpec) -> tuple[float, ...]:
    """Which time each frame of a clip stands for: seconds [T + 1], from one to the next.

    With "spread" the frames are those in the middles of equal parts; otherwise each is shown until the next one begins.
    """
    clip = chosen.clip
    sampling = spec.sampling if chosen.windows else one_clip_spec(spec).sampling
    if sampling == "spread" and not spec.parts and not chosen.as_stream:
        return tuple(np.linspace(clip.start, clip.end, len(clip.times) + 1).tolist())
    return (clip.start, *clip.times[1:].tolist(), max(clip.end, float(clip.times[-1])))

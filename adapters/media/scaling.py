"""A decoded frame to RGB of a wanted size: colour, scaling, sample aspect, rotation and transparency in one step."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from adapters.errors import MediaError
from adapters.media.color import ColorInfo, to_bt709
from adapters.media.deinterlacing import Deinterlacer
from adapters.media.side_data import display_matrix
from adapters.media.tone_mapping import WHITE_16, ToneTable
from adapters.records import UInt8Array

Layout = Literal["rgb24", "yuv420p"]
# Area averaging does not alias when it makes smaller; cubic is sharper when it makes larger. The two flags keep chroma
# at full resolution and rounding exact: within 1 level of cv2.INTER_AREA on full-size RGB, at no measurable cost.
_EXACT = Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
_SMALLER = Interpolation.AREA | _EXACT
_LARGER = Interpolation.BICUBIC | _EXACT
_SWS_MATRICES = {"bt709": 1, "fcc": 4, "bt601": 5, "smpte240m": 7, "bt2020": 9}  # SWS_CS_* of libswscale
LONGEST_SIDE = 32768  # to which libswscale scales
_LIMITED, _FULL = 1, 2  # AVCOL_RANGE_*
_EXPAND_LIMITED = np.clip(np.rint((np.arange(256) - 16.0) * 255 / 219), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes the shown one: swap the axes, then flip left-right, then flip upside down.

    Attributes:
        transpose: Whether the axes are swapped.
        flip_x: Whether it is flipped left-right after that.
        flip_y: Whether it is flipped upside down after that.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def rotation_degrees(self) -> int:
        """The clockwise turn that shows it: 0, 90, 180 or 270. A mirrored picture is mirrored left-right first."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    @property
    def mirrored(self) -> bool:
        """Whether the picture is mirrored, besides the turn."""
        return self.transpose ^ self.flip_x ^ self.flip_y

    def apply(self, picture: UInt8Array) -> UInt8Array:
        """Turn a picture, uint8 [H, W, 3] or [H, W] as stored, to one as shown: [H', W', 3] or [H', W']."""
        turned = picture.swapaxes(0, 1) if self.transpose else picture
        turned = turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return np.ascontiguousarray(turned)


def orientation_of(frame: VideoFrame) -> Orientation:
    """The quarter turn, mirrored or not, nearest to a frame's display matrix (ISO/IEC 14496-12, matrix of tkhd)."""
    matrix = display_matrix(frame)
    if matrix is None:
        return Orientation()
    a, b, _, c, d = matrix[:5]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def sample_aspect_ratio(stream: VideoStream) -> Fraction | None:
    """Width of a stored pixel over its height; None where unknown."""
    found = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio  # PyAV 19 has its own rationals
    return Fraction(found.numerator, found.denominator) if found else None


def display_size(frame: VideoFrame, aspect: Fraction | None, orientation: Orientation) -> tuple[int, int]:
    """Width and height in square pixels, upright. As in players, the sample aspect ratio changes the width only.

    Args:
        frame: As stored.
        aspect: Width of a stored pixel over its height; None: 1.
        orientation: How the frame is turned to be shown.
    """
    width = max(1, round(frame.width * aspect)) if aspect else frame.width
    return (frame.height, width) if orientation.transpose else (width, frame.height)


class Scaler:
    """Converts the frames of one stream to pictures of one size, upright. Call it with an ``av.VideoFrame``.

    Transparent pictures are laid over black. SDR stays as it is coded; HDR and BT.2020 are converted by
    :func:`adapters.media.color.to_bt709`.

    The layout "rgb24" is uint8 [height, width, 3] RGB. "yuv420p" is uint8 [height * 3 / 2, width] for an encoder: luma,
    then Cb and Cr at half the size, BT.709 in limited range; frames that are stored like this are not converted to RGB
    in between.
    """

    def __init__(
        self,
        width: int,
        height: int,
        color: ColorInfo,
        orientation: Orientation,
        layout: Layout = "rgb24",
        source: object = "a video",
    ) -> None:
        """Prepare for frames of one colour description and orientation.

        Args:
            width: Of the picture as shown, in pixels; even for "yuv420p".
            height: Likewise.
            color: Of the frames.
            orientation: Of the frames.
            layout: Of the pictures.
            source: For messages.

        Raises:
            ValueError: The size is odd and the layout is "yuv420p".
        """
        if layout == "yuv420p" and (width % 2 or height % 2):
            raise ValueError(f"yuv420p needs an even width and height, got {width}x{height}")
        self._size = (height, width) if orientation.transpose else (width, height)
        self._color, self._orientation, self._layout, self._source = color, orientation, layout, source
        self._reformatter, self._encoder = VideoReformatter(), VideoReformatter()
        self._tone, self._deinterlacer = ToneTable(color), Deinterlacer()

    def __call__(
        self, frame: VideoFrame, before: VideoFrame | None = None, after: VideoFrame | None = None
    ) -> UInt8Array:
        # libswscale scales each field of an interlaced frame by itself, which keeps the comb at every size.
        if interlaced := bool(frame.interlaced_frame):
            frame = self._deinterlacer(frame, before, after)
        if self._layout == "yuv420p":
            return self._as_yuv(frame)
        return self._as_rgb(frame, interlaced)

    def _as_yuv(self, frame: VideoFrame) -> UInt8Array:
        if self._color.matrix not in _SWS_MATRICES or _may_be_transparent(frame):
            rgb = VideoFrame.from_ndarray(self._as_rgb(frame), format="rgb24")
            return np.asarray(self._encoded_yuv(rgb), dtype=np.uint8)
        if self._color.needs_tone_curve:
            picture = self._encoded_yuv(self._tone(self._scaled(frame, *self._size, "gbrp16le")))
        else:
            picture = self._scaled(frame, *self._size, "yuv420p").to_ndarray()
        if self._orientation == Orientation():
            return np.asarray(picture, dtype=np.uint8)
        width, height = self._size
        chroma = picture[height:].reshape(2, height // 2, width // 2)
        planes = [self._orientation.apply(plane) for plane in (picture[:height], *chroma)]
        width = width if not self._orientation.transpose else height
        return np.concatenate([plane.reshape(-1) for plane in planes]).reshape(-1, width)

    def _encoded_yuv(self, rgb: VideoFrame) -> Any:
        return self._encoder.reformat(
            rgb,
            format="yuv420p",
            dst_colorspace=_SWS_MATRICES["bt709"],
            src_color_range=_FULL,
            dst_color_range=_LIMITED,
            threads=1,
        ).to_ndarray()

    def _as_rgb(self, frame: VideoFrame, interlaced: bool = False) -> UInt8Array:
        picture = self._over_black(frame) if _may_be_transparent(frame) else None
        if picture is None and interlaced:
            picture = self._resized(self._convert(frame, frame.width, frame.height))
        if picture is None:
            picture = self._convert(frame, *self._size)
        if self._orientation == Orientation():
            return picture
        return self._orientation.apply(picture)

    def _convert(self, frame: VideoFrame, width: int, height: int) -> UInt8Array:
        if self._color.needs_tone_curve:
            # Planar: libswscale's rgb48 of a picture whose height stays wraps around in saturated colours.
            wide = self._reformat(frame, width, height, "gbrp16le")
            if self._color.matrix != "rgb":
                wide = np.minimum(wide, np.uint16(WHITE_16))  # to the full 16 bits: x * 257 / 256
                wide += wide >> 8
            return to_bt709(wide, self._color)
        picture: UInt8Array = self._reformat(frame, width, height, "rgb24")
        if self._color.matrix == "gray" and self._color.range == "limited":
            return _EXPAND_LIMITED[picture]  # libswscale reads every gray format as full range
        return picture

    def _reformat(self, frame: VideoFrame, width: int, height: int, layout: str) -> Any:
        return self._scaled(frame, width, height, layout).to_ndarray()

    def _scaled(self, frame: VideoFrame, width: int, height: int, layout: str) -> VideoFrame:
        smaller = width * height <= frame.width * frame.height
        matrix = _SWS_MATRICES.get(self._color.matrix)
        yuv = layout == "yuv420p"
        try:
            return self._reformatter.reformat(
                frame,
                width,
                height,
                layout,
                src_colorspace=matrix,
                dst_colorspace=_SWS_MATRICES["bt709"] if yuv else matrix,
                interpolation=_SMALLER if smaller else _LARGER,
                src_color_range=_FULL if self._color.range == "full" else _LIMITED,
                dst_color_range=_LIMITED if yuv else _FULL,
                threads=1,
            )
        except av.ArgumentError:  # of what is longer or narrower than libswscale takes
            raise MediaError(f"{self._source}: {shape_message(frame.width, frame.height, width, height)}") from None

    def _over_black(self, frame: VideoFrame) -> UInt8Array | None:
        """The frame laid over black at its own size, then scaled: so no colour of transparent pixels bleeds in."""
        rgba = self._reformat(frame, frame.width, frame.height, "rgba")
        alpha = rgba[..., 3:]
        if alpha.min() == 255:
            return None
        flat = ((rgba[..., :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
        return self._resized(flat)

    def _resized(self, picture: UInt8Array) -> UInt8Array:
        import cv2

        smaller = self._size[0] * self._size[1] <= picture.shape[0] * picture.shape[1]
        scaled = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
        return np.asarray(scaled, dtype=np.uint8)


def shape_message(width: int, height: int, scaled_width: int, scaled_height: int) -> str:
    """The message for frames that are too long and narrow to be scaled.

    Args:
        width: Of the frames, in pixels.
        height: Likewise.
        scaled_width: To which they would be scaled.
        scaled_height: Likewise.
    """
    return (
        f"its frames are {width}x{height}, a shape that cannot be scaled (to {scaled_width}x{scaled_height}). "
        "Crop the video first."
    )


def _may_be_transparent(frame: VideoFrame) -> bool:
    return frame.format.has_palette or any(component.is_alpha for component in frame.format.components)


def is_rgb(frame: VideoFrame) -> bool:
    """Whether the pixel format stores R, G and B (or a palette of them), not luma and chroma."""
    return bool(frame.format.is_rgb or frame.format.has_palette)


def is_gray(frame: VideoFrame) -> bool:
    """Whether the pixel format stores luma only, with or without transparency."""
    return not is_rgb(frame) and all(c.is_alpha or c.is_luma for c in frame.format.components)

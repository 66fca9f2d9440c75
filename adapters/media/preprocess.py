"""Frames to model input: the one transform that train, predict, calibrate and convert all call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adapters.errors import MediaError
from adapters.media.picture_size import size_of_picture
from adapters.records import Clip, Float32Array, InputSpec, UInt8Array

PerChannel = float | Sequence[float]  # one number for all channels, or one each for R, G, B
# Of one picture that is decoded whole: more than a frame of 8K, and some 600 MB while it is decoded.
MAX_PICTURE_PIXELS = 50_000_000


def decode_size(spec: InputSpec, display_width: int, display_height: int) -> tuple[int, int]:
    """The size to which a video is scaled while it is decoded.

    ``crop``: the video's shape, just large enough to cover the model's input divided by ``crop_fraction``; ``pad``:
    its shape, just small enough to fit in; ``stretch``: the model's input exactly. :func:`to_model_input` crops or pads
    the rest.

    Args:
        spec: What the model needs.
        display_width: Of the video as shown, in pixels.
        display_height: Of the video as shown, in pixels.

    Returns:
        Width and height in pixels.
    """
    if spec.aspect == "stretch":
        return spec.width, spec.height
    covered_width, covered_height = spec.width, spec.height
    if spec.aspect == "crop" and spec.crop_fraction < 1:
        covered_width, covered_height = _enlarged(spec.width, spec), _enlarged(spec.height, spec)
    ratios = covered_width / display_width, covered_height / display_height
    factor = max(ratios) if spec.aspect == "crop" else min(ratios)
    width, height = max(1, round(display_width * factor)), max(1, round(display_height * factor))
    if spec.aspect == "crop":
        return max(width, covered_width), max(height, covered_height)
    return min(width, spec.width), min(height, spec.height)


def _enlarged(size: int, spec: InputSpec) -> int:
    # Down to a whole pixel, as torchvision and timm do; the small number keeps 224 / 0.875 at 256.
    return int(size / spec.crop_fraction + 1e-6)


def to_model_input(
    clip_or_frames: Clip | UInt8Array, spec: InputSpec, mean: PerChannel = 0.0, scale: PerChannel = 255.0
) -> Float32Array:
    """Frames to the input of the network: ``(x - mean) / scale``.

    Frames of the size of :func:`decode_size` are only cropped at the centre or padded; others are resized first, so
    that any array may be given. Padding is black (level 0 before mean and scale).

    Args:
        clip_or_frames: A clip, or uint8 [T, H, W, 3] RGB of any size.
        spec: The size and aspect of the model's input.
        mean: In levels (0..255), one number or one each for R, G, B.
        scale: In levels, likewise; not 0.

    Returns:
        float32 [T, spec.height, spec.width, 3] RGB.

    Raises:
        ValueError: The frames have another type or shape, or mean or scale is not allowed.
    """
    frames = clip_or_frames.frames if isinstance(clip_or_frames, Clip) else clip_or_frames
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or frames.size == 0:
        raise ValueError(f"frames must be uint8 [T, H, W, 3] RGB, got {frames.dtype} {list(frames.shape)}")
    offset, divisor = _channels("mean", mean), _channels("scale", scale)
    if not divisor.all():
        raise ValueError(f"scale must not be 0, got {scale!r}")
    fitted = fit_frames(frames, spec)
    # One pass in float32, without a copy of the clip in between.
    result = np.subtract(fitted, offset, dtype=np.float32)
    np.divide(result, divisor, out=result)
    return result


@dataclass(frozen=True)
class PictureFit:
    """Where a picture lies in a model's input.

    Attributes:
        width: To which the picture is scaled, in pixels.
        height: Likewise.
        left: Where the model's input begins in the scaled picture, in pixels; negative where it has a black bar.
        top: Likewise.
    """

    width: int
    height: int
    left: int
    top: int

    def seen(self, spec: InputSpec) -> tuple[float, float, float, float]:
        """The part of the picture that the model sees: left, top, right and bottom as shares of its sides, in 0..1.

        Args:
            spec: The one that this follows from.
        """
        return (
            max(self.left, 0) / self.width,
            max(self.top, 0) / self.height,
            min(self.left + spec.width, self.width) / self.width,
            min(self.top + spec.height, self.height) / self.height,
        )


def picture_fit(spec: InputSpec, width: int, height: int) -> PictureFit:
    """How a picture is scaled, cropped or padded to a model's input.

    Args:
        spec: The size and aspect of the model's input.
        width: Of the picture, in pixels.
        height: Likewise.
    """
    scaled_width, scaled_height = decode_size(spec, width, height)
    if spec.aspect == "crop":
        over = scaled_height - spec.height, scaled_width - spec.width
        # An odd pixel more is left out on the right or, where torchvision's crop is meant, where it leaves it out.
        top, left = (round(pixels / 2) if spec.crop_fraction < 1 else pixels // 2 for pixels in over)
        return PictureFit(scaled_width, scaled_height, left, top)
    bars = (spec.height - scaled_height) // 2, (spec.width - scaled_width) // 2
    return PictureFit(scaled_width, scaled_height, -bars[1], -bars[0])


def fit_frames(frames: UInt8Array, spec: InputSpec) -> UInt8Array:
    """Frames to the size of a model's input: resized only if needed, then cropped at the centre or padded with black.

    Args:
        frames: uint8 [T, H, W, 3] RGB of any size.
        spec: The size and aspect of the model's input.

    Returns:
        uint8 [T, spec.height, spec.width, 3]; a view of the frames where nothing is resized or padded.
    """
    height, width = frames.shape[1:3]
    fit = picture_fit(spec, width, height)
    frames = resize(frames, fit.width, fit.height)
    if (fit.height, fit.width) == (spec.height, spec.width):
        return frames
    if spec.aspect == "crop":
        return frames[:, fit.top : fit.top + spec.height, fit.left : fit.left + spec.width]
    padded = np.zeros((len(frames), spec.height, spec.width, 3), dtype=np.uint8)
    padded[:, -fit.top : fit.height - fit.top, -fit.left : fit.width - fit.left] = frames
    return padded


def decode_picture(data: bytes, name: str = "the picture") -> UInt8Array | None:
    """Decode a JPEG, PNG, WebP, BMP, GIF or TIFF. Its size is read from the header before it is decoded.

    Args:
        data: The content of the file.
        name: What messages call it.

    Returns:
        uint8 [H, W, 3] RGB, turned as its EXIF data says; None where it is not a picture.

    Raises:
        MediaError: It has more than ``MAX_PICTURE_PIXELS``.
    """
    import cv2

    size = size_of_picture(data)
    if size is None:
        return None
    if size[0] * size[1] > MAX_PICTURE_PIXELS:
        raise MediaError(
            f"{name}: the picture is {size[0]}x{size[1]}; at most {MAX_PICTURE_PIXELS // 10**6} million pixels are "
            "allowed. Make it smaller"
        )
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # no bytes at all
        return None
    return None if found is None else np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def resize(frames: UInt8Array, width: int, height: int) -> UInt8Array:
    """Resize frames: averaged over areas where they become smaller, bicubic where they become larger.

    Args:
        frames: uint8 [T, H, W, 3].
        width: In pixels.
        height: In pixels.

    Returns:
        uint8 [T, height, width, 3]; the frames themselves where the size is the same.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    import cv2  # after the check: it takes long to import, and frames are decoded at this size

    smaller = width * height <= frames.shape[1] * frames.shape[2]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (width, height), interpolation=how) for frame in frames]).astype(np.uint8)


def _channels(name: str, value: PerChannel) -> Float32Array:
    array = np.asarray(value, dtype=np.float32)
    if array.shape not in ((), (3,)) or not np.isfinite(array).all():
        raise ValueError(f"{name} must be one finite number or three (R, G, B), got {value!r}")
    return array

"""Shapes, text and easing on a canvas: uint8 [360, 640, 3] RGB, changed in place.

Drawn at twice the size of the finished frame, which is reduced by area, so that every edge is smooth.
Colours are (r, g, b) in 0..255, places and sizes are canvas pixels, alpha is 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 640, 360

Canvas = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Point = tuple[float, float]

# Weight and slant; OpenCV 5 draws these with its own outline font, OpenCV 4 with Hershey's strokes.
FONTS = {
    "regular": (cv2.FONT_HERSHEY_SIMPLEX, 1),
    "bold": (cv2.FONT_HERSHEY_DUPLEX, 2),
    "black": (cv2.FONT_HERSHEY_TRIPLEX, 5),
    "italic": (cv2.FONT_HERSHEY_SCRIPT_COMPLEX, 4),
}
_SHIFT = 4  # cv2 takes places in 1/16 pixel


def canvas(colour: Colour) -> Canvas:
    """A canvas of one colour."""
    return np.full((HEIGHT, WIDTH, 3), colour, np.uint8)


def clamp(x: float, low: float = 0.0, high: float = 1.0) -> float:
    return min(max(x, low), high)


def ramp(t: float, start: float, length: float) -> float:
    """0 before start, 1 from start + length on, eased at the end (cubic)."""
    return 1 - (1 - clamp((t - start) / length)) ** 3


def pop(t: float, start: float, length: float = 0.45) -> float:
    """Like ramp, but shoots a tenth past 1 and comes back: how a sticker lands."""
    x = clamp((t - start) / length) - 1
    return 1 + 2.70158 * x**3 + 1.70158 * x**2  # the usual "ease out back" curve


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """A colour between a (share 0) and b (share 1)."""
    red, green, blue = (round(clamp(x + (y - x) * share, 0, 255)) for x, y in zip(a, b, strict=True))
    return (red, green, blue)


def luma(colour: Colour) -> float:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def readable_on(background: Colour) -> Colour:
    """Near-black or near-white, whichever can be read on the background."""
    return (24, 24, 30) if luma(background) > 140 else (250, 250, 246)


def gradient(top: Colour, bottom: Colour, angle: float = 90.0) -> Canvas:
    """A linear gradient; angle in degrees, 90 is top to bottom."""
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    along = xs * math.cos(math.radians(angle)) + ys * math.sin(math.radians(angle))
    along = ((along - along.min()) / (along.max() - along.min()))[..., None]
    return np.asarray(np.array(top) * (1 - along) + np.array(bottom) * along, np.float32).round().astype(np.uint8)


def blend(image: Canvas, layer: Canvas, mask: npt.NDArray[np.float32]) -> None:
    """Lay layer over image where mask, float32 [H, W] in 0..1, says."""
    weight = mask[..., None]
    image[:] = (image * (1 - weight) + layer * weight).round().astype(np.uint8)


def polygon(image: Canvas, points: Sequence[Point], colour: Colour, alpha: float = 1.0) -> None:
    """A filled polygon."""
    place = np.round(np.array(points) * (1 << _SHIFT)).astype(np.int32)
    if alpha >= 1:
        cv2.fillPoly(image, [place], colour, cv2.LINE_AA, _SHIFT)
        return
    over = image.copy()
    cv2.fillPoly(over, [place], colour, cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(over, alpha, image, 1 - alpha, 0, image)


def ellipse(
    image: Canvas, centre: Point, radius: Point, colour: Colour, alpha: float = 1.0, span: Point = (0, 360)
) -> None:
    """A filled ellipse, or the part of it between two angles in degrees."""
    angles = np.radians(np.linspace(span[0], span[1], 49))
    polygon(image, [(centre[0] + radius[0] * math.cos(a), centre[1] + radius[1] * math.sin(a)) for a in angles],
            colour, alpha)  # fmt: skip


def line(image: Canvas, start: Point, end: Point, colour: Colour, width: float) -> None:
    """A thick line with square ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) or 1.0
    ox, oy = -dy / length * width / 2, dx / length * width / 2
    polygon(image, [(start[0] + ox, start[1] + oy), (end[0] + ox, end[1] + oy),
                    (end[0] - ox, end[1] - oy), (start[0] - ox, start[1] - oy)], colour)  # fmt: skip


def box(
    image: Canvas,
    left: float,
    top: float,
    right: float,
    bottom: float,
    colour: Colour,
    alpha: float = 1.0,
    r: float = 0.0,
) -> None:
    """A filled box with corners of radius r."""
    r = min(r, (right - left) / 2, (bottom - top) / 2)
    if r <= 0:
        polygon(image, [(left, top), (right, top), (right, bottom), (left, bottom)], colour, alpha)
        return
    corners = (
        (right - r, bottom - r, 0),
        (left + r, bottom - r, 90),
        (left + r, top + r, 180),
        (right - r, top + r, 270),
    )
    points = [
        (x + r * math.cos(math.radians(a0 + a)), y + r * math.sin(math.radians(a0 + a)))
        for x, y, a0 in corners
        for a in range(0, 91, 15)
    ]
    polygon(image, points, colour, alpha)


def burst(
    image: Canvas,
    centre: Point,
    radius: float,
    colour: Colour,
    spikes: int = 14,
    turn: float = 0.0,
    inner: float = 0.84,
) -> None:
    """A sticker's star: inner is the share of the radius between its points, turn is in radians."""
    points = []
    for i in range(spikes * 2):
        reach = radius * (1.0 if i % 2 == 0 else inner)
        angle = turn + math.pi * i / spikes
        points.append((centre[0] + reach * math.cos(angle), centre[1] + reach * math.sin(angle)))
    polygon(image, points, colour)


def stripes(image: Canvas, colour: Colour, width: float, offset: float, alpha: float) -> None:
    """Slanted stripes over the whole canvas; offset moves them."""
    for i in range(-8, int(WIDTH / width) + 2):
        left = 2 * i * width + offset % (2 * width)
        polygon(
            image, [(left, HEIGHT), (left + width, HEIGHT), (left + width + 200, 0), (left + 200, 0)], colour, alpha
        )


@lru_cache(maxsize=512)
def _text_mask(words: str, font: str, height: int, stretch: float) -> npt.NDArray[np.float32]:
    """Words as a mask, capitals `height` pixels tall, stretched sideways."""
    face, thickness = FONTS[font]
    scale = 2.5
    (_, capitals), _ = cv2.getTextSize("H", face, scale, thickness)
    (width, _), _ = cv2.getTextSize(words, face, scale, thickness)
    mask = np.zeros((capitals * 3, width + 80), np.uint8)
    cv2.putText(mask, words, (40, capitals * 2), face, scale, (255,), thickness, cv2.LINE_AA)
    used = np.flatnonzero(mask.max(axis=0))
    mask = mask[:, used[0] : used[-1] + 1] if len(used) else mask
    ratio = height / capitals
    size = (max(1, round(mask.shape[1] * ratio * stretch)), max(1, round(mask.shape[0] * ratio)))
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def text(
    image: Canvas, words: str, x: float, y: float, height: float, colour: Colour, font: str = "bold",
    anchor: float = 0.5, alpha: float = 1.0, stretch: float = 1.0, max_width: float = 620, shadow: bool = False,
) -> float:  # fmt: skip
    """Draw one line and give its width. y is the baseline, height that of a capital letter.

    anchor: 0 puts x at the left end, 0.5 in the middle, 1 at the right end. Too long a line is made smaller.
    """
    if not words or alpha <= 0 or height < 3:
        return 0.0
    mask = _text_mask(words, font, round(height), stretch)
    if mask.shape[1] > max_width:
        height = max(3.0, height * max_width / mask.shape[1])
        mask = _text_mask(words, font, round(height), stretch)
    if shadow:
        _stamp(image, mask, x - anchor * mask.shape[1] + 2, y - mask.shape[0] * 2 / 3 + 3, (0, 0, 0), alpha * 0.55)
    _stamp(image, mask, x - anchor * mask.shape[1], y - mask.shape[0] * 2 / 3, colour, alpha)
    return float(mask.shape[1])


def _stamp(image: Canvas, mask: npt.NDArray[np.float32], left: float, top: float, colour: Colour, alpha: float) -> None:
    x0, y0 = round(left), round(top)
    x1, y1 = min(x0 + mask.shape[1], WIDTH), min(y0 + mask.shape[0], HEIGHT)
    sx, sy = max(0, -x0), max(0, -y0)
    if x1 <= max(x0, 0) or y1 <= max(y0, 0):
        return
    part = image[max(y0, 0) : y1, max(x0, 0) : x1]
    weight = (mask[sy : y1 - y0, sx : x1 - x0] * alpha)[..., None]
    part[:] = (part * (1 - weight) + np.array(colour, np.float32) * weight).round().astype(np.uint8)


def place(image: Canvas, picture: Canvas, centre: Point, width: float, turn: float = 0.0) -> None:
    """Lay a whole canvas, made `width` wide and turned by degrees, on image."""
    matrix = np.asarray(cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn, width / WIDTH))
    matrix[:, 2] += np.array((centre[0] - WIDTH / 2, centre[1] - HEIGHT / 2))
    size = (WIDTH, HEIGHT)
    moved = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_AREA)
    mask = cv2.warpAffine(np.ones((HEIGHT, WIDTH), np.float32), matrix, size, flags=cv2.INTER_LINEAR)
    blend(image, np.asarray(moved, np.uint8), np.asarray(mask, np.float32))


def mix_canvas(image: Canvas, colour: Colour, share: float) -> Canvas:
    """The image with a share of one colour laid over it."""
    return (image * (1 - share) + np.array(colour) * share).round().astype(np.uint8)

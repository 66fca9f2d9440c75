"""Ad templates: motion graphics over a footage frame.

A template is a function (footage canvas, t, duration, style) -> canvas, times in seconds. Words and colours come
from the style, so one template with two styles is two ads. Each keeps its graphics on screen from the first
quarter of a second to the end, and the main ones near the middle, where a square crop still holds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from .drawing import (
    HEIGHT, WIDTH, Canvas, Colour, blend, box, burst, clamp, ellipse, gradient, luma, mix, place, polygon, pop, ramp,
    readable_on, stripes, text,
)  # fmt: skip
from .products import mark, product

WHITE: Colour = (252, 252, 248)


@dataclass(frozen=True)
class Style:
    """One advertiser: words, colours, type and product drawing. kind is the brand's mark."""

    brand: str
    product: str
    tagline: str
    price: str
    was: str
    off: str
    cta: str
    shape: str
    main: Colour
    accent: Colour
    paper: Colour
    head: str = "black"
    stretch: float = 1.0
    kind: int = 0
    mirror: bool = False

    @property
    def url(self) -> str:
        return self.brand.lower().replace(" ", "") + ".example"


def _logo(image: Canvas, s: Style, x: float, y: float, size: float, colour: Colour, alpha: float = 1.0) -> None:
    """Mark and brand name, centred at x, on a baseline y."""
    if alpha < 0.05:
        return
    width = text(image, s.brand, x + size * 0.9, y, size, colour, s.head, 0.5, alpha, s.stretch, 420)
    mark(image, s.kind, x - width / 2 - size * 0.35, y - size / 2, size * 0.72, s.accent, mix(s.accent, WHITE, 0.75))


def _bug(image: Canvas, s: Style, t: float) -> None:
    """A small logo plate at the top, in place from the start."""
    x = WIDTH * (0.70 if s.mirror else 0.30)
    half = 26 + 9.5 * len(s.brand)
    box(image, x - half, 14, x + half, 50, s.main, 0.92 * clamp(t / 0.15), r=8)
    _logo(image, s, x, 40, 16, readable_on(s.main), clamp(t / 0.15))


def _sticker(image: Canvas, s: Style, t: float, start: float, x: float, y: float, radius: float, words: str) -> None:
    """A price flash that lands, then throbs and rocks."""
    size = radius * max(0.0, pop(t, start)) * (1 + 0.04 * math.sin(t * 7))
    if size < 4:
        return
    burst(image, (x + 3, y + 4), size, (0, 0, 0), turn=0.1 * math.sin(t * 2.2))
    burst(image, (x, y), size, s.accent, turn=0.1 * math.sin(t * 2.2))
    ink = readable_on(s.accent)
    text(image, words, x, y + size * 0.19, size * 0.42, ink, "black", max_width=size * 1.5)
    text(image, "ONLY" if words == s.price else "OFF NOW", x, y - size * 0.36, size * 0.17, ink, "bold", max_width=size)


def _button(image: Canvas, s: Style, t: float, x: float, y: float, fill: Colour, scale: float = 1.0) -> None:
    """A call to action that breathes."""
    grow = scale * (1 + 0.035 * math.sin(t * 6))
    half = (30 + 9.5 * len(s.cta)) * grow
    box(image, x - half + 2, y - 20 * grow + 4, x + half + 2, y + 20 * grow + 4, (0, 0, 0), 0.35, r=20 * grow)
    box(image, x - half, y - 20 * grow, x + half, y + 20 * grow, fill, r=20 * grow)
    text(image, s.cta, x, y + 8 * grow, 16 * grow, readable_on(fill), "bold", max_width=2 * half - 20)


def lower_third(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A bar slides in under the picture; a price flash lands beside it."""
    slide = (1 - ramp(t, 0.0, 0.4)) * -WIDTH
    box(image, 30 + slide, 250, 610 + slide, 330, s.main, 0.94, r=6)
    box(image, 30 + slide, 250, 44 + slide, 330, s.accent)
    ink = readable_on(s.main)
    text(image, s.product, 62 + slide, 288, 25, ink, s.head, 0, 1, s.stretch, 360)
    text(
        image,
        s.tagline,
        62 + slide,
        317,
        14,
        mix(ink, s.main, 0.15),
        "regular",
        0,
        clamp((t - 0.3) / 0.3),
        max_width=360,
    )
    _bug(image, s, t)
    _sticker(image, s, t, 0.45, 500, 236, 82, s.price)
    return image


def title_over(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """Large words arrive one by one over darkened footage."""
    image = mix_canvas(image, s.main, 0.38 * clamp(t / 0.2))
    words = s.product.split()
    height = 58 if len(words) < 3 else 46
    top = 190 - (len(words) - 1) * height * 0.72
    for i, word in enumerate(words):
        come = ramp(t, 0.08 + 0.22 * i, 0.35)
        y = top + i * height * 1.42 + (1 - come) * 40
        text(image, word, WIDTH / 2, y, height, WHITE, s.head, 0.5, clamp(come * 1.6), s.stretch, 560, shadow=True)
    y = top + (len(words) - 1) * height * 1.42 + 22
    reach = 190 * ramp(t, 0.5, 0.5)
    box(image, WIDTH / 2 - reach, y, WIDTH / 2 + reach, y + 6, s.accent)
    text(
        image,
        s.tagline,
        WIDTH / 2,
        y + 36,
        17,
        WHITE,
        "regular",
        0.5,
        clamp((t - 0.7) / 0.3),
        max_width=520,
        shadow=True,
    )
    _logo(image, s, WIDTH / 2, 332, 17, WHITE)
    return image


def end_card(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A full frame of brand colour: product, price, logo and button; the footage is not seen."""
    image = gradient(s.paper, mix(s.paper, s.main, 0.45), 60)
    stripes(image, mix(s.paper, s.accent, 0.5), 46, t * 30, 0.25)
    x, other = (430, 215) if s.mirror else (210, 425)
    ellipse(image, (x, 180), (128, 128), mix(s.main, WHITE, 0.1), 0.9)
    product(image, s.shape, x, 182 + 5 * math.sin(t * 2.5), 210 * max(0.05, pop(t, 0.0, 0.5)), s.accent, s.main)
    ink = readable_on(mix(s.paper, s.main, 0.2))
    _logo(image, s, other, 84, 24, ink)
    text(image, s.product, other, 140, 25, ink, s.head, 0.5, ramp(t, 0.15, 0.3), s.stretch, 300)
    text(image, s.price, other, 216, 54 * max(0.1, pop(t, 0.3)), ink, "black", 0.5, ramp(t, 0.3, 0.2), max_width=290)
    if t > 0.6:
        width = text(image, s.was, other, 252, 21, ink, "regular", 0.5, 0.8)
        box(image, other - width / 2 - 6, 240, other + width / 2 + 6, 243, ink)
        _button(image, s, t, other, 298, s.main)
    return image


def wipe_to_card(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """Footage under a strap, then slanted bars wipe to the end card."""
    strap = ramp(t, 0.0, 0.3)
    box(image, 0, 372 - 92 * strap, WIDTH, HEIGHT + 92, s.main, 0.93)
    box(image, 0, 366 - 92 * strap, WIDTH, 372 - 92 * strap, s.accent)
    text(
        image, s.tagline, WIDTH / 2, 430 - 98 * strap, 24, readable_on(s.main), s.head, stretch=s.stretch, max_width=560
    )
    _bug(image, s, t)
    start = d * 0.42
    if t <= start:
        return image
    card = end_card(image.copy(), t - start, d - start, s)
    for lag, colour in ((0.0, s.accent), (0.12, s.main), (0.24, None)):
        edge = -260 + (WIDTH + 560) * clamp((t - start - lag) / 0.55)
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        corners = np.array([(-400, -5), (edge, -5), (edge - 220, HEIGHT + 5), (-400, HEIGHT + 5)], np.int32)
        cv2.fillPoly(mask, [corners], (1.0,), cv2.LINE_AA)
        blend(image, card if colour is None else mix_canvas(card, colour, 1.0), mask)
    return image


def product_card(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A white card slides in beside the action: product, stars, price, button."""
    slide = (1 - ramp(t, 0.05, 0.45)) * (-420 if s.mirror else 420)
    x = (225 if s.mirror else 415) + slide
    box(image, x - 126, 26, x + 134, 344, (0, 0, 0), 0.3, r=18)
    box(image, x - 130, 20, x + 130, 336, WHITE, r=18)
    box(image, x - 130, 20, x + 130, 186, mix(s.paper, WHITE, 0.25), r=18)
    product(image, s.shape, x, 104, 140 * (1 + 0.03 * math.sin(t * 3)), s.main, s.accent)
    text(image, s.product, x, 220, 20, (30, 30, 36), s.head, stretch=s.stretch, max_width=236)
    for i in range(5):
        if t > 0.4 + 0.09 * i:
            burst(image, (x - 56 + 28 * i, 239), 11, (245, 176, 30), 5, -math.pi / 2, 0.45)
    text(image, s.price, x, 284, 27, mix(s.main, (0, 0, 0), 0.25), "black", max_width=220)
    _button(image, s, t, x, 313, s.accent, 0.75)
    _bug(image, s, t)
    return image


def sale_countdown(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A large discount sticker, a banner, and a clock that runs down."""
    drop = ramp(t, 0.0, 0.35)
    box(image, 0, -76 + 76 * drop, WIDTH, 76 * drop, s.main)
    text(
        image,
        s.tagline,
        WIDTH / 2,
        50 * drop - 26 * (1 - drop),
        29,
        readable_on(s.main),
        s.head,
        stretch=s.stretch,
        max_width=580,
    )
    _sticker(image, s, t, 0.2, 250 if s.mirror else 390, 178, 108, s.off)
    box(image, 130, 296, 510, 346, (18, 18, 24), 0.88, r=10)
    left = 9000 - t * 15
    clock = f"{int(left // 3600):02d}:{int(left % 3600 // 60):02d}:{int(left % 60):02d}"
    text(image, "ENDS IN", 152, 330, 15, WHITE, "regular", 0)
    text(image, clock, 372, 334, 25, s.accent if luma(s.accent) > 90 else WHITE, "black", max_width=230)
    return image


def review(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A customer's words on a plate with five stars, the product beside them."""
    rise = (1 - ramp(t, 0.0, 0.4)) * 220
    box(image, 90, 172 + rise, 560, 338 + rise, s.paper, 0.95, r=16)
    ink = readable_on(s.paper)
    product(image, s.shape, 158, 250 + rise, 128, s.main, s.accent)
    for i in range(5):
        if t > 0.25 + 0.1 * i:
            burst(image, (262 + 36 * i, 204 + rise), 16, s.accent, 5, -math.pi / 2, 0.45)
    text(image, f'"{s.tagline}"', 236, 254 + rise, 21, ink, "italic", 0, max_width=304)
    text(image, f"{s.product} {s.price}", 236, 292 + rise, 19, ink, s.head, 0, ramp(t, 0.4, 0.3), s.stretch, 304)
    text(image, s.url, 236, 322 + rise, 14, mix(ink, s.paper, 0.3), "regular", 0)
    _bug(image, s, t)
    return image


def split_panel(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A slanted panel covers one half and lists what the product does."""
    width = 390 * ramp(t, 0.0, 0.45)
    flip = (lambda x: WIDTH - x) if s.mirror else (lambda x: x)
    polygon(image, [(flip(0), 0), (flip(width + 36), 0), (flip(width - 54), HEIGHT), (flip(0), HEIGHT)], s.accent)
    polygon(image, [(flip(0), 0), (flip(width + 18), 0), (flip(width - 72), HEIGHT), (flip(0), HEIGHT)], s.main)
    ink = readable_on(s.main)
    x = flip(176)
    text(image, s.product, x, 96, 34, ink, s.head, 0.5, ramp(t, 0.1, 0.2), s.stretch, 290)
    for i, words in enumerate(s.tagline.split(", ")):
        show = ramp(t, 0.4 + 0.25 * i, 0.25)
        ellipse(image, (x - 122, 138 + 38 * i), (9 * show, 9 * show), s.accent)
        text(image, words, x - 102, 146 + 38 * i, 18, ink, "bold", 0, show, max_width=225)
    text(image, s.price, x, 292, 44 * max(0.1, pop(t, 0.5)), ink, "black", 0.5, ramp(t, 0.5, 0.2), max_width=260)
    text(image, s.url, x - 20, 330, 15, mix(ink, s.main, 0.2), "regular")
    return image


def ribbon_ticker(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A ribbon over the top, a swinging price tag, and a line of offers that runs below."""
    box(image, 0, 300, WIDTH, HEIGHT, s.accent)
    offers = f"{s.tagline}   *   {s.product} {s.price}   *   {s.url}   *   "
    text(image, offers * 2, 500 - t * 130, 341, 23, readable_on(s.accent), "bold", 0, max_width=4000)
    grow = ramp(t, 0.0, 0.4)
    left, right = WIDTH / 2 - 262 * grow, WIDTH / 2 + 262 * grow
    for side, x in ((-1, left), (1, right)):
        polygon(
            image,
            [(x, 40), (x + side * 46, 40), (x + side * 22, 70), (x + side * 46, 100), (x, 100)],
            mix(s.main, (0, 0, 0), 0.3),
        )
    box(image, left, 26, right, 88, s.main)
    text(image, s.product, WIDTH / 2, 70, 30, readable_on(s.main), s.head, 0.5, clamp(grow * 2 - 1), s.stretch, 480)
    swing = 16 * math.sin(t * 3) * math.exp(-t * 0.4)
    x = (210 if s.mirror else 430) + swing
    if t > 0.25:
        polygon(image, [(x, 128), (x + 84, 166), (x + 84, 272), (x - 84, 272), (x - 84, 166)], s.paper)
        ellipse(image, (x, 150), (8, 8), (60, 60, 60))
        ink = readable_on(s.paper)
        text(image, s.price, x, 222, 32, ink, "black", max_width=150)
        width = text(image, s.was, x, 258, 20, ink, "regular", max_width=130)
        box(image, x - width / 2 - 5, 247, x + width / 2 + 5, 250, ink)
    return image


def framed(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """The footage as a tilted print on patterned paper, with a caption."""
    page = gradient(s.paper, mix(s.paper, s.accent, 0.35), 20)
    for i in range(9):
        for j in range(6):
            ellipse(page, (40 + 80 * i - (t * 20) % 80, 20 + 70 * j + 35 * (i % 2)), (9, 9), mix(s.paper, s.main, 0.45))
    show = image.copy()
    for edge in ((0, 0, WIDTH, 16), (0, 344, WIDTH, HEIGHT), (0, 0, 16, HEIGHT), (624, 0, WIDTH, HEIGHT)):
        box(show, *edge, WHITE)
    place(page, show, (WIDTH / 2, 152), 330 - 60 * (1 - ramp(t, 0.0, 0.4)), (4 if s.mirror else -4) * ramp(t, 0.0, 0.5))
    box(page, 60, 252, 580, 344, s.main, r=10)
    ink = readable_on(s.main)
    text(page, s.product, WIDTH / 2, 290, 27, ink, s.head, 0.5, 1, s.stretch, 480)
    text(page, f"{s.tagline}  {s.price}", WIDTH / 2, 326, 17, mix(ink, s.accent, 0.25), "bold", max_width=480)
    _logo(page, s, WIDTH / 2 - 8, 36, 17, readable_on(s.paper), clamp(t / 0.2))
    return page


def product_grid(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """Three products with prices pop up over blurred footage."""
    image = mix_canvas(cv2.GaussianBlur(image, (0, 0), 9).astype(np.uint8), s.main, 0.25)
    text(image, s.tagline, WIDTH / 2, 62, 32, WHITE, s.head, stretch=s.stretch, max_width=560, shadow=True)
    shapes = [s.shape, "carton", "tube" if s.shape != "tube" else "cup"]
    colours = [(s.main, s.accent), (s.accent, s.main), (mix(s.main, s.accent, 0.5), s.paper)]
    value = float(s.price[1:])
    for i, (shape, (first, second)) in enumerate(zip(shapes, colours, strict=True)):
        grow = pop(t, 0.05 + 0.2 * i, 0.4)
        if grow < 0.15:
            continue
        x, y = 138 + 182 * i, 192
        box(image, x - 82 * grow, y - 104 * grow, x + 82 * grow, y + 104 * grow, WHITE, r=14)
        product(image, shape, x, y - 24, 124 * grow, first, second)
        box(image, x - 62 * grow, y + 54 * grow, x + 62 * grow, y + 94 * grow, s.accent, r=8)
        price = f"${value * (1 + 0.4 * i):.2f}"
        text(image, price, x, y + 84 * grow, 21 * grow, readable_on(s.accent), "black", max_width=112 * grow + 1)
    _logo(image, s, WIDTH / 2, 338, 20, WHITE)
    return image


def circle_reveal(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A disc of colour grows from a corner and carries product, price and logo."""
    cx = 210 if s.mirror else 430
    for lag, colour in ((0.0, s.accent), (0.1, s.main)):
        radius = 215 * ramp(t, lag, 0.5)
        ellipse(image, (cx, 190), (radius, radius), colour, 0.96)
    ink = readable_on(s.main)
    if t > 0.2:
        product(image, s.shape, cx + 92, 176 + 4 * math.sin(t * 3), 160 * max(0.05, pop(t, 0.2)), s.accent, s.paper)
        text(image, s.product, cx - 58, 132, 22, ink, s.head, 0.5, ramp(t, 0.3, 0.2), s.stretch, 190)
        text(image, s.price, cx - 58, 194, 38, ink, "black", 0.5, ramp(t, 0.4, 0.2), max_width=180)
        text(image, s.tagline, cx - 56, 226, 14, ink, "regular", 0.5, ramp(t, 0.5, 0.3), max_width=180)
        _button(image, s, t, cx - 56, 266, s.accent, 0.8)
    half = 34 + 11.5 * len(s.brand)
    box(image, WIDTH - cx - half, 306, WIDTH - cx + half, 346, s.accent, clamp(t / 0.2), r=10)
    plate = replace(s, accent=s.main)
    _logo(image, plate, WIDTH - cx, 335, 20, readable_on(s.accent), clamp(t / 0.2))
    return image


def big_number(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A huge offer in the middle of muted footage between two moving bands."""
    image = mix_canvas(image, (20, 20, 26), 0.22)
    for y, way in ((22, 1), (338, -1)):
        polygon(image, [(0, y - 34), (WIDTH, y - 22), (WIDTH, y + 34), (0, y + 22)], s.main)
        text(image, f"{s.brand}  /  {s.url}  /  " * 5, -260 + way * t * 60 + (0 if way > 0 else 120), y + 9, 18,
             readable_on(s.main), "bold", 0, max_width=4000)  # fmt: skip
    grow = max(0.05, pop(t, 0.0, 0.5)) * (1 + 0.02 * math.sin(t * 6))
    for dx, dy, colour in ((5, 6, (10, 10, 14)), (0, 0, s.accent)):
        text(image, s.off, WIDTH / 2 + dx, 200 + dy, 96 * grow, colour, "black", stretch=s.stretch, max_width=520)
    box(image, 120, 222, 520, 270, s.paper, 0.95 * ramp(t, 0.25, 0.2), r=4)
    text(
        image,
        f"{s.product} {s.price}",
        WIDTH / 2,
        255,
        22,
        readable_on(s.paper),
        s.head,
        0.5,
        ramp(t, 0.3, 0.2),
        max_width=370,
    )
    return image


def mix_canvas(image: Canvas, colour: Colour, share: float) -> Canvas:
    """The image with a share of one colour laid over it."""
    return (image * (1 - share) + np.array(colour) * share).round().astype(np.uint8)


TEMPLATES: dict[str, Callable[[Canvas, float, float, Style], Canvas]] = {
    template.__name__: template
    for template in (
        lower_third, title_over, end_card, wipe_to_card, product_card, sale_countdown, review, split_panel,
        ribbon_ticker, framed, product_grid, circle_reveal, big_number,
    )
}  # fmt: skip

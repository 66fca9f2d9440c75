"""Ad templates that leave the footage in sight: straps, titles, stickers, tickers. See ads.py for the rules."""

from __future__ import annotations

import math

from .drawing import (
    HEIGHT,
    WIDTH,
    Canvas,
    box,
    burst,
    clamp,
    ellipse,
    luma,
    mix,
    mix_canvas,
    polygon,
    pop,
    ramp,
    readable_on,
    text,
)
from .parts import WHITE, Style, bug, logo, sticker
from .products import product


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
    bug(image, s, t)
    sticker(image, s, t, 0.45, 500, 236, 82, s.price)
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
    logo(image, s, WIDTH / 2, 332, 17, WHITE)
    return image


def small_print(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """The quiet kind: a line of text with the price under a rule, and a small logo plate; the footage stays clear."""
    bug(image, s, t)
    left = 120
    text(
        image, f"{s.product}  {s.price}", left, 276, 24, WHITE, s.head, 0, clamp((t - 0.08) / 0.2), s.stretch, 400, True
    )
    box(image, left, 286, left + 400 * ramp(t, 0.0, 0.35), 289, s.accent)
    text(image, s.tagline, left, 312, 15, WHITE, "regular", 0, clamp((t - 0.2) / 0.25), max_width=400, shadow=True)
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
    sticker(image, s, t, 0.2, 250 if s.mirror else 390, 178, 108, s.off)
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
    bug(image, s, t)
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

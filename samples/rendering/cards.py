"""Ad templates that take much of the frame or all of it: cards, panels, grids. See ads.py for the rules."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from .drawing import (
    HEIGHT,
    WIDTH,
    Canvas,
    blend,
    box,
    burst,
    clamp,
    ellipse,
    gradient,
    mix,
    mix_canvas,
    place,
    polygon,
    pop,
    ramp,
    readable_on,
    stripes,
    text,
)
from .parts import WHITE, Style, bug, button, logo
from .products import product


def end_card(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A full frame of brand colour: product, price, logo and button; the footage is not seen."""
    image = gradient(s.paper, mix(s.paper, s.main, 0.45), 60)
    stripes(image, mix(s.paper, s.accent, 0.5), 46, t * 30, 0.25)
    x, other = (446, 206) if s.mirror else (194, 434)
    ellipse(image, (x, 180), (118, 118), mix(s.main, WHITE, 0.1), 0.9)
    product(image, s.shape, x, 182 + 5 * math.sin(t * 2.5), 195 * max(0.05, pop(t, 0.0, 0.5)), s.accent, s.main)
    ink = readable_on(mix(s.paper, s.main, 0.2))
    logo(image, s, other, 84, 24, ink)
    text(image, s.product, other, 140, 25, ink, s.head, 0.5, ramp(t, 0.15, 0.3), s.stretch, 240)
    text(image, s.price, other, 216, 50 * max(0.1, pop(t, 0.3)), ink, "black", 0.5, ramp(t, 0.3, 0.2), max_width=232)
    if t > 0.6:
        width = text(image, s.was, other, 252, 21, ink, "regular", 0.5, 0.8)
        box(image, other - width / 2 - 6, 240, other + width / 2 + 6, 243, ink)
        button(image, s, t, other, 298, s.main)
    return image


def wipe_to_card(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """Footage under a strap, then slanted bars wipe to the end card."""
    strap = ramp(t, 0.0, 0.3)
    box(image, 0, 372 - 92 * strap, WIDTH, HEIGHT + 92, s.main, 0.93)
    box(image, 0, 366 - 92 * strap, WIDTH, 372 - 92 * strap, s.accent)
    text(
        image, s.tagline, WIDTH / 2, 430 - 98 * strap, 24, readable_on(s.main), s.head, stretch=s.stretch, max_width=560
    )
    bug(image, s, t)
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
    button(image, s, t, x, 313, s.accent, 0.75)
    bug(image, s, t)
    return image


def split_panel(image: Canvas, t: float, d: float, s: Style) -> Canvas:
    """A slanted panel covers one half and lists what the product does."""
    width = 390 * ramp(t, 0.0, 0.45)

    def flip(x: float) -> float:
        return WIDTH - x if s.mirror else x

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
    logo(page, s, WIDTH / 2 - 8, 36, 17, readable_on(s.paper), clamp(t / 0.2))
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
    logo(image, s, WIDTH / 2, 338, 20, WHITE)
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
        button(image, s, t, cx - 56, 266, s.accent, 0.8)
    half = 34 + 11.5 * len(s.brand)
    box(image, WIDTH - cx - half, 306, WIDTH - cx + half, 346, s.accent, clamp(t / 0.2), r=10)
    plate = replace(s, accent=s.main)
    logo(image, plate, WIDTH - cx, 335, 20, readable_on(s.accent), clamp(t / 0.2))
    return image

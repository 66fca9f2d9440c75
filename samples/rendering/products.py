"""Product drawings and brand marks: simple shapes that read as a bottle, a phone, a shoe and so on."""

from __future__ import annotations

import math

from .drawing import Canvas, Colour, box, ellipse, line, mix, polygon

WHITE: Colour = (255, 255, 255)
DARK: Colour = (30, 30, 36)


def product(image: Canvas, shape: str, x: float, y: float, size: float, main: Colour, accent: Colour) -> None:
    """Draw a product of SHAPES centred at (x, y), about `size` tall, with a soft shadow under it."""
    ellipse(image, (x, y + size * 0.5), (size * 0.42, size * 0.06), (0, 0, 0), 0.25)
    SHAPES[shape](image, x, y, size, main, accent)


def bottle(image: Canvas, x: float, y: float, s: float, main: Colour, accent: Colour) -> None:
    box(image, x - s * 0.07, y - s * 0.5, x + s * 0.07, y - s * 0.4, accent, r=4)
    box(image, x - s * 0.055, y - s * 0.42, x + s * 0.055, y - s * 0.2, main)
    box(image, x - s * 0.18, y - s * 0.26, x + s * 0.18, y + s * 0.5, main, r=s * 0.12)
    box(image, x - s * 0.18, y - s * 0.02, x + s * 0.18, y + s * 0.28, mix(accent, WHITE, 0.6))
    ellipse(image, (x, y + s * 0.13), (s * 0.09, s * 0.09), accent)
    box(image, x - s * 0.13, y - s * 0.18, x - s * 0.09, y + s * 0.44, WHITE, 0.4, r=4)


def can(image: Canvas, x: float, y: float, s: float, main: Colour, accent: Colour) -> None:
    box(image, x - s * 0.24, y - s * 0.44, x + s * 0.24, y + s * 0.48, main, r=s * 0.06)
    polygon(
        image,
        [
            (x - s * 0.24, y - s * 0.02),
            (x + s * 0.24, y - s * 0.26),
            (x + s * 0.24, y + s * 0.1),
            (x - s * 0.24, y + s * 0.34),
        ],
        accent,
    )
    ellipse(image, (x, y - s * 0.44), (s * 0.22, s * 0.06), (200, 204, 210))
    ellipse(image, (x, y - s * 0.44), (s * 0.08, s * 0.02), (130, 134, 140))
    box(image, x - s * 0.18, y - s * 0.34, x - s * 0.13, y + s * 0.4, WHITE, 0.4, r=4)


def phone(image: Canvas, x: float, y: float, s: float, main: Colour, accent: Colour) -> None:
    box(image, x - s * 0.26, y - s * 0.5, x + s * 0.26, y + s * 0.5, DARK, r=s * 0.07)
    box(image, x - s * 0.23, y - s * 0.46, x + s * 0.23, y + s * 0.46, main, r=s * 0.05)
    ellipse(image, (x, y - s * 0.14), (s * 0.15, s * 0.15), mix(accent, WHITE, 0.3))
    for i in range(3):
        box(
            image,
            x - s * 0.16,
            y + s * (0.12 + 0.1 * i),
            x + s * (0.16 - 0.07 * i),
            y + s * (0.17 + 0.1 * i),
            WHITE,
            0.8,
            r=3,
        )


def cup(image: Canvas, x: float, y: float, s: float, main: Colour, accent: Colour) -> None:
    polygon(
        image,
        [
            (x - s * 0.27, y - s * 0.3),
            (x + s * 0.27, y - s * 0.3),
            (x + s * 0.19, y + s * 0.48),
            (x - s * 0.19, y + s * 0.48),
        ],
        main,
    )
    polygon(
        image,
        [
            (x - s * 0.25, y - s * 0.08),
            (x + s * 0.25, y - s * 0.08),
            (x + s * 0.22, y + s * 0.22),
            (x - s * 0.22, y + s * 0.22),
        ],
        mix(accent, WHITE, 0.2),
    )
    box(image, x - s * 0.31, y - s * 0.4, x + s * 0.31, y - s * 0.28, DARK, r=6)
    ellipse(image, (x, y + s * 0.07), (s * 0.08, s * 0.08), WHITE)


def shoe(image: Canvas, x: float, y: float, s: float, main: Colour, accent: Colour) -> None:
    s *= 0.8  # wider than tall
    y += s * 0.14
    sole = [(-0.55, 0.3), (0.55, 0.3), (0.58, 0.4), (0.5, 0.46), (-0.5, 0.46), (-0.58, 0.4)]
    upper = [(-0.52, 0.3), (-0.5, -0.22), (-0.34, -0.1), (-0.14, -0.24), (0.1, 0.02), (0.42, 0.1), (0.55, 0.3)]
    polygon(image, [(x + a * s, y + b * s) for a, b in upper], main)
    polygon(image, [(x + a * s, y + b * s) for a, b in sole], WHITE)
    band = [(-0.36, 0.2), (-0.06, 0.06), (0.12, 0.12), (-0.02, 0.24)]
    polygon(image, [(x + a * s, y + b * s) for a, b in band], accent)
    for i in range(3):
        line(
            image,
            (x + s * (-0.12 + 0.1 * i), y + s * (-0.12 + 0.08 * i)),
            (x + s * (0.0 + 0.1 * i), y + s * (-0.18 + 0.08 * i)),
            WHITE,
            s * 0.03,
        )


def carton(image: Canvas, x: float, y: float, s: float, main: Colour, accent: Colour) -> None:
    box(image, x - s * 0.3, y - s * 0.5, x + s * 0.22, y + s * 0.5, main)
    polygon(
        image,
        [
            (x + s * 0.22, y - s * 0.5),
            (x + s * 0.34, y - s * 0.42),
            (x + s * 0.34, y + s * 0.42),
            (x + s * 0.22, y + s * 0.5),
        ],
        mix(main, (0, 0, 0), 0.3),
    )
    ellipse(image, (x - s * 0.04, y + s * 0.12), (s * 0.2, s * 0.2), mix(accent, WHITE, 0.25))
    box(image, x - s * 0.24, y - s * 0.4, x + s * 0.16, y - s * 0.26, WHITE, r=4)
    box(image, x - s * 0.2, y - s * 0.2, x + s * 0.12, y - s * 0.15, WHITE, 0.8)


def tube(image: Canvas, x: float, y: float, s: float, main: Colour, accent: Colour) -> None:
    polygon(
        image,
        [
            (x - s * 0.24, y - s * 0.5),
            (x + s * 0.24, y - s * 0.5),
            (x + s * 0.16, y + s * 0.34),
            (x - s * 0.16, y + s * 0.34),
        ],
        main,
    )
    box(image, x - s * 0.14, y + s * 0.34, x + s * 0.14, y + s * 0.5, accent, r=5)
    box(image, x - s * 0.25, y - s * 0.5, x + s * 0.25, y - s * 0.44, mix(main, (0, 0, 0), 0.25))
    box(image, x - s * 0.06, y - s * 0.34, x + s * 0.06, y + s * 0.2, WHITE, 0.85, r=6)


def watch(image: Canvas, x: float, y: float, s: float, main: Colour, accent: Colour) -> None:
    box(image, x - s * 0.13, y - s * 0.5, x + s * 0.13, y + s * 0.5, main, r=8)
    ellipse(image, (x, y), (s * 0.28, s * 0.28), DARK)
    ellipse(image, (x, y), (s * 0.23, s * 0.23), mix(accent, WHITE, 0.75))
    for hour in range(0, 12, 3):
        a = math.pi * hour / 6
        ellipse(image, (x + s * 0.18 * math.cos(a), y + s * 0.18 * math.sin(a)), (s * 0.02, s * 0.02), DARK)
    line(image, (x, y), (x, y - s * 0.16), DARK, s * 0.03)
    line(image, (x, y), (x + s * 0.11, y + s * 0.05), accent, s * 0.03)


SHAPES = {shape.__name__: shape for shape in (bottle, can, phone, cup, shoe, carton, tube, watch)}


def mark(image: Canvas, kind: int, x: float, y: float, r: float, colour: Colour, inner: Colour) -> None:
    """A brand's mark of radius r; kind 0..4."""
    if kind == 0:
        ellipse(image, (x, y), (r, r), colour)
        ellipse(image, (x + r * 0.3, y - r * 0.1), (r * 0.6, r * 0.6), inner)
    elif kind == 1:
        polygon(image, [(x, y - r), (x + r, y + r * 0.8), (x - r, y + r * 0.8)], colour)
        polygon(image, [(x, y), (x + r * 0.5, y + r * 0.8), (x - r * 0.5, y + r * 0.8)], inner)
    elif kind == 2:
        box(image, x - r, y - r, x + r, y + r, colour, r=r * 0.4)
        ellipse(image, (x, y), (r * 0.5, r * 0.5), inner)
    elif kind == 3:
        for i in range(6):
            a = math.pi * i / 3
            ellipse(image, (x + r * 0.6 * math.cos(a), y + r * 0.6 * math.sin(a)), (r * 0.42, r * 0.42), colour)
        ellipse(image, (x, y), (r * 0.36, r * 0.36), inner)
    else:
        polygon(image, [(x - r, y), (x, y - r), (x + r, y), (x, y + r)], colour)
        line(image, (x - r * 0.5, y), (x + r * 0.5, y), inner, r * 0.3)

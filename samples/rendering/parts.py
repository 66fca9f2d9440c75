"""What every ad template uses: the advertiser's style, logo, price sticker and button."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .drawing import WIDTH, Canvas, Colour, box, burst, clamp, mix, pop, readable_on, text
from .products import mark

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


def logo(image: Canvas, s: Style, x: float, y: float, size: float, colour: Colour, alpha: float = 1.0) -> None:
    """Mark and brand name, centred at x, on a baseline y."""
    if alpha < 0.05:
        return
    width = text(image, s.brand, x + size * 0.9, y, size, colour, s.head, 0.5, alpha, s.stretch, 420)
    mark(image, s.kind, x - width / 2 - size * 0.35, y - size / 2, size * 0.72, s.accent, mix(s.accent, WHITE, 0.75))


def bug(image: Canvas, s: Style, t: float) -> None:
    """A small logo plate at the top, in place from the start."""
    x = WIDTH * (0.70 if s.mirror else 0.30)
    half = 26 + 9.5 * len(s.brand)
    box(image, x - half, 14, x + half, 50, s.main, 0.92 * clamp(t / 0.15), r=8)
    logo(image, s, x, 40, 16, readable_on(s.main), clamp(t / 0.15))


def sticker(image: Canvas, s: Style, t: float, start: float, x: float, y: float, radius: float, words: str) -> None:
    """A price flash that lands, then throbs and rocks."""
    size = radius * max(0.0, pop(t, start)) * (1 + 0.04 * math.sin(t * 7))
    if size < 4:
        return
    burst(image, (x + 3, y + 4), size, (0, 0, 0), turn=0.1 * math.sin(t * 2.2))
    burst(image, (x, y), size, s.accent, turn=0.1 * math.sin(t * 2.2))
    ink = readable_on(s.accent)
    text(image, words, x, y + size * 0.19, size * 0.42, ink, "black", max_width=size * 1.5)
    text(image, "ONLY" if words == s.price else "OFF NOW", x, y - size * 0.36, size * 0.17, ink, "bold", max_width=size)


def button(image: Canvas, s: Style, t: float, x: float, y: float, fill: Colour, scale: float = 1.0) -> None:
    """A call to action that breathes."""
    grow = scale * (1 + 0.035 * math.sin(t * 6))
    half = (30 + 9.5 * len(s.cta)) * grow
    box(image, x - half + 2, y - 20 * grow + 4, x + half + 2, y + 20 * grow + 4, (0, 0, 0), 0.35, r=20 * grow)
    box(image, x - half, y - 20 * grow, x + half, y + 20 * grow, fill, r=20 * grow)
    text(image, s.cta, x, y + 8 * grow, 16 * grow, readable_on(fill), "bold", max_width=2 * half - 20)

"""Drawn animated scenes, as a cartoon programme has: no lettering, no overlays.

A scene is a function of (seconds, random generator) that draws a canvas. The generator is made anew from
the scene's seed for every frame, so that layout and colours stay while the things move. Another seed is
another shot: other colours, other places, other speeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from .drawing import HEIGHT, WIDTH, Canvas, Colour, box, ellipse, gradient, line, mix, polygon

SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((70, 150, 230), (190, 225, 250)),
    ((240, 150, 90), (255, 220, 160)),
    ((120, 90, 190), (245, 170, 190)),
    ((60, 190, 210), (215, 245, 235)),
    ((150, 165, 180), (214, 218, 216)),
    ((250, 190, 60), (255, 236, 170)),
)
BRIGHTS: tuple[Colour, ...] = (
    (226, 62, 55), (245, 160, 30), (250, 214, 70), (74, 170, 84), (48, 132, 200),
    (142, 82, 176), (236, 110, 160), (40, 180, 170), (160, 106, 66), (230, 228, 220),
)  # fmt: skip

Random = np.random.Generator


def _pick(rng: Random, count: int) -> list[Colour]:
    return [BRIGHTS[i] for i in rng.permutation(len(BRIGHTS))[:count]]


def _sky(rng: Random) -> Canvas:
    top, bottom = SKIES[int(rng.integers(len(SKIES)))]
    return gradient(top, bottom)


def _ridge(image: Canvas, base: float, height: float, wave: float, shift: float, colour: Colour) -> None:
    xs = np.arange(-10, WIDTH + 11, 10)
    ys = base - height * (np.sin((xs + shift) / wave) + 0.4 * np.sin((xs + shift) / wave * 2.3 + 1))
    polygon(image, [(-10, HEIGHT + 5), *zip(xs.tolist(), ys.tolist(), strict=True), (WIDTH + 10, HEIGHT + 5)], colour)


def _cloud(image: Canvas, x: float, y: float, size: float, colour: Colour = (250, 250, 250)) -> None:
    for dx, dy, r in ((-1.0, 0.1, 0.6), (-0.3, -0.25, 0.8), (0.5, -0.1, 0.7), (1.1, 0.15, 0.5)):
        ellipse(image, (x + dx * size, y + dy * size), (r * size, r * size * 0.7), colour, 0.9)


def _walker(image: Canvas, x: float, ground: float, size: float, t: float, coat: Colour, skin: Colour) -> None:
    """A round-headed figure with a walk cycle."""
    swing = math.sin(t * 7) * 0.5
    dark = mix(coat, (20, 20, 30), 0.6)
    hip = ground - size * 0.45
    for side in (1, -1):
        line(image, (x, hip), (x + side * swing * size * 0.5, ground), dark, size * 0.14)
    bob = abs(math.cos(t * 7)) * size * 0.05
    ellipse(image, (x, hip - size * 0.25 - bob), (size * 0.26, size * 0.36), coat)
    line(
        image,
        (x, hip - size * 0.42 - bob),
        (x - swing * size * 0.5, hip - size * 0.1),
        mix(coat, (0, 0, 0), 0.2),
        size * 0.12,
    )
    head = (x + size * 0.04, hip - size * 0.82 - bob)
    ellipse(image, head, (size * 0.28, size * 0.27), skin)
    ellipse(image, (head[0], head[1] - size * 0.08), (size * 0.3, size * 0.22), dark, span=(180, 360))
    for dx in (0.06, 0.18):
        ellipse(image, (head[0] + dx * size, head[1] + size * 0.02), (size * 0.035, size * 0.05), (20, 20, 20))


def hills(t: float, rng: Random) -> Canvas:
    """Parallax hills, trees, clouds and somebody walking."""
    image = _sky(rng)
    coat, skin = _pick(rng, 1)[0], (246, 206, 170)
    greens = mix((70, 150, 60), BRIGHTS[int(rng.integers(10))], 0.25)
    ellipse(image, (rng.uniform(80, 560), 70), (38, 38), (255, 240, 170))
    for i in range(3):
        _cloud(image, (rng.uniform(0, 640) + t * 12 * (i + 1)) % 760 - 60, rng.uniform(40, 120), rng.uniform(22, 40))
    for layer in range(3):
        _ridge(image, 230 + 45 * layer, 26, 110 - 20 * layer, t * 22 * (layer + 1) + rng.uniform(0, 900),
               mix((210, 225, 220), greens, 0.45 + 0.27 * layer))  # fmt: skip
    for i in range(5):
        x = (rng.uniform(0, 800) - t * 66) % 800 - 80
        box(image, x - 6, 250, x + 6, 320, (110, 78, 50))
        for dy in (0, 26, 50):
            ellipse(
                image, (x, 250 - dy + 10 * (i % 2)), (38 - dy * 0.3, 34), mix(greens, (20, 60, 20), 0.25 + dy / 200)
            )
    _walker(image, 320 + 40 * math.sin(t), 345, 120, t, coat, skin)
    return image


def sea(t: float, rng: Random) -> Canvas:
    """Waves and a sailing boat."""
    image = _sky(rng)
    hull, sail = _pick(rng, 2)
    water = mix((30, 110, 160), BRIGHTS[int(rng.integers(10))], 0.2)
    ellipse(image, (rng.uniform(80, 560), 190), (46, 46), (255, 226, 150))
    for _ in range(3):
        _cloud(image, (rng.uniform(0, 640) + t * 14) % 760 - 60, rng.uniform(30, 110), rng.uniform(20, 36))
    x, y = 200 + 60 * t + rng.uniform(-80, 80), 238 + 7 * math.sin(t * 2.4)
    _ridge(image, 245, 5, 30, t * 40, mix(water, (255, 255, 255), 0.3))
    line(image, (x, y), (x, y - 150), (90, 64, 44), 7)
    polygon(image, [(x + 6, y - 148), (x + 100, y - 30), (x + 6, y - 30)], sail)
    polygon(image, [(x - 6, y - 120), (x - 66, y - 30), (x - 6, y - 30)], mix(sail, (255, 255, 255), 0.45))
    polygon(image, [(x - 100, y - 18), (x + 120, y - 18), (x + 80, y + 34), (x - 66, y + 34)], hull)
    for layer in range(3):
        _ridge(
            image, 270 + 34 * layer, 8, 38 + 8 * layer, -t * 60 * (layer + 1), mix(water, (10, 40, 90), 0.22 * layer)
        )
    return image


def city(t: float, rng: Random) -> Canvas:
    """A street at dusk: lit windows and a car that drives."""
    image = gradient(mix((30, 30, 80), BRIGHTS[int(rng.integers(10))], 0.2), (220, 140, 120))
    car = _pick(rng, 1)[0]
    for layer in range(2):
        x, shift = -20.0, t * 14 * (layer + 1)
        while x < WIDTH + 150:
            w, top = rng.uniform(60, 110), rng.uniform(60, 170) + 40 * layer
            wall = mix((70, 70, 100), BRIGHTS[int(rng.integers(10))], 0.25 * (layer + 0.6))
            box(image, x - shift, top, x - shift + w, 310, wall)
            for wy in range(int(top) + 14, 290, 26):
                for column in range(int((w - 24) // 24) + 1):
                    wx = x - shift + 10 + 24 * column
                    lit = rng.random() < 0.5
                    box(image, wx, wy, wx + 12, wy + 14, (255, 226, 130) if lit else mix(wall, (0, 0, 0), 0.35))
            x += w + rng.uniform(0, 20)
    box(image, 0, 300, WIDTH, HEIGHT, (66, 66, 74))
    for i in range(9):
        x = (i * 90 - t * 170) % 810 - 90
        box(image, x, 334, x + 46, 340, (220, 216, 190))
    x, y = 290 + 30 * math.sin(t * 1.5), 312 + 2 * math.sin(t * 18)
    polygon(image, [(x - 60, y - 30), (x - 36, y - 66), (x + 40, y - 66), (x + 72, y - 30)], mix(car, (0, 0, 0), 0.15))
    polygon(image, [(x - 44, y - 32), (x - 28, y - 58), (x + 34, y - 58), (x + 54, y - 32)], (180, 214, 230))
    box(image, x - 100, y - 34, x + 110, y + 4, car, r=14)
    for dx in (-58, 62):
        ellipse(image, (x + dx, y + 6), (22, 22), (30, 30, 34))
        ellipse(image, (x + dx, y + 6), (9, 9), (190, 190, 190))
    return image


def reef(t: float, rng: Random) -> Canvas:
    """Fish, weed and bubbles under water."""
    image = gradient(mix((40, 150, 210), BRIGHTS[int(rng.integers(10))], 0.2), (10, 50, 100))
    _ridge(image, 330, 14, 90, rng.uniform(0, 500), (222, 196, 140))
    for _ in range(7):
        x, lean, weed = rng.uniform(0, 640), rng.uniform(0, 6), _pick(rng, 1)[0]
        for i in range(9):
            ellipse(
                image, (x + 10 * math.sin(t * 2 + lean + i * 0.5), 335 - i * 15), (9, 12), mix(weed, (20, 90, 60), 0.4)
            )
    for _ in range(6):
        body, fin = _pick(rng, 2)
        speed, size = rng.uniform(40, 110), rng.uniform(18, 44)
        x, y = (rng.uniform(0, 760) + t * speed) % 760 - 60, rng.uniform(60, 270)
        y += 8 * math.sin(t * 3 + x / 60)
        wag = 6 * math.sin(t * 12 + size)
        polygon(
            image,
            [(x - size * 0.8, y), (x - size * 1.7, y - size * 0.6 + wag), (x - size * 1.7, y + size * 0.6 + wag)],
            fin,
        )
        ellipse(image, (x, y), (size, size * 0.6), body)
        ellipse(image, (x, y), (size * 0.3, size * 0.6), mix(body, (255, 255, 255), 0.5))
        ellipse(image, (x + size * 0.55, y - size * 0.15), (size * 0.15, size * 0.15), (255, 255, 255))
        ellipse(image, (x + size * 0.6, y - size * 0.15), (size * 0.07, size * 0.07), (10, 10, 10))
    for _ in range(14):
        x, y = rng.uniform(0, 640), (rng.uniform(0, 400) - t * 60) % 400 - 20
        ellipse(image, (x + 5 * math.sin(t * 4 + x), y), (6, 6), (220, 240, 250), 0.5)
    return image


def room(t: float, rng: Random) -> Canvas:
    """A nursery: a ball bounces past a window and a lamp."""
    wall, floor, ball, band = _pick(rng, 4)
    wall = mix(wall, (235, 228, 214), 0.55)
    image = gradient(wall, mix(wall, (0, 0, 0), 0.12))
    box(image, 0, 270, WIDTH, HEIGHT, mix(floor, (150, 110, 80), 0.6))
    x = rng.uniform(60, 330)
    box(image, x, 40, x + 190, 190, (245, 242, 232), r=6)
    box(image, x + 12, 52, x + 178, 178, (150, 205, 240))
    _cloud(image, x + 40 + (t * 12) % 110, 100, 20)
    box(image, x + 91, 52, x + 99, 178, (245, 242, 232))
    lamp = 640 - x * 0.4 - 90
    line(image, (lamp, 290), (lamp, 130), (90, 80, 76), 8)
    polygon(image, [(lamp - 24, 90), (lamp + 24, 90), (lamp + 52, 146), (lamp - 52, 146)], band)
    phase = (t * 1.3 + rng.uniform(0, 1)) % 1
    bx, by = (rng.uniform(0, 640) + t * 130) % 760 - 60, 316 - 190 * 4 * phase * (1 - phase)
    ellipse(image, (bx, 326), (40 - 20 * 4 * phase * (1 - phase), 7), (40, 30, 30), 0.35)
    ellipse(image, (bx, by), (36, 36), ball)
    ellipse(image, (bx, by), (36, 11), mix(ball, (255, 255, 255), 0.7))
    ellipse(image, (bx - 12, by - 13), (8, 6), (255, 255, 255), 0.6)
    return image


def snow(t: float, rng: Random) -> Canvas:
    """Snow falls on firs and a snowman."""
    image = gradient((120, 140, 175), (212, 220, 232))
    scarf, hat = _pick(rng, 2)
    _ridge(image, 250, 24, 120, rng.uniform(0, 900), (226, 232, 240))
    for _ in range(6):
        x, size = rng.uniform(0, 640), rng.uniform(40, 80)
        for i in range(3):
            y = 270 - i * size * 0.42
            tip = [(x - size * (0.7 - i * 0.16), y), (x + size * (0.7 - i * 0.16), y), (x, y - size * 0.75)]
            polygon(image, tip, mix((40, 90, 80), (235, 240, 245), 0.12 * i))
    _ridge(image, 315, 12, 150, rng.uniform(0, 900), (244, 247, 250))
    x = rng.uniform(200, 440)
    for dy, r in ((0, 52), (-72, 38), (-128, 27)):
        ellipse(image, (x + 2 * math.sin(t * 2), 300 + dy), (r, r), (250, 250, 252))
    box(image, x - 34, 198, x + 34, 212, scarf, r=6)
    box(image, x - 24, 118, x + 24, 154, hat)
    box(image, x - 38, 150, x + 38, 158, hat)
    polygon(image, [(x, 172), (x + 34, 178), (x, 182)], (240, 140, 50))
    for eye in (-10, 10):
        ellipse(image, (x + eye, 166), (4, 4), (20, 20, 20))
    for _ in range(70):
        fx, fy = rng.uniform(0, 640), (rng.uniform(0, 380) + t * rng.uniform(50, 110)) % 380 - 10
        flake = rng.uniform(2, 5)
        ellipse(image, (fx + 10 * math.sin(t + fx), fy), (flake, flake), (255, 255, 255), 0.85)
    return image


def space(t: float, rng: Random) -> Canvas:
    """A rocket passes a ringed planet."""
    image = gradient((16, 14, 44), mix((50, 24, 90), BRIGHTS[int(rng.integers(10))], 0.25), 60)
    planet, ring, hull = _pick(rng, 3)
    for _ in range(60):
        x, y, r = (rng.uniform(0, 640) - t * 10) % 640, rng.uniform(0, 360), rng.uniform(1, 2.6)
        ellipse(image, (x, y), (r, r), (255, 250, 230), 0.5 + 0.5 * math.sin(t * 4 + x) ** 2)
    px, py = rng.uniform(380, 520), rng.uniform(90, 150)
    ellipse(image, (px, py), (78, 78), planet)
    ellipse(image, (px + 18, py + 14), (60, 62), mix(planet, (0, 0, 0), 0.2))
    for i in range(40):
        a = math.pi * i / 39
        ellipse(image, (px + 120 * math.cos(a), py + 22 * math.sin(a)), (7, 5), ring)
    x, y = 110 + t * 70, 280 - t * 28
    flame = 30 + 12 * math.sin(t * 30)
    polygon(image, [(x - 46, y + 8), (x - 46 - flame, y + 34), (x - 30, y + 30)], (255, 190, 60))
    polygon(image, [(x - 40, y + 40), (x - 60, y + 6), (x + 50, y - 50), (x + 92, y - 52), (x + 70, y - 14)], hull)
    polygon(image, [(x + 50, y - 50), (x + 92, y - 52), (x + 70, y - 14)], (236, 236, 236))
    ellipse(image, (x + 22, y - 10), (14, 14), (190, 230, 250))
    return image


def balloons(t: float, rng: Random) -> Canvas:
    """Hot-air balloons over a valley."""
    image = _sky(rng)
    land = mix((120, 150, 80), BRIGHTS[int(rng.integers(10))], 0.25)
    _ridge(image, 280, 20, 80, rng.uniform(0, 900), mix(land, (200, 210, 220), 0.5))
    _ridge(image, 315, 18, 120, t * 18 + rng.uniform(0, 900), land)
    for i in range(4):
        first, second = _pick(rng, 2)
        size = rng.uniform(34, 66)
        x = (rng.uniform(0, 160) + 150 * i + t * (8 + 7 * i)) % 700 - 20
        y = rng.uniform(80, 190) + 10 * math.sin(t * 1.3 + i)
        for dx in (-0.25, 0.25):
            line(image, (x + dx * size * 1.6, y + size * 0.9), (x + dx * size * 0.8, y + size * 1.7), (90, 70, 50), 2)
        for j, share in enumerate((1.0, 0.66, 0.33)):
            ellipse(image, (x, y), (size * share, size * 1.12), first if j % 2 == 0 else second)
        polygon(
            image, [(x - size * 0.62, y + size * 0.8), (x + size * 0.62, y + size * 0.8), (x, y + size * 1.4)], first
        )
        box(image, x - size * 0.22, y + size * 1.6, x + size * 0.22, y + size * 1.9, (140, 96, 56), r=3)
    return image


def desert(t: float, rng: Random) -> Canvas:
    """Dunes and cacti with somebody walking."""
    image = (
        gradient((255, 176, 96), (255, 232, 190)) if rng.random() < 0.5 else gradient((90, 170, 220), (240, 230, 200))
    )
    coat = _pick(rng, 1)[0]
    ellipse(image, (rng.uniform(100, 540), 90), (44, 44), (255, 248, 214))
    sand = mix((226, 170, 100), BRIGHTS[int(rng.integers(10))], 0.15)
    for layer in range(3):
        _ridge(image, 225 + 42 * layer, 22, 140 - 25 * layer, t * 16 * (layer + 1) + rng.uniform(0, 900),
               mix(sand, (130, 80, 50), 0.2 * layer))  # fmt: skip
    for _ in range(4):
        x, size = (rng.uniform(0, 800) - t * 48) % 800 - 80, rng.uniform(50, 90)
        green = (70, 130, 80)
        box(image, x - 10, 318 - size, x + 10, 322, green, r=10)
        box(image, x - 34, 318 - size * 0.6, x, 318 - size * 0.6 + 13, green, r=6)
        box(image, x - 36, 318 - size * 0.95, x - 23, 318 - size * 0.5, green, r=6)
        box(image, x + 23, 318 - size * 0.85, x + 36, 318 - size * 0.35, green, r=6)
        box(image, x, 318 - size * 0.5, x + 34, 318 - size * 0.5 + 13, green, r=6)
    _walker(image, 300 + 30 * t, 345, 110, t, coat, (224, 172, 130))
    return image


def meadow(t: float, rng: Random) -> Canvas:
    """Close flowers that sway and a butterfly."""
    image = gradient((170, 214, 240), mix((120, 180, 90), BRIGHTS[int(rng.integers(10))], 0.15))
    _ridge(image, 240, 12, 100, rng.uniform(0, 900), (112, 170, 84))
    for _ in range(11):
        petal, heart = _pick(rng, 2)
        x, y, size = rng.uniform(20, 620), rng.uniform(170, 290), rng.uniform(14, 30)
        sway = 9 * math.sin(t * 1.8 + x / 50)
        line(image, (x, 370), (x + sway, y), (60, 120, 56), 6)
        for i in range(7):
            a = 2 * math.pi * i / 7 + sway / 40
            ellipse(image, (x + sway + size * math.cos(a), y + size * math.sin(a)), (size * 0.55, size * 0.55), petal)
        ellipse(image, (x + sway, y), (size * 0.55, size * 0.55), heart)
    wing = _pick(rng, 1)[0]
    x, y = 120 + 110 * t, 110 + 34 * math.sin(t * 2.5)
    flap = 0.35 + 0.65 * abs(math.sin(t * 9))
    for side in (-1, 1):
        ellipse(image, (x + side * 26 * flap, y - 14), (26 * flap, 24), wing)
        ellipse(image, (x + side * 19 * flap, y + 16), (19 * flap, 18), mix(wing, (255, 255, 255), 0.4))
    ellipse(image, (x, y), (5, 26), (40, 30, 30))
    return image


SCENES: dict[str, Callable[[float, Random], Canvas]] = {
    scene.__name__: scene
    for scene in (hills, sea, city, reef, room, snow, space, balloons, desert, meadow)
}  # fmt: skip


def render(scene: str, seed: int, t: float) -> Canvas:
    """A scene at t seconds, with the soft light and grain of a painted cel."""
    image = SCENES[scene](t, np.random.default_rng(seed))
    rng = np.random.default_rng(seed + 7)
    light = cv2.resize(rng.normal(0, 1, (5, 8)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(rng.normal(0, 1, (120, 213)).astype(np.float32), (WIDTH, HEIGHT))
    shade = (light * 5 + grain * 3.5)[..., None]
    return np.clip(image + shade, 0, 255).round().astype(np.uint8)

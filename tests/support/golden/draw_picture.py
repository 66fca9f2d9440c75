"""Draws the picture that the golden values of EfficientNet-Lite0 belong to: a wall clock at ten past ten.

Run it to write ``wall_clock.png`` beside it. Nothing here is taken from anyone's photograph.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

SIZE = 224
SCALE = 4  # drawn larger and averaged down, for smooth edges


def draw() -> np.ndarray:
    """uint8 [224, 224, 3] RGB."""
    side = SIZE * SCALE
    ramp = np.linspace(0, 1, side)[:, None, None]
    wall = (1 - ramp) * np.array([176.0, 150.0, 118.0]) + ramp * np.array([128.0, 104.0, 84.0])
    picture = np.ascontiguousarray(np.broadcast_to(wall, (side, side, 3)).astype(np.uint8))
    centre = (side // 2, side // 2)
    cv2.circle(picture, (centre[0] + 14, centre[1] + 18), 372, (84, 66, 52), -1)
    cv2.circle(picture, centre, 372, (70, 34, 20), -1)
    cv2.circle(picture, centre, 352, (138, 74, 40), -1)
    cv2.circle(picture, centre, 322, (248, 246, 238), -1)
    _dial(picture, centre)
    _hand(picture, centre, (10 + 10 / 60) * 5, 170, 16)
    _hand(picture, centre, 10, 250, 10)
    cv2.circle(picture, centre, 16, (20, 20, 20), -1)
    return cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _dial(picture: np.ndarray, centre: tuple[int, int]) -> None:
    for minute in range(60):
        inner = 284 if minute % 5 == 0 else 298
        cv2.line(
            picture, _at(centre, minute, inner), _at(centre, minute, 308), (20, 20, 20), 7 if minute % 5 == 0 else 3
        )
    for hour in range(1, 13):
        text = str(hour)
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 1.9, 4)
        x, y = _at(centre, hour * 5, 238)
        cv2.putText(
            picture, text, (x - width // 2, y + height // 2), cv2.FONT_HERSHEY_DUPLEX, 1.9, (20, 20, 20), 4, cv2.LINE_AA
        )


def _hand(picture: np.ndarray, centre: tuple[int, int], minute: float, length: int, width: int) -> None:
    cv2.line(picture, _at(centre, minute + 30, 40), _at(centre, minute, length), (20, 20, 20), width, cv2.LINE_AA)


def _at(centre: tuple[int, int], minute: float, radius: float) -> tuple[int, int]:
    angle = minute / 60 * 2 * math.pi
    return round(centre[0] + radius * math.sin(angle)), round(centre[1] - radius * math.cos(angle))


if __name__ == "__main__":
    target = Path(__file__).with_name("wall_clock.png")
    cv2.imwrite(str(target), cv2.cvtColor(draw(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])

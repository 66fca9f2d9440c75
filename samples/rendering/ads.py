"""The ad templates by name.

A template is a function (footage canvas, t, duration, style) -> canvas, times in seconds. Words and colours come
from the style, so one template with two styles is two ads. Each keeps its graphics on screen from the first
quarter of a second to the end, and the main ones near the middle, where a square crop still holds them.
"""

from __future__ import annotations

from collections.abc import Callable

from . import cards, overlays
from .drawing import Canvas
from .parts import Style

Template = Callable[[Canvas, float, float, Style], Canvas]

TEMPLATES: dict[str, Template] = {
    template.__name__: template
    for template in (
        overlays.lower_third,
        overlays.title_over,
        overlays.small_print,
        overlays.sale_countdown,
        overlays.review,
        overlays.ribbon_ticker,
        overlays.big_number,
        cards.end_card,
        cards.wipe_to_card,
        cards.product_card,
        cards.split_panel,
        cards.framed,
        cards.product_grid,
        cards.circle_reveal,
    )
}

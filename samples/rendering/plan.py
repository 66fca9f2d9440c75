"""What is rendered: which shot stands in which split, and which advertiser uses which template.

No shot stands in two splits. Footage is scarce, so this is the whole of it:

    shot             content                  ad
    vtest/1          train
    bikes/2          train
    bikes/3, bikes/4                          train
    bikes/6          validation
    bikes/1          test
    bikes/5                                   test and broadcast (other crop, words, colours and templates)
    carphone/1       broadcast
    bigbuckbunny/1   broadcast
    drawn scenes     each (kind, seed) is a shot of its own; meadow, space, balloons and snow are not in train

Templates: lower_third, title_over, end_card, wipe_to_card, product_card, sale_countdown and small_print in train;
review is new in validation; split_panel and ribbon_ticker are new in test; framed, product_grid, circle_reveal and
big_number are in the broadcast only. Advertisers are never shared.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from .drawing import Colour
from .footage import SHOTS, Take
from .parts import Style


@dataclass(frozen=True)
class Scene:
    """A drawn scene of cartoons.SCENES; start is in seconds."""

    kind: str
    seed: int
    start: float = 0.0


@dataclass(frozen=True)
class Shot:
    """One rendered stretch: background, and for an ad the template and the advertiser."""

    name: str
    split: str
    background: Take | Scene
    seconds: float
    template: str | None = None
    style: Style | None = None

    @property
    def label(self) -> str:
        return "content" if self.template is None else "ad"

    @property
    def group(self) -> str:
        """The camera take or drawn scene, or for a card that covers the frame the card itself."""
        if self.template == "end_card" and self.style is not None:
            return f"drawn/card-{self.style.brand.lower().replace(' ', '-')}"
        if isinstance(self.background, Take):
            return self.background.shot
        return f"drawn/{self.background.kind}-{self.background.seed}"

    @property
    def source(self) -> str:
        """The footage file, or "drawn"."""
        return SHOTS[self.group][0] if self.group in SHOTS else "drawn"


def advertisers(split: str) -> list[Style]:
    """The invented advertisers of one split, from advertisers.tsv."""
    with Path(__file__).with_name("advertisers.tsv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["split"] == split]
    words = ("brand", "product", "tagline", "price", "was", "off", "cta", "shape", "head")
    return [
        Style(
            **{key: row[key] for key in words},
            main=_colour(row["main"]),
            accent=_colour(row["accent"]),
            paper=_colour(row["paper"]),
            stretch=float(row["stretch"]),
            kind=int(row["kind"]),
            mirror=row["mirror"] == "yes",
        )
        for row in rows
    ]


def _colour(code: str) -> Colour:
    red, green, blue = bytes.fromhex(code)
    return (red, green, blue)


def _content(split: str, backgrounds: list[tuple[Take | Scene, float]]) -> list[Shot]:
    return [Shot(f"{split}_content_{i + 1:02d}", split, b, seconds) for i, (b, seconds) in enumerate(backgrounds)]


def _ads(split: str, rows: list[tuple[str, Take | Scene, Style]], seconds: float) -> list[Shot]:
    return [Shot(f"{split}_ad_{i + 1:02d}", split, b, seconds, name, style) for i, (name, b, style) in enumerate(rows)]


def _still(drift: float) -> Take:
    """bikes/6 is a third of a second: played slowly back and forth under a camera move."""
    return Take("bikes/6", 0, 0.12, (0.5, 0.5, 0.85), (drift, 0, -0.12 * abs(drift) * 5))


def train() -> list[Shot]:
    content: list[tuple[Take | Scene, float]] = [
        (Take("vtest/1", 2), 2.4),
        (Take("vtest/1", 11, 1, (0.62, 0.40, 0.42), grade="warm"), 2.4),
        (Take("vtest/1", 19, 1, (0.45, 0.32, 0.5), (0.1, 0, 0), "muted"), 2.4),
        (Take("vtest/1", 30, 1, (0.55, 0.6, 0.5), (0, -0.1, 0), "vivid", True), 2.4),
        (Take("vtest/1", 40, 1, (0.75, 0.2, 0.4), grade="cool"), 2.4),
        (Take("vtest/1", 51, 1, (0.5, 0.7, 0.6), flip=True), 2.4),
        (Take("vtest/1", 61, 1, (0.42, 0.75, 0.35)), 2.4),
        (Take("vtest/1", 71, 1, (0.25, 0.3, 0.45), grade="vivid"), 2.4),
        (Take("bikes/2", 0, 0.7), 2.4),
        (Take("bikes/2", 0.6, 0.5, (0.4, 0.5, 0.7), (0.1, 0, 0), "cool"), 2.4),
        (Take("bikes/2", 0.9, 0.35, (0.35, 0.6, 0.8), grade="warm"), 2.4),
        (Scene("hills", 1), 2.4), (Scene("sea", 2), 2.4), (Scene("city", 3), 2.4), (Scene("reef", 4), 2.4),
        (Scene("room", 5), 2.4), (Scene("desert", 6), 2.4), (Scene("hills", 7, 3), 2.4), (Scene("reef", 8), 2.4),
        (Take("vtest/1", 45, 1, (0.7, 0.55, 0.55), grade="grey"), 2.4),
        (Take("vtest/1", 25, 1, (0.55, 0.35, 0.3), (0.1, 0, 0), "muted"), 2.4),
        (Scene("city", 9), 2.4),
    ]  # fmt: skip
    wide, close, left = (0.5, 0.5, 1.0), (0.55, 0.5, 0.75), (0.3, 0.5, 0.8)
    b = advertisers("train")
    ads: list[tuple[str, Take | Scene, Style]] = [
        ("lower_third", Take("bikes/3", 0, 0.7, wide), b[0]),
        ("lower_third", Take("bikes/4", 0, 0.7, left, grade="muted"), b[8]),
        ("lower_third", Scene("desert", 21), b[5]),
        ("title_over", Take("bikes/4", 0.2, 0.6, wide), b[7]),
        ("title_over", Take("bikes/3", 1.2, 0.4, close, grade="cool"), b[6]),
        ("title_over", Scene("city", 22), b[3]),
        ("wipe_to_card", Take("bikes/3", 0.1, 0.6, left, grade="vivid", flip=True), b[1]),
        ("wipe_to_card", Take("bikes/4", 0, 0.7, close, grade="warm"), b[2]),
        ("wipe_to_card", Scene("sea", 23), b[4]),
        ("product_card", Take("bikes/4", 0.3, 0.6, wide, grade="grey", flip=True), b[9]),
        ("product_card", Take("bikes/3", 0.6, 0.6, wide, grade="muted"), b[7]),
        ("product_card", Scene("room", 24), b[1]),
        ("sale_countdown", Take("bikes/3", 1.4, 0.3, close), b[9]),
        ("sale_countdown", Take("bikes/4", 0.1, 0.6, left), b[0]),
        ("sale_countdown", Scene("reef", 25), b[2]),
        ("end_card", Scene("hills", 26), b[6]),
        ("end_card", Scene("hills", 26), b[3]),
        ("end_card", Scene("hills", 26), b[8]),
        ("lower_third", Scene("hills", 26), b[4]),
        ("small_print", Take("bikes/4", 0.2, 0.6, close, grade="muted", flip=True), b[8]),
        ("small_print", Take("bikes/3", 0.2, 0.8, wide, grade="muted"), b[7]),
        ("small_print", Scene("city", 27), b[9]),
    ]
    return _content("train", content) + _ads("train", ads, 2.6)


def validation() -> list[Shot]:
    content: list[tuple[Take | Scene, float]] = [
        (_still(0.2), 2.2), (_still(-0.15), 2.2), (Scene("meadow", 31), 2.4), (Scene("city", 32), 2.4),
        (Scene("sea", 33), 2.4),
    ]  # fmt: skip
    b = advertisers("validation")
    ads: list[tuple[str, Take | Scene, Style]] = [
        ("review", Scene("meadow", 34), b[0]),
        ("product_card", Scene("city", 35), b[1]),
        ("lower_third", Scene("sea", 36), b[2]),
        ("sale_countdown", Scene("room", 37), b[1]),
        ("end_card", Scene("room", 37), b[2]),
    ]
    return _content("validation", content) + _ads("validation", ads, 2.6)


def test() -> list[Shot]:
    content: list[tuple[Take | Scene, float]] = [
        (Take("bikes/1", 0, 0.5), 2.4),
        (Take("bikes/1", 0, 0.5, (0.75, 0.5, 0.6), grade="warm"), 2.4),
        (Take("bikes/1", 0.2, 0.4, (0.3, 0.5, 0.7), (0.2, 0, 0), "cool", True), 2.4),
        (Scene("space", 41), 2.4), (Scene("space", 42), 2.4), (Scene("hills", 43), 2.4), (Scene("reef", 44), 2.4),
        (Scene("desert", 45), 2.4), (Scene("room", 46), 2.4), (Scene("sea", 51), 2.4),
    ]  # fmt: skip
    b = advertisers("test")
    ads: list[tuple[str, Take | Scene, Style]] = [
        ("split_panel", Take("bikes/5", 0, 0.8), b[0]),
        ("ribbon_ticker", Take("bikes/5", 0.2, 0.8, (0.6, 0.5, 0.8), grade="muted"), b[2]),
        ("lower_third", Take("bikes/5", 0.4, 0.6, (0.5, 0.5, 0.9), grade="grey"), b[3]),
        ("title_over", Take("bikes/5", 0, 0.8, flip=True), b[4]),
        ("split_panel", Scene("space", 47), b[3]),
        ("ribbon_ticker", Scene("hills", 48), b[1]),
        ("product_card", Scene("sea", 49), b[2]),
        ("sale_countdown", Scene("city", 50), b[0]),
        ("end_card", Scene("city", 50), b[4]),
        ("small_print", Take("bikes/5", 0.1, 0.8, (0.45, 0.5, 0.9), grade="muted", flip=True), b[0]),
    ]
    return _content("test", content) + _ads("test", ads, 2.6)


def broadcast() -> list[Shot]:
    """In the order of transmission: three shots of programme, the break, three shots of programme."""
    b = advertisers("broadcast")
    rows: list[tuple[Take | Scene, float, str | None, Style | None]] = [
        (Take("bigbuckbunny/1", 0, 0.6), 4.4, None, None),
        (Take("carphone/1", 0, 1.0), 3.8, None, None),
        (Scene("balloons", 61), 4.2, None, None),
        (Take("bikes/5", 0, 0.6, (0.5, 0.5, 0.8), (-0.1, 0, 0), "warm", True), 4.0, "framed", b[0]),
        (Scene("balloons", 62), 4.0, "product_grid", b[1]),
        (Scene("snow", 63), 4.0, "circle_reveal", b[2]),
        (Take("bikes/5", 0.5, 0.4, (0.35, 0.5, 0.7), (0.1, 0, 0), "cool"), 4.0, "big_number", b[3]),
        (Scene("snow", 64), 4.2, None, None),
        (Take("bigbuckbunny/1", 2.64, 0.6), 4.4, None, None),
        (Take("carphone/1", 0.5, 0.8, (0.5, 0.45, 0.75), flip=True), 4.2, None, None),
    ]
    return [
        Shot(f"broadcast_{i + 1:02d}", "broadcast", background, seconds, template, style)
        for i, (background, seconds, template, style) in enumerate(rows)
    ]


def clips() -> list[Shot]:
    """Every clip of the data set; the shots of the broadcast are apart."""
    return train() + validation() + test()

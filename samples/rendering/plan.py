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
    drawn scenes     each (kind, seed) is a shot of its own; the kinds meadow, space, balloons and snow are not in train

Templates: lower_third ... sale_countdown in train; review is new in validation; split_panel and ribbon_ticker are new in
test; framed, product_grid, circle_reveal and big_number are in the broadcast only. Advertisers are never shared.
"""

from __future__ import annotations

from dataclasses import dataclass

from .ads import Style
from .footage import SHOTS, Take


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


def _style(
    words: str, shape: str, colours: tuple[int, int, int], head: str, stretch: float, kind: int, mirror: bool
) -> Style:
    brand, product, tagline, price, was, off, cta = words.split("|")
    main, accent, paper = (((c >> 16) & 255, (c >> 8) & 255, c & 255) for c in colours)
    return Style(brand, product, tagline, price, was, off, cta, shape, main, accent, paper, head, stretch, kind, mirror)


TRAIN_BRANDS = (
    _style("Nordlys|Trail Runner|Light, fast, dry|$59|$89|-30%|SHOP NOW", "shoe", (0x143C78, 0xFAB41E, 0xEBF0F5), "black", 1.0, 0, False),
    _style("Cafe Luna|Oat Latte|New, creamy, oaty|$3.20|$4.10|-20%|TRY ONE", "cup", (0x603628, 0xE65A46, 0xF8ECD6), "bold", 0.85, 3, True),
    _style("Fizzo|Lime Soda|Zero sugar, all taste|$1.10|$1.60|2 FOR 1|GET YOURS", "can", (0x1E8C46, 0xF0E632, 0xE6F5DC), "black", 1.15, 2, False),
    _style("Telva|Phone Nine|Two days a charge|$399|$499|-$100|ORDER", "phone", (0x202028, 0xE02850, 0xDCDCE6), "bold", 1.1, 4, True),
    _style("Aqua Bay|Spring Water|Clear and cold|$0.90|$1.20|-25%|DRINK UP", "bottle", (0x1478B4, 0xF5F5F5, 0xD2EBF5), "italic", 1.0, 1, False),
    _style("Morgenbrot|Honey Loops|Start the day right|$2.80|$3.50|-20%|BUY TODAY", "carton", (0xC83C1E, 0xFFD246, 0xFFF0C8), "black", 0.8, 3, True),
    _style("Veloria|Night Cream|Softer in a week|$18|$24|-25%|DISCOVER", "tube", (0x7850A0, 0xE6C8E6, 0xF5EBF5), "italic", 0.95, 0, False),
    _style("Tempus|Field Watch|Built for years|$120|$160|-25%|SEE MORE", "watch", (0x464638, 0xC8A050, 0xE1DCCD), "bold", 1.2, 2, True),
    _style("Hearth|Roast Beans|Small batches, slowly|$9.50|$12|-20%|ORDER NOW", "carton", (0x5A5A5A, 0xB4B4A0, 0xD7D7D2), "bold", 0.9, 1, False),
    _style("Kite Air|City Breaks|Seats for less|$49|$79|-38%|BOOK NOW", "phone", (0xE65014, 0x1EA0C8, 0xFAF0E6), "black", 1.0, 4, True),
)  # fmt: skip
VALIDATION_BRANDS = (
    _style("Lumo|Desk Lamp|Bright ideas, dim bills|$34|$45|-25%|BUY NOW", "tube", (0x2D5A5A, 0xF08C3C, 0xE6EBDC), "bold", 1.05, 0, False),
    _style("Pippa|Apple Juice|Pressed this morning|$2.20|$2.90|-25%|TASTE IT", "bottle", (0xA01E3C, 0xA0D250, 0xFAEBDC), "black", 0.9, 3, True),
    _style("Stride|Rain Boots|Dry feet, dry wit|$39|$55|-30%|STEP IN", "shoe", (0x3C465A, 0xD2DC3C, 0xDCE1E6), "italic", 1.0, 1, False),
)  # fmt: skip
TEST_BRANDS = (
    _style("Bergen|Wool Coat|Warm, soft, fair|$89|$129|-30%|VIEW ALL", "carton", (0x37324B, 0xDC7878, 0xE6DCE1), "bold", 0.95, 2, False),
    _style("Sunny Co|Orange Pop|Cold, bright, fizzy|$1.40|$1.90|3 FOR 2|GRAB ONE", "can", (0xF07814, 0x3250B4, 0xFFEBC8), "black", 1.1, 0, True),
    _style("Olivo|Green Oil|First press, glass bottle, slow|$7.90|$9.90|-20%|COOK IT", "bottle", (0x5A6E32, 0xE6D296, 0xEBEBD7), "italic", 1.05, 4, False),
    _style("Mono|Smart Ring|Sleep, steps, pulse|$149|$199|-$50|TRY IT", "watch", (0x1E1E1E, 0x50C8BE, 0xD2D2D2), "black", 0.85, 1, True),
    _style("Dentica|Mint Paste|Fresh, white, strong|$3.60|$4.80|-25%|SMILE", "tube", (0x0F8CA0, 0xFAFAFA, 0xDCF5F5), "bold", 1.0, 3, False),
)  # fmt: skip
BROADCAST_BRANDS = (
    _style("Alpina|Hiking Boot|Up, over, home again|$95|$140|-45|FIND YOURS", "shoe", (0x4B6437, 0xF0B43C, 0xEBE6D2), "bold", 1.0, 1, False),
    _style("Mercado|Weekend Deals|Only until Sunday|$4.50|$6.00|-25%|OPEN NOW", "bottle", (0xB41E28, 0xFFC828, 0xFFF0DC), "black", 0.9, 2, True),
    _style("Frost|Berry Ice|Cold, sweet, berry|$2.90|$3.60|-20%|SCOOP", "cup", (0x8C3C8C, 0x50D2C8, 0xF5DCEB), "black", 1.1, 3, False),
    _style("Oranda|Family Plan|Five phones, one bill|$29|$45|3 FOR 2|SWITCH", "phone", (0x0A5A50, 0xFF8250, 0xE1F0E6), "bold", 1.15, 4, True),
)  # fmt: skip


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
    ]  # fmt: skip
    wide, close, left = (0.5, 0.5, 1.0), (0.55, 0.5, 0.75), (0.3, 0.5, 0.8)
    b = TRAIN_BRANDS
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
    ]
    return _content("train", content) + _ads("train", ads, 2.6)


def validation() -> list[Shot]:
    content: list[tuple[Take | Scene, float]] = [
        (_still(0.2), 2.2), (_still(-0.15), 2.2), (Scene("meadow", 31), 2.4), (Scene("city", 32), 2.4),
        (Scene("sea", 33), 2.4),
    ]  # fmt: skip
    b = VALIDATION_BRANDS
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
        (Scene("desert", 45), 2.4), (Scene("room", 46), 2.4),
    ]  # fmt: skip
    b = TEST_BRANDS
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
    ]
    return _content("test", content) + _ads("test", ads, 2.6)


def broadcast() -> list[Shot]:
    """In the order of transmission: three shots of programme, the break, three shots of programme."""
    b = BROADCAST_BRANDS
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

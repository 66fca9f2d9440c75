"""What every picture needs: figures without a display, text that does not harm them, and bytes of a PNG."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

from adapters.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that people with any colour vision tell apart: Okabe and Ito, "Color Universal Design", 2008.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY = "#999999"


def new_figure(width: float, height: float, **settings: Any) -> Figure:
    """A figure whose parts are laid out so that they do not overlap.

    Args:
        width: In inches.
        height: In inches.
        **settings: Other arguments of ``matplotlib.figure.Figure``.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "learn") from None
    return Figure(figsize=(width, height), layout="constrained", **settings)


def png_bytes(figure: Figure, dpi: int = 120) -> bytes:
    """A figure as a PNG; the same figure is the same bytes.

    Args:
        figure: The figure.
        dpi: Pixels per inch.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A label in a script that the font lacks is drawn as boxes; the figures beside it are right all the same.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})  # without matplotlib's version
    return buffer.getvalue()


def plot_text(text: str, longest: int = 28, *, keep_end: bool = False) -> str:
    """Text for a picture: on one line, printable, and short; a dollar sign would start a formula.

    Args:
        text: Any text, such as a label of others.
        longest: Maximum number of characters.
        keep_end: Whether the end of a longer text is kept, as of a path, and not its beginning.
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(text) > longest:
        text = "…" + text[1 - longest :] if keep_end else text[: longest - 1] + "…"
    return text.replace("$", r"\$")

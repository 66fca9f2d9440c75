"""The picture of ``cliplab explain``: frames, crop, scores, score over time, and what hiding each part does."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import numpy as np

from adapters.evaluation import BLUE, VERMILION, new_figure, plot_text, png_bytes
from cliplab.models.explain_report import CURVES, WAYS, Explanation, PixelBox

MOST_THUMBNAILS = 10
FOR, AGAINST, LINE, QUIET = VERMILION, BLUE, "#1A1A1A", "#8A8A8A"
# Colours reach their full strength at this change at least, so that noise does not look like evidence.
LEAST_SCALE = 0.1
_WIDTH, _DPI = 13.0, 110  # inches, pixels per inch
_HEAD_HEIGHT, _TIME_HEIGHT = 0.75, 4.7
_PANEL_WIDTH = 4.4  # of each of the two pictures, in inches


def explanation_png(found: Explanation) -> bytes:
    """Draw an explanation.

    Args:
        found: The explanation.

    Returns:
        A PNG, 1430 pixels wide and 960 to 1160 high.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    heights = _HEAD_HEIGHT, _pictures_height(found), _TIME_HEIGHT
    figure: Any = new_figure(_WIDTH, sum(heights), facecolor="white")
    top, pictures, time = figure.subfigures(3, 1, height_ratios=heights)
    _draw_head(top, found)
    crop, heat, scores = pictures.subplots(1, 3, width_ratios=[1.25, 1.25, 0.8])
    _draw_crop(crop, found)
    _draw_heat(pictures, heat, found)
    _draw_scores(scores, found)
    strip, curve, bars = time.subplots(3, 1, sharex=True, height_ratios=[1.15, 1.5, 1.3])
    _draw_strip(strip, found)
    _draw_curve(curve, found)
    _draw_bars(bars, found)
    return png_bytes(figure, _DPI)


def _pictures_height(found: Explanation) -> float:
    """Inches for the row of pictures and what is written above and below them."""
    box = found.grid_box
    shapes = found.video_height_pixels / found.video_width_pixels, box.height_pixels / box.width_pixels
    return min(max(_PANEL_WIDTH * max(shapes), 2.0), 4.2) + 1.1


def _draw_head(figure: Any, found: Explanation) -> None:
    title = (
        f"{plot_text(found.label, 40)}  {found.score:.3f}    {plot_text(PurePath(found.video).name, 50)}, "
        f"{found.start_seconds:.2f} to {found.end_seconds:.2f} s"
    )
    figure.text(0.01, 0.92, title, fontsize=16, fontweight="bold", va="top")
    words = "; ".join(plot_text(text, 120) for text in found.sentences()[1:])
    figure.text(0.01, 0.36, words[:1].upper() + words[1:] + ".", fontsize=10.5, va="top", color=LINE)


# Pictures -----------------------------------------------------------------------------------------------------------


def _draw_crop(axes: Any, found: Explanation) -> None:
    """The whole picture, darker where no network sees it."""
    from matplotlib.patches import Rectangle

    whole = (0.0, float(found.video_width_pixels), float(found.video_height_pixels), 0.0)
    seen = np.zeros(found.picture.shape[:2], bool)
    for item in found.seen:
        seen[_slices(item.box, found)] = True
    axes.imshow(np.where(seen[..., None], found.picture, found.picture // 4), extent=whole)
    for item in found.seen:
        box = item.box
        corner = box.left_pixels, box.top_pixels
        axes.add_patch(Rectangle(corner, box.width_pixels, box.height_pixels, fill=False, edgecolor="white", lw=3.4))
        axes.add_patch(Rectangle(corner, box.width_pixels, box.height_pixels, fill=False, edgecolor=FOR, lw=1.6))
    axes.set_title("The part of the picture that the model sees", loc="left", fontsize=11)
    axes.set_xlabel("\n".join(_seen_text(found)), fontsize=9, loc="left")
    _bare(axes)


def _seen_text(found: Explanation) -> list[str]:
    """How the picture reaches each network, one line each."""
    size = f"{found.video_width_pixels}x{found.video_height_pixels}"
    lines = []
    for item in found.seen:
        box, given = item.box, f"{item.input_width_pixels}x{item.input_height_pixels}"
        ways = {
            "crop": f"crop: {box.width_pixels:.0f}x{box.height_pixels:.0f} of {size}, scaled to {given}",
            "pad": f"pad: all of {size}, with black bars to {given}",
            "stretch": f"stretch: all of {size}, each side scaled to {given}",
        }
        lines.append(ways[item.aspect])
    return lines


def _draw_heat(figure: Any, axes: Any, found: Explanation) -> None:
    """The change of the score by part, over the part of the picture that the model sees."""
    box, scale = found.grid_box, _scale(found)
    cut = found.picture[_slices(box, found)]
    gray = cut.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    extent = (0.0, box.width_pixels, box.height_pixels, 0.0)
    axes.imshow(gray, extent=extent, alpha=0.9)
    changes = found.cell_changes
    strength = np.clip(np.abs(changes) / scale, 0, 1)
    shown = axes.imshow(
        changes,
        cmap=_colors(),
        vmin=-scale,
        vmax=scale,
        alpha=0.72 * strength**0.7,
        extent=extent,
        interpolation="bicubic" if min(changes.shape) > 2 else "nearest",
    )
    part = found.decisive_part
    if part is not None:
        from matplotlib.patches import Rectangle

        at = part.box
        corner = at.left_pixels - box.left_pixels, at.top_pixels - box.top_pixels
        axes.add_patch(
            Rectangle(corner, at.width_pixels, at.height_pixels, fill=False, edgecolor="white", lw=1.4, ls=(0, (4, 2)))
        )
    bar = figure.colorbar(shown, ax=axes, orientation="horizontal", fraction=0.05, pad=0.03, aspect=36)
    bar.solids.set(alpha=1)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("change of the score when the part is hidden (orange: evidence for the label)", fontsize=9)
    dashed = " (dashed: most)" if part is not None else ""
    axes.set_title(f"Which part matters{dashed}", loc="left", fontsize=11)
    _bare(axes)


def _draw_scores(axes: Any, found: Explanation) -> None:
    best = found.scores[:6]
    names = [plot_text(item.label, 22) for item in best]
    places = np.arange(len(best))
    colors = [FOR if item.label == found.label else "#BDBDBD" for item in best]
    axes.barh(places, [item.score for item in best], color=colors, height=0.62)
    for place, item in zip(places, best, strict=True):
        axes.text(item.score + 0.02, place, f"{item.score:.3f}", va="center", fontsize=9)
    axes.set_yticks(places, names, fontsize=9.5)
    axes.set(xlim=(0, 1.18), ylim=(max(len(best), 4) - 0.4, -0.6), xticks=[0, 0.5, 1])
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel("score of the clip", fontsize=9)
    axes.set_title("Best classes", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)


# Time ---------------------------------------------------------------------------------------------------------------


def _draw_strip(axes: Any, found: Explanation) -> None:
    """Frames as the model's input has them, each over its part of the clip, with its time."""
    count = len(found.frames)
    shown = min(count, MOST_THUMBNAILS)
    begin, end = _span(found)
    slot = (end - begin) / shown
    height, width = found.frames.shape[1:3]
    # In units of the axes, whose shape on the page is about 14 to 1: pictures keep their shape.
    axes.set(xlim=(begin, end), ylim=(0, 1), yticks=[])
    inset_width = min(slot * 0.94, (end - begin) * width / height * _STRIP_SHAPE)
    for place in range(shown):
        number = int((place + 0.5) * count / shown)
        middle = begin + (place + 0.5) * slot
        inset = axes.inset_axes(
            (middle - inset_width / 2, 0.16, inset_width, 0.84), transform=axes.transData, anchor="C"
        )
        inset.imshow(found.frames[number])
        inset.set(xticks=[], yticks=[])
        inset.spines[:].set(color=QUIET, linewidth=0.6)
        axes.text(middle, 0.0, f"{found.frame_times_seconds[number]:.2f} s", ha="center", va="bottom", fontsize=8.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False)
    some = f"{shown} of {count}" if shown < count else f"all {count}"
    axes.set_title(f"Frames that went into the model: {some}, {width}x{height} pixels", loc="left", fontsize=11)


_STRIP_SHAPE = 0.098  # height over width of the strip's pictures on the page


def _draw_curve(axes: Any, found: Explanation) -> None:
    times = np.array([at for at, _ in found.curve])
    values = np.array([score for _, score in found.curve])
    axes.plot(times, values, "o-", color=FOR, markersize=4, linewidth=1.8, clip_on=False, zorder=3)
    axes.axhline(found.score, color=QUIET, linestyle="--", linewidth=1)
    begin, end = _span(found)
    axes.text(end, found.score, f" clip {found.score:.2f}", color=LINE, fontsize=8.5, va="center", ha="left")
    moments = np.unique(found.frame_times_seconds)
    axes.plot(moments, np.full(len(moments), -0.03), "|", color=LINE, markersize=6, clip_on=False)
    axes.set(xlim=(begin, end), ylim=(-0.03, 1.03), yticks=[0, 0.5, 1])
    axes.set_ylabel(plot_text(found.label, 18), fontsize=9)
    axes.set_title(f"Over time: {CURVES[found.curve_kind]} (marks below: the frames)", loc="left", fontsize=11)
    axes.tick_params(labelsize=8.5, labelbottom=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_bars(axes: Any, found: Explanation) -> None:
    """For each stretch of time the change of the score when it is hidden."""
    from matplotlib.patches import Patch

    axes.set_title(f"Which time matters ({WAYS[found.time_way]})", loc="left", fontsize=11)
    axes.tick_params(labelsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    begin, end = _span(found)
    axes.set(xlim=(begin, end))
    axes.set_xlabel("seconds", fontsize=9)
    if not found.stretches:
        axes.set(yticks=[])
        axes.text((begin + end) / 2, 0.5, "a clip of one frame has no time range to hide", ha="center", color=QUIET)
        return
    for item in found.stretches:
        length, color = item.end_seconds - item.start_seconds, FOR if item.change < 0 else AGAINST
        axes.bar(item.start_seconds + 0.05 * length, item.change, width=0.9 * length, align="edge", color=color)
        below = item.change < 0
        axes.annotate(
            f"{item.change:+.2f}" if abs(item.change) >= 0.005 else "0",
            (item.start_seconds + length / 2, item.change),
            xytext=(0, -3 if below else 3),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            fontsize=8.5,
        )
    changes = [item.change for item in found.stretches]
    low, high = min(0.0, *changes), max(0.0, *changes)
    room = max(high - low, LEAST_SCALE)
    axes.set(ylim=(low - 0.32 * room, high + 0.3 * room))
    axes.axhline(0, color=LINE, linewidth=0.9)
    axes.set_ylabel("change of\nthe score", fontsize=9)
    entries = [
        Patch(facecolor=FOR, label="score falls when hidden: evidence for the label"),
        Patch(facecolor=AGAINST, label="score rises when hidden: evidence against the label"),
    ]
    axes.legend(handles=entries, loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2, fontsize=9.5, frameon=False)


# Shared -------------------------------------------------------------------------------------------------------------


def _span(found: Explanation) -> tuple[float, float]:
    """From the clip's start to its end, or to its last frame where that is later; never empty."""
    begin = found.start_seconds
    end = max(found.end_seconds, found.frame_times_seconds[-1])
    return begin, end if end > begin else begin + 1.0


def _scale(found: Explanation) -> float:
    """The change at which colours are strongest."""
    return max(float(np.abs(found.cell_changes).max()), LEAST_SCALE)


def _colors() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("for_against", [FOR, "#F7F7F7", AGAINST])


def _slices(box: PixelBox, found: Explanation) -> tuple[slice, slice]:
    """Rows and columns of ``found.picture`` under a box, at least one each."""
    height, width = found.picture.shape[:2]
    x, y = width / found.video_width_pixels, height / found.video_height_pixels
    left, top = min(round(box.left_pixels * x), width - 1), min(round(box.top_pixels * y), height - 1)
    right, bottom = round((box.left_pixels + box.width_pixels) * x), round((box.top_pixels + box.height_pixels) * y)
    return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def _bare(axes: Any) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)

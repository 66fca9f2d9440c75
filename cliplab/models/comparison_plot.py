"""The picture of a comparison: accuracy against latency and size, with intervals, limits and the one to take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapters.evaluation import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, new_figure, plot_text, png_bytes
from adapters.system import write_bytes_atomic
from cliplab.models.comparison_report import Comparison, ModelFigures

_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LONGEST_NAME = 40


def draw_comparison(found: Comparison, path: Path) -> None:
    """Write the picture as a PNG of about 1300 pixels width.

    Args:
        found: The comparison.
        path: The PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
        StorageError: The file cannot be written.
    """
    rows = -(-len(found.models) // 3)
    figure = new_figure(11, 4.6 + 0.25 * rows)
    time, size = figure.subplots(1, 2, sharey=True)
    for number, model in enumerate(found.models):
        _draw_model(time, size, model, number, model.model == found.recommended)
    limits, factor = found.limits, found.limits.device_factor
    device = "" if factor == 1 else f", {factor:g} times this machine's"
    threads = f"{found.threads} thread{'' if found.threads == 1 else 's'}"
    time.set(xlabel=f"milliseconds per clip ({threads}{device})", ylabel="accuracy")
    size.set(xlabel="size in MB (filled: float32; hollow: int8, estimated)")
    for axes in (time, size):
        axes.set_xscale("log")
        axes.margins(x=0.12)
    _draw_limit(time, limits.latency_ms)
    _draw_limit(size, None if limits.size_bytes is None else limits.size_bytes / 1e6)
    for axes in (time, size):
        _finish(axes, found)
    figure.suptitle(
        f"{found.clips} clips in {found.groups} groups, each judged by a head that did not see its group; "
        "95% intervals over groups",
        fontsize="medium",
    )
    handles, names = time.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)), frameon=False, fontsize="small")
    write_bytes_atomic(path, png_bytes(figure))


def _draw_model(time: Any, size: Any, model: ModelFigures, number: int, recommended: bool) -> None:
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number // len(_COLOURS) % len(_MARKERS)]
    low, high = model.interval
    spread = [[max(0.0, model.accuracy - low)], [max(0.0, high - model.accuracy)]]
    name = f"{plot_text(model.model, _LONGEST_NAME, keep_end=True)} {model.accuracy:.0%}" + (
        " (take this one)" if recommended else ""
    )
    style = {"color": colour, "marker": marker, "capsize": 3, "linewidth": 1.2, "markersize": 7}
    small, large = model.int8_bytes / 1e6, model.size_bytes / 1e6
    time.errorbar([model.device_latency_ms], [model.accuracy], spread, label=name, **style)
    size.plot([small, large], [model.accuracy] * 2, ":", color=colour, linewidth=1)
    size.plot([small], [model.accuracy], marker, color=colour, markerfacecolor="white", markersize=6)
    size.errorbar([large], [model.accuracy], spread, **style)
    if recommended:
        chosen = small if model.fits == "int8" else large
        for axes, place in ((time, model.device_latency_ms), (size, chosen)):
            axes.plot([place], [model.accuracy], "o", color=colour, markerfacecolor="none", markersize=17, zorder=5)


def _draw_limit(axes: Any, limit: float | None) -> None:
    """A line at the limit, and shade over what is beyond it."""
    low, high = axes.get_xlim()
    if limit is None:
        axes.set_xlim(low, high)
        return
    axes.set_xlim(min(low, limit / 1.5), max(high, limit * 1.5))
    axes.axvline(limit, color=GREY, linestyle="--", linewidth=1)
    axes.axvspan(limit, axes.get_xlim()[1], color=GREY, alpha=0.12, linewidth=0)
    axes.text(limit, 0.02, " limit", color=GREY, fontsize="small", transform=axes.get_xaxis_transform())


def _finish(axes: Any, found: Comparison) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    axes.axhline(found.largest_class_share, color=GREY, linestyle=":", linewidth=1)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:.0%}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    low, high = axes.get_xlim()
    if high / low < 10:  # a logarithmic axis would have a number or none
        axes.set_xscale("linear")
        axes.set_xlim(0, high)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    else:
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.text(
        0.99,
        found.largest_class_share + 0.01,
        f"always {plot_text(found.largest_class, _LONGEST_NAME, keep_end=True)}",
        color=GREY,
        fontsize="small",
        ha="right",
        transform=axes.get_yaxis_transform(),
    )
    axes.spines[["top", "right"]].set_visible(False)

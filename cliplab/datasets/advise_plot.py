"""The picture of `cliplab dataset advise`: the learning curve, shortcuts, and the figure with look-alikes together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.evaluation import BLUE, GREEN, GREY, ORANGE, new_figure, png_bytes
from adapters.system import write_bytes_atomic
from cliplab.datasets.advise_figures import Figure
from cliplab.datasets.advise_report import AdviseReport

_LABEL_WIDTH = 0.1  # of a tick's number, as a share of the axis


def plot_advice(report: AdviseReport, path: Path) -> None:
    """Write the picture as a PNG, atomically.

    Args:
        report: What was found.
        path: The PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
        StorageError: It cannot be written.
    """
    picture = new_figure(13.0, 4.6)
    curve, shortcuts, alike = picture.subplots(1, 3)
    _draw_curve(curve, report)
    _draw_bars(shortcuts, _shortcut_bars(report), "Shortcuts: one property alone", report)
    _draw_bars(alike, _alike_bars(report), "Clips that look alike kept together", report)
    for axes in (curve, shortcuts, alike):
        axes.spines[["top", "right"]].set_visible(False)
    write_bytes_atomic(path, png_bytes(picture, 110))


def _draw_curve(axes: Any, report: AdviseReport) -> None:
    points = report.curve.points
    axes.set(ylim=(0, 1.02), xlabel="clips learned from", ylabel="accuracy on unseen groups", title="Learning curve")
    if points:
        x, y = [point.clips for point in points], [point.accuracy for point in points]
        low, high = [point.interval[0] for point in points], [point.interval[1] for point in points]
        axes.fill_between(x, low, high, color=BLUE, alpha=0.18, linewidth=0, label="95% interval")
        axes.plot(x, y, "o-", color=BLUE, label="measured")
        more = [gain for gain in report.curve.overall if gain.gain > 0]
        if more:
            ends = [(gain.now + gain.clips, gain.value + gain.gain) for gain in more]
            axes.plot([x[-1], *(end[0] for end in ends)], [y[-1], *(end[1] for end in ends)], "--", color=BLUE)
        axes.set_xscale("log")
        ticks = sorted({x[0], *x[1:], *(gain.now + gain.clips for gain in more)})
        axes.set_xticks(ticks, _tick_labels(ticks))
        axes.minorticks_off()
    axes.axhline(report.clips.largest_share, color=GREY, linestyle="--", linewidth=1, label="largest class")
    axes.legend(loc="lower right", fontsize="small")


def _tick_labels(ticks: Sequence[int]) -> list[str]:
    """The labels of ticks on a logarithmic axis; empty where one would touch the next on the right."""
    labels = [str(ticks[-1])]
    kept = ticks[-1]
    for tick in reversed(ticks[:-1]):
        apart = math.log(kept / tick) / math.log(ticks[-1] / ticks[0])
        labels.append(str(tick) if apart >= _LABEL_WIDTH else "")
        kept = tick if labels[-1] else kept
    return labels[::-1]


Bars = list[tuple[str, Figure, str]]


def _shortcut_bars(report: AdviseReport) -> Bars:
    real: Bars = [] if report.figure is None else [("the model", report.figure, BLUE)]
    return real + [(item.name, item.figure, ORANGE) for item in report.shortcuts]


def _alike_bars(report: AdviseReport) -> Bars:
    bars: Bars = (
        [] if report.figure is None else [(f"groups as they are ({report.figure.groups})", report.figure, BLUE)]
    )
    for level in report.alike.levels if report.alike is not None else ():
        if level.figure is not None:
            bars.append((f"likeness {level.likeness:.2f} ({level.groups})", level.figure, GREEN))
    return bars


def _draw_bars(axes: Any, bars: Bars, title: str, report: AdviseReport) -> None:
    axes.set(xlim=(0, 1.02), xlabel="accuracy on unseen groups", title=title)
    for place, (_, figure, colour) in enumerate(bars):
        axes.barh(place, figure.accuracy, color=colour, alpha=0.85)
        axes.plot(figure.interval, [place, place], color="black", linewidth=1.2)
        axes.text(0.02, place, f"{figure.accuracy:.2f}", va="center", color="white", fontweight="bold", fontsize=9)
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
    axes.invert_yaxis()
    axes.axvline(report.clips.largest_share, color=GREY, linestyle="--", linewidth=1)

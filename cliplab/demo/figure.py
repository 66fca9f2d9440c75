"""The demo's picture: frames of the broadcast, the model's and the baseline's scores, the break found and the true."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from adapters.records import Segment
from adapters.system import write_bytes_atomic
from cliplab.demo.report import DemoReport

FRAMES = 10
MODEL, BASELINE, TRUE = "#1f6fb2", "#e08214", "#2a9d5c"


def draw_timeline(report: DemoReport, video: Path, path: Path) -> None:
    """Write the demo's figure as a PNG of about 1300 x 560 pixels.

    Args:
        report: The demo's result.
        video: The broadcast.
        path: The PNG.

    Raises:
        MediaError: The video cannot be read.
    """
    from matplotlib.figure import Figure

    from adapters.inference import timeline

    end = report.model.predictions[-1].end
    figure = Figure(figsize=(11, 4.7), layout="constrained")
    strip, spans, curve = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [0.72, 0.75, 2.3]})
    _draw_strip(strip, video, end)
    rows = (
        ("true break", report.truth, TRUE),
        ("model", report.model.found, MODEL),
        ("baseline", report.baseline.found, BASELINE),
    )
    _draw_spans(spans, rows)
    for name, contender, colour, width in (
        ("EfficientNet-Lite0", report.model, MODEL, 1.8),
        ("colour and sharpness baseline", report.baseline, BASELINE, 1.1),
    ):
        times, scores = timeline(contender.predictions, "ad")
        curve.plot(times, scores, color=colour, linewidth=width, label=name)
    for item in report.truth:
        curve.axvspan(item.start, item.end, color=TRUE, alpha=0.12, linewidth=0, label="true break")
    curve.axhline(0.5, color="#888888", linestyle="--", linewidth=0.8)
    curve.set(xlim=(0, end), ylim=(-0.02, 1.05), xlabel="seconds", ylabel="ad score")
    curve.legend(loc="upper right", fontsize="small", frameon=True, framealpha=0.9)
    for axes in (spans, curve):
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_bytes_atomic(path, buffer.getvalue())


def _draw_strip(axes: Any, video: Path, end: float) -> None:
    """Frames at the middles of FRAMES equal parts, each as wide as its part."""
    from adapters.media import read_clip
    from adapters.records import InputSpec

    clip = read_clip(video, InputSpec(height=90, width=160, n_frames=FRAMES, aspect="stretch"))
    width = end / FRAMES
    for index, frame in enumerate(clip.frames):
        axes.imshow(frame, extent=(index * width, (index + 1) * width, 0, 1), aspect="auto", interpolation="bilinear")
    axes.set(ylim=(0, 1), yticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(bottom=False)
    axes.set_title("samples/broadcast.mp4", loc="left", fontsize="medium")


def _draw_spans(axes: Any, rows: tuple[tuple[str, tuple[Segment, ...], str], ...]) -> None:
    for place, (_, segments, colour) in enumerate(reversed(rows)):
        axes.broken_barh([(s.start, s.end - s.start) for s in segments], (place + 0.15, 0.7), color=colour)
        for item in segments:
            axes.text(
                (item.start + item.end) / 2,
                place + 0.5,
                f"{item.start:.1f} to {item.end:.1f} s",
                ha="center",
                va="center",
                fontsize="x-small",
                color="white",
            )
    axes.set_yticks([place + 0.5 for place in range(len(rows))], [name for name, _, _ in reversed(rows)])
    axes.set_ylim(0, len(rows))
    axes.tick_params(left=False, bottom=False)

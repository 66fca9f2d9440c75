"""The command that shows why a model gave a clip its score: explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.console import bar, command, show, write_json
from cliplab.cli.options import AsJson, Device, Force, Model, Overrides, Threads, TrustAdapters, arg, opt, parsed

if TYPE_CHECKING:
    from cliplab.models import Explanation


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(command(explain))


def explain(
    model: Model,
    video: Annotated[str, arg("VIDEO", "A video file.")],
    label: Annotated[str | None, opt("LABEL", "Class to explain; default: the highest score.")] = None,
    start_seconds: Annotated[
        float | None,
        opt("S", "Start of the clip, in seconds; default: the window with the highest score.", "--start"),
    ] = None,
    end_seconds: Annotated[float | None, opt("S", "End of the clip, in seconds.", "--end")] = None,
    overrides: Overrides = None,
    window_seconds: Annotated[float | None, opt("S", "Length of each window, in seconds.")] = None,
    stride_seconds: Annotated[float | None, opt("S", "Time from one window's start to the next, in seconds.")] = None,
    grid: Annotated[int, opt("N", "Cells on each side of the heat map, 2 to 32.")] = 7,
    output: Annotated[
        Path | None, opt("PATH", "A folder for explain.png and explain.json, or X.png or X.json.", "-o", "--output")
    ] = None,
    device_option: Device = None,
    threads_option: Threads = None,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Show which times and parts of a clip decide its score."""
    from cliplab import models

    with bar() as progress:
        found = models.explain(
            model,
            video,
            label=label,
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            overrides=parsed(overrides, device_option, threads_option),
            window_seconds=window_seconds,
            stride_seconds=stride_seconds,
            grid=grid,
            output=output,
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
            on_video=progress.video,
        )
    if as_json:
        write_json(found.to_json())
        return
    show(*_shown(found, output))


def _shown(found: Explanation, output: Path | None) -> list[Any]:
    """The main figures in words, the stretches of time, the notes, and where the picture is or how to get it."""
    from rich.text import Text

    from cliplab.cli.tables import clock, number, table

    rows = [(clock(m.start_seconds), clock(m.end_seconds), f"{m.change:+.3f}") for m in found.stretches]
    others = ", ".join(f"{item.label} {number(item.score)}" for item in found.scores)
    times = (">hidden from", ">to", ">change of the score")
    return [
        *found.sentences(),
        f"best classes: {others}",
        *([table(times, rows)] if rows else []),
        *(Text(note, style="yellow") for note in found.notes),
        f"{found.runs} runs of the model; "
        + (f"written: {output}" if output is not None else "--output X.png draws the picture"),
    ]

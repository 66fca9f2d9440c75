"""The command that follows a source: stream."""

from __future__ import annotations

from typing import Annotated

import typer

from cliplab.cli.console import command, note, write_row
from cliplab.cli.options import (
    AsJson,
    Device,
    MinScoreOption,
    Model,
    Overrides,
    Threads,
    TrustAdapters,
    arg,
    opt,
    parsed,
)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(command(stream))


def stream(
    model: Model,
    source: Annotated[
        str, arg("SOURCE", "A video file, a camera such as /dev/video0, a URL that FFmpeg opens, or - for stdin.")
    ],
    overrides: Overrides = None,
    fps: Annotated[float | None, opt("F", "Frames per second for the model; default: the model's.")] = None,
    memory_seconds: Annotated[
        float | None, opt("S", "Seconds of the past that count in a live source; default: the model's.")
    ] = None,
    every: Annotated[float | None, opt("S", "Seconds between two lines; default: one line per frame.")] = None,
    top_k: Annotated[int | None, opt("K", "Write the K best labels.")] = None,
    min_score: MinScoreOption = None,
    device_option: Device = None,
    threads_option: Threads = None,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Predict a live source or file as it plays: one JSON line per prediction, with or without --json."""
    from cliplab import models

    rows = models.stream(
        model,
        source,
        overrides=parsed(overrides, device_option, threads_option),
        fps=fps,
        memory_seconds=memory_seconds,
        every=every,
        top_k=top_k,
        min_score=min_score,
        trust_adapters=trust_adapters or (),
        on_note=note,
    )
    for row in rows:
        write_row(row)

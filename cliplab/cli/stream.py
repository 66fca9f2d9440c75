"""The command that follows a source: stream."""

from __future__ import annotations

from typing import Annotated

import typer

from cliplab.cli.console import command, say, write_row
from cliplab.cli.options import AsJson, MinScoreOption, Model, Overrides, TrustAdapters, arg, opt, parsed


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(command(stream))


def stream(
    model: Model,
    source: Annotated[
        str, arg("SOURCE", "A video file, a device such as /dev/video0, a URL that FFmpeg opens, or - for stdin.")
    ],
    overrides: Overrides = None,
    fps: Annotated[float | None, opt("F", "Frames per second that the model consumes; default: its config's.")] = None,
    memory_seconds: Annotated[
        float | None, opt("S", "How much of the past counts in an endless stream; default: its config's.")
    ] = None,
    every: Annotated[float | None, opt("S", "Seconds from one line to the next; default: one line per frame.")] = None,
    top_k: Annotated[int | None, opt("K", "How many of the best labels to write.")] = None,
    min_score: MinScoreOption = None,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Follow a source and write a JSON line for each running prediction, as it comes (with or without --json)."""
    from cliplab import models

    rows = models.stream(
        model,
        source,
        overrides=parsed(overrides),
        fps=fps,
        memory_seconds=memory_seconds,
        every=every,
        top_k=top_k,
        min_score=min_score,
        trust_adapters=trust_adapters or (),
        on_note=_say,
    )
    for row in rows:
        write_row(row)


def _say(note: str) -> None:
    say(f"note: {note}")

"""The command that makes pictures to label: extract."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cliplab.cli.console import FAILED, bar, command, show, write_json
from cliplab.cli.options import AsJson, opt


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(command(extract))


def extract(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help="Video files, folders, patterns, a camera such as /dev/video0, a URL that FFmpeg opens (for HLS, the "
            ".m3u8), or - for stdin.",
        ),
    ] = None,
    output_dir: Annotated[
        Path, opt("DIR", "Folder for the pictures and frames.jsonl.", "-o", "--output", "--output-dir")
    ] = Path("frames"),
    fps: Annotated[float, opt("F", "Frames per second of video.")] = 1.0,
    distinct: Annotated[
        bool,
        typer.Option(
            "--distinct",
            help="Skip frames that are nearly identical to one already written.",
        ),
    ] = False,
    seconds: Annotated[float | None, opt("S", "Stop a live source after S seconds; default: at its end.")] = None,
    video_source: Annotated[list[str] | None, opt("SOURCE", "Same as SOURCE; repeatable.")] = None,
    as_json: AsJson = False,
) -> int | None:
    """Write frames of videos as pictures, with an index of their times.

    If interrupted, run it again to resume. Exits with 1 if some sources could not be read.
    """
    from cliplab import datasets
    from cliplab.cli import tables as render

    with bar() as progress:
        report = datasets.extract(
            [*(sources or ()), *(video_source or ())],
            output_dir,
            fps=fps,
            distinct=distinct,
            seconds=seconds,
            on_progress=progress.video,
            on_note=lambda text: progress.line(f"note: {text}"),
        )
    write_json(report.to_json()) if as_json else show(*render.extracted(report))
    return FAILED if report.errors else None

"""The command that makes a reel of a scan's highlights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cliplab.cli.console import FAILED, bar, command, show, write_json
from cliplab.cli.options import AsJson, DryRun, Force, OutputOption, arg, one_output, opt

if TYPE_CHECKING:
    from cliplab.reel import ReelReport


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(command(reel))


def reel(
    highlights: Annotated[
        Path, arg("HIGHLIGHTS", "The highlights.json of cliplab scan, or the output of cliplab detect -o.")
    ],
    output: Annotated[Path | None, arg("OUTPUT", "The video to write, X.mp4.")] = None,
    output_option: OutputOption = None,
    top: Annotated[int, opt("N", "At most N clips.")] = 50,
    min_score: Annotated[
        str | None,
        opt("X", "Minimum score; best: the threshold that training chose; default: 0.85 (detect's candidates: 0)."),
    ] = None,
    label: Annotated[
        str | None, opt("LABEL", "With several prompts: the one whose score counts; default: the highest.")
    ] = None,
    duration: Annotated[float | None, opt("S", "At most S seconds; default: all clips.")] = None,
    transitions: Annotated[
        bool, typer.Option("--transitions", help="Crossfade for half a second between clips.")
    ] = False,
    per_clip_seconds: Annotated[
        float | None, opt("S", "Shorten longer windows to S seconds around their middle.")
    ] = None,
    order: Annotated[str, opt("ORDER", "score: best first; time: as recorded.")] = "score",
    audio: Annotated[str, opt("keep|none|FILE", "The clips' own sound, no sound, or a sound file.")] = "keep",
    export: Annotated[str | None, opt("FORMAT", "Also write a cut list for an editor: otio, edl or fcpxml.")] = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> int | None:
    """Join the best windows of a scan's best videos into one MP4.

    Exits with 1 if videos were missing, changed or damaged; the next best replace them.
    """
    from cliplab.reel import reel as make_reel

    with bar() as progress:
        report = make_reel(
            highlights,
            one_output(output, output_option),
            top=top,
            min_score=min_score,
            label=label,
            duration=duration,
            transitions=transitions,
            per_clip_seconds=per_clip_seconds,
            order=order,
            audio=audio,
            export=export,
            dry_run=dry_run,
            force=force,
            on_progress=progress.update,
        )
    write_json(report.to_json()) if as_json else show(*_summary(report))
    return FAILED if report.failed else None


def _summary(report: ReelReport) -> list[str]:
    from cliplab.library import printable

    shown, lines = report.format, []
    for placed in report.timeline:
        clip, at = placed.clip, float(placed.first / shown.fps)
        lines.append(f"{at:8.2f} s  {clip.score:.3f}  {clip.start:.2f}-{clip.end:.2f} s  {printable(clip.path)}")
    for source in report.skipped:
        what = "skipped" if source.failed else "left out"
        # Reasons of failures begin with the path.
        reason = source.reason.removeprefix(f"{source.path}: ")
        lines.append(f"{what}: {printable(source.path)}: {printable(reason)}")
    lines += [f"note: {printable(text)}" for text in report.notes]
    clips = "1 clip" if len(report.timeline) == 1 else f"{len(report.timeline)} clips"
    made = "Reel" if report.written else "Would write"
    lines.append(
        f"{made}: {printable(report.output)}: {clips}, {report.seconds:.2f} s, {shown.width}x{shown.height} at "
        f"{float(shown.fps):.4g} frames per second"
    )
    return lines + ([f"Cut list: {printable(report.cut_list)}"] if report.cut_list else [])

"""Commands over a library of videos: scan, score."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.choices import Aggregation, WantedPrecision
from adapters.errors import ConfigError
from cliplab.cli import verbosity
from cliplab.cli.console import FAILED, Bar, bar, command, note, say, show, write_json
from cliplab.cli.options import (
    AsJson,
    Device,
    NeutralPrompt,
    OutputOption,
    Prompt,
    PromptModel,
    TrustAdapters,
    arg,
    one_output,
    opt,
)

if TYPE_CHECKING:
    from cliplab.scan import ScanProgress, ScanReport

# Where stderr is not a terminal: one line after this many videos.
VIDEOS_PER_LINE = 100
Bundle = Annotated[str, arg("MODEL", "A model directory (bundle) or a self-describing .tflite.")]
Label = Annotated[str | None, opt("LABEL", "Label to score; default: the positive label.")]
SampleFps = Annotated[float | None, opt("F", "Frames per second for frame models; default: 1.")]
KeyFrames = Annotated[bool, typer.Option("--keyframes", help="Score key frames only (fastest).")]
Frames = Annotated[int | None, opt("N", "Sample N frames evenly from each video.")]
HowAggregated = Annotated[Aggregation | None, opt("HOW", "Score of a video: mean, max or top_mean.")]
WindowSeconds = Annotated[float, opt("S", "Length of the best windows, in s.")]
ProgramPrecision = Annotated[
    WantedPrecision | None, opt("P", "float32, float16, dynamic, int8, or auto (int8 if its measured loss is small).")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for function in (scan, score):
        app.command()(command(function))


def scan(
    bundle: Annotated[str, arg("MODEL", "A model directory (bundle) or .tflite; leave it out with --prompt.")],
    library: Annotated[
        str | None,
        arg("LIBRARY", "A folder of videos, or an address such as s3://bucket/folder."),
    ] = None,
    output: Annotated[Path | None, arg("OUTPUT", "The file of highlights; default: highlights.json.")] = None,
    output_option: OutputOption = None,
    min_score: Annotated[
        str, opt("X", "Minimum score of a highlight, or best (the threshold chosen in training).")
    ] = "0.7",
    label: Label = None,
    prompt: Prompt = None,
    prompt_model: PromptModel = None,
    neutral_prompt: NeutralPrompt = None,
    sample_fps: SampleFps = None,
    keyframes: KeyFrames = False,
    frames: Frames = None,
    aggregation: HowAggregated = None,
    window_seconds: WindowSeconds = 5.0,
    store: Annotated[Path | None, opt("PATH", "File of all scores; default: scan.db.")] = None,
    engine: Annotated[str, opt("ENGINE", "local or ray (a cluster).")] = "local",
    ray_address: Annotated[
        str | None,
        opt("ADDRESS", "HOST:PORT of the Ray cluster, or auto."),
    ] = None,
    workers: Annotated[int | None, opt("N", "Videos decoded in parallel; default: one per core.")] = None,
    device: Device = None,
    precision: ProgramPrecision = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Retry videos that could not be decoded.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Keep looking for new videos until interrupted.")] = False,
    settle_seconds: Annotated[float, opt("S", "With --watch: seconds between two searches for new videos.")] = 10.0,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Score a library of videos and list the best. If interrupted, run it again to resume.

    Exits with 1 if videos or folders could not be read; the others are scored.
    """
    from cliplab.scan import scan as scan_library

    model, where, target = _places(prompt is not None, bundle, library, output)

    def show_report(report: ScanReport) -> None:
        write_json(report.to_json()) if as_json else show(*_summary(report))
        sys.stdout.flush()

    with bar() as progress:
        reporter = _ProgressReporter(progress)
        report = scan_library(
            where,
            model,
            prompt=prompt,
            prompt_model=prompt_model,
            neutral_prompt=neutral_prompt,
            output=_highlights_file(target, output_option),
            min_score=min_score,
            label=label,
            sample_fps=sample_fps,
            keyframes=keyframes,
            frames=frames,
            aggregation=aggregation,
            window_seconds=window_seconds,
            store=store,
            engine=engine,
            ray_address=ray_address,
            workers=workers,
            device=device,
            precision=precision,
            retry_failed=retry_failed,
            watch=watch,
            settle_seconds=settle_seconds,
            trust_adapters=trust_adapters or (),
            on_progress=reporter.progress,
            on_note=reporter.note,
            on_report=show_report,
        )
    show_report(report)
    return FAILED if report.failed else None


def _places(
    has_prompt: bool, bundle: str, library: str | None, output: Path | None
) -> tuple[str | None, str, Path | None]:
    """Model, library and output. With a prompt there is no model, so that each argument moves up one place."""
    if has_prompt:
        if output is not None:
            raise ConfigError(f"with --prompt, give only LIBRARY [OUTPUT] and no MODEL, got {bundle} before them")
        return None, bundle, None if library is None else Path(library)
    if library is None:
        raise ConfigError("LIBRARY is missing: cliplab scan MODEL LIBRARY [OUTPUT]")
    return bundle, library, output


def _highlights_file(argument: Path | None, option: Path | None) -> Path:
    return Path("highlights.json") if argument is None and option is None else one_output(argument, option)


def score(
    bundle: Bundle,
    video: Annotated[Path, arg("VIDEO", "A video file.")],
    label: Label = None,
    sample_fps: SampleFps = None,
    keyframes: KeyFrames = False,
    frames: Frames = None,
    aggregation: HowAggregated = None,
    window_seconds: WindowSeconds = 5.0,
    device: Device = None,
    precision: ProgramPrecision = None,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Score one video as scan does, and show its best windows."""
    from cliplab.library import printable
    from cliplab.scan import score as score_video

    result = score_video(
        video,
        bundle,
        label=label,
        sample_fps=sample_fps,
        keyframes=keyframes,
        frames=frames,
        aggregation=aggregation,
        window_seconds=window_seconds,
        device=device,
        precision=precision,
        trust_adapters=trust_adapters or (),
        on_note=note,
    )
    if as_json:
        write_json(result.to_json())
        return
    windows = ", ".join(f"{w['start']:.1f}-{w['end']:.1f} s ({w['score']:.2f})" for w in result.windows)
    show(
        f"{printable(result.path)}: {result.label} score {result.score:.3f} ({result.band})",
        f"best windows: {windows}",
        *(f"warning: {text}" for text in result.warnings),
    )


class _ProgressReporter:
    """Live progress on a terminal; elsewhere, as in a log, a line each 100 videos."""

    def __init__(self, bar: Bar) -> None:
        self._bar, self._live = bar, bar.live
        self._lines = 0
        self._announced = False

    def note(self, text: str) -> None:
        note(text)

    def progress(self, now: ScanProgress) -> None:
        if now.to_score is None:
            self._announced = False
            if self._live:
                self._bar.update(f"{now.videos:,} videos found", 0, None)
            return
        if self._live:
            self._bar.update(_line(now).removeprefix("Processed "), now.done, now.to_score)
            return
        if not self._announced:
            self._announced, self._lines = True, 0
            if now.to_score:
                self._say(f"Found {now.videos:,} videos, {now.to_score:,} of them new or changed")
        if now.done // VIDEOS_PER_LINE > self._lines:
            self._lines = now.done // VIDEOS_PER_LINE
            self._say(_line(now))

    def _say(self, text: str) -> None:
        if not verbosity.settings.quiet:
            say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")


def _line(now: ScanProgress) -> str:
    left = "" if now.seconds_left is None else f", {_duration(now.seconds_left)} left"
    skipped = f", {now.failed:,} skipped" if now.failed else ""
    return (
        f"Processed {now.done:,} of {now.to_score:,} videos: {now.videos_per_second:.1f} videos/s, "
        f"{now.video_seconds / 3600:.2f} h of video{left}{skipped}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _summary(report: ScanReport) -> list[str]:
    from cliplab.library import printable

    speed = f", {report.videos_per_second:.1f} videos/s, {report.video_hours:.2f} h of video" if report.scored else ""
    lines = [
        f"Total scanned: {report.videos:,} videos, {report.scored:,} of them now{speed}",
        f"Highlights found: {report.highlights:,} ({report.label} score of at least {report.min_score:g})",
        f"Results saved to: {printable(report.output)}",
    ]
    if report.failed:
        lines.append(f"Skipped (could not be read): {report.failed:,}")
        lines += [f"  {printable(path)}: {error}" for path, error in report.failures]
        more = report.failed - len(report.failures)
        lines += [f"  and {more:,} more, see {printable(report.output)}"] if more > 0 else []
    return lines

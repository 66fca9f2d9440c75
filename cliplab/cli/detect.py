"""The commands of highlights: detect, generate and worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.ads import clock
from cliplab.cli.console import FAILED, bar, command, say, show, write_json, write_row
from cliplab.cli.options import (
    AsJson,
    DryRun,
    Force,
    NeutralPrompt,
    Prompt,
    PromptModel,
    TrustAdapters,
    arg,
    opt,
)

if TYPE_CHECKING:
    from cliplab.detect import GeneratedClip, HighlightReport

ClipSeconds = Annotated[float, opt("S", "Length of a clip in seconds.")]
MinGapSeconds = Annotated[float, opt("S", "Least time from one highlight to the next, in seconds.")]
MinScore = Annotated[float, opt("X", "Leave out candidates with a lower score, 0 to 1.")]
Most = Annotated[int | None, opt("N", "Keep the N best candidates of each source.", "--most", "--top")]
Before = Annotated[
    str | None,
    opt("SHARES", "How much of a clip lies before its peak, by event, such as cheer=0.7,motion=0.5."),
]
Frames = Annotated[
    str,
    opt("WHICH", "Pictures to decode: reference, key (fastest), or auto (reference up to 720p at 30 per second)."),
]
Stage2Model = Annotated[
    str | None,
    opt(
        "BUNDLE",
        "A model, or a folder of models with a manifest, that drops candidates and orders the rest; default: that of "
        "DETECTION_STAGE2_MODEL where DETECTION_USE_ML_STAGE2=true (environment or .env).",
        "--stage2",
    ),
]
Stage2Min = Annotated[float, opt("X", "Drop candidates that stage 2 scores lower; 0 only orders them.", "--stage2-min")]
Stage2Label = Annotated[
    str | None, opt("LABEL", "The model's label for highlights; default: its positive label.", "--stage2-label")
]
RatingModel = Annotated[Path, opt("FILE", "Models of ratings, which label and order candidates where one serves.")]
Chat = Annotated[Path | None, opt("FILE", "The chat beside the one source: a JSON object per line.")]
Header = Annotated[
    list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="A header for URLs; may be given again.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(command(detect))
    app.command()(command(generate))
    app.command()(command(worker))


def detect(
    sources: Annotated[list[str], arg("SOURCE...", "Recordings, folders of them, or URLs.")],
    clip_seconds: ClipSeconds = 30.0,
    min_gap_seconds: MinGapSeconds = 30.0,
    min_score: MinScore = 0.3,
    most: Most = None,
    before: Before = None,
    snap_seconds: Annotated[
        float, opt("S", "How far an edge may move to a pause or a cut; 0 leaves edges where they are.")
    ] = 1.5,
    frames: Frames = "auto",
    audio_stream: Annotated[int | None, opt("N", "Which sound stream is heard, from 0.")] = None,
    stage2: Stage2Model = None,
    stage2_min: Stage2Min = 0.5,
    stage2_label: Stage2Label = None,
    prompt: Prompt = None,
    prompt_model: PromptModel = None,
    neutral_prompt: NeutralPrompt = None,
    rating_model: RatingModel = Path("models/highlight_model.skops"),
    chat: Chat = None,
    trust_adapters: TrustAdapters = None,
    header: Header = None,
    output: Annotated[
        Path | None, opt("X.json", "Write the candidates there; a folder for several sources.", "--output", "-o")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> int | None:
    """Find highlights in recordings and streams by their sound and picture. Nothing is cut: see generate.

    Exits with 1 where sources could not be read; the others are done.
    """
    from cliplab.detect import detect_all, highlight_options

    options = highlight_options(
        clip_seconds=clip_seconds,
        min_gap_seconds=min_gap_seconds,
        min_score=min_score,
        most=most,
        before=before,
        snap_seconds=snap_seconds,
        frames=frames,
        audio_stream=audio_stream,
        headers=header or (),
    )
    with bar() as progress:
        reports = detect_all(
            sources,
            options,
            stage2=stage2,
            stage2_label=stage2_label,
            stage2_min=stage2_min,
            prompt=prompt,
            prompt_model=prompt_model,
            neutral_prompt=neutral_prompt,
            rating_model=rating_model,
            chat=chat,
            trust_adapters=trust_adapters or (),
            output=output,
            force=force,
            on_progress=progress.update,
            on_report=lambda found: None if as_json else show(*_lines(found)),
            on_note=lambda text: say(f"note: {text}"),
        )
    if as_json:
        write_json(reports[0].to_json() if len(reports) == 1 else [one.to_json() for one in reports])
    return FAILED if any(one.error is not None for one in reports) else None


def generate(
    source: Annotated[str, arg("SOURCE", "A recording, an HLS stream, or the candidates that detect wrote (X.json).")],
    output: Annotated[Path, opt("DIR", "The folder of the clips.", "--output", "-o")] = Path("output_clips"),
    database: Annotated[
        str, opt("DB", "The clip database: a file, or postgresql://USER@HOST/NAME.", "--database", "--db")
    ] = "clips.db",
    no_database: Annotated[bool, typer.Option("--no-database", help="Do not enter the clips anywhere.")] = False,
    clip_seconds: ClipSeconds = 30.0,
    min_gap_seconds: MinGapSeconds = 30.0,
    min_score: MinScore = 0.3,
    most: Most = None,
    before: Before = None,
    header: Header = None,
    stage2: Stage2Model = None,
    stage2_min: Stage2Min = 0.5,
    stage2_label: Stage2Label = None,
    prompt: Prompt = None,
    prompt_model: PromptModel = None,
    neutral_prompt: NeutralPrompt = None,
    rating_model: RatingModel = Path("models/highlight_model.skops"),
    chat: Chat = None,
    trust_adapters: TrustAdapters = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int | None:
    """Write highlights as clips with thumbnails and features, and enter them in the clip database for rating.

    Run it again to resume: clips that exist are kept. Exits with 1 where clips could not be made; the others are done.
    """
    from cliplab.detect import RatingOrder, generate_clips, highlight_options, make_judge

    options = highlight_options(
        clip_seconds=clip_seconds,
        min_gap_seconds=min_gap_seconds,
        min_score=min_score,
        most=most,
        before=before,
        headers=header or (),
    )
    looker = make_judge(
        stage2=stage2,
        stage2_label=stage2_label,
        stage2_min=stage2_min,
        trust_adapters=trust_adapters or (),
        prompt=prompt,
        prompt_model=prompt_model,
        neutral_prompt=neutral_prompt,
    )
    with bar() as progress:
        report = generate_clips(
            source,
            output,
            database=None if no_database else database,
            options=options,
            stage2=looker,
            ratings=RatingOrder(rating_model),
            chat=chat,
            dry_run=dry_run,
            on_progress=progress.update,
            on_clip=lambda made: None if as_json else show(*_clip_lines(made)),
            on_note=lambda text: say(f"note: {text}"),
        )
    if as_json:
        write_json(report.to_json())
    else:
        counts = {state: sum(one.state == state for one in report.clips) for state in ("made", "kept", "planned")}
        words = [f"{count} {state}" for state, count in counts.items() if count]
        show(f"{report.output}: {', '.join(words) or 'no clip'}{f', {report.failed} failed' if report.failed else ''}")
        show(*(f"note: {note}" for note in report.notes))
    return FAILED if report.failed else None


def worker(
    queue: Annotated[Path, arg("QUEUE_FOLDER", "Jobs: X.json with a source and options of detect, or videos.")],
    output: Annotated[Path, opt("DIR", "The folder of the clips.", "--output", "-o")] = Path("output_clips"),
    database: Annotated[
        str, opt("DB", "The clip database: a file, or postgresql://USER@HOST/NAME.", "--database", "--db")
    ] = "clips.db",
    stage2: Stage2Model = None,
    stage2_min: Stage2Min = 0.5,
    stage2_label: Stage2Label = None,
    rating_model: RatingModel = Path("models/highlight_model.skops"),
    once: Annotated[bool, typer.Option("--once", help="End when the queue is empty; default: wait for more.")] = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Take sources from a folder, cut their highlights and enter them for rating. A promoted model is used at once.

    Several workers may share one folder. With --json, a JSON line for each job. Ctrl-C puts the job back.
    """
    from cliplab.detect import worker as run

    def report(state: str, job: dict[str, Any]) -> None:
        if as_json:
            write_row({"state": state, **job})
        else:
            what = job.get("error") or job.get("source")
            count = f": {job['clips']} clips" if "clips" in job else ""
            show(f"{state}: {job['job']}{count} ({what})")

    failed = run(
        queue,
        output=output,
        database=database,
        stage2=stage2,
        stage2_label=stage2_label,
        stage2_min=stage2_min,
        rating_model=rating_model,
        once=once,
        trust_adapters=trust_adapters or (),
        on_job=report,
        on_note=lambda text: say(f"note: {text}"),
    )
    return FAILED if failed else None


def _clip_lines(made: GeneratedClip) -> list[str]:
    from cliplab.library import printable

    number = "" if made.clip_id is None else f"clip {made.clip_id}, "
    stretch = f"{clock(made.start)} to {clock(made.end)}"
    if made.error is not None:
        return [f"failed: {stretch}: {printable(made.error)}"]
    lines = [f"{made.state}: {number}{printable(made.path)}  {stretch}  {made.score:.2f}  {made.kind}"]
    return [*lines, *(f"  note: {printable(note)}" for note in made.notes)]


def _lines(found: HighlightReport) -> list[str]:
    from cliplab.library import printable

    name = printable(found.source)
    if found.error is not None:
        return [f"failed: {name}: {printable(found.error.removeprefix(f'{found.source}: '))}"]
    count = len(found.candidates)
    heading = "1 candidate" if count == 1 else f"{count} candidates"
    lines = [f"{name}: {heading} in {clock(found.duration_seconds)}"]
    for one in found.candidates:
        strongest = sorted(one.cues.items(), key=lambda cue: -cue[1])[:3]
        cues = ", ".join(f"{cue} {value:.2f}" for cue, value in strongest if value >= 0.05)
        stages = "" if one.stage2 is None else f"  stage 2 {one.stage2:.2f}"
        stars = "" if one.why is None else f"  {one.why}"
        if one.prompts:
            stars += "  " + ", ".join(f"{printable(name)} {value:.2f}" for name, value in one.prompts.items())
        lines.append(
            f"  {clock(one.start)} to {clock(one.end)}  {one.score:.2f}  {one.kind}, {one.event} at {clock(one.peak)} "
            f"{f'({cues})' if cues else ''}{stages}{stars}"
        )
    return [*lines, *(f"  note: {printable(note)}" for note in found.notes)]

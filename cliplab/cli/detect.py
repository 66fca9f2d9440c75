"""The commands of highlights: detect, generate and worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.ads import clock
from cliplab.cli.console import FAILED, bar, command, note, show, write_json, write_row
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
MinGapSeconds = Annotated[float, opt("S", "Minimum time between two highlights, in seconds.")]
MinScore = Annotated[float, opt("X", "Minimum score of a candidate, 0 to 1.")]
Most = Annotated[int | None, opt("N", "Keep the N best candidates of each source.", "--most", "--top")]
Before = Annotated[
    str | None,
    opt("SHARES", "Share of a clip before its peak, by event: cheer=0.7,motion=0.5."),
]
Frames = Annotated[
    str,
    opt("WHICH", "Frames to decode: reference, key (fastest), or auto (reference up to 720p30)."),
]
Stage2Model = Annotated[
    str | None,
    opt(
        "MODEL",
        "Model, folder of models, or registry:NAME@production; default: DETECTION_STAGE2_MODEL.",
        "--stage2",
    ),
]
Stage2Min = Annotated[float, opt("X", "Minimum score of stage 2.", "--stage2-min")]
Stage2Label = Annotated[str | None, opt("LABEL", "The model's label; default: its positive label.", "--stage2-label")]
RatingModel = Annotated[Path, opt("FILE", "File of rating models, which order candidates.")]
Chat = Annotated[Path | None, opt("FILE", "Chat log of the source: one JSON object per line.")]
Header = Annotated[
    list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="HTTP header for URLs; repeatable.")
]

Quality = Annotated[str, opt("WHICH", "Quality of an HLS stream: best, lowest, or a height such as 720p.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(command(detect))
    app.command()(command(generate))
    app.command()(command(worker))


def detect(
    sources: Annotated[list[str], arg("SOURCE", "Recordings, folders of recordings, or URLs.")],
    clip_seconds: ClipSeconds = 30.0,
    min_gap_seconds: MinGapSeconds = 30.0,
    min_score: MinScore = 0.3,
    most: Most = None,
    before: Before = None,
    snap_seconds: Annotated[float, opt("S", "Move edges to a pause or cut up to S seconds away; 0: never.")] = 1.5,
    frames: Frames = "auto",
    audio_stream: Annotated[int | None, opt("N", "Audio stream to analyse, from 0.")] = None,
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
    quality: Quality = "best",
    output: Annotated[
        Path | None, opt("PATH", "Write candidates to X.json; a folder for several sources.", "-o", "--output")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> int | None:
    """Find highlights in recordings and streams by sound and picture. To cut them, see generate.

    Exits with 1 if sources could not be read; the others are done.
    """
    from cliplab.detect import detect_all, highlight_options
    from cliplab.library import printable

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
        quality=quality,
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
            on_report=lambda found: (
                None if as_json else show(*_lines(found), *_weaker(bool(found.candidates or found.error), min_score))
            ),
            on_written=lambda path: None if as_json else show(f"  written: {printable(str(path))}"),
            on_note=note,
        )
    if as_json:
        write_json(reports[0].to_json() if len(reports) == 1 else [one.to_json() for one in reports])
    return FAILED if any(one.error is not None for one in reports) else None


def generate(
    source: Annotated[str, arg("SOURCE", "A recording, an HLS stream, or X.json from detect.")],
    output: Annotated[Path, opt("DIR", "Folder for the clips.", "-o", "--output")] = Path("output_clips"),
    database: Annotated[
        str, opt("DB", "Clip database: a file, or postgresql://USER@HOST/NAME.", "--database", "--db")
    ] = "clips.db",
    no_database: Annotated[bool, typer.Option("--no-database", help="Do not add the clips to a database.")] = False,
    clip_seconds: ClipSeconds = 30.0,
    min_gap_seconds: MinGapSeconds = 30.0,
    min_score: MinScore = 0.3,
    most: Most = None,
    before: Before = None,
    header: Header = None,
    quality: Quality = "best",
    keep_around: Annotated[
        float, opt("S", "Of a stream, keep S seconds before and after each clip, in DIR/sources; 0: nothing.")
    ] = 30.0,
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
    """Cut highlights into clips with thumbnails and features, and add them to the clip database.

    Run it again to resume: clips that exist are kept. Exits with 1 if clips could not be made; the others are done.
    """
    from cliplab.detect import RatingOrder, generate_clips, highlight_options, make_judge

    options = highlight_options(
        clip_seconds=clip_seconds,
        min_gap_seconds=min_gap_seconds,
        min_score=min_score,
        most=most,
        before=before,
        headers=header or (),
        quality=quality,
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
            keep_around_seconds=keep_around,
            on_progress=progress.update,
            on_clip=lambda made: None if as_json else show(*_clip_lines(made)),
            on_note=note,
        )
    if as_json:
        write_json(report.to_json())
    else:
        counts = {state: sum(one.state == state for one in report.clips) for state in ("made", "kept", "planned")}
        words = [f"{count} {state}" for state, count in counts.items() if count]
        show(f"{report.output}: {', '.join(words) or 'no clip'}{f', {report.failed} failed' if report.failed else ''}")
        show(*(f"note: {note}" for note in report.notes), *_weaker(bool(report.clips), min_score))
    return FAILED if report.failed else None


def worker(
    queue: Annotated[
        Path, arg("QUEUE_FOLDER", "Folder of jobs: videos, or X.json with a source and options of detect.")
    ],
    output: Annotated[Path, opt("DIR", "Folder for the clips.", "-o", "--output")] = Path("output_clips"),
    database: Annotated[
        str, opt("DB", "Clip database: a file, or postgresql://USER@HOST/NAME.", "--database", "--db")
    ] = "clips.db",
    stage2: Stage2Model = None,
    stage2_min: Stage2Min = 0.5,
    stage2_label: Stage2Label = None,
    rating_model: RatingModel = Path("models/highlight_model.skops"),
    once: Annotated[bool, typer.Option("--once", help="End when the folder is empty; default: wait for jobs.")] = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Process the jobs of a folder as generate does, and wait for more. A promoted model is used at once.

    Several workers may share one folder. With --json, one JSON line per job. Ctrl-C puts the job back.
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
        on_note=note,
    )
    return FAILED if failed else None


def _weaker(found: bool, min_score: float) -> list[str]:
    """What to try where nothing stands out."""
    if found or min_score <= 0:
        return []
    return [
        f"next: no moment reached --min-score {min_score:g}, or --stage2-min where a model looked again; lower values "
        "show weaker ones"
    ]


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

"""`cliplab active`: examples that are worth a label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cliplab.cli.console import FAILED, bar, command, note, show, write_json
from cliplab.cli.options import AsJson, TrustAdapters, arg, opt


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    group = typer.Typer(
        help="Find the clips that are most worth labelling.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command("collect")(command(active_collect))
    app.add_typer(group, name="active")


def active_collect(
    model: Annotated[str, arg("MODEL", "A model directory (bundle) or a self-describing .tflite.")],
    source: Annotated[
        str,
        arg(
            "SOURCE",
            "A video, a folder of videos, a scan's store (scan.db), a camera such as /dev/video0, a URL, or -.",
        ),
    ],
    output: Annotated[Path, opt("DIR", "Folder for the examples.", "-o", "--output")] = Path("hard_examples"),
    min_confidence: Annotated[float, opt("X", "Minimum confidence of a hard example.")] = 0.4,
    max_confidence: Annotated[float, opt("X", "Maximum confidence of a hard example.")] = 0.6,
    sample_rate: Annotated[float, opt("R", "Share of hard examples to sample.")] = 0.1,
    limit: Annotated[int, opt("N", "Maximum number of examples to add.")] = 200,
    label: Annotated[str | None, opt("LABEL", "Label whose score is the confidence; default: the best one.")] = None,
    window_seconds: Annotated[
        float | None, opt("S", "Length of each example, in seconds; default: the model's, or 2.")
    ] = None,
    seconds: Annotated[
        float | None, opt("S", "Stop after S seconds of a live source; default: at its end, or at Ctrl-C.")
    ] = None,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Collect the clips that a model is unsure of, without near-duplicates.

    Label them with `cliplab studio DIR`, then train with --additional-data DIR. Those of a live source are written as
    they come. Exits with 1 if a video could not be read.
    """
    from cliplab import rollout, scan

    stored = None
    if scan.is_store(source):
        stored = scan.stored_predictions(source, model, trust_adapters or ())
    with bar() as progress:
        report = rollout.active_collect(
            source,
            model,
            output,
            min_confidence=min_confidence,
            max_confidence=max_confidence,
            sample_rate=sample_rate,
            limit=limit,
            label=label,
            window_seconds=window_seconds,
            trust_adapters=trust_adapters or (),
            predictions=stored,
            seconds=seconds,
            on_note=note,
            on_progress=progress.video,
        )
    if as_json:
        write_json(report.to_json())
    else:
        show(
            f"{report.kept} examples added to {report.output}: of {report.predictions} predictions in {report.videos} "
            f"videos, {report.uncertain} were between {min_confidence:g} and {max_confidence:g}, {report.sampled} "
            f"sampled, {report.alike} nearly the same as another one, or as one in the folder",
            *report.failed,
        )
        if not report.videos and not report.failed:
            show(f"no videos were found in {source}")
        if report.uncertain and not report.sampled:
            show("no example was sampled: raise --sample-rate")
    return FAILED if report.failed else None

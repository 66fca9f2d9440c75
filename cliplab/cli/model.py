"""Commands that run a model: predict, evaluate, bench."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.choices import ResultShape as Shape
from cliplab.cli.console import FAILED, bar, command, say_error, show, write_json
from cliplab.cli.options import (
    AsJson,
    Data,
    Force,
    MinScoreOption,
    Model,
    Overrides,
    TrustAdapters,
    arg,
    opt,
    parsed,
)


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for function in (predict, evaluate, bench):
        app.command()(command(function))


def predict(
    model: Model,
    videos: Annotated[
        list[str],
        arg("VIDEO", "Files, folders (every video below them) and quoted patterns."),
    ],
    overrides: Overrides = None,
    window_seconds: Annotated[float | None, opt("S", "Length of each window in seconds.")] = None,
    stride_seconds: Annotated[float | None, opt("S", "Seconds from one window's start to the next.")] = None,
    top_k: Annotated[int | None, opt("K", "How many of the best labels to show.")] = None,
    segments: Annotated[
        str | None, opt("LABEL", "Also the segments of this label, by --min-score or the config's threshold.")
    ] = None,
    min_score: MinScoreOption = None,
    shape: Annotated[
        Shape, opt("SHAPE", "Of the JSON: rows, or hf for the lists of Hugging Face's video-classification pipeline.")
    ] = "rows",
    output: Annotated[Path | None, opt("FILE", "Also write the JSON rows to this file.")] = None,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Predict videos. Exits with 1 where some of them could not be read; the others are predicted."""
    from adapters.errors import ConfigError
    from cliplab import models

    if shape != "rows" and not as_json and output is None:
        raise ConfigError("--shape is of the JSON. Add --json, or --output FILE")

    with bar() as progress:
        report = models.predict(
            model,
            videos,
            overrides=parsed(overrides),
            window_seconds=window_seconds,
            stride_seconds=stride_seconds,
            top_k=top_k,
            segments=segments,
            min_score=min_score,
            shape=shape,
            output=output,
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.video,
        )
    if as_json:
        write_json(report.to_json())
    else:
        from cliplab.cli import model_tables as render

        show(*render.predictions(report))
    for result in report.results if shape == "hf" and as_json else ():
        if result.error is not None:  # the shape has no place for it
            say_error(result.error)
    return FAILED if report.failed else None


def evaluate(
    model: Model,
    data: Data,
    split: Annotated[
        str | None,
        opt(
            "SPLIT",
            "Which clips: train, validation, test or all; default: the first that has clips of test and validation; "
            "without both, the figures that training kept, or all clips.",
        ),
    ] = None,
    cross_validate: Annotated[
        bool,
        typer.Option(
            "--cross-validate",
            help="Refit the head for each fold of whole groups and measure it on the others: for small sets, and for "
            "configs that are not trained.",
        ),
    ] = False,
    leave_one_group_out: Annotated[
        bool, typer.Option("--leave-one-group-out", help="Cross-validate with each group as a fold of its own.")
    ] = False,
    segment_metrics: Annotated[
        bool,
        typer.Option(
            "--segment-metrics",
            help="Measure breaks instead of clips: DATA is a folder of recordings with marks (.edl) beside each, or "
            "labelled stretches of recordings.",
        ),
    ] = False,
    output: Annotated[
        Path | None, opt("FOLDER", "A folder for evaluation.json and plots, or X.json for the figures alone.")
    ] = None,
    overrides: Overrides = None,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Measure a model on labelled clips. Exits with 1 where it misses a gate of its config, and says which."""
    from cliplab import models
    from cliplab.cli import model_tables as render

    if segment_metrics:
        if split is not None or cross_validate or leave_one_group_out:
            from adapters.errors import ConfigError

            raise ConfigError("--segment-metrics measures recordings. Leave --split and --cross-validate out")
        return _evaluate_breaks(model, data, output, parsed(overrides), force, trust_adapters or (), as_json)
    with bar() as progress:
        evaluation = models.evaluate(
            model,
            data,
            split=split,
            cross_validate="groups" if leave_one_group_out else "folds" if cross_validate else None,
            output=output,
            overrides=parsed(overrides),
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.video,
        )
    write_json(evaluation.to_json()) if as_json else show(*render.evaluation(evaluation))
    return FAILED if evaluation.failures or evaluation.skipped else None


def _evaluate_breaks(
    model: str | Path,
    data: str | Path,
    output: Path | None,
    overrides: dict[str, Any],
    force: bool,
    trust_adapters: Sequence[str],
    as_json: bool,
) -> int | None:
    from cliplab.cli.ads import break_table
    from cliplab.detect import evaluate_breaks
    from cliplab.library import printable

    with bar() as progress:
        found = evaluate_breaks(
            model,
            data,
            output=output,
            overrides=overrides,
            force=force,
            trust_adapters=trust_adapters,
            on_progress=progress.update,
        )
    if as_json:
        write_json(found.to_json())
    else:
        skipped = [f"skipped: {printable(path)}: {printable(error)}" for path, error in found.skipped]
        show(*break_table(found.report, "breaks"), *found.failures, *skipped)
    return FAILED if found.failures or found.skipped else None


def bench(
    model: Model,
    overrides: Overrides = None,
    threads: Annotated[int | None, opt("N", "Processor cores to use; default: the config's.")] = None,
    clips: Annotated[int, opt("N", "How many clips to time.")] = 50,
    video: Annotated[Path | None, opt("FILE", "Time this video's clips; default: rendered ones.")] = None,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Time a model's predictions on this machine, decoding not included."""
    from cliplab import models
    from cliplab.cli import model_tables as render

    report = models.bench(
        model,
        overrides=parsed(overrides),
        threads=threads,
        clips=clips,
        video=video,
        trust_adapters=trust_adapters or (),
    )
    write_json(report.to_json()) if as_json else show(*render.benchmark(report))

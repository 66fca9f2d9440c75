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
    Device,
    Force,
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
    """Add these commands to the app."""
    for function in (predict, evaluate, bench):
        app.command()(command(function))


def predict(
    model: Model,
    videos: Annotated[
        list[str],
        arg("VIDEO", "Video files, folders (searched recursively) and quoted patterns."),
    ],
    overrides: Overrides = None,
    window_seconds: Annotated[float | None, opt("S", "Length of each window, in seconds.")] = None,
    stride_seconds: Annotated[float | None, opt("S", "Time from one window's start to the next, in seconds.")] = None,
    top_k: Annotated[int | None, opt("K", "Show the K best labels.")] = None,
    segments: Annotated[
        str | None,
        opt("LABEL", "List the time ranges of this label: where its score reaches --min-score or its threshold."),
    ] = None,
    min_score: MinScoreOption = None,
    shape: Annotated[
        Shape, opt("SHAPE", "JSON layout: rows, or hf (as Hugging Face's video-classification pipeline).")
    ] = "rows",
    output: Annotated[Path | None, opt("FILE", "Also write the JSON to this file.", "-o", "--output")] = None,
    device_option: Device = None,
    threads_option: Threads = None,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Label videos, and find when a label occurs. Exits with 1 if a video could not be read; the others are done."""
    from adapters.errors import ConfigError
    from cliplab import models

    if shape != "rows" and not as_json and output is None:
        raise ConfigError(f"--shape {shape} is a JSON layout, but no JSON is written. Add --json or --output FILE")

    with bar() as progress:
        report = models.predict(
            model,
            videos,
            overrides=parsed(overrides, device_option, threads_option),
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
            "Clips to measure: train, validation, test or all. Default: the first that exists of test, validation, the "
            "figures stored by training, and all clips.",
        ),
    ] = None,
    cross_validate: Annotated[
        bool,
        typer.Option(
            "--cross-validate",
            help="Train and measure in folds of whole groups; for small datasets and untrained configs.",
        ),
    ] = False,
    leave_one_group_out: Annotated[
        bool, typer.Option("--leave-one-group-out", help="Cross-validate with one fold per group.")
    ] = False,
    segment_metrics: Annotated[
        bool,
        typer.Option(
            "--segment-metrics",
            help="Measure breaks, not clips: DATA is a folder of recordings, each with marks (.edl) beside it, or "
            "labelled intervals.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        opt("PATH", "A folder for evaluation.json and plots, or X.json for the figures only.", "-o", "--output"),
    ] = None,
    overrides: Overrides = None,
    device_option: Device = None,
    threads_option: Threads = None,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Measure a model on labelled clips. Exits with 1 if it misses a gate (a minimum in its config)."""
    from cliplab import models
    from cliplab.cli import model_tables as render

    if segment_metrics:
        if split is not None or cross_validate or leave_one_group_out:
            from adapters.errors import ConfigError

            raise ConfigError("--segment-metrics measures whole recordings. Remove --split and --cross-validate")
        keys = parsed(overrides, device_option, threads_option)
        return _evaluate_breaks(model, data, output, keys, force, trust_adapters or (), as_json)
    with bar() as progress:
        evaluation = models.evaluate(
            model,
            data,
            split=split,
            cross_validate="groups" if leave_one_group_out else "folds" if cross_validate else None,
            output=output,
            overrides=parsed(overrides, device_option, threads_option),
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
    threads: Threads = None,
    device_option: Device = None,
    clips: Annotated[int, opt("N", "Number of clips to time.")] = 50,
    video: Annotated[Path | None, opt("FILE", "Time clips of this video; default: rendered clips.")] = None,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Time a model on this machine, without decoding."""
    from cliplab import models
    from cliplab.cli import model_tables as render

    report = models.bench(
        model,
        overrides=parsed(overrides, device_option),
        threads=threads,
        clips=clips,
        video=video,
        trust_adapters=trust_adapters or (),
    )
    write_json(report.to_json()) if as_json else show(*render.benchmark(report))

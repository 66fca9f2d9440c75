"""Commands about a model: predict, train, finetune, evaluate, convert, verify, bench."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.hosts.results import Shape
from adapters.records import RequestedPrecision
from cliplab.cli.console import FAILED, bar, command, say_error, show, write_json
from cliplab.cli.options import (
    AsJson,
    BatchSize,
    Data,
    Epochs,
    Force,
    LearningRate,
    Model,
    MultiGpu,
    OnDevices,
    Output,
    OutputOption,
    Overrides,
    TrustAdapters,
    arg,
    one_output,
    opt,
    parsed,
    parsed_devices,
    training_keys,
)

if TYPE_CHECKING:
    from adapters.reports import TrainReport


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for function in (predict, train, finetune, evaluate, convert, verify, bench):
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
    segments: Annotated[str | None, opt("LABEL", "Also the segments of this label, by the config's threshold.")] = None,
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
            shape=shape,
            output=output,
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.video,
        )
    if as_json:
        write_json(report.to_json())
    else:
        from cliplab.cli import tables as render

        show(*render.predictions(report))
    for result in report.results if shape == "hf" and as_json else ():
        if result.error is not None:  # the shape has no place for it
            say_error(result.error)
    return FAILED if report.failed else None


def train(
    config: Annotated[str, arg("CONFIG", "A config file (JSON or YAML), or a ready config's name.")],
    data: Data,
    output: Output = None,
    output_option: OutputOption = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    overrides: Overrides = None,
    devices: OnDevices = None,
    multi_gpu: MultiGpu = False,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Train a model on labelled clips. Interrupted, it goes on where it stopped when run again.

    With X.tflite as output it writes one self-describing file of the config's precision, and keeps the bundle as X.
    Device, memory and a line for each epoch are told on stderr.
    """
    from cliplab import models

    with bar() as progress:
        report = models.train(
            config,
            data,
            one_output(output, output_option),
            overrides=training_keys(overrides, epochs, batch_size, learning_rate),
            devices=parsed_devices(devices, multi_gpu),
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
            on_line=progress.line,
        )
    return _trained(report, as_json)


def finetune(
    model: Annotated[str, arg("BUNDLE", "The bundle to go on from; it is not altered.")],
    data: Data,
    output: Output = None,
    output_option: OutputOption = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    overrides: Overrides = None,
    devices: OnDevices = None,
    multi_gpu: MultiGpu = False,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Train a bundle's model further on other clips of the same labels, e.g. with --set fine_tune_layers=20."""
    from cliplab import models

    with bar() as progress:
        report = models.finetune(
            model,
            data,
            one_output(output, output_option),
            overrides=training_keys(overrides, epochs, batch_size, learning_rate),
            devices=parsed_devices(devices, multi_gpu),
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
            on_line=progress.line,
        )
    return _trained(report, as_json)


def _trained(report: TrainReport, as_json: bool) -> int | None:
    from cliplab.cli import tables as render

    write_json(report.to_json()) if as_json else show(*render.training(report))
    return FAILED if report.skipped or report.stopped == "non_finite_loss" else None


def evaluate(
    model: Model,
    data: Data,
    split: Annotated[str, opt("SPLIT", "Which clips: train, validation, test or all.")] = "test",
    output: Annotated[Path | None, opt("FOLDER", "A folder for evaluation.json and plots.")] = None,
    overrides: Overrides = None,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Measure a model on labelled clips. Exits with 1 where it misses a gate of its config, and says which."""
    from cliplab import models
    from cliplab.cli import tables as render

    with bar() as progress:
        evaluation = models.evaluate(
            model,
            data,
            split=split,
            output=output,
            overrides=parsed(overrides),
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.video,
        )
    write_json(evaluation.to_json()) if as_json else show(*render.evaluation(evaluation))
    return FAILED if evaluation.failures or evaluation.skipped else None


def convert(
    model: Model,
    output: Annotated[Path, opt("FILE", "The .tflite to write.", "--output")],
    quantize: Annotated[RequestedPrecision, opt("Q", "float32, float16, dynamic or int8.")] = "float32",
    data: Annotated[
        Path | None,
        opt("DATA", "Labelled clips: train calibrates int8, the other splits measure."),
    ] = None,
    overrides: Overrides = None,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Write a model as one self-describing .tflite, measured against the model it came from."""
    from cliplab import models
    from cliplab.cli import tables as render

    with bar() as progress:
        report = models.convert(
            model,
            output,
            quantize=quantize,
            data=data,
            overrides=parsed(overrides),
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
        )
    write_json(report.to_json()) if as_json else show(*render.conversion(report))


def verify(
    source: Annotated[str, arg("SOURCE", "A bundle or a self-describing .tflite.")],
    converted: Annotated[str, arg("CONVERTED", "The one to compare with it.")],
    data: Annotated[Path | None, opt("DATA", "Labelled clips to compare on: validation and test.")] = None,
    min_agreement: Annotated[float | None, opt("SHARE", "Least share of equal labels; else the config's.")] = None,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Compare any two models of the same labels. Exits with 1 where too few clips get the same label."""
    from cliplab import models
    from cliplab.cli import tables as render

    with bar() as progress:
        report = models.verify(
            source,
            converted,
            data=data,
            min_agreement=min_agreement,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
        )
    write_json(report.to_json()) if as_json else show(*render.conversion(report))


def bench(
    model: Model,
    overrides: Overrides = None,
    threads: Annotated[int | None, opt("N", "Processor cores to use; else the config's.")] = None,
    clips: Annotated[int, opt("N", "How many clips to time.")] = 50,
    video: Annotated[Path | None, opt("FILE", "Time this video's clips; else rendered ones.")] = None,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Time a model's predictions on this machine, decoding not included."""
    from cliplab import models
    from cliplab.cli import tables as render

    report = models.bench(
        model,
        overrides=parsed(overrides),
        threads=threads,
        clips=clips,
        video=video,
        trust_adapters=trust_adapters or (),
    )
    write_json(report.to_json()) if as_json else show(*render.benchmark(report))

"""Commands about a model: predict, train, finetune, evaluate, convert, adopt, ensemble, verify, bench."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.hosts.results import Shape
from adapters.records import RequestedPrecision
from cliplab.cli.console import FAILED, bar, command, say_error, show, write_json
from cliplab.cli.options import (
    AsJson,
    BaseModel,
    BatchSize,
    Data,
    DryRun,
    Epochs,
    Force,
    FreezeLayers,
    LearningRate,
    MinScoreOption,
    Model,
    MultiGpu,
    OnDevices,
    Optimize,
    OptionalData,
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
    for function in (predict, train, finetune, evaluate, convert, adopt, ensemble, verify, bench):
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
    base_model: BaseModel = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    optimize: Optimize = None,
    cross_validate: Annotated[
        bool,
        typer.Option(
            "--cross-validate", help="First say what such a model gets right on groups of clips that it did not see."
        ),
    ] = False,
    overrides: Overrides = None,
    devices: OnDevices = None,
    multi_gpu: MultiGpu = False,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Train a model on labelled clips. If interrupted, run it again to resume.

    With X.tflite as output it writes one self-describing file of the config's precision, and keeps the bundle as X.
    Device, memory and a line for each epoch are written to stderr.
    """
    from cliplab import models

    with bar() as progress:
        report = models.train(
            config,
            data,
            one_output(output, output_option),
            overrides=training_keys(overrides, epochs, batch_size, learning_rate, optimize=optimize),
            base_model=base_model,
            devices=parsed_devices(devices, multi_gpu),
            cross_validate=cross_validate,
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
            on_line=progress.line,
        )
    return _trained(report, as_json)


def finetune(
    model: Annotated[str, arg("BUNDLE", "The bundle to go on from, which is not altered; left out with --base-model.")],
    data: OptionalData = None,
    output: Output = None,
    output_option: OutputOption = None,
    base_model: BaseModel = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    freeze_layers: FreezeLayers = None,
    optimize: Optimize = None,
    overrides: Overrides = None,
    devices: OnDevices = None,
    multi_gpu: MultiGpu = False,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Train a bundle's model further on other clips of the same labels, e.g. with --set fine_tune_layers=20."""
    from adapters.errors import ConfigError
    from cliplab import models

    if base_model is not None:  # the arguments are then DATA and OUTPUT
        if output is not None:
            raise ConfigError(f"--base-model {base_model} takes BUNDLE's place, got {model} too. Give one of them")
        data, output = Path(model), data
    if data is None:
        raise ConfigError("finetune takes BUNDLE and DATA, or DATA with --base-model FILE. Give the labelled clips")

    with bar() as progress:
        report = models.finetune(
            model if base_model is None else None,
            data,
            one_output(output, output_option),
            overrides=training_keys(
                overrides, epochs, batch_size, learning_rate, True, optimize=optimize, freeze_layers=freeze_layers
            ),
            base_model=base_model,
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
    from cliplab.cli import tables as render

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


def convert(
    model: Model,
    output: Annotated[Path, opt("FILE", "The .tflite to write; X.pth: the weights as a state dict.", "--output")],
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
    """Write a model as one self-describing .tflite, measured against the model it came from.

    The model may also be a whole network of Keras (.h5, .keras) of known layers, with --set labels=labels.txt.
    """
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
            on_note=progress.line,
        )
    write_json(report.to_json()) if as_json else show(*render.conversion(report))


def adopt(
    model: Annotated[Path, arg("FILE", "A .tflite that others made: of frames, of clips, or a stream with states.")],
    output: Annotated[Path, opt("FILE", "The self-describing .tflite to write.", "-o", "--output")],
    labels: Annotated[Path, opt("FILE", "Its classes in the order of its outputs: a text with one per line, or JSON.")],
    mean: Annotated[
        str | None,
        opt("M", "Subtracted from pixels: M or R,G,B in levels of 0 to 255, or fractions with --std up to 1."),
    ] = None,
    std: Annotated[str | None, opt("S", "Divides pixels after that, in the same unit.")] = None,
    value_range: Annotated[
        str | None, opt("RANGE", "What pixels become, instead of mean and std: 0:1, -1:1 or 0:255.", "--range")
    ] = None,
    size: Annotated[str | None, opt("N", "Frame size of a program that leaves it open: N or HEIGHTxWIDTH.")] = None,
    aspect: Annotated[str | None, opt("A", "How other frames are fitted: crop (default), pad or stretch.")] = None,
    frames: Annotated[int | None, opt("N", "Frames of a window that are looked at.")] = None,
    fps: Annotated[float | None, opt("R", "Frames per second that it was trained at; required for a stream.")] = None,
    task: Annotated[str | None, opt("T", "single_label or multi_label; default: by its last operator.")] = None,
    background: Annotated[
        str | None, opt("WHERE", "Leave out a background class that the labels do not name: first or last.")
    ] = None,
    scores: Annotated[str | None, opt("NAME", "The output with the classes, where there are several.")] = None,
    activation: Annotated[
        str | None, opt("A", "Makes scores of its output: softmax, sigmoid or none; default: by its last operator.")
    ] = None,
    channel_order: Annotated[str | None, opt("C", "rgb (default) or bgr.")] = None,
    positive_label: Annotated[str | None, opt("LABEL", "Whose score its one output is; default: the second.")] = None,
    overrides: Overrides = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make a model of a .tflite that others made, and say what was read from it and what was assumed."""
    from cliplab import models
    from cliplab.cli import tables as render

    report = models.adopt(
        model,
        output,
        labels=labels,
        mean=_numbers("mean", mean),
        std=_numbers("std", std),
        value_range=value_range,
        size=size,
        aspect=aspect,
        frames=frames,
        fps=fps,
        task=task,
        background=background,
        scores=scores,
        activation=activation,
        channel_order=channel_order,
        positive_label=positive_label,
        overrides=parsed(overrides),
        force=force,
        on_note=lambda text: print(f"note: {text}", file=sys.stderr),
    )
    write_json(report.to_json()) if as_json else show(*render.adoption(report))


def _numbers(name: str, text: str | None) -> list[float] | None:
    """One number, or three with commas."""
    from adapters.errors import ConfigError

    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--{name} takes a number or three with commas, e.g. 127.5 or 0.5,0.5,0.5, got {text!r}"
        ) from None


def ensemble(
    config: Annotated[Path, arg("CONFIG", "YAML or JSON with models, voting and weights, also under ensemble.")],
    output: Annotated[Path, opt("FOLDER", "The bundle directory to write.", "-o", "--output")],
    overrides: Overrides = None,
    force: Force = False,
    dry_run: DryRun = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Write several models that know the same labels as one bundle whose members vote."""
    from cliplab import models
    from cliplab.cli import tables as render

    report = models.ensemble(
        str(config),
        output,
        overrides=parsed(overrides),
        force=force,
        dry_run=dry_run,
        trust_adapters=trust_adapters or (),
        on_note=lambda text: print(f"note: {text}", file=sys.stderr),
    )
    write_json(report.to_json()) if as_json else show(*render.ensemble(report))


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

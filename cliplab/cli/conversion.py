"""Commands that make one model of another and compare the two: convert, adopt, ensemble, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapters.choices import RequestedPrecision
from cliplab.cli.console import bar, command, note, show, write_json
from cliplab.cli.options import (
    AsJson,
    DryRun,
    Force,
    Model,
    OutputOption,
    Overrides,
    TrustAdapters,
    arg,
    one_output,
    opt,
    parsed,
)


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for function in (convert, adopt, ensemble, verify):
        app.command()(command(function))


def convert(
    model: Model,
    output: Annotated[
        Path | None, arg("OUTPUT", "The .tflite to write; or X.pth for the weights as a PyTorch state dict.")
    ] = None,
    output_option: OutputOption = None,
    quantize: Annotated[RequestedPrecision, opt("Q", "float32, float16, dynamic or int8 weights.")] = "float32",
    data: Annotated[
        Path | None,
        opt("DATA", "Labelled clips: the train split calibrates int8, the other splits measure the file."),
    ] = None,
    overrides: Overrides = None,
    keep_in_bundle: Annotated[
        bool,
        typer.Option("--keep-in-bundle", help="Also keep the program in the bundle, for scan --precision auto."),
    ] = False,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Write a model as one .tflite that describes itself, and compare it with the original.

    MODEL may also be a whole Keras network (.h5, .keras) of known layers, with --set labels=labels.txt.
    """
    from cliplab import models
    from cliplab.cli import model_tables as render

    with bar() as progress:
        report = models.convert(
            model,
            one_output(output, output_option),
            quantize=quantize,
            data=data,
            overrides=parsed(overrides),
            keep_in_bundle=keep_in_bundle,
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
            on_note=progress.line,
        )
    write_json(report.to_json()) if as_json else show(*render.conversion(report))


def adopt(
    model: Annotated[Path, arg("FILE", "A .tflite made elsewhere: for frames, for clips, or a stream with states.")],
    labels: Annotated[
        Path, opt("FILE", "Its class names, in the order of its outputs: a text file with one per line, or JSON.")
    ],
    output: Annotated[Path | None, arg("OUTPUT", "The self-describing .tflite to write.")] = None,
    output_option: OutputOption = None,
    mean: Annotated[
        str | None,
        opt("M", "Mean to subtract: M or R,G,B, in levels 0 to 255 or, with --std up to 1, in fractions."),
    ] = None,
    std: Annotated[str | None, opt("S", "Standard deviation to divide by, in the same unit.")] = None,
    value_range: Annotated[
        str | None, opt("RANGE", "Range of pixels, instead of mean and std: 0:1, -1:1 or 0:255.", "--range")
    ] = None,
    size: Annotated[str | None, opt("N", "Frame size, if the file does not fix it: N or HEIGHTxWIDTH.")] = None,
    aspect: Annotated[str | None, opt("A", "How to fit frames: crop (default), pad or stretch.")] = None,
    frames: Annotated[int | None, opt("N", "Frames per window.")] = None,
    fps: Annotated[float | None, opt("F", "Frame rate that it was trained with; required for a stream.")] = None,
    task: Annotated[str | None, opt("T", "single_label or multi_label; default: from its last operator.")] = None,
    background: Annotated[
        str | None, opt("WHERE", "Background class to drop if the labels do not have it: first or last.")
    ] = None,
    scores: Annotated[str | None, opt("NAME", "Output with the class scores, if there are several.")] = None,
    activation: Annotated[
        str | None, opt("A", "softmax, sigmoid or none, applied to its output; default: from its last operator.")
    ] = None,
    channel_order: Annotated[str | None, opt("C", "rgb (default) or bgr.")] = None,
    positive_label: Annotated[
        str | None, opt("LABEL", "Label whose score the only output is; default: the second.")
    ] = None,
    overrides: Overrides = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Use a .tflite made elsewhere: add labels and preprocessing, and list what was assumed."""
    from cliplab import models
    from cliplab.cli import model_tables as render

    report = models.adopt(
        model,
        one_output(output, output_option),
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
        on_note=note,
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
    config: Annotated[Path, arg("CONFIG", "YAML or JSON with the keys models, voting and weights.")],
    output: Annotated[Path | None, arg("OUTPUT", "The model directory (bundle) to write.")] = None,
    output_option: OutputOption = None,
    overrides: Overrides = None,
    force: Force = False,
    dry_run: DryRun = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Join several models with the same labels into one that votes."""
    from cliplab import models
    from cliplab.cli import model_tables as render

    report = models.ensemble(
        str(config),
        one_output(output, output_option),
        overrides=parsed(overrides),
        force=force,
        dry_run=dry_run,
        trust_adapters=trust_adapters or (),
        on_note=note,
    )
    write_json(report.to_json()) if as_json else show(*render.ensemble(report))


def verify(
    source: Annotated[str, arg("MODEL", "A model directory (bundle) or a self-describing .tflite.")],
    converted: Annotated[str, arg("CONVERTED", "The model to compare with it, such as its .tflite.")],
    data: Annotated[Path | None, opt("DATA", "Labelled clips to compare on: their validation and test splits.")] = None,
    min_agreement: Annotated[float | None, opt("SHARE", "Minimum share of equal labels; default: the model's.")] = None,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Compare two models with the same labels. Exits with 1 if too few clips get the same label."""
    from cliplab import models
    from cliplab.cli import model_tables as render

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

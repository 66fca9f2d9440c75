"""Commands that make one model of another and compare the two: convert, adopt, ensemble, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.choices import RequestedPrecision
from cliplab.cli.console import bar, command, show, write_json
from cliplab.cli.options import (
    AsJson,
    DryRun,
    Force,
    Model,
    Overrides,
    TrustAdapters,
    arg,
    opt,
    parsed,
)

if TYPE_CHECKING:
    pass


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for function in (convert, adopt, ensemble, verify):
        app.command()(command(function))


def convert(
    model: Model,
    output: Annotated[Path, opt("FILE", "The .tflite to write; X.pth: the weights as a state dict.", "--output")],
    quantize: Annotated[RequestedPrecision, opt("Q", "float32, float16, dynamic or int8.")] = "float32",
    data: Annotated[
        Path | None,
        opt("DATA", "Labelled clips: train calibrates int8, the other splits measure."),
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
    """Write a model as one self-describing .tflite, measured against the model it came from.

    The model may also be a whole network of Keras (.h5, .keras) of known layers, with --set labels=labels.txt.
    """
    from cliplab import models
    from cliplab.cli import model_tables as render

    with bar() as progress:
        report = models.convert(
            model,
            output,
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
    from cliplab.cli import model_tables as render

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
    from cliplab.cli import model_tables as render

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
    min_agreement: Annotated[float | None, opt("SHARE", "Least share of equal labels; default: the config's.")] = None,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Compare any two models of the same labels. Exits with 1 where too few clips get the same label."""
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

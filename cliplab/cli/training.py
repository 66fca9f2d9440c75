"""Commands that train a model: train, finetune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cliplab.cli import verbosity
from cliplab.cli.console import FAILED, bar, command, show, write_json
from cliplab.cli.options import (
    AsJson,
    BaseModel,
    BatchSize,
    Data,
    Epochs,
    Force,
    FreezeLayers,
    LearningRate,
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
    parsed_devices,
    training_keys,
)

if TYPE_CHECKING:
    from adapters.reports import TrainReport


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for function in (train, finetune):
        app.command()(command(function))


def train(
    config: Annotated[str, arg("CONFIG", "A config file (JSON or YAML), or the name of a ready config.")],
    data: Data,
    output: Output = None,
    output_option: OutputOption = None,
    base_model: BaseModel = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    optimize: Optimize = None,
    additional_data: Annotated[
        Path | None, opt("DIR", "More clips of the same classes, such as hard examples.")
    ] = None,
    cross_validate: Annotated[
        bool,
        typer.Option("--cross-validate", help="First estimate the accuracy by cross-validation over groups of clips."),
    ] = False,
    overrides: Overrides = None,
    devices: OnDevices = None,
    multi_gpu: MultiGpu = False,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Train a model on labelled clips. If interrupted, run it again to resume.

    Device, memory and one line per epoch go to stderr.
    """
    from cliplab import models

    with bar() as progress:
        report = models.train(
            config,
            data,
            one_output(output, output_option),
            overrides=training_keys(overrides, epochs, batch_size, learning_rate, optimize=optimize),
            base_model=base_model,
            additional_data=additional_data,
            devices=parsed_devices(devices, multi_gpu),
            cross_validate=cross_validate,
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
            on_line=progress.line,
        )
    return _trained(report, as_json)


def finetune(
    model: Annotated[
        str, arg("MODEL", "The model to train further; it is not changed. Leave it out with --base-model.")
    ],
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
    """Train a model further on other clips of the same labels, for example with --set fine_tune_layers=20."""
    from adapters.errors import ConfigError
    from cliplab import models

    if base_model is not None:  # the arguments are then DATA and OUTPUT
        if output is not None:
            raise ConfigError(
                f"--base-model {base_model} replaces MODEL, but {model} is given too. Give only one of them"
            )
        data, output = Path(model), data
    if data is None:
        raise ConfigError("finetune takes MODEL and DATA, or DATA with --base-model FILE. Name the labelled clips")

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
    from cliplab.cli import model_tables as render

    write_json(report.to_json()) if as_json else show(*render.training(report, epochs=verbosity.settings.quiet))
    return FAILED if report.skipped or report.stopped == "non_finite_loss" else None

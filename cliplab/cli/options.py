"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.records import Devices


def arg(metavar: str, text: str) -> Any:
    """An argument of a command: what it is called and what it is."""
    return typer.Argument(metavar=metavar, help=text)


def opt(metavar: str, text: str, *names: str) -> Any:
    """An option with a value. names: None follows from the parameter."""
    return typer.Option(*names, metavar=metavar, help=text)


Model = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE_OR_CONFIG",
        help="A bundle directory, a self-describing .tflite, a config file (JSON or YAML), or a ready config's name.",
    ),
]
Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Labelled clips: dataset.jsonl, a CSV, labels.json, COCO-style JSON, a folder for each class, or a "
        "Dataloop export.",
    ),
]
OptionalData = Annotated[Path | None, typer.Argument(metavar="DATA", help="Labelled clips, as for train.")]
BaseModel = Annotated[
    Path | None,
    opt("FILE", "A file of weights to begin from: of Keras (.h5, .keras), PyTorch (.pth) or .safetensors."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the config; may be given again. Nested: a.b=1."),
]
TrustAdapters = Annotated[
    list[str] | None,
    typer.Option(
        "--trust-adapter",
        metavar="MODULE:CLASS",
        help="Run this adapter, of a package that is not installed as one, where a model or config names it; may be "
        "given again.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Argument(
        metavar="OUTPUT",
        help="Where the bundle goes; or X.tflite for one self-describing file, with its bundle kept beside it as X.",
    ),
]
OutputOption = Annotated[Path | None, typer.Option("--output", "--output-dir", metavar="PATH", help="The same, named.")]
Epochs = Annotated[int | None, opt("N", "Short for --set num_epochs=N: most epochs that the head is trained.")]
BatchSize = Annotated[int | None, opt("N", "Short for --set batch_size=N: clips per step.")]
LearningRate = Annotated[float | None, opt("R", "Short for --set learning_rate=R.")]
FreezeLayers = Annotated[
    int | None, opt("N", "Short for --set freeze_layers=N: train all layers of the backbone but the first N.")
]
OnDevices = Annotated[
    str | None,
    typer.Option("--devices", metavar="N", help="How many GPUs share each batch, or all; default: one."),
]
MultiGpu = Annotated[bool, typer.Option("--multi-gpu", help="Short for --devices all.")]
MinScoreOption = Annotated[
    str | None,
    opt("X", "Leave out labels with a lower score; best: the threshold that training chose for each label."),
]
Optimize = Annotated[
    str | None,
    opt("FIGURE", "Choose each label's threshold for f1, accuracy, precision@P or recall@R (--min-score best)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")]


Prompt = Annotated[
    str | None, opt("'TEXT; TEXT'", "What to look for in words, such as 'sunset; dive'; needs --prompt-model.")
]
PromptModel = Annotated[
    Path | None,
    opt("DIR", "A folder with an image and a text network that compare pictures with words (docs/prompts.md)."),
]
NeutralPrompt = Annotated[
    str | None, opt("'TEXT; TEXT'", "With --prompt: what else pictures may show; default: ordinary scenes.")
]


def one_output(argument: Path | None, option: Path | None) -> Path:
    """The output, given as an argument or by name. ConfigError where it is missing or given twice."""
    from adapters.errors import ConfigError

    if argument is not None and option is None:
        return argument
    if option is not None and argument is None:
        return option
    received = "none" if argument is None else f"{argument} and --output {option}"
    raise ConfigError(f"one output is needed, got {received}. Give a bundle directory or X.tflite: --output PATH")


def parsed_devices(devices: str | None, multi_gpu: bool) -> Devices:
    """What ``--devices`` and ``--multi-gpu`` say. ConfigError where they are no number or disagree."""
    from adapters.errors import ConfigError

    if devices is None:
        return "all" if multi_gpu else 1
    if devices != "all" and not (devices.isascii() and devices.isdigit() and int(devices) >= 1):
        raise ConfigError(f"--devices must be a whole number of at least 1, or all, got {devices!r}")
    if multi_gpu and devices != "all":
        raise ConfigError(f"--multi-gpu means --devices all, got --devices {devices} too. Give one of them")
    return "all" if devices == "all" else int(devices)


def training_keys(
    assignments: list[str] | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    further: bool = False,
    optimize: str | None = None,
    freeze_layers: int | None = None,
) -> dict[str, Any]:
    """What ``--set`` and the options for keys of training say together. ConfigError where a key is given twice."""
    from adapters.errors import ConfigError

    given = {"num_epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    keys = parsed(assignments)
    for key, value in given.items():
        if value is not None and key in keys:
            option = "--epochs" if key == "num_epochs" else f"--{key.replace('_', '-')}"
            raise ConfigError(f"{option} is short for --set {key}=..., got both. Give one of them")
    chosen = {key: value for key, value in given.items() if value is not None}
    # Whoever sets one of them by hand asks for gradient steps, even where the value is the default.
    if further:  # of fine-tuning the backbone's layers too
        tuning = {"fine_tune_epochs": epochs, "fine_tune_learning_rate": learning_rate}
        chosen |= {key: value for key, value in tuning.items() if value is not None and key not in keys}
    solver = {"head_solver": "adam"} if chosen and "head_solver" not in keys else {}
    others: dict[str, Any] = {"optimize": optimize, "freeze_layers": freeze_layers}
    for key, value in others.items():
        if value is not None and key in keys:
            raise ConfigError(f"--{key.replace('_', '-')} is short for --set {key}=..., got both. Give one of them")
    return keys | chosen | solver | {key: value for key, value in others.items() if value is not None}


def parsed(assignments: list[str] | None) -> dict[str, Any]:
    """What ``--set`` was given, as nested keys and values."""
    from adapters.config import parse_assignments

    return parse_assignments(assignments or [])

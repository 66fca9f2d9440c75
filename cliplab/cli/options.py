"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.choices import Devices


def arg(metavar: str, text: str) -> Any:
    """An argument of a command: what it is called and what it is."""
    return typer.Argument(metavar=metavar, help=text)


def opt(metavar: str, text: str, *names: str) -> Any:
    """An option with a value. names: None follows from the parameter."""
    return typer.Option(*names, metavar=metavar, help=text)


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model directory (bundle), a self-describing .tflite, a config file, or the name of a ready config.",
    ),
]
Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Labelled clips: a folder per class, a CSV, dataset.jsonl, or another format of docs/formats.md.",
    ),
]
OptionalData = Annotated[Path | None, typer.Argument(metavar="DATA", help="Labelled clips, as for train.")]
BaseModel = Annotated[
    Path | None,
    opt("FILE", "Weights to start from: Keras (.h5, .keras), PyTorch (.pth) or .safetensors."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a config key; repeatable. Nested: a.b=1."),
]
TrustAdapters = Annotated[
    list[str] | None,
    typer.Option(
        "--trust-adapter",
        metavar="CLASS",
        help="Trust this adapter (module:Class); repeatable.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Argument(
        metavar="OUTPUT",
        help="The model directory (bundle) to write; or X.tflite for one file, with its bundle beside it as X.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", "--output-dir", metavar="PATH", help="Same as OUTPUT."),
]
Epochs = Annotated[int | None, opt("N", "Train the head for at most N epochs (key num_epochs).")]
BatchSize = Annotated[int | None, opt("N", "Clips per training step (key batch_size).")]
LearningRate = Annotated[float | None, opt("R", "Learning rate (key learning_rate).")]
FreezeLayers = Annotated[int | None, opt("N", "Freeze the first N layers of the backbone (key freeze_layers).")]
OnDevices = Annotated[
    str | None,
    typer.Option("--devices", metavar="N", help="Number of GPUs that share each batch, or all; default: 1."),
]
MultiGpu = Annotated[bool, typer.Option("--multi-gpu", help="Use all GPUs, as --devices all.")]
Device = Annotated[str | None, opt("DEVICE", "cpu or gpu (key device); default: the model's.", "--device")]
Threads = Annotated[int | None, opt("N", "Processor cores (key num_threads); default: the model's.", "--threads")]
MinScoreOption = Annotated[
    str | None,
    opt("X", "Omit labels with lower scores; best: the thresholds that training chose."),
]
Optimize = Annotated[
    str | None,
    opt("FIGURE", "Measure that chooses the thresholds for --min-score best: f1, accuracy, precision@P or recall@R."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be written; write nothing.")]
DryRunChange = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]
DryRunRemoval = Annotated[bool, typer.Option("--dry-run", help="Show what would be removed; remove nothing.")]


Prompt = Annotated[str | None, opt("TEXTS", "Find what these texts describe; needs --prompt-model.")]
PromptModel = Annotated[
    Path | None,
    opt("DIR", "Folder of an image and a text network (docs/prompts.md)."),
]
NeutralPrompt = Annotated[str | None, opt("TEXTS", "With --prompt: texts that describe everything else.")]


def one_output(argument: Path | None, option: Path | None) -> Path:
    """The output, given as an argument or by name. ConfigError where it is missing or given twice."""
    from adapters.errors import ConfigError

    if argument is not None and option is None:
        return argument
    if option is not None and argument is None:
        return option
    received = "none" if argument is None else f"{argument} and --output {option}"
    raise ConfigError(f"one output is required, got {received}. Give it once: as an argument, or with --output PATH")


def parsed_devices(devices: str | None, multi_gpu: bool) -> Devices:
    """What ``--devices`` and ``--multi-gpu`` say. ConfigError where they are no number or disagree."""
    from adapters.errors import ConfigError

    if devices is None:
        return "all" if multi_gpu else 1
    if devices != "all" and not (devices.isascii() and devices.isdigit() and int(devices) >= 1):
        raise ConfigError(f"--devices must be a whole number of at least 1, or all, got {devices!r}")
    if multi_gpu and devices != "all":
        raise ConfigError(
            f"--multi-gpu means --devices all, but --devices {devices} is given too. Give only one of them"
        )
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
            raise ConfigError(f"{option} is short for --set {key}=..., but both are given. Give only one of them")
    chosen = {key: value for key, value in given.items() if value is not None}
    # Whoever sets one of them by hand asks for gradient steps, even where the value is the default.
    if further:  # of fine-tuning the backbone's layers too
        tuning = {"fine_tune_epochs": epochs, "fine_tune_learning_rate": learning_rate}
        chosen |= {key: value for key, value in tuning.items() if value is not None and key not in keys}
    solver = {"head_solver": "adam"} if chosen and "head_solver" not in keys else {}
    others: dict[str, Any] = {"optimize": optimize, "freeze_layers": freeze_layers}
    for key, value in others.items():
        if value is not None and key in keys:
            option = f"--{key.replace('_', '-')}"
            raise ConfigError(f"{option} is short for --set {key}=..., but both are given. Give only one of them")
    return keys | chosen | solver | {key: value for key, value in others.items() if value is not None}


def parsed(assignments: list[str] | None, device: str | None = None, threads: int | None = None) -> dict[str, Any]:
    """Keys and values of ``--set``, ``--device`` and ``--threads``. ConfigError where one is given twice."""
    from adapters.config import parse_assignments
    from adapters.errors import ConfigError

    keys = parse_assignments(assignments or [])
    for option, key, value in (("--device", "device", device), ("--threads", "num_threads", threads)):
        if value is not None and key in keys:
            raise ConfigError(f"{option} is short for --set {key}=..., but both are given. Give only one of them")
        keys |= {} if value is None else {key: value}
    return keys

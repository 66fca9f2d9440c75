"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


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
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the config; may be given again. Nested: a.b=1."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that is there already.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")]


def parsed(assignments: list[str] | None) -> dict[str, Any]:
    """What ``--set`` was given, as nested keys and values."""
    from adapters.config import parse_assignments

    return parse_assignments(assignments or [])

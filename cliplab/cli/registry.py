"""`cliplab registry`: the group, and its small form, a folder of models with a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli import device, registry_keeping, registry_versions
from cliplab.cli.console import FAILED, command, show, write_json
from cliplab.cli.options import AsJson, DryRun, arg, opt

if TYPE_CHECKING:
    from cliplab.registry import ManifestReport


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    registry = typer.Typer(
        help="Keep versions of models, and choose which one is in use.", no_args_is_help=True, rich_markup_mode=None
    )
    registry_keeping.register(registry)
    registry_versions.register(registry)
    registry.command("manifest")(command(registry_manifest))
    device.register_in_registry(registry)
    app.add_typer(registry, name="registry")


def registry_manifest(
    folder: Annotated[Path, arg("DIR", "Folder of .tflite files and model_manifest.json.")],
    add: Annotated[
        Path | None, opt("FILE", "Add this .tflite, and copy it into DIR; default: all files of DIR.")
    ] = None,
    metrics: Annotated[Path | None, opt("FILE", "Its figures: evaluation.json, or a bundle's metrics.json.")] = None,
    keep_best: Annotated[
        str | None,
        opt("METRIC", "Make the model current that is best by this metric (lower for loss, error, latency and size)."),
    ] = None,
    current: Annotated[str | None, opt("NAME", "Make this model the current one.")] = None,
    next_name: Annotated[
        str | None,
        opt("PREFIX", "With --add: name it as the next version, PREFIX_v002.tflite; alone: print that name."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int | None:
    """Write and update DIR/model_manifest.json. Exits with 1 if a file of DIR is damaged."""
    from cliplab import registry

    report = registry.registry_manifest(
        folder,
        add=add,
        metrics=metrics,
        keep_best=keep_best,
        current=current,
        next_name=next_name,
        dry_run=dry_run,
    )
    only_name = next_name is not None and add is None
    if as_json:
        write_json(report.to_json())
    else:
        show(*([report.next_name] if only_name else _shown(report)))
    return FAILED if report.problems and not only_name else None


def _shown(report: ManifestReport) -> list[Any]:
    """Every model with its figures, the current one marked, and what was done."""
    from cliplab.cli.tables import problem, table

    rows = [
        (
            "current" if item.name == report.current else "",
            item.name,
            item.created or "-",
            ", ".join(f"{name} {_figure(value)}" for name, value in item.metrics.items()) or "-",
            item.state,
        )
        for item in report.models
    ]
    shown: list[Any] = [table(("", "model", "created", "metrics", "file"), rows)]
    shown += [problem(text) for text in report.problems]
    if report.current != report.previous:
        shown.append(f"current: {report.current} (before: {report.previous or 'none'})")
    shown.append(f"written: {report.path}" if report.written else f"not changed: {report.path}")
    return shown


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

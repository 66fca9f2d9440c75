"""`cliplab registry`: the group, and its small form, a folder of models with a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli import device, registry_environments, registry_keeping, registry_versions
from cliplab.cli.console import FAILED, command, show, write_json
from cliplab.cli.options import AsJson, DryRun, TrustAdapters, arg, opt
from cliplab.cli.registry_versions import RegistryOption, Who

if TYPE_CHECKING:
    from cliplab.registry import FolderReport, ManifestReport


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    registry = typer.Typer(
        help="Keep versions of models, and choose which one is in use.", no_args_is_help=True, rich_markup_mode=None
    )
    registry_keeping.register(registry)
    registry_versions.register(registry)
    registry_environments.register(registry)
    for name, function in (
        ("to-folder", registry_to_folder),
        ("from-folder", registry_from_folder),
        ("manifest", registry_manifest),
    ):
        registry.command(name)(command(function))
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


def registry_to_folder(
    name: Annotated[str, arg("NAME", "The model.")],
    folder: Annotated[Path, arg("DIR", "Folder of .tflite files and model_manifest.json.")],
    environment: Annotated[
        str | None, opt("NAME", "Environment whose version to use; default: the highest version.")
    ] = None,
    registry: RegistryOption = None,
    as_json: AsJson = False,
) -> None:
    """Write the versions of a model into a folder that workers follow."""
    from cliplab import registry as library

    _show_folder(library.registry_to_folder(name, folder, environment=environment, registry=registry), as_json)


def registry_from_folder(
    folder: Annotated[Path, arg("DIR", "Folder of .tflite files and model_manifest.json.")],
    name: Annotated[str, arg("NAME", "Name of the model in the registry.")],
    registry: RegistryOption = None,
    who: Who = "",
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Upload the models of a folder with a model_manifest.json."""
    from cliplab import registry as library

    report = library.registry_from_folder(folder, name, registry=registry, who=who, trust_adapters=trust_adapters or ())
    _show_folder(report, as_json)


def _show_folder(report: FolderReport, as_json: bool) -> None:
    if as_json:
        write_json(report.to_json())
        return
    lines = [f"written: {name}" for name in report.written] + [f"already there: {name}" for name in report.skipped]
    lines += [f"current: {report.current}"] if report.current else []
    show(*lines, *(f"note: {note}" for note in report.notes))


def _shown(report: ManifestReport) -> list[Any]:
    """Every model with its figures, the current one marked, and what was done."""
    from cliplab.cli.tables import problems, table

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
    shown += problems(report.problems)
    if report.current != report.previous:
        shown.append(f"current: {report.current} (before: {report.previous or 'none'})")
    shown.append(f"written: {report.path}" if report.written else f"not changed: {report.path}")
    return shown


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""`cliplab registry upload | list | show | download | compare | zoo | export`: the versions that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.console import command, show, write_json
from cliplab.cli.options import AsJson, DryRunChange, Force, OutputOption, TrustAdapters, arg, one_output, opt

if TYPE_CHECKING:
    from cliplab.registry import ListedVersion

_MOST_LABELS = 20
RegistryOption = Annotated[
    str | None,
    opt("PATH|URL", "Registry: a folder, or postgresql://...; default: CLIPLAB_REGISTRY, or your own."),
]
Reason = Annotated[str, opt("TEXT", "Reason, kept in the history.")]
Who = Annotated[str, opt("NAME", "Name for the history; default: CLIPLAB_USER, or the system user.")]
Reference = Annotated[
    str,
    arg("MODEL", "NAME@VERSION, NAME@ENVIRONMENT, or NAME for its highest version."),
]
Environment = Annotated[str | None, opt("NAME", "Only this environment: development, staging or production.")]


def register(registry: typer.Typer) -> None:
    """Add these commands to the group ``registry``."""
    for name, function in (
        ("upload", registry_upload),
        ("list", registry_list),
        ("show", registry_show),
        ("download", registry_download),
        ("compare", registry_compare),
        ("zoo", registry_zoo),
        ("export", registry_export),
    ):
        registry.command(name)(command(function))


def registry_upload(
    model: Annotated[Path, opt("MODEL", "A model directory (bundle), or a .tflite from `cliplab convert`.")],
    name: Annotated[str, opt("NAME", "Name, TYPE-VARIANT, such as base-ad-detector.")],
    version: Annotated[str, opt("X.Y.Z", "Version, or major, minor or patch for the next one.")],
    description: Annotated[str, opt("TEXT", "Description.")] = "",
    metrics: Annotated[Path | None, opt("FILE", "Its evaluation.json, or a JSON object of names and numbers.")] = None,
    parent: Annotated[str | None, opt("NAME@VERSION", "Version that it was trained from.")] = None,
    data: Annotated[
        Path | None, opt("DATA", "File of clips that it was trained on; the registry keeps its digest.")
    ] = None,
    registry: RegistryOption = None,
    who: Who = "",
    trust_adapters: TrustAdapters = None,
    dry_run: DryRunChange = False,
    as_json: AsJson = False,
) -> None:
    """Store a model as a new version, which never changes.

    A change of input, labels or architecture needs a new major version.
    """
    from cliplab import registry as library

    report = library.registry_upload(
        model,
        name,
        version,
        registry=registry,
        description=description,
        metrics=metrics,
        parent=parent,
        data=data,
        who=who,
        trust_adapters=trust_adapters or (),
        dry_run=dry_run,
    )
    if as_json:
        write_json(report.to_json())
        return
    change = report.version.change
    lines = [f"{'stored' if report.written else 'would store'}: {report.version.full_name}, {_change(change)}"]
    show(*lines, *metric_lines(change["metrics"]), *(f"note: {note}" for note in report.notes))


def registry_list(
    name: Annotated[str | None, arg("NAME", "Only this model.")] = None,
    environment: Environment = None,
    registry: RegistryOption = None,
    as_json: AsJson = False,
) -> None:
    """List versions with their figures and the environments that use them."""
    from cliplab import registry as library
    from cliplab.cli.tables import size, table

    found = library.registry_list(name, environment=environment, registry=registry)
    if as_json:
        write_json([item.to_json() for item in found])
        return
    rows = [
        (
            item.version.name,
            item.version.version,
            ", ".join(item.environments) or "-",
            item.version.uploaded_at[:16].replace("T", " "),
            _figures(item),
            size(item.version.size_bytes),
        )
        for item in found
    ]
    show(table(("model", "version", "in use", "uploaded (UTC)", "figures", "size"), rows) if rows else "no versions")


def registry_show(reference: Reference, registry: RegistryOption = None, as_json: AsJson = False) -> None:
    """Show all that is stored of a version."""
    from cliplab import registry as library
    from cliplab.cli.tables import size, table

    found = library.registry_show(reference, registry=registry)
    if as_json:
        write_json(found.to_json())
        return
    stored = found.version
    interface, golden = stored.interface, stored.golden or {}
    inputs = interface["input"]
    rows = [
        ("model", stored.full_name),
        ("in use", ", ".join(found.environments) or "-"),
        ("description", stored.description or "-"),
        ("uploaded", f"{stored.uploaded_at} by {stored.uploaded_by}"),
        ("change", _change(stored.change)),
        ("adapter", interface["adapter"]),
        ("input", " x ".join(str(inputs[key]) for key in ("height", "width", "frames") if key in inputs)),
        ("labels", _some(interface["labels"])),
        ("figures", _figures(found)),
        ("gates", ", ".join(f"{key} {figure_text(value)}" for key, value in stored.gates.items()) or "none"),
        ("golden", f"{golden['precision']}, within {golden['tolerance']:g}" if golden else "none"),
        ("file", f"{stored.file_name}, {size(stored.size_bytes)}"),
        ("sha256", stored.sha256),
        *((key, value) for key, value in stored.lineage.items() if isinstance(value, str)),
        ("MLflow run", stored.run_id or "-"),
    ]
    show(table(("", ""), rows))


def registry_download(
    reference: Reference,
    output: Annotated[Path | None, arg("OUTPUT", "The .tflite or model directory to write.")] = None,
    output_option: OutputOption = None,
    registry: RegistryOption = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the model of a version, verified by its digest."""
    from cliplab import registry as library

    path = library.registry_download(reference, one_output(output, output_option), registry=registry, force=force)
    if as_json:
        write_json({"path": str(path)})
    else:
        show(f"written: {path}")


def registry_compare(
    one: Reference,
    other: Annotated[str, arg("OTHER", "The other version, named as MODEL.")],
    registry: RegistryOption = None,
    as_json: AsJson = False,
) -> None:
    """Compare two versions: interface, figures, intervals."""
    from cliplab import registry as library
    from cliplab.cli.tables import table

    found = library.registry_compare(one, other, registry=registry)
    if as_json:
        write_json(found.to_json())
        return
    rows = [
        (
            name,
            _with_interval(values["before"], found.intervals.get(name, (None, None))[0]),
            _with_interval(values["after"], found.intervals.get(name, (None, None))[1]),
            figure_text(values["difference"], "+"),
        )
        for name, values in found.metrics.items()
    ]
    shown: list[Any] = [table(("", found.one.full_name, found.other.full_name, "difference"), rows)]
    shown += [f"differs: {text}" for text in found.interface]
    shown += [f"only {name}: {', '.join(figures)}" for name, figures in found.only.items() if figures]
    show(*shown, *(f"note: {note}" for note in found.notes))


def registry_zoo(
    output: Annotated[Path | None, arg("OUTPUT", "Page to write: X.html, X.md or X.json; or give --json.")] = None,
    output_option: OutputOption = None,
    environment: Environment = None,
    registry: RegistryOption = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a page of all models: task, figures with intervals, size, latency, card."""
    from cliplab import registry as library
    from cliplab.cli.tables import counted

    path = None if output is None and output_option is None else one_output(output, output_option)
    entries = library.registry_zoo(path, environment=environment, registry=registry, force=force)
    if as_json:
        write_json([entry.to_json() for entry in entries])
        return
    show(*(f"{entry.name} {entry.version}" for entry in entries), counted(len(entries), "model"))
    if path is not None:
        show(f"written: {path}")


def registry_export(
    reference: Reference,
    output: Annotated[Path | None, arg("OUTPUT", "The .tflite or model directory to write.")] = None,
    output_option: OutputOption = None,
    sign: Annotated[
        Path | None,
        opt("KEY", "Also write OUTPUT.sig (OpenSSF model signing) with this private EC key (PEM)."),
    ] = None,
    registry: RegistryOption = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the model of a version, with a signature that others can verify without a registry."""
    from cliplab import registry as library

    path, signature = library.registry_export(
        reference, one_output(output, output_option), registry=registry, sign=sign, force=force
    )
    if as_json:
        write_json({"path": str(path), "signature": None if signature is None else str(signature)})
    else:
        show(f"written: {path}", *([f"written: {signature}"] if signature else []))


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:_MOST_LABELS])
    return shown if len(labels) <= _MOST_LABELS else f"{shown} and {len(labels) - _MOST_LABELS} more (--json: all)"


def _change(change: Any) -> str:
    if change.get("from") is None:
        return "the first version"
    changed = "; ".join(change["interface"])
    return f"a {change['kind']} version after {change['from']}" + (f": {changed}" if changed else "")


def metric_lines(metrics: Any) -> list[str]:
    """Each figure of two versions with its difference.

    Args:
        metrics: By name: before, after, difference.
    """
    return [
        f"{name}: {figure_text(values['before'])} -> {figure_text(values['after'])} "
        f"({figure_text(values['difference'], '+')})"
        for name, values in metrics.items()
    ]


def _figures(item: ListedVersion) -> str:
    return ", ".join(f"{name} {figure_text(value)}" for name, value in item.version.metrics.items()) or "-"


def _with_interval(value: float, ends: Sequence[float] | None) -> str:
    from cliplab.cli.tables import interval

    return figure_text(value) + (f" ({interval(ends)})" if ends is not None else "")


def figure_text(value: float, sign: str = "") -> str:
    """A figure in four digits; from 10,000 on, such as bytes, in whole numbers.

    Args:
        value: The figure.
        sign: "+" to show the sign of a difference.
    """
    return f"{value:{sign},.0f}" if abs(value) >= 10_000 else f"{value:{sign}.4g}"

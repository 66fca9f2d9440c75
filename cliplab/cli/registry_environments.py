"""`cliplab registry promote | rollback | history | lineage`: what environments have, had, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.console import FAILED, command, show, write_json
from cliplab.cli.options import AsJson, DryRunChange, TrustAdapters, arg, opt
from cliplab.cli.registry_versions import Environment, Reason, Reference, RegistryOption, Who, metric_lines

if TYPE_CHECKING:
    from cliplab.registry import PromotionReport


def register(registry: typer.Typer) -> None:
    """Add these commands to the group ``registry``."""
    for name, function in (
        ("promote", registry_promote),
        ("rollback", registry_rollback),
        ("history", registry_history),
        ("lineage", registry_lineage),
    ):
        registry.command(name)(command(function))


def registry_promote(
    model_id: Annotated[str, opt("NAME", "The model.", "--model-id")],
    version: Annotated[str | None, opt("X.Y.Z", "Version; or give --model-id NAME@X.Y.Z.")] = None,
    environment: Annotated[str, opt("NAME", "development, staging or production.")] = "staging",
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Promote even if a check failed; needs --reason.")] = False,
    registry: RegistryOption = None,
    who: Who = "",
    trust_adapters: TrustAdapters = None,
    dry_run: DryRunChange = False,
    as_json: AsJson = False,
) -> int | None:
    """Use a version in an environment, after checking its golden clip and its gates."""
    from cliplab import registry as library

    report = library.registry_promote(
        model_id,
        version,
        environment,
        registry=registry,
        reason=reason,
        force=force,
        who=who,
        trust_adapters=trust_adapters or (),
        dry_run=dry_run,
    )
    _show_promotion(report, as_json)
    return FAILED if dry_run and not all(check.passed for check in report.checks) else None


def registry_rollback(
    model_id: Annotated[str, opt("NAME", "The model.", "--model-id")],
    environment: Annotated[str, opt("NAME", "development, staging or production.")],
    version: Annotated[str | None, opt("X.Y.Z", "An earlier version; default: the one before.")] = None,
    reason: Reason = "",
    registry: RegistryOption = None,
    who: Who = "",
    dry_run: DryRunChange = False,
    as_json: AsJson = False,
) -> None:
    """Return an environment to an earlier version, without checks."""
    from cliplab import registry as library

    report = library.registry_rollback(
        model_id, environment, registry=registry, version=version, reason=reason, who=who, dry_run=dry_run
    )
    _show_promotion(report, as_json)


def registry_history(
    name: Annotated[str | None, arg("NAME", "Only this model.")] = None,
    environment: Environment = None,
    last: Annotated[int | None, opt("N", "Only the latest N events.")] = None,
    registry: RegistryOption = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when and why."""
    from cliplab import registry as library

    events = library.registry_history(name, environment=environment, registry=registry, last=last)
    if as_json:
        write_json([event.to_json() for event in events])
    else:
        show(_event_table(events))


def registry_lineage(reference: Reference, registry: RegistryOption = None, as_json: AsJson = False) -> None:
    """Show what a version was trained from, and what happened to it."""
    from cliplab import registry as library

    found = library.registry_lineage(reference, registry=registry)
    if as_json:
        write_json(found.to_json())
        return
    facts = [f"{key}: {value}" for key, value in found.version.lineage.items() if isinstance(value, str)]
    show(
        found.version.full_name,
        f"follows: {found.before or 'nothing'}",
        f"trained from: {' <- '.join(found.ancestors) or 'unknown (set it with --parent)'}",
        f"trained from it: {', '.join(found.descendants) or 'nothing'}",
        *facts,
        _event_table(list(found.events)),
    )


def _show_promotion(report: PromotionReport, as_json: bool) -> None:
    if as_json:
        write_json(report.to_json())
        return
    verb = "has" if report.written else "would have"
    lines = [f"{report.environment} {verb} {report.name} {report.version} (before: {report.previous or 'none'})"]
    lines += [f"{'passed' if check.passed else 'FAILED'}: {check.text}" for check in report.checks]
    lines += ["forced: the failed checks are kept with the reason"] if report.forced else []
    show(*lines, *metric_lines(report.metrics), *(f"note: {note}" for note in report.notes))


def _event_table(events: Any) -> Any:
    from cliplab.cli.tables import table

    rows = [
        (
            event.sequence,
            event.at[:19].replace("T", " "),
            event.who,
            event.kind,
            event.model or "-",
            event.environment or "-",
            event.from_version or "-",
            event.to_version or event.version or "-",
            event.reason or "-",
        )
        for event in events
    ]
    return table(("", "when (UTC)", "who", "what", "model", "environment", "from", "to", "why"), rows)

"""`cliplab rollout`: a new version to a fleet of devices, in stages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.console import command, show, write_json
from cliplab.cli.options import AsJson, DryRunChange, TrustAdapters, arg, opt

if TYPE_CHECKING:
    from cliplab.rollout import Decision, RolloutReport

RegistryOption = Annotated[
    str | None, opt("PATH|URL", "Registry: a folder, or postgresql://...; default: CLIPLAB_REGISTRY, or your own.")
]
Name = Annotated[str, arg("ROLLOUT", "Id of a rollout, or a model for its latest one.")]
Reason = Annotated[str, opt("TEXT", "Reason, kept in the history.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    group = typer.Typer(
        help="Roll out a new version to devices in stages, and withdraw it if it is worse.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for name, function in (
        ("start", rollout_start),
        ("status", rollout_status),
        ("widen", rollout_widen),
        ("pause", rollout_pause),
        ("halt", rollout_halt),
        ("resume", rollout_resume),
        ("promote", rollout_promote),
        ("history", rollout_history),
    ):
        group.command(name)(command(function))
    app.add_typer(group, name="rollout")


def rollout_start(
    model_id: Annotated[str, opt("NAME", "Model, such as base-ad-detector.")],
    version: Annotated[str, opt("X.Y.Z", "Version to try.")],
    environment: Annotated[str, opt("NAME", "Environment whose devices try it.")] = "production",
    registry: RegistryOption = None,
    stages: Annotated[str, opt("P,P,...", "Percentages of the devices; the last is 100.")] = "1,5,25,100",
    min_devices: Annotated[int, opt("N", "Devices that must report before a stage ends.")] = 5,
    stage_minutes: Annotated[float, opt("M", "Minimum length of a stage, in minutes.")] = 60.0,
    silent_minutes: Annotated[float, opt("M", "A device counts as failed after M minutes without a report.")] = 360.0,
    on_drift: Annotated[
        str, opt("ACTION", "What to do if the distribution of scores changes: halt, pause or ignore.")
    ] = "halt",
    manual: Annotated[
        bool, typer.Option("--manual", help="Start each stage by hand; halting stays automatic.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Try a version again that was halted or rolled back; needs --reason.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRunChange = False,
    as_json: AsJson = False,
) -> None:
    """Give a version to some devices, then to more while it is not worse."""
    from cliplab import rollout

    report = rollout.rollout_start(
        model_id,
        version,
        environment,
        registry=registry,
        stages=stages,
        min_devices=min_devices,
        stage_minutes=stage_minutes,
        silent_minutes=silent_minutes,
        on_drift=on_drift,  # type: ignore[arg-type]  # checked there
        manual=manual,
        force=force,
        reason=reason,
        dry_run=dry_run,
    )
    write_json(report.to_json()) if as_json else show(*_shown(report))


def rollout_status(
    rollout: Annotated[str | None, arg("ROLLOUT", "Id or model; default: all active rollouts.")] = None,
    registry: RegistryOption = None,
    as_json: AsJson = False,
) -> None:
    """Show rollouts: figures of both groups, and what is awaited."""
    from cliplab import rollout as rollouts

    reports = rollouts.rollout_status(rollout, registry=registry)
    if as_json:
        write_json([report.to_json() for report in reports])
        return
    show(*[line for report in reports for line in _shown(report)] or ["no rollouts yet: cliplab rollout start"])


def rollout_widen(rollout: Name, registry: RegistryOption = None, reason: Reason = "", as_json: AsJson = False) -> None:
    """Start the next stage now."""
    from cliplab import rollout as rollouts

    _change(rollouts.rollout_widen, rollout, registry, reason, as_json)


def rollout_pause(rollout: Name, registry: RegistryOption = None, reason: Reason = "", as_json: AsJson = False) -> None:
    """Pause a rollout; devices keep their versions."""
    from cliplab import rollout as rollouts

    _change(rollouts.rollout_pause, rollout, registry, reason, as_json)


def rollout_halt(rollout: Name, registry: RegistryOption = None, reason: Reason = "", as_json: AsJson = False) -> None:
    """Return all devices to the earlier version. Needs --reason."""
    from cliplab import rollout as rollouts

    _change(rollouts.rollout_halt, rollout, registry, reason, as_json)


def rollout_resume(
    rollout: Name, registry: RegistryOption = None, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Resume a paused rollout."""
    from cliplab import rollout as rollouts

    _change(rollouts.rollout_resume, rollout, registry, reason, as_json)


def rollout_promote(
    rollout: Name,
    registry: RegistryOption = None,
    reason: Reason = "",
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Give the new version to all devices. Before the last stage, this needs --reason."""
    from cliplab import rollout as rollouts

    report = rollouts.rollout_promote(rollout, registry=registry, reason=reason, trust_adapters=trust_adapters or ())
    write_json(report.to_json()) if as_json else show(*_shown(report))


def rollout_history(rollout: Name, registry: RegistryOption = None, as_json: AsJson = False) -> None:
    """Show every decision about a rollout; --json adds its figures."""
    from cliplab import rollout as rollouts

    found = rollouts.rollout_history(rollout, registry=registry)
    write_json([item.to_json() for item in found]) if as_json else show(_history_table(found))


def _change(
    function: Callable[..., RolloutReport], name: str, registry: str | None, reason: str, as_json: bool
) -> None:
    report = function(name, registry=registry, reason=reason)
    write_json(report.to_json()) if as_json else show(*_shown(report))


def _shown(report: RolloutReport) -> list[Any]:
    """The rollout in a line, its figures as a table, and what it waits for."""
    from cliplab.cli.tables import table

    found = report.rollout
    lines: list[Any] = [
        f"{found.id}: {found.state}, {found.percent:g}% of the devices have {found.model} {found.candidate} instead of "
        f"{found.control} ({found.environment}, stage {found.stage + 1} of {len(found.settings.stages)})"
    ]
    verdict = report.watched.verdict
    if verdict is not None and verdict.tests:
        columns = ("test", "candidate", "control", "ratio (95%)", "e-value", "halts at")
        lines.append(table(columns, [_row(test.to_json()) for test in verdict.tests]))
    if verdict is not None and found.state == "running":
        lines.append(f"next: {verdict.action}. {verdict.reason}")
    if not report.written and found.revision == 0:
        lines.append("nothing was started (--dry-run)")
    return lines + [f"note: {note}" for note in report.notes]


def _row(test: dict[str, Any]) -> tuple[str, ...]:
    from cliplab.cli.tables import counted

    rate = test["events"] / test["exposure"] if test["exposure"] else 0.0
    return (
        f"{test['test']}",
        f"{rate:.3g} on {counted(test['devices'], 'device')}",
        f"{test['control_rate']:.3g} on {test['control_devices']}",
        f"{test['ratio']:.2g} ({test['ratio_low']:.2g} to {test['ratio_high']:.2g})",
        f"{test['e_value']:.2g}",
        f"{test['threshold']:.0f}",
    )


def _history_table(found: list[Decision]) -> Any:
    from cliplab.cli.tables import table

    rows = [
        (
            datetime.fromtimestamp(item.at, UTC).strftime("%Y-%m-%d %H:%M"),
            item.who,
            item.action,
            f"{item.percent:g}%",
            item.reason,
        )
        for item in found
    ]
    return table(("time (UTC)", "who", "decision", "fleet", "why"), rows)

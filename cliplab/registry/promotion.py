"""`cliplab registry promote` and `rollback`: which version an environment has, checked and kept with its reasons."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError, ConfigError
from adapters.evaluation import GATES, EvaluationReport, check_gates
from cliplab.registry.events import Event
from cliplab.registry.inspection import golden_difference
from cliplab.registry.names import ENVIRONMENTS, parse_environment, parse_reference
from cliplab.registry.opening import open_registry
from cliplab.registry.publishing import PublishReport, publish
from cliplab.registry.records import Placement, StoredVersion
from cliplab.registry.semantics import measured
from cliplab.registry.signing import has_keys
from cliplab.registry.store import Registry
from cliplab.registry.uploading import unpack_bundle


class PromotionRefusedError(AdapterError):
    """A check of a promotion failed; nothing was changed."""


@dataclass(frozen=True)
class Check:
    """One check of a promotion.

    Attributes:
        name: "golden", "gates" or "file".
        passed: Whether it passed.
        text: What was found, in a sentence.
    """

    name: str
    passed: bool
    text: str


@dataclass(frozen=True)
class PromotionReport:
    """A promotion or rollback; with dry_run, as it would be.

    Attributes:
        name: The model.
        environment: The environment.
        version: What it has now.
        previous: What it had before; None for nothing.
        checks: What was checked.
        forced: Whether a failed check was overruled.
        metrics: The figures that both versions have, with the difference.
        written: Whether it was stored.
        published: What was signed; None where the registry has no keys or nothing was stored.
        notes: What a person should know, in sentences.
    """

    name: str
    environment: str
    version: str
    previous: str | None
    checks: tuple[Check, ...]
    forced: bool
    metrics: Mapping[str, Mapping[str, float]]
    written: bool
    published: PublishReport | None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found["checks"] = [vars(check) for check in self.checks]
        found["published"] = None if self.published is None else self.published.to_json()
        return found


def registry_promote(
    model_id: str,
    version: str | None = None,
    environment: str = "staging",
    *,
    registry: str | Path | None = None,
    reason: str = "",
    force: bool = False,
    who: str = "",
    trust_adapters: Sequence[str] = (),
    dry_run: bool = False,
) -> PromotionReport:
    """Give an environment a version, after its golden clip and the gates of its config were checked.

    Args:
        model_id: The model, "base-ad-detector", or with its version, "base-ad-detector@1.0.0", or "...@latest".
        version: The version; None where model_id names it.
        environment: "development", "staging" or "production".
        registry: The registry; see ``open_registry``.
        reason: Why; kept.
        force: Promote although a check failed; needs a reason, which is kept with what failed.
        who: Who promotes; empty for CLIPLAB_USER or this user.
        trust_adapters: Adapters of other packages that the model may name.
        dry_run: Check everything and store nothing.

    Returns:
        What the environment has now.

    Raises:
        PromotionRefusedError: A check failed and force was not given.
        ConfigError: There is no such version, the environment has it, or force has no reason.
        ConflictError: Another change was stored first; the message names it.
        StorageError: The registry cannot be written.
    """
    parse_environment(environment)
    if force and not reason.strip():
        raise ConfigError("force: needs a reason, which is kept in the history (--force --reason TEXT)")
    with open_registry(registry) as opened:
        stored = _chosen(opened, model_id, version)
        before = opened.current(stored.name, environment)
        if before is not None and before.version == stored.version:
            raise ConfigError(
                f"{stored.full_name}: {environment} has it since {before.since}, by {before.who}. Nothing was changed"
            )
        checks = check_version(opened, stored, trust_adapters)
        failed = [check for check in checks if not check.passed]
        if failed and not (force or dry_run):
            raise PromotionRefusedError(
                f"{stored.full_name}: was not promoted to {environment}: "
                f"{' '.join(check.text for check in failed)} Correct it and upload a new version, or override with "
                "--force --reason TEXT"
            )
        report = _report(opened, stored, environment, before, checks, bool(failed) and force)
        if dry_run:
            return report
        event = _event("promote", stored, environment, before, report, reason, who)
        return _placed(opened, stored, event, before, report)


def registry_rollback(
    model_id: str,
    environment: str,
    *,
    registry: str | Path | None = None,
    version: str | None = None,
    reason: str = "",
    who: str = "",
    dry_run: bool = False,
) -> PromotionReport:
    """Give an environment the version back that it had before. Nothing is checked: it must work in an emergency.

    Args:
        model_id: The model.
        environment: The environment.
        registry: The registry; see ``open_registry``.
        version: A version that the environment had; None for the one before the current one.
        reason: Why; kept.
        who: Who rolls back; empty for CLIPLAB_USER or this user.
        dry_run: Say what would happen and store nothing.

    Returns:
        What the environment has now.

    Raises:
        ConfigError: The environment never had another version.
        ConflictError: Another change was stored first; the message names it.
        StorageError: The registry cannot be written.
    """
    parse_environment(environment)
    with open_registry(registry) as opened:
        name = parse_reference(model_id).name
        before = opened.current(name, environment)
        if before is None:
            raise ConfigError(f"{opened.name}: {environment} has no version of {name}, so nothing can be rolled back")
        stored = opened.version(name, _target(opened, before, version))
        report = _report(opened, stored, environment, before, (), False)
        if dry_run:
            return report
        event = _event("rollback", stored, environment, before, report, reason, who)
        return _placed(opened, stored, event, before, report)


def check_version(registry: Registry, stored: StoredVersion, trust_adapters: Sequence[str] = ()) -> tuple[Check, ...]:
    """Check a version as a promotion does: its file, its golden clip and the gates of its config.

    Args:
        registry: The registry.
        stored: The version.
        trust_adapters: Adapters of other packages that it may name.
    """
    try:
        path = registry.artifact(stored.name, stored.version)
    except AdapterError as error:
        return (Check("file", False, f"{error}."),)
    return (_check_golden(path, stored, trust_adapters), _check_gates(stored))


def _check_golden(path: Path, stored: StoredVersion, trust_adapters: Sequence[str]) -> Check:
    if stored.golden is None:
        return Check("golden", False, "No golden scores are stored, so the file cannot be checked.")
    tolerance = float(stored.golden["tolerance"])
    try:
        with tempfile.TemporaryDirectory(prefix="cliplab_") as folder:
            if stored.format == "bundle":
                unpacked = Path(folder) / "bundle"
                unpack_bundle(path, unpacked)
                path = unpacked
            difference = golden_difference(path, stored.golden, trust_adapters)
    except AdapterError as error:
        return Check("golden", False, f"The golden clip cannot be predicted: {error}.")
    text = f"golden clip: scores within {difference:.2g} of the stored ones ({tolerance:g} is allowed)."
    if difference <= tolerance:
        return Check("golden", True, text)
    allowed = f"{tolerance:g} is allowed for {stored.golden['precision']}"
    text = f"The scores of the golden clip differ by {difference:.2g}; {allowed}."
    return Check("golden", False, text)


def _check_gates(stored: StoredVersion) -> Check:
    if not stored.gates:
        return Check("gates", True, "gates: the config has none.")
    # A missing figure fails its gate, and the size is that of the very file.
    figures: dict[str, Any] = {measure: stored.metrics.get(measure) for measure, _ in GATES.values()}
    empty: dict[str, Any] = {
        "clips": 0,
        "threshold": None,
        "confusion_matrix": [],
        "per_class": [],
        "positive_label": None,
    }
    kept = dict(stored.evaluation or {"task": "single_label", "labels": [], "average": "macro"})
    report = EvaluationReport.from_json({**empty, **figures, **kept})
    report = replace(report, size_bytes=stored.size_bytes) if stored.format == "tflite" else report
    failures = check_gates(report, stored.gates)
    if failures:
        return Check("gates", False, " ".join(failures))
    return Check("gates", True, f"gates: {', '.join(f'{k} {v:g}' for k, v in stored.gates.items())} passed.")


def _chosen(registry: Registry, model_id: str, version: str | None) -> StoredVersion:
    reference = parse_reference(model_id)
    if version is not None:
        if reference.version not in (None, version) or reference.environment:
            raise ConfigError(f"version: {model_id!r} and {version!r} are two versions. Give only one of them")
        return registry.version(reference.name, version)
    if reference.version is None and reference.environment is None and not reference.latest:
        found = [item.version for item in registry.versions(reference.name)]
        raise ConfigError(f"version: is missing (--version). {reference.name} has: {', '.join(found) or 'none'}")
    return registry.find(model_id)


def _target(registry: Registry, before: Placement, version: str | None) -> str:
    """The version to go back to: the last one before the current one that no rollback left."""
    stack: list[str] = []
    for event in registry.history(before.name, before.environment, kinds=("promote", "rollback")):
        placed = str(event.to_version)
        if event.kind == "rollback" and placed in stack:
            del stack[stack.index(placed) + 1 :]  # what was rolled back never returns by itself
        elif not stack or stack[-1] != placed:
            stack.append(placed)
    had = stack[:-1]
    if version is not None:
        ever = {
            str(event.to_version) for event in registry.history(before.name, before.environment, kinds=("promote",))
        }
        if version not in ever or version == before.version:
            shown = ", ".join(sorted(ever - {before.version})) or "none"
            raise ConfigError(f"version: {before.environment} never had {version}. Earlier versions there: {shown}")
        return version
    if not had:
        raise ConfigError(
            f"{before.environment} had no version of {before.name} before {before.version}. Promote another"
        )
    return had[-1]


def _report(
    registry: Registry,
    stored: StoredVersion,
    environment: str,
    before: Placement | None,
    checks: tuple[Check, ...],
    forced: bool,
) -> PromotionReport:
    notes: list[str] = []
    metrics: Mapping[str, Mapping[str, float]] = {}
    if before is not None:
        old = registry.version(stored.name, before.version)
        metrics = measured(old.metrics, stored.metrics)
        if old.interface["labels"] != stored.interface["labels"]:
            notes.append(
                f"the labels differ from those of {before.version}: programs that read predictions must handle both"
            )
    if environment == ENVIRONMENTS[-1] and stored.version not in {
        event.to_version for event in registry.history(stored.name, "staging", kinds=("promote",))
    }:
        notes.append(f"{stored.version} was never in staging")
    if not has_keys(registry):
        here = "the registry has no keys, so devices do not see it. Make them: cliplab registry init"
        there = "devices see it once the machine that keeps the keys publishes: cliplab registry publish"
        notes.append(there if registry.settings.is_shared else here)
    return PromotionReport(
        stored.name,
        environment,
        stored.version,
        None if before is None else before.version,
        checks,
        forced,
        metrics,
        written=False,
        published=None,
        notes=tuple(notes),
    )


def _event(
    kind: str,
    stored: StoredVersion,
    environment: str,
    before: Placement | None,
    report: PromotionReport,
    reason: str,
    who: str,
) -> Event:
    details = {
        "checks": [vars(check) for check in report.checks],
        "forced": report.forced,
        "metrics": {name: dict(values) for name, values in report.metrics.items()},
        "sha256": stored.sha256,
    }
    return Event(
        kind,
        stored.name,
        stored.version,
        environment,
        None if before is None else before.version,
        stored.version,
        reason=reason,
        details=details,
        who=who,
    )


def _placed(
    registry: Registry, stored: StoredVersion, event: Event, before: Placement | None, report: PromotionReport
) -> PromotionReport:
    """Store the event, then let what follows it follow: the signed repository and MLflow's alias."""
    registry.append(event, expected=0 if before is None else before.sequence)
    notes = list(report.notes)
    published = None
    if has_keys(registry):
        try:
            published = publish(registry)
            notes += published.warnings
        except AdapterError as error:
            notes.append(f"stored, and not published yet: {error}. Publish it: cliplab registry publish")
    if stored.run_id is not None:
        from cliplab.registry.tracking import set_alias

        problem = set_alias(registry.place, stored, report.environment)
        notes += [problem] if problem else []
    return replace(report, written=True, published=published, notes=tuple(notes))

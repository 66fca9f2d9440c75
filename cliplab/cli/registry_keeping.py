"""`cliplab registry init | publish | keys | rotate`: for administrators of a registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cliplab.cli.console import command, show, write_json
from cliplab.cli.options import AsJson, arg, opt
from cliplab.cli.registry_versions import Reason, RegistryOption, Who

if TYPE_CHECKING:
    from cliplab.registry import KeysReport, PublishReport

_ROLES = "root, targets, snapshot or timestamp"
Count = Annotated[list[str] | None, opt("ROLE=N", f"Number of keys of {_ROLES}; repeatable.", "--keys-per-role")]
Threshold = Annotated[list[str] | None, opt("ROLE=N", "Number of keys that must sign; repeatable.", "--threshold")]
Days = Annotated[list[str] | None, opt("ROLE=N", "Days that its metadata is valid; repeatable.")]


def register(registry: typer.Typer) -> None:
    """Add these commands to the group ``registry``."""
    for name, function in (
        ("init", registry_init),
        ("publish", registry_publish),
        ("keys", registry_keys),
        ("rotate", registry_rotate),
    ):
        registry.command(name)(command(function))


def registry_init(
    registry: RegistryOption = None,
    database: Annotated[str | None, opt("URL", "postgresql://USER@HOST/NAME; default: SQLite in the folder.")] = None,
    tracking: Annotated[str | None, opt("URL|none", "MLflow tracking address; default: SQLite in the folder.")] = None,
    artifacts: Annotated[
        str | None, opt("URL", "Store of files, such as s3://BUCKET/PATH; default: the folder.")
    ] = None,
    keys_folder: Annotated[Path | None, opt("DIR", "Folder of private keys; default: keys/ in the registry.")] = None,
    keys: Annotated[bool, typer.Option("--keys/--no-keys", help="Make keys and publish.")] = True,
    count: Count = None,
    thresholds: Threshold = None,
    days: Days = None,
    who: Who = "",
    as_json: AsJson = False,
) -> None:
    """Create a registry: folder, database, keys and signed metadata. An existing one gets what it lacks."""
    from cliplab import registry as library

    report = library.registry_init(
        registry,
        database=database,
        tracking=tracking,
        artifacts=artifacts,
        keys_folder=keys_folder,
        keys=keys,
        count=_numbers(count, "--keys-per-role"),
        thresholds=_numbers(thresholds, "--threshold"),
        days=_numbers(days, "--days"),
        who=who,
    )
    if as_json:
        write_json(report.to_json())
        return
    show(f"registry: {report.folder}", *(_key_lines(report.keys) if report.keys else []))
    show(*(f"note: {note}" for note in report.notes))


def registry_publish(
    registry: RegistryOption = None,
    recover: Annotated[
        bool, typer.Option("--recover", help="After restoring a backup: raise all version numbers; needs --reason.")
    ] = False,
    reason: Reason = "",
    who: Who = "",
    as_json: AsJson = False,
) -> None:
    """Sign the current versions, and renew metadata before it expires."""
    from cliplab import registry as library

    report = library.registry_publish(registry=registry, recover=recover, reason=reason, who=who)
    if as_json:
        write_json(report.to_json())
    else:
        show(*_publish_lines(report, recover))


def registry_keys(registry: RegistryOption = None, as_json: AsJson = False) -> None:
    """Show the keys, thresholds and days of each role."""
    from cliplab import registry as library

    report = library.registry_keys(registry=registry)
    if as_json:
        write_json(report.to_json())
    else:
        show(*_key_lines(report))


def registry_rotate(
    roles: Annotated[
        list[str] | None, arg("ROLE", f"Roles whose keys to replace: {_ROLES}; without one, renew root.json.")
    ] = None,
    registry: RegistryOption = None,
    count: Count = None,
    thresholds: Threshold = None,
    days: Days = None,
    reason: Reason = "",
    who: Who = "",
    as_json: AsJson = False,
) -> None:
    """Replace keys and sign everything again. Devices follow by themselves."""
    from cliplab import registry as library

    keys, published = library.registry_rotate(
        roles or (),
        registry=registry,
        count=_numbers(count, "--keys-per-role"),
        thresholds=_numbers(thresholds, "--threshold"),
        days=_numbers(days, "--days"),
        reason=reason,
        who=who,
    )
    if as_json:
        write_json({"keys": keys.to_json(), "published": published.to_json()})
    else:
        show(*_key_lines(keys), *_publish_lines(published))


def _numbers(assignments: list[str] | None, option: str) -> dict[str, int] | None:
    from adapters.errors import ConfigError

    found: dict[str, int] = {}
    for text in assignments or ():
        role, equals, number = text.partition("=")
        if not (equals and number.isascii() and number.isdigit() and len(number) < 10):
            raise ConfigError(f"{option}: must be ROLE=NUMBER, such as root=2, got {text!r:.80}")
        found[role] = int(number)
    return found or None


def _key_lines(report: KeysReport) -> list[str]:
    lines = [f"root.json: version {report.root_version}, expires {report.root_expires}"]
    lines += [
        f"{role}: {report.thresholds[role]} of {len(ids)} keys sign; metadata is valid for {report.days[role]} days"
        for role, ids in report.keys.items()
    ]
    lines += [f"made: {path}" for path in report.made]
    return lines + [f"retired: {path}" for path in report.retired]


def _publish_lines(report: PublishReport, recovered: bool = False) -> list[str]:
    lines = [f"{role}: version {number}, expires {report.expires[role]}" for role, number in report.versions.items()]
    what = "devices will see changes" if report.changed else "nothing changes for devices"
    if recovered:
        what = "devices follow again at their next request"
    return [*lines, what, *(f"note: {text}" for text in report.warnings)]

"""`cliplab registry init | publish | keys | rotate`: what the keeper of a registry does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError, StorageError
from cliplab.registry.location import Settings, default_folder, read_settings, resolve
from cliplab.registry.opening import default_tracking, folder_of, make_settings, name_folder, open_registry
from cliplab.registry.publishing import PublishReport, publish
from cliplab.registry.signing import KeysReport, has_keys, init_keys, rotate_keys, show_keys
from cliplab.registry.store import Registry
from cliplab.sql import is_postgres, named_database


@dataclass(frozen=True)
class InitReport:
    """A registry that was begun, or one that was there.

    Attributes:
        folder: Its folder.
        settings: What its registry.json says.
        keys: Its root of trust; None where none was asked for.
        published: What was signed; None without keys.
        notes: What a person should know, in sentences.
    """

    folder: str
    settings: Settings
    keys: KeysReport | None
    published: PublishReport | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object; a password in the database's URL is left out."""
        return {
            "folder": self.folder,
            "settings": {**vars(self.settings), "database": _without_password(self.settings.database)},
            "keys": self.keys.to_json() if self.keys else None,
            "published": self.published.to_json() if self.published else None,
            "notes": list(self.notes),
        }


def _without_password(place: str) -> str:
    """A database as messages name it; other places as they are."""
    return named_database(place)[0] if is_postgres(place) else place


def registry_init(
    registry: str | Path | None = None,
    *,
    database: str | None = None,
    tracking: str | None = None,
    artifacts: str | None = None,
    keys_folder: str | Path | None = None,
    keys: bool = True,
    count: Mapping[str, int] | None = None,
    thresholds: Mapping[str, int] | None = None,
    days: Mapping[str, int] | None = None,
    who: str = "",
) -> InitReport:
    """Begin a registry: its folder, its database, its keys and the first signed metadata.

    On a registry that exists, this brings its database to this version and makes the keys where it has none.

    Args:
        registry: Its folder; None uses CLIPLAB_REGISTRY, otherwise the user's own.
        database: ``postgresql://...``; None for SQLite in the folder.
        tracking: Where MLflow keeps runs: a URL, or "none"; None for SQLite in the folder where MLflow is installed.
        artifacts: Where files of versions are kept: a URL that MLflow takes, such as s3://BUCKET/PATH; None for the
            folder.
        keys_folder: Where private keys are kept, such as a mounted stick; None for keys/ in the folder.
        keys: Whether to make keys; without them nothing is published.
        count: How many keys each role has, by role.
        thresholds: How many of a role's keys must sign, by role.
        days: For how long a role's metadata is valid, by role.
        who: Who begins it.

    Returns:
        The registry.

    Raises:
        ConfigError: An argument is not allowed, or differs from what the registry has.
        StorageError: The folder holds other files or cannot be written, or the database has another folder's registry.
        MissingExtraError: The ``registry`` extra is not installed.
    """
    place = resolve(registry)
    if isinstance(place, str):
        if database not in (None, place):
            raise ConfigError("database: differs from the URL of --registry. Give only one of them")
        database, place = place, folder_of(place) or default_folder()
    own = None if keys_folder is None else str(Path(keys_folder).expanduser().absolute())
    asked = {"database": database, "tracking": tracking, "artifacts": artifacts, "keys": own}
    given = {name: value for name, value in asked.items() if value is not None}
    found = read_settings(place)
    if found is None:
        _check_settings(given)
        _require_unused(database)
        found = make_settings(place, Settings(**{"tracking": default_tracking(), **given}))
    for name, value in given.items():
        if vars(found)[name] != value:
            has, asked_for = (_without_password(text) for text in (vars(found)[name], value))
            raise ConfigError(
                f"{place}: has {name} {has!r:.200}, not {asked_for!r:.200}. Edit registry.json, or use "
                "another folder (--registry PATH)"
            )
    with open_registry(place) as opened:
        if is_postgres(found.database):
            name_folder(opened.database, place, found)
        report, published = None, None
        if keys:
            made = not has_keys(opened)
            report = (
                init_keys(opened, count=count, thresholds=thresholds, days=days, who=who) if made else show_keys(opened)
            )
            published = publish(opened)
        return InitReport(str(place), found, report, published, _notes(opened, report))


def registry_publish(
    *, registry: str | Path | None = None, recover: bool = False, reason: str = "", who: str = ""
) -> PublishReport:
    """Sign what the environments have now, and renew metadata before it expires. Run it by a timer or let serve do so.

    Args:
        registry: The registry; see ``open_registry``.
        recover: After a backup was restored: raise all version numbers, so that devices follow again.
        reason: Why it was restored; kept.
        who: Who publishes.

    Returns:
        What was published.

    Raises:
        ConfigError: The registry has no keys, or they are not on this machine; or recover has no reason.
        BundleError: A file of a version is missing or damaged.
        StorageError: The folder cannot be written.
    """
    if recover and not reason.strip():
        raise ConfigError("recover: needs a reason, which is kept in the history (--recover --reason TEXT)")
    with open_registry(registry) as opened:
        return publish(opened, recover=recover, who=who, reason=reason)


def registry_keys(*, registry: str | Path | None = None) -> KeysReport:
    """The root of trust: keys, thresholds and days of each role.

    Args:
        registry: The registry; see ``open_registry``.

    Raises:
        ConfigError: It has no keys.
        StorageError: There is no registry.
    """
    with open_registry(registry, read_only=True) as opened:
        return show_keys(opened)


def registry_rotate(
    roles: Sequence[str] = (),
    *,
    registry: str | Path | None = None,
    count: Mapping[str, int] | None = None,
    thresholds: Mapping[str, int] | None = None,
    days: Mapping[str, int] | None = None,
    reason: str = "",
    who: str = "",
) -> tuple[KeysReport, PublishReport]:
    """Replace the keys of roles, or renew root.json alone, and sign everything again. Devices follow by themselves.

    Args:
        roles: Whose keys are replaced: "root", "targets", "snapshot", "timestamp"; empty renews root.json.
        registry: The registry; see ``open_registry``.
        count: How many keys those roles get, by role.
        thresholds: How many must sign, by role.
        days: For how long metadata is valid, by role.
        reason: Why; kept.
        who: Who rotates.

    Returns:
        The root of trust, and what was published.

    Raises:
        ConfigError: A role or number is not allowed, or the private root keys are not here.
        StorageError: The folder cannot be written.
    """
    with open_registry(registry) as opened:
        report = rotate_keys(opened, roles, count=count, thresholds=thresholds, days=days, reason=reason, who=who)
        return report, publish(opened)


def _check_settings(given: Mapping[str, str]) -> None:
    if "database" in given and not is_postgres(given["database"]):
        raise ConfigError(f"database: must be postgresql://USER@HOST/NAME, got {given['database']!r:.200}")
    artifacts = given.get("artifacts", "")
    if "://" in artifacts and given.get("tracking") == "none":
        raise ConfigError("artifacts: MLflow reads and writes this storage, so tracking cannot be none")
    if "artifacts" in given and "://" not in artifacts:
        raise ConfigError(f"artifacts: must be a URL such as s3://BUCKET/PATH, got {artifacts!r:.200}")


def _require_unused(database: str | None) -> None:
    """A database that has a registry belongs to that registry's folder: its keys and files are there."""
    named = None if database is None else folder_of(database)
    if named is not None:
        raise StorageError(
            f"{_without_password(str(database))}: has the registry of the folder {named}. Run this on the machine that "
            "has that folder, restore it from a backup, or use another database"
        )


def _notes(registry: Registry, keys: KeysReport | None) -> tuple[str, ...]:
    if keys is None:
        return ("without keys, nothing is published to devices",)
    notes = []
    if keys.made and registry.keys_folder.is_relative_to(registry.folder):
        notes.append(
            f"keep a copy of {registry.keys_folder}/root-*.pem away from this machine: without it nobody can replace "
            "keys, and whoever has it controls all devices"
        )
    return tuple(notes)

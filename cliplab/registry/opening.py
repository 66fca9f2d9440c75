"""Opening a registry that exists: by its folder, by the URL of its database, or the user's own; and beginning one."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.errors import StorageError
from adapters.system import cache_dir, storage_error
from cliplab.registry.location import (
    NO_TRACKING,
    SETTINGS_NAME,
    VARIABLE,
    Settings,
    is_own,
    read_settings,
    resolve,
    write_settings,
)
from cliplab.registry.store import Registry
from cliplab.sql import is_postgres, named_database

if TYPE_CHECKING:
    from cliplab.registry.database import RegistryDatabase

_FOLDER_FACT, _SETTINGS_FACT = "folder", "settings"


def open_registry(location: str | Path | None = None, *, read_only: bool = False, make_own: bool = False) -> Registry:
    """Open a registry that exists: a misspelt folder must not become an empty one. ``registry_init`` makes them.

    Args:
        location: Its folder, or the URL of its PostgreSQL database; None uses CLIPLAB_REGISTRY, otherwise the user's.
        read_only: Only read: nothing is made or migrated.
        make_own: Make the user's own registry where it does not exist, so that a first upload needs no preparation.

    Raises:
        ConfigError: The location is a URL of another kind.
        StorageError: It does not exist, cannot be opened, or is of a later version.
        MissingExtraError: The ``registry`` extra is not installed.
    """
    import cliplab.registry.database  # noqa: F401 - a missing extra is named before a missing registry

    place = resolve(location)
    if isinstance(place, str):
        return _open_by_url(place, read_only)
    settings = read_settings(place)
    if settings is None:
        if not (make_own and is_own(location)):
            raise _missing(str(place), place)
        settings = make_settings(place, Settings(tracking=default_tracking()))
    return _opened(place, settings, read_only)


def _missing(name: str, place: str | Path) -> StorageError:
    text = str(place)
    option = f"--registry {shlex.quote(text)}" if "@" not in text else "--registry URL"  # it may have a password
    return StorageError(
        f"{name}: there is no registry. Correct the path or URL (--registry, {VARIABLE}), or create one: "
        f"cliplab registry init {option}"
    )


def make_settings(folder: Path, settings: Settings) -> Settings:
    """Begin a registry in a folder.

    Args:
        folder: The folder, which is made.
        settings: What its registry.json says.

    Raises:
        StorageError: It holds other files, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted(item.name for item in folder.iterdir() if not item.name.startswith("."))
    except OSError as error:
        raise storage_error(folder, error) from error
    foreign = [name for name in others if name not in ("keys", "tuf", "artifacts", SETTINGS_NAME)]
    if foreign:
        raise StorageError(
            f"{folder}: contains {', '.join(foreign[:3])} and is not a registry. Use an empty or a new folder "
            "(--registry PATH)"
        )
    write_settings(folder, settings)
    return settings


def default_tracking() -> str:
    """MLflow in the registry's folder where it is installed; otherwise none."""
    return Settings().tracking if find_spec("mlflow") is not None else NO_TRACKING


def _opened(folder: Path, settings: Settings, read_only: bool) -> Registry:
    from cliplab.registry.database import RegistryDatabase

    place = settings.database if is_postgres(settings.database) else folder / settings.database
    # Where files of versions or signed metadata are there, tables that are missing were lost.
    used = next((name for name in ("tuf", "artifacts") if (folder / name).is_dir()), None)
    if used is None:
        database = RegistryDatabase(place, read_only=read_only)
    else:
        lost = StorageError(
            f"{folder}: has {used}/, but the tables of its history are missing ({named_database(place)[0]}). Restore "
            "them from a backup"
        )
        database = RegistryDatabase(place, read_only=read_only, missing=lost)
    return Registry(folder, settings, database, read_only)


def folder_of(url: str) -> Path | None:
    """The folder that the database of a registry names; None for a database without a registry. Migrates an older one.

    Args:
        url: The URL of the database.

    Raises:
        StorageError: It cannot be read.
    """
    from cliplab.registry.database import RegistryDatabase
    from cliplab.registry.schema import FACTS, sa

    try:
        database = RegistryDatabase(url, missing=_NoTables("none"))
    except _NoTables:
        return None
    try:
        with database.reading() as connection:
            named = connection.execute(sa.select(FACTS.c.value).where(FACTS.c.name == _FOLDER_FACT)).scalar()
    finally:
        database.engine.dispose()
    return None if named is None else Path(str(named))


class _NoTables(StorageError):
    """The database has no tables of a registry; caught by ``folder_of``."""


def _open_by_url(url: str, read_only: bool) -> Registry:
    """A registry whose database names its folder."""
    from cliplab.registry.database import RegistryDatabase
    from cliplab.registry.schema import FACTS, sa

    missing = _missing(named_database(url)[0], url)
    database = RegistryDatabase(url, read_only=read_only, missing=missing)
    try:
        with database.reading() as connection:
            facts = {str(row.name): str(row.value) for row in connection.execute(sa.select(FACTS))}
        if _FOLDER_FACT not in facts:  # whoever was making it was killed
            raise missing
        folder = Path(facts[_FOLDER_FACT])
        settings = read_settings(folder)
        if settings is None and _SETTINGS_FACT in facts:
            return _elsewhere(database, url, facts, read_only)
        if settings is None:
            raise StorageError(
                f"{folder}: the folder of the registry {database.name} is missing. Restore it, or "
                "run this on the machine that has it"
            )
    except BaseException:
        database.engine.dispose()
        raise
    return Registry(folder, settings, database, read_only)


def _elsewhere(database: RegistryDatabase, url: str, facts: Mapping[str, str], read_only: bool) -> Registry:
    """A registry whose folder is on another machine: its tables here, its files by MLflow, its keys and tuf/ there."""
    settings = Settings(**{**json.loads(facts[_SETTINGS_FACT]), "database": url})
    if not settings.is_shared:
        raise StorageError(
            f"{database.name}: the files of this registry are in {facts[_FOLDER_FACT]} on another machine. Run this "
            "there, or create a registry with --artifacts s3://... or --tracking http://... for several machines"
        )
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return Registry(cache_dir() / "registry" / f"elsewhere-{digest}", settings, database, read_only)


def name_folder(database: RegistryDatabase, folder: Path, settings: Settings) -> None:
    """Keep the registry's folder and settings in its database, so that its URL is enough to open it.

    Args:
        database: Its database.
        folder: Its folder.
        settings: Its settings; the database's URL is left out, since it may have a password.
    """
    from cliplab.registry.schema import FACTS, sa

    shared = {name: value for name, value in vars(settings).items() if name != "database"}
    facts = {_FOLDER_FACT: str(folder), _SETTINGS_FACT: json.dumps(shared)}
    with database.writing() as connection:
        connection.execute(sa.delete(FACTS).where(FACTS.c.name.in_(facts)))
        connection.execute(sa.insert(FACTS), [{"name": name, "value": value} for name, value in facts.items()])

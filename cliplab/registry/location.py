"""Where a registry is: a folder, or the URL of its database, which names the folder."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from adapters.errors import ConfigError, StorageError
from adapters.system import is_url, parse_json, read_regular_text, write_json_atomic
from cliplab.sql import is_postgres

VARIABLE = "CLIPLAB_REGISTRY"
SETTINGS_NAME, DATABASE_NAME, TRACKING_NAME = "registry.json", "registry.db", "mlflow.db"
NO_TRACKING = "none"
_MAX_SETTINGS_BYTES = 1_000_000


@dataclass(frozen=True)
class Settings:
    """What registry.json says.

    Attributes:
        database: "registry.db" for SQLite in the folder, or a URL ``postgresql://...``.
        tracking: Where MLflow keeps runs: "mlflow.db" for SQLite in the folder, a URL that MLflow takes, or "none".
        artifacts: Where files of versions are kept: "artifacts" in the folder, or a URL that MLflow takes (s3://...).
        keys: The folder of private keys, relative to the registry or absolute.
    """

    database: str = DATABASE_NAME
    tracking: str = TRACKING_NAME
    artifacts: str = "artifacts"
    keys: str = "keys"

    @property
    def is_shared(self) -> bool:
        """Whether several machines reach the files: they are kept at a URL, or by a server of MLflow."""
        return "://" in self.artifacts or self.tracking.startswith(("http://", "https://"))


@dataclass(frozen=True)
class Place:
    """A registry's folder and what its registry.json says.

    Attributes:
        folder: The folder.
        settings: Its settings.
    """

    folder: Path
    settings: Settings


def is_uri(file: str) -> bool:
    """Whether a version's file is named by a URI, as files that MLflow keeps elsewhere are, and not by a path.

    A server that keeps files itself gives URIs with one slash, such as mlflow-artifacts:/1/RUN/artifacts.

    Args:
        file: As the registry stores it.
    """
    return len(urlsplit(file).scheme) >= 2  # one letter is a drive of Windows


def default_folder() -> Path:
    """The registry of this user: $XDG_DATA_HOME/cliplab/registry, otherwise ~/.local/share/cliplab/registry."""
    xdg = Path(os.environ.get("XDG_DATA_HOME") or "")
    return (xdg if xdg.is_absolute() else Path.home() / ".local" / "share") / "cliplab" / "registry"


def is_own(location: str | Path | None) -> bool:
    """Whether this is the user's own registry, which nobody named.

    Args:
        location: As ``resolve`` receives it.
    """
    return location in (None, "") and not os.environ.get(VARIABLE)


def resolve(location: str | Path | None) -> str | Path:
    """The registry's folder, or the URL of its database.

    Args:
        location: A folder or ``postgresql://...``; None uses CLIPLAB_REGISTRY, otherwise the user's own.

    Raises:
        ConfigError: It is a URL of another kind.
    """
    chosen = location if location not in (None, "") else os.environ.get(VARIABLE) or default_folder()
    if is_postgres(str(chosen)):
        return str(chosen)
    if is_url(str(chosen)):
        scheme = str(chosen).partition(":")[0]
        raise ConfigError(
            f"registry: {scheme}://...: a registry is opened by its folder or by postgresql://.... The URL of "
            "`cliplab registry serve` is for devices (cliplab device run --registry URL)"
        )
    return Path(chosen).expanduser().absolute()


def read_settings(folder: Path) -> Settings | None:
    """The settings of a registry; None where the folder has none.

    Args:
        folder: The registry's folder.

    Raises:
        StorageError: registry.json cannot be read or has another form.
    """
    path = folder / SETTINGS_NAME
    try:
        found = parse_json(read_regular_text(path, _MAX_SETTINGS_BYTES, StorageError), 10)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read ({error}). Correct it, or restore it from a backup") from error
    known = set(asdict(Settings()))
    if not isinstance(found, dict) or not set(found) <= known or not all(isinstance(v, str) for v in found.values()):
        raise StorageError(
            f"{path}: must be an object with the text values {', '.join(sorted(known))}, got {found!r:.200}"
        )
    return Settings(**found)


def write_settings(folder: Path, settings: Settings) -> None:
    """Write registry.json, which only its owner reads: the URL may hold a password.

    Args:
        folder: The registry's folder.
        settings: What it says.

    Raises:
        StorageError: It cannot be written.
    """
    path = folder / SETTINGS_NAME
    content: dict[str, Any] = asdict(settings)
    write_json_atomic(path, content)
    path.chmod(0o600)

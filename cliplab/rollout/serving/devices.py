"""Which devices a registry knows, and their tokens: devices.json in the registry's folder, which holds digests only."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError, StorageError
from adapters.system import file_lock, nearest_hint, parse_json, read_regular_bytes, write_json_atomic
from cliplab.rollout.names import check_device_name

DEVICES_NAME = "devices.json"
_LOCK_SECONDS = 30.0
_MAX_BYTES = 64_000_000


@dataclass(frozen=True)
class KnownDevice:
    """A device that has a token.

    Attributes:
        name: Its name.
        added: When its token was made, ISO 8601, UTC.
    """

    name: str
    added: str


def add_device(folder: Path, name: str, *, replace: bool = False) -> str:
    """Make a token for a device. It is shown once: only its digest is kept.

    Args:
        folder: The registry's folder.
        name: The device's name.
        replace: Replace the token that the device has; the old one is refused from then on.

    Returns:
        The token.

    Raises:
        ConfigError: The name is not allowed, or the device has a token and replace is not given.
        StorageError: The file cannot be read or written.
    """
    check_device_name(name)
    with _changing(folder) as devices:
        if name in devices and not replace:
            raise ConfigError(
                f"{name}: already has a token, since {devices[name]['added']}. Use --replace to create a new one, or "
                "choose another name"
            )
        token = secrets.token_urlsafe(24)
        devices[name] = {"sha256": _digest(token), "added": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return token


def remove_device(folder: Path, name: str) -> None:
    """Refuse a device's token from now on.

    Args:
        folder: The registry's folder.
        name: The device's name.

    Raises:
        ConfigError: It has no token.
        StorageError: The file cannot be read or written.
    """
    with _changing(folder) as devices:
        if name not in devices:
            raise ConfigError(f"{name!r:.100}: no device of this name has a token{nearest_hint(name, devices)}")
        del devices[name]


def list_devices(folder: Path) -> list[KnownDevice]:
    """The devices that have tokens, by name.

    Args:
        folder: The registry's folder.

    Raises:
        StorageError: The file is damaged.
    """
    return [KnownDevice(name, entry["added"]) for name, entry in sorted(_read(folder / DEVICES_NAME).items())]


class DeviceTokens:
    """The tokens as a server checks them; a changed file is read again.

    Args:
        folder: The registry's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / DEVICES_NAME
        self._stamp: tuple[int, int, int] | None = None
        self._names: dict[str, str] = {}

    def __len__(self) -> int:
        self._refresh()
        return len(self._names)

    def device_of(self, token: str) -> str | None:
        """The device that a token belongs to; None for an unknown token.

        Args:
            token: As it was shown.
        """
        self._refresh()
        # A dictionary of digests: how long a look-up takes says nothing about the token.
        return self._names.get(_digest(token))

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        except FileNotFoundError:
            self._names, self._stamp = {}, None
            return
        if stamp != self._stamp:
            self._names = {entry["sha256"]: name for name, entry in _read(self._path).items()}
            self._stamp = stamp


@contextmanager
def _changing(folder: Path) -> Iterator[dict[str, Any]]:
    def busy(holder: str) -> StorageError:
        return StorageError(
            f"{folder / DEVICES_NAME}: {holder} has been changing it for {_LOCK_SECONDS:.0f} s. Try again"
        )

    with file_lock(folder / f".{DEVICES_NAME}.lock", busy=busy, wait=_LOCK_SECONDS):
        devices = _read(folder / DEVICES_NAME)
        yield devices
        write_json_atomic(folder / DEVICES_NAME, {"devices": devices})
        if os.name == "posix":
            (folder / DEVICES_NAME).chmod(0o600)


def _read(path: Path) -> dict[str, Any]:
    try:
        devices = parse_json(read_regular_bytes(path, _MAX_BYTES, StorageError), 10)["devices"]
        if not isinstance(devices, dict) or not all(
            isinstance(entry, dict) and isinstance(entry["sha256"], str) and isinstance(entry["added"], str)
            for entry in devices.values()
        ):
            raise ValueError("it is not an object of devices")
        return devices
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(f"{path}: is damaged ({error}). Restore it from a backup, or move it away") from error


def _digest(token: str) -> str:
    # 24 random bytes need no slow hash: they cannot be guessed from their digest.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()

"""The commands of a registry about its devices: ``registry serve``, ``registry device add | list | remove``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import ConfigError, StorageError
from cliplab.rollout.serving.devices import add_device, list_devices, remove_device
from cliplab.rollout.settings import CLONE_SECONDS

if TYPE_CHECKING:
    from cliplab.registry import Registry


def registry_serve(
    registry: str | Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8470,
    publish: bool = True,
    certificate: str | Path | None = None,
    key: str | Path | None = None,
    on_ready: Callable[[str], object] | None = None,
    on_warning: Callable[[str], object] | None = None,
) -> None:
    """Serve a registry to devices until SIGTERM or Ctrl-C.

    Args:
        registry: The registry's folder or database; None uses CLIPLAB_REGISTRY, otherwise the user's.
        host: The address to listen on. On others than this machine's each device needs a token.
        port: The port; 0 lets the system choose.
        publish: Sign again what is due or has changed, every minute, where the keys are on this machine.
        certificate: PEM file of the server's certificate, for https.
        key: PEM file of its private key.
        on_ready: Called with the address as soon as requests are accepted.
        on_warning: Called with a message, for example when signing fails.

    Raises:
        ConfigError: The address cannot be used, devices have no tokens though others can reach it, or the registry
            has not been published.
        StorageError: The registry cannot be opened.
        MissingExtraError: The ``http`` or the ``registry`` extra is not installed.
    """
    if (certificate is None) != (key is None):
        raise ConfigError("certificate and key must be given together. Give --certificate FILE --key FILE, or neither")
    # The database and the web server belong to extras.
    from cliplab.registry import open_registry
    from cliplab.rollout.serving.server import serve

    with open_registry(registry) as opened:
        serve(opened, host, port, publish, certificate, key, on_ready, on_warning)


def registry_device_add(name: str, registry: str | Path | None = None, *, replace: bool = False) -> str:
    """Make a token for a device. It is shown once: the registry keeps its digest only.

    Args:
        name: The device's name.
        registry: The registry's folder or database; None uses CLIPLAB_REGISTRY, otherwise the user's.
        replace: Replace the token that the device has.

    Returns:
        The token.

    Raises:
        ConfigError: The name is not allowed, or the device has a token and replace is not given.
        StorageError: The registry cannot be opened or written.
    """
    from cliplab.registry import open_registry

    with open_registry(registry) as opened:
        return add_device(_folder(opened), name, replace=replace)


def _folder(registry: Registry) -> Path:
    """Where tokens are kept, which must be the folder that the server reads."""
    if not registry.is_here:
        raise StorageError(
            f"{registry.name}: the tokens of its devices are kept in its folder, on another machine. Run this there"
        )
    return registry.folder


def registry_device_remove(name: str, registry: str | Path | None = None) -> None:
    """Refuse a device's token from now on. Its reports stay.

    Args:
        name: The device's name.
        registry: As for ``registry_device_add``.

    Raises:
        ConfigError: It has no token.
        StorageError: The registry cannot be opened or written.
    """
    from cliplab.registry import open_registry

    with open_registry(registry) as opened:
        remove_device(_folder(opened), name)


def registry_device_list(registry: str | Path | None = None) -> list[dict[str, Any]]:
    """The devices that have a token or have reported.

    Args:
        registry: As for ``registry_device_add``.

    Returns:
        JSON objects: name, token_since, last_seen (ISO 8601, UTC, or None), versions, warning (two devices of one name,
        or None), disk_free_bytes, temperature_celsius.

    Raises:
        StorageError: The registry cannot be opened.
    """
    import sqlalchemy as sa

    from cliplab.registry import open_registry
    from cliplab.rollout.schema import DEVICES
    from cliplab.rollout.storing import make_tables

    with open_registry(registry) as opened:
        make_tables(opened.engine)
        known = {item.name: item.added for item in list_devices(opened.folder)}
        with opened.engine.connect() as connection:
            seen = {row.device: row for row in connection.execute(sa.select(DEVICES))}
    return [_shown(name, known.get(name), seen.get(name)) for name in sorted({*known, *seen})]


def _shown(name: str, added: str | None, row: Any) -> dict[str, Any]:
    cloned = row is not None and row.cloned_at is not None and time.time() - row.cloned_at < CLONE_SECONDS
    return {
        "name": name,
        "token_since": added,
        "last_seen": None if row is None else datetime.fromtimestamp(row.last_seen, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "versions": {} if row is None else json.loads(row.versions),
        "disk_free_bytes": None if row is None else row.disk_free_bytes,
        "temperature_celsius": None if row is None else row.temperature_celsius,
        "warning": "two devices have this name" if cloned else None,
    }

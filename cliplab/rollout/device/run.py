"""``cliplab device run`` and ``device status``."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import ConfigError
from adapters.system import parse_json, read_regular_bytes, read_regular_text
from cliplab.rollout.device.installed import PRIVATE, InstalledModel, free_bytes, model_folders
from cliplab.rollout.device.report_queue import ReportQueue
from cliplab.rollout.device.state import MOST_STATE_BYTES, STATE_NAME

if TYPE_CHECKING:
    from cliplab.rollout.device.client import Round

TOKEN_VARIABLE = "CLIPLAB_DEVICE_TOKEN"
_MOST_TOKEN_BYTES = 10_000


def device_run(
    name: str,
    registry: str,
    models: str | Path | None = None,
    *,
    environment: str = "production",
    only: Sequence[str] = (),
    token_file: str | Path | None = None,
    root: str | Path | None = None,
    ca: str | Path | None = None,
    poll_seconds: float = 60,
    once: bool = False,
    on_round: Callable[[Round], object] | None = None,
) -> Round:
    """Keep the models of this device at the versions that a registry signs, and report their figures.

    Runs until SIGTERM or Ctrl-C. Loops in other processes predict with ``DeviceModel``.

    Args:
        name: The device's name.
        registry: The address of ``cliplab registry serve``.
        models: The folder of models; None for ``default_models_folder``.
        environment: The environment whose versions it installs outside a rollout.
        only: Only these models; empty for all of the environment.
        token_file: Holds the device's token; None reads CLIPLAB_DEVICE_TOKEN, and uses no token without it.
        root: The registry's root.json, brought here by another way; None trusts that of the first contact.
        ca: PEM file of the certificates that may sign the registry's, for https; None trusts those of the system.
        poll_seconds: Time between two rounds.
        once: One round only.
        on_round: Called after each round.

    Returns:
        The last round.

    Raises:
        DeviceError: Another client uses the folder, or its state is damaged.
        ConfigError: A value is not allowed, or the token cannot be read.
        MissingExtraError: The ``device`` extra is not installed.
        StorageError: The folder cannot be written.
    """
    from cliplab.rollout.device.client import DeviceClient, DeviceOptions, only_client  # needs the device extra

    folder = Path(models) if models is not None else default_models_folder()
    options = DeviceOptions(
        name,
        registry,
        folder,
        environment,
        tuple(only),
        _token(token_file),
        None if root is None else Path(root),
        poll_seconds,
        None if ca is None else Path(ca),
    )
    last: list[Round] = []

    def keep(done: Round) -> None:
        last[:] = [done]
        if on_round is not None:
            on_round(done)

    with only_client(folder):
        client = DeviceClient(options)
        try:
            if once:
                keep(client.round())
            else:
                with _stopped_by_signals() as stop:
                    client.run(stop, keep)
        finally:
            client.close()
    return last[0]


def device_status(models: str | Path | None = None) -> dict[str, Any]:
    """What is on this device, without asking the registry.

    Args:
        models: The folder of models; None for ``default_models_folder``.

    Returns:
        JSON values: name, client, models with version and the one before, what was refused and why, waiting reports,
        free bytes.

    Raises:
        ConfigError: There is no device in the folder.
    """
    folder = Path(models) if models is not None else default_models_folder()
    path = folder / PRIVATE / STATE_NAME
    try:
        state = parse_json(read_regular_bytes(path, MOST_STATE_BYTES, ConfigError), 20)
        notes = state["notes"]
        name, client = str(state["name"]), str(state["client_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: no device has run here, or its state is damaged ({type(error).__name__}). Give its --models "
            "folder, or start it: cliplab device run --name NAME --registry URL"
        ) from None
    installed: dict[str, Any] = {}
    for model in model_folders(folder):
        found = InstalledModel(folder, model)
        current, previous = found.current(), found.previous()
        installed[model] = {
            "version": current.version if current else None,
            "sha256": current.sha256 if current else None,
            "whole": bool(current and found.is_whole(current)),
            "previous": previous.version if previous else None,
        }
    known = notes.get("versions", {})
    return {
        "name": name,
        "client": client,
        "folder": str(folder),
        "models": installed,
        "refused": {known.get(sha256, sha256): reason for sha256, reason in notes.get("refused", {}).items()},
        "reports_waiting": len(ReportQueue(folder / PRIVATE / "reports")),
        "disk_free_bytes": free_bytes(folder),
    }


def default_models_folder() -> Path:
    """$CLIPLAB_DEVICE_MODELS, otherwise $XDG_DATA_HOME/cliplab/device, otherwise ~/.local/share/cliplab/device."""
    if own := os.environ.get("CLIPLAB_DEVICE_MODELS"):
        return Path(own).expanduser()
    xdg = Path(os.environ.get("XDG_DATA_HOME") or "")
    return (xdg if xdg.is_absolute() else Path.home() / ".local" / "share") / "cliplab" / "device"


def _token(path: str | Path | None) -> str | None:
    if path is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        token = read_regular_text(path, _MOST_TOKEN_BYTES, ConfigError).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the device's token cannot be read ({error}). Give --token-file FILE") from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"{path}: does not contain a device's token, which is one word. Create one: cliplab registry device add "
            "NAME"
        )
    return token


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, in the main thread."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""``cliplab registry serve``: the signed repository and the reports of devices over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path

from adapters.errors import AdapterError, ConfigError, MissingExtraError
from adapters.hosts.http_server.options import is_loopback
from cliplab.registry import Registry

try:
    import uvicorn

    from adapters.hosts.http_server.listening import listening, shown_url
    from adapters.hosts.http_server.protocol import GuardedProtocol, max_connections, raise_file_limit
    from adapters.hosts.http_server.signal_server import SignalServer
    from cliplab.rollout.serving.app import Fleet, make_app
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "starlette", "http", "registry serve") from error

from cliplab.rollout.commands import watch_rollouts
from cliplab.rollout.storing import forget_reports, make_tables

# Of a fleet of ten thousand that comes back at once, each gets an answer.
MAX_CONNECTIONS = 12_288
# How often what is due is renewed, and old reports are forgotten.
CLOCK_SECONDS = 60.0
# Rollouts are decided when reports have come, at most this often: a decision costs up to a second for 1,000 devices.
DECIDE_SECONDS = 5.0
_log = logging.getLogger(__name__)


def serve(
    opened: Registry,
    host: str,
    port: int,
    publish: bool,
    certificate: str | Path | None,
    key: str | Path | None,
    on_ready: Callable[[str], object] | None,
    on_warning: Callable[[str], object] | None,
) -> None:
    """Serve an open registry until a signal; see ``registry_serve``."""
    make_tables(opened.engine)
    fleet = Fleet(opened, is_loopback(host))
    _require_ready(opened, fleet, host)
    with listening(host, port) as listener:
        url = shown_url(host, listener)
        url = url.replace("http://", "https://", 1) if certificate else url
        server = _Server(fleet, publish, lambda: on_ready and on_ready(url), on_warning or _log.warning)
        if certificate is not None and key is not None:
            _use_certificate(server.config, Path(certificate), Path(key))
        server.run([listener])


def _require_ready(registry: Registry, fleet: Fleet, host: str) -> None:
    if not (registry.tuf_folder / "metadata" / "timestamp.json").is_file():
        raise ConfigError(
            f"{registry.name}: nothing is published yet. Create keys and publish: cliplab registry init, then cliplab "
            "registry publish"
        )
    if not is_loopback(host) and not len(fleet.tokens):
        raise ConfigError(
            f"host is {host}, which other machines can reach, but no device has a token. Create one for each device "
            "(cliplab registry device add NAME), or listen on 127.0.0.1"
        )


def _use_certificate(config: uvicorn.Config, certificate: Path, key: Path) -> None:
    config.ssl_certfile, config.ssl_keyfile = str(certificate), str(key)
    for path in (certificate, key):
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such file. Give the PEM files of the certificate and of its key")


class _Server(SignalServer):
    """A uvicorn server with the tasks that belong to a registry."""

    def __init__(
        self, fleet: Fleet, publish: bool, on_started: Callable[[], object], on_warning: Callable[[str], object]
    ) -> None:
        self._fleet, self._publish, self._on_warning = fleet, publish, on_warning
        self._tasks: list[asyncio.Task[None]] = []
        raise_file_limit(MAX_CONNECTIONS)
        protocol = type("Protocol", (GuardedProtocol,), {"max_connections": max_connections(MAX_CONNECTIONS)})
        super().__init__(
            uvicorn.Config(
                make_app(fleet),
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                backlog=4096,
                timeout_graceful_shutdown=10,
                timeout_keep_alive=75,
            ),
            on_started,
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._tasks = [asyncio.create_task(self._fleet.intake.run()), asyncio.create_task(self._clock())]
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _clock(self) -> None:
        due = 0.0
        loop = asyncio.get_running_loop()
        while True:
            whole = loop.time() >= due
            if whole:
                due = loop.time() + CLOCK_SECONDS
            if whole or self._fleet.take_news():
                await asyncio.to_thread(self._tick, whole)
            await asyncio.sleep(DECIDE_SECONDS)

    def _tick(self, whole: bool) -> None:
        works = (("old reports", self._forget), ("signing", self._sign), ("rollouts", self._decide))
        for name, work in works if whole else works[2:]:
            try:
                work()
            except AdapterError as error:
                self._on_warning(f"{name}: {error}")
            except Exception as error:  # one task of the clock must not end the others
                _log.exception("the registry's periodic work failed")
                self._on_warning(f"{name}: unexpected {type(error).__name__}: {error}")

    def _forget(self) -> None:
        forget_reports(self._fleet.registry.engine)

    def _decide(self) -> None:
        """Also by the clock alone: a device that has fallen silent sends nothing that could wake this."""
        watch_rollouts(self._fleet.registry)

    def _sign(self) -> None:
        if self._publish and self._fleet.registry.keys_folder.is_dir():
            from cliplab.registry import publish

            for warning in publish(self._fleet.registry).warnings:
                self._on_warning(warning)

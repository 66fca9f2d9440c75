"""The web server of the studio."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from adapters.hosts.http_server.listening import listening, shown_url
from adapters.hosts.http_server.protocol import GuardedProtocol, max_connections
from adapters.hosts.http_server.signal_server import SignalServer
from cliplab.studio.app import make_app
from cliplab.studio.context import Studio

MAX_CONNECTIONS = 512


class _Protocol(GuardedProtocol):
    """Like the HTTP host's, but a client may leave an answer unread: a paused video does."""

    max_connections = max_connections(MAX_CONNECTIONS)

    def _watch_unread(self, size: int) -> None:
        pass


class _Server(SignalServer):
    """Ends without delay: the streams of open pages are closed first."""

    def __init__(self, config: uvicorn.Config, studio: Studio, on_started: Callable[[], object]) -> None:
        super().__init__(config, on_started)
        self._studio = studio

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._studio.hub.close()
        await super().shutdown(sockets)


def serve(studio: Studio, on_ready: Callable[[str], Any] | None = None) -> None:
    """Serve a studio until SIGTERM or Ctrl-C.

    Args:
        studio: What to serve.
        on_ready: Receives the URL, with the token in its fragment, as soon as requests are accepted.

    Raises:
        ConfigError: The address or port cannot be listened on.
    """
    options = studio.options
    with listening(options.host, options.port) as listener:
        url = shown_url(options.host, listener) + "/"
        if options.token is not None:
            url += f"#token={options.token}"
        config = uvicorn.Config(
            make_app(studio),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
            timeout_keep_alive=60,
        )
        _Server(config, studio, lambda: on_ready and on_ready(url)).run([listener])

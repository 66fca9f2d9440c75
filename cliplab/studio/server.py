"""The web server of the studio."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from adapters.hosts.http_server.listening import listening, shown_url
from adapters.hosts.http_server.protocol import GuardedProtocol, max_connections
from cliplab.studio.app import make_app
from cliplab.studio.context import Studio

MAX_CONNECTIONS = 512
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Protocol(GuardedProtocol):
    """Like the HTTP host's, but a client may leave an answer unread: a paused video does."""

    max_connections = max_connections(MAX_CONNECTIONS)

    def _watch_unread(self, size: int) -> None:
        pass


class _Server(uvicorn.Server):
    """A uvicorn server that a signal ends without delay: the streams of open pages are closed first."""

    def __init__(self, config: uvicorn.Config, studio: Studio, on_started: Callable[[], object]) -> None:
        super().__init__(config)
        self._studio, self._on_started = studio, on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._studio.hub.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Replace uvicorn's handlers, which end the process by the signal after the shutdown."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop, before = asyncio.get_running_loop(), {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def stop(self) -> None:
        """Finish the requests in progress. A second signal kills the process at once; labels that are stored stay."""
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        self.should_exit = True


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

"""A uvicorn server that ends by SIGTERM and Ctrl-C in its own way, for the HTTP host, the studio and a registry."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalServer(uvicorn.Server):
    """A server that finishes the requests in progress at a signal; a second signal kills the process at once.

    Args:
        config: uvicorn's configuration.
        on_started: Called as soon as requests are accepted.
    """

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests, and say so."""
        await super().startup(sockets)
        self._on_started()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Replace uvicorn's handlers, which end the process by the signal after the shutdown."""
        if threading.current_thread() is not threading.main_thread():  # the code that started the thread ends it
            yield
            return
        loop, before = asyncio.get_running_loop(), {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._first_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def stop(self) -> None:
        """Finish the requests in progress and end."""
        self.should_exit = True

    def _first_signal(self) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        self.stop()

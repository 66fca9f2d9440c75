"""The socket that a server listens on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.errors import ConfigError


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Bind the address that a server listens on, and close it when the block ends.

    Args:
        host: Name or address of this machine.
        port: Port; 0 lets the system choose one.

    Yields:
        The bound socket.

    Raises:
        ConfigError: The address or port cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host is {host}, which is not an address of this machine ({error})") from None
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host} port {port} ({error.strerror}). Give another --port (0 for any) or --host"
            ) from None
        yield listener


def shown_url(host: str, listener: socket.socket) -> str:
    """Return the URL of a server, with the port that the system chose.

    Args:
        host: The address that was asked for.
        listener: Its bound socket.
    """
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"

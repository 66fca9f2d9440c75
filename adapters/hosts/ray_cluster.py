"""The connection to a Ray cluster, for ``ray_pool`` and its users."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

from adapters.errors import ClusterError, MissingExtraError

# Ray sends usage statistics unless this is set before it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    import ray
except ImportError as missing:
    raise MissingExtraError("ray", "scale") from missing

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10.0


@contextlib.contextmanager
def cluster_connection(address: str | None) -> Iterator[None]:
    """Connect to a cluster until the block ends. If this process is connected, use that connection and keep it.

    Args:
        address: ``host:port`` of the cluster; ``auto`` for the one that runs on this machine. None for the one in
            RAY_ADDRESS, or for a new one on this machine that ends with the block (Ray itself would wait for minutes
            for a cluster that ran here before).

    Raises:
        ClusterError: No cluster answers, or this process is connected to another one.
    """
    if ray.is_initialized():
        if address is not None and address != ray.get_runtime_context().gcs_address:
            raise ClusterError(
                f"this process is already connected to the Ray cluster at {ray.get_runtime_context().gcs_address}, not "
                f"to {address}. Leave the address out, or call ray.shutdown() first."
            )
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        _check_reachable(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address} ({str(error).splitlines()[0]}). Check the address with: "
            "ray status --address HOST:PORT"
        ) from error
    with contextlib.redirect_stdout(_StdoutWithoutRay(sys.stdout)) as output:
        try:
            yield
        finally:
            output.is_closing = True
            ray.shutdown()


class _StdoutWithoutRay:
    """Standard output without what Ray prints: pages for each lost worker, although its logs are turned off.

    Ray's output goes to the log of this module at level DEBUG, since programs read our standard output. Ray prints in
    its own threads and, while it disconnects, in the thread that disconnects.
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self.is_closing = stream, False

    def write(self, text: str) -> int:
        if self.is_closing or threading.current_thread().name.startswith("ray_"):
            _log.debug("%s", text)
            return len(text)
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _check_reachable(address: str) -> None:
    """OSError if nothing listens at a host and port, since Ray itself would retry for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()


def share(value: Any) -> Any:
    """Put a value into the cluster's object store.

    Args:
        value: The value.

    Returns:
        A reference. A worker that is given it as an argument receives the value.
    """
    return ray.put(value)


def node_name() -> str:
    """Return the address of the node that this worker runs on, for messages."""
    return str(ray.util.get_node_ip_address())

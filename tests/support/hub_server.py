"""A TF Hub on loopback: what tfhub.dev and a storage bucket answer, over real HTTP, with models made on the spot.

The protocol is the hosted one of tensorflow_hub: ``<handle>?tf-hub-format=compressed`` answers with a .tar.gz of the
SavedModel, ``...=uncompressed`` with status 303 and the place where it lies unpacked.
"""

from __future__ import annotations

import io
import socket
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from loopback import serving


@dataclass(frozen=True)
class Answer:
    """cut: how many bytes of the body are sent before the connection ends; the declared length stays whole."""

    body: bytes
    status: int = 200
    cut: int | None = None


@dataclass
class HubServer:
    """url: its root. answers: by path and query. requests: what was asked for, in order."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def publish(self, handle_path: str, folder: Path, *, cut: int | None = None) -> None:
        """Serve a SavedModel folder as a handle, compressed. handle_path: what follows the root, without a slash."""
        self.answers[f"/{handle_path}?tf-hub-format=compressed"] = Answer(tar_gz(folder), cut=cut)


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A server of its own port, until the block ends."""
    with serving(_Handler) as server:
        server.hub = HubServer(server.url)
        yield server.hub


def closed_port_url() -> str:
    """The URL of a port that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def tar_gz(folder: Path, prefix: str = ".") -> bytes:
    """A folder as a .tar.gz under a prefix; the one of TF Hub is ``.``."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=1) as tar:
        tar.add(folder, arcname=prefix)
    return data.getvalue()


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        hub: HubServer = self.server.hub
        hub.requests.append(self.path)
        answer = hub.answers.get(self.path, Answer(b"there is no such model", status=404))
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: answer.cut])
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

"""``cliplab host http`` as a process of its own on a port that the system chooses, and models for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tiny_adapter import TinyAdapter

from adapters.records import Clip, Prediction

ROOT = Path(__file__).parent.parent
SLOW = {"adapter": "http_server:SlowAdapter", "imgz": 32, "n_frames": 1}


class SlowAdapter(TinyAdapter):
    """Takes as long as a clip's first pixel says: its red level in hundredths of a second."""

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        time.sleep(sum(int(clip.frames[0, 0, 0, 0]) for clip in batch) / 100)
        return super().predict(batch)


def slow_frames(seconds: float) -> np.ndarray:
    """uint8 [1, 1, 8, 8, 3] that SlowAdapter takes so long for."""
    return np.full((1, 1, 8, 8, 3), round(seconds * 100), np.uint8)


@dataclass(frozen=True)
class Served:
    """A running host. folder: where it keeps temporary files."""

    url: str
    process: subprocess.Popen[str]
    folder: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def uploads(self) -> list[str]:
        """Files of uploads that are there now."""
        return [path.name for path in self.folder.glob("cliplab-http-*/upload-*")]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def http_host(
    models: Sequence[object], *options: object, token: str | None = None, kind: str = "http", code: int = 0
) -> Iterator[Served]:
    """A host until the block ends; it must still run then, or have ended with the code. kind: which host's command."""
    with tempfile.TemporaryDirectory() as name:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "TMPDIR": name}
        environment.pop("CLIPLAB_TOKEN", None)
        if token is not None:
            environment["CLIPLAB_TOKEN"] = token
        command = [sys.executable, "-m", "cliplab.cli", "host", kind, *models, "--port", "0", "--json", *options]
        with subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line, f"the host ended with {process.wait()}"
                yield Served(json.loads(line)["url"], process, Path(name))
                assert process.poll() in (None, code), f"the host ended with {process.returncode}"
            finally:
                process.kill()


def raw_request(port: int, data: bytes, *, close: bool = False, wait: float = 10) -> bytes:
    """Bytes to the server as they are, and all that it sends until it closes. close: end the sending after them."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def until(condition: Any, seconds: float = 10) -> None:
    """Wait for what must come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)

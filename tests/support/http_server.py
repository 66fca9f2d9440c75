"""``cliplab host http`` as a process of its own on a port that the system chooses, and models for it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from command_line import start
from places import ROOT
from tiny_adapter import TinyAdapter
from waiting import PATIENT

from adapters.records import Clip, Prediction

SLOW = {"adapter": "http_server:HeldAdapter", "imgz": 32, "n_frames": 1}
RELEASED = "released"  # beside the host's temporary files


class HeldAdapter(TinyAdapter):
    """Takes until it is released for clips whose first pixel is white; others it answers at once."""

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        while any(clip.frames[0, 0, 0, 0] == 255 for clip in batch) and not _released.exists():
            time.sleep(0.01)
        return super().predict(batch)


class PickyAdapter(TinyAdapter):
    """Fails on bright clips."""

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        if any(clip.frames.mean() > 85 for clip in batch):
            raise IndexError("a fault that nobody foresaw")
        return super().predict(batch)


_released = Path(tempfile.gettempdir(), RELEASED)
HELD, QUICK = (np.full((1, 1, 8, 8, 3), level, np.uint8) for level in (255, 0))  # uint8 [1, 1, 8, 8, 3]


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

    def hold(self) -> None:
        """HeldAdapter holds, from now on, what is HELD; as it does at first."""
        (self.folder / RELEASED).unlink(missing_ok=True)

    def release(self) -> None:
        (self.folder / RELEASED).touch()


@contextmanager
def http_host(
    models: Sequence[object], *options: object, token: str | None = None, kind: str = "http", code: int = 0
) -> Iterator[Served]:
    """A host until the block ends; it must still run then, or have ended with the code. kind: which host's command."""
    with tempfile.TemporaryDirectory() as name:
        command = ("host", kind, *models, "--port", "0", "--json", *options)
        variables = {"TMPDIR": name, "CLIPLAB_TOKEN": token}
        with start(*command, stdout=subprocess.PIPE, text=True, env=variables, cwd=ROOT) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line, f"the host ended with {process.wait()}"
                yield Served(json.loads(line)["url"], process, Path(name))
                assert process.poll() in (None, code), f"the host ended with {process.returncode}"
            finally:
                process.kill()


def raw_request(port: int, data: bytes, *, close: bool = False, wait: float = PATIENT) -> bytes:
    """Bytes to the server as they are, and all that it sends until it closes. close: end the sending after them."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer

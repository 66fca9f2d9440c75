"""The HTTP hosts inside this process, and a client that takes any answer below 500."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fuzzing.case import UnexpectedAnswerError
from fuzzing.model_kinds import described_program, described_stream
from fuzzing.programs import frame_program, stream_program

SECONDS = 10.0
BOUNDARY = "fuzzing"


class Client:
    """Sends requests to one port of this machine."""

    def __init__(self, url: str, model: str) -> None:
        self.port, self.model = int(url.rpartition(":")[2]), model

    def upload(self, name: str, data: bytes, query: str = "") -> str:
        """Post a file to ``/v1/videos``."""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
        return self.request("POST", f"/v1/videos{query}", body, f"multipart/form-data; boundary={BOUNDARY}")

    def request(self, method: str, path: str, body: bytes, content_type: str) -> str:
        """One request as HTTP's own client sends it, and how its answer is called."""
        return checked(*self._sent(method, path, body, content_type))

    def answered(self, method: str, path: str, body: bytes, content_type: str) -> tuple[int, Any]:
        """The same, and the answer: its status and its JSON."""
        status, content = self._sent(method, path, body, content_type)
        checked(status, content)
        return status, json.loads(content)

    def _sent(self, method: str, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": content_type})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, data: bytes) -> str:
        """Bytes as they are. A server that closes the connection without an answer has refused it too."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection:
            answer = b""
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    answer += chunk
            except (ConnectionError, BrokenPipeError):
                pass
        if not answer:
            return "refused: closed"
        words = answer.split(None, 2)
        return checked(int(words[1]) if words[1:] and words[1].isdigit() else 0, answer)


def checked(status: int, body: bytes) -> str:
    """How an answer is called. UnexpectedAnswerError if the server failed."""
    if not 200 <= status < 500 or b"Traceback" in body:
        raise UnexpectedAnswerError(f"answered with {status}: {body[:300]!r}")
    return "read" if status < 300 else f"refused: {status} {body[:160]!r}"


@contextmanager
def served(
    folder: Path,
    root: Path | None = None,
    app_factory: Callable[[Any, Any], Any] | None = None,
    streams: bool = False,
) -> Iterator[Client]:
    """A host of one model until the block ends.

    Args:
        folder: For the model's file.
        root: Of the files that requests may name.
        app_factory: Makes the app from the served model and the host's state; None for the HTTP host's own.
        streams: Whether the model follows streams.
    """
    import tempfile

    from adapters.hosts import http_host

    path = folder / "served.tflite"
    path.write_bytes(described_stream(stream_program()) if streams else described_program(frame_program()))
    models = http_host.open_models([str(path)])
    options = http_host.HttpOptions(port=0, root=root, workers=1, timeout_seconds=SECONDS, max_body_mb=4)
    ready, urls = threading.Event(), []
    (model,) = models.values()
    factory = None if app_factory is None else lambda host: app_factory(model, host)

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    tempfile.tempdir = str(folder)
    thread = threading.Thread(target=http_host.serve, args=(models, options, on_ready, factory), daemon=True)
    thread.start()
    assert ready.wait(60), "the host did not start"
    yield Client(urls[0], model.name)

"""`cliplab registry serve` for tests: started in a process of its own, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command_line import start

NAME = "base-general"


class Running:
    """A registry's server. place: its folder. process: the server."""

    def __init__(self, place: str, url: str, process: subprocess.Popen[str]) -> None:
        self.place, self.url, self.process = place, url, process
        self.folder = Path(place)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def report(self, device: str, token: str | None = None, **values: Any) -> tuple[int, dict[str, Any]]:
        whole = {"sequence": 1, "client": "c1", "versions": {NAME: "1.0.0"}, "predictions": 10, "errors": 1, **values}
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        status, _, body = self.ask("POST", f"/devices/{device}/reports", json.dumps(whole).encode(), headers)
        return status, json.loads(body)


@contextmanager
def running(place: str, *words: str) -> Iterator[Running]:
    """Serve a registry in a process of its own until the block ends."""
    process = start("registry", "serve", "--registry", place, "--port", "0", "--json", *words, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield Running(place, json.loads(process.stdout.readline())["url"], process)
    finally:
        process.terminate()
        process.wait(60)

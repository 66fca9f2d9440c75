"""What of Label Studio its ML backends ask, on loopback: uploads, exports, and access tokens of both kinds.

Routes and forms follow Label Studio's documentation: guide/access_tokens, guide/export and the uploads' URLs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from loopback import serving

LEGACY = "d6f8a2622d39e9d89ff0dfef1a80ad877f4ee9e3"
PERSONAL = "head.payload.signature"


@dataclass
class LabelStudioServer:
    """url: its root. files: uploads by path. exports: tasks by project. requests: the paths asked for, in order."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    exports: dict[int, Any] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


@contextmanager
def label_studio() -> Iterator[LabelStudioServer]:
    """A server of its own port, until the block ends."""
    with serving(_Handler) as server:
        server.studio = LabelStudioServer(server.url)
        yield server.studio


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        studio: LabelStudioServer = self.server.studio
        studio.requests.append(self.path)
        if self.headers["Authorization"] not in (f"Token {LEGACY}", "Bearer short-lived"):
            self._answer(401, b'{"detail": "Authentication credentials were not provided."}')
        elif self.path in studio.files:
            self._answer(200, studio.files[self.path], cut="cut" in self.path)
        elif self.path.startswith("/data/upload/moved/"):
            self._answer(302, b"", location="http://127.0.0.1:9/elsewhere.mp4")
        elif self.path.startswith("/api/projects/") and self.path.endswith("/export?exportType=JSON"):
            self._answer(200, json.dumps(studio.exports[int(self.path.split("/")[3])]).encode())
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.studio.requests.append(self.path)
        if self.path == "/api/token/refresh" and body == {"refresh": PERSONAL}:
            self._answer(200, b'{"access": "short-lived"}')
        else:
            self._answer(401, b"{}")

    def _answer(self, status: int, body: bytes, location: str | None = None, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

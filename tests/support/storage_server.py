"""A Google Cloud Storage on loopback, for TensorFlow's own ``gs://`` file system, unmodified.

TensorFlow reaches the storage over HTTPS through the proxy in ``https_proxy`` and trusts the certificates in
``CURL_CA_BUNDLE``: here a proxy that answers itself, with a certificate made on the spot. Served are the three requests
that reading takes: an object's size, the names under a prefix, a range of bytes.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

from loopback import serving

_HOSTS = ("www.googleapis.com", "storage.googleapis.com")


@contextmanager
def storage_server(bucket: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Serve the files of ``bucket`` as ``gs://<any bucket>/``; the environment with which a process reaches them.

    folder: where the certificate is written. Needs the program ``openssl``.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ",".join(f"DNS:{host}" for host in _HOSTS)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=loopback"]
    command += ["-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(_Handler) as server:
        server.context, server.bucket = context, bucket
        yield {
            "https_proxy": server.url,
            "CURL_CA_BUNDLE": str(certificate),
            "NO_GCE_CHECK": "true",  # no credentials are looked for on the network
        }


class _Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        """The client asks the proxy for a host; what follows on this connection is that host's TLS."""
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)

    def do_GET(self) -> None:
        url = urlparse(self.path)
        path = unquote(url.path)
        if match := re.fullmatch(r"/storage/v1/b/[^/]+/o/(.+)", path):
            self._answer_size(self.server.bucket / match[1])
        elif re.fullmatch(r"/storage/v1/b/[^/]+/o", path):
            files = (file for file in self.server.bucket.rglob("*") if file.is_file())
            names = (str(file.relative_to(self.server.bucket)) for file in files)
            prefix = parse_qs(url.query).get("prefix", [""])[0]
            self._answer(200, json.dumps({"items": [{"name": n} for n in names if n.startswith(prefix)]}).encode())
        else:
            self._answer_range(self.server.bucket / path.split("/", 2)[2])

    def _answer_size(self, file: Path) -> None:
        if not file.is_file():
            return self._answer(404, b"")
        about = {"size": str(file.stat().st_size), "generation": "1", "updated": "2024-01-01T00:00:00.000Z"}
        return self._answer(200, json.dumps(about).encode())

    def _answer_range(self, file: Path) -> None:
        if not file.is_file():
            return self._answer(404, b"")
        first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups()  # type: ignore[union-attr]
        data = file.read_bytes()[int(first) : int(last) + 1]
        return self._answer(206, data) if data else self._answer(416, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass

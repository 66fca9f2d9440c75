"""A registry of models as devices see it: signed by python-tuf, served on loopback, and able to misbehave."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

ROLES = ("root", "targets", "snapshot", "timestamp")
MODEL = "base-tiny"
# What a path is answered with: status, body. A callable of the handler answers by itself.
Answer = Callable[[Any], None]


class SignedRegistry:
    """A TUF repository in memory. ``files`` has what is served, by path."""

    def __init__(self, **thresholds: int) -> None:
        self.keys = {role: [CryptoSigner.generate_ed25519() for _ in range(thresholds.get(role, 1))] for role in ROLES}
        self.files: dict[str, bytes] = {}
        self.targets: dict[str, bytes] = {}
        self.version = 0
        self.root = Root(expires=soon(365))
        for role in ROLES:
            for key in self.keys[role]:
                self.root.add_key(key.public_key, role)
            self.root.roles[role].threshold = len(self.keys[role])
        self.write("1.root.json", self.root, "root")

    def write(self, name: str, signed: Any, role: str, keys: Any = None) -> bytes:
        metadata = Metadata(signed)
        for key in keys if keys is not None else self.keys[role]:
            metadata.sign(key, append=True)
        data = metadata.to_bytes(JSONSerializer(compact=True))
        self.files[f"tuf/metadata/{name}"] = data
        return data

    def place(self, version: str, model: bytes, **facts: Any) -> dict[str, Any]:
        """A version among the targets, and what documents say of it."""
        target = f"{MODEL}/{version}/{MODEL}-v{version}.tflite"
        self.targets[target] = model
        digest = hashlib.sha256(model).hexdigest()
        return {"version": version, "target": target, "sha256": digest, "format": "tflite", "golden": None, **facts}

    def promote(self, version: str, model: bytes, rollouts: Any = (), **facts: Any) -> dict[str, Any]:
        """Make a version the one of production, and sign."""
        entry = self.place(version, model, **facts)
        self.targets["environments/production.json"] = json.dumps({"models": {MODEL: entry}}).encode()
        self.targets["rollouts.json"] = json.dumps({"rollouts": list(rollouts)}).encode()
        self.sign()
        return entry

    def roll_out(self, version: str, model: bytes, percent: float, state: str = "running") -> None:
        facts = self.place(version, model)
        rollout = {"id": "r1", "model": MODEL, "candidate": version, "percent": percent, "salt": "r1", "state": state}
        self.targets["rollouts.json"] = json.dumps({"rollouts": [{**rollout, "candidate_file": facts}]}).encode()
        self.sign()

    def sign(self, days: float = 1, signed_at: datetime | None = None, keys: Any = None) -> None:
        """Publish the targets as the next version."""
        self.version += 1
        chosen = keys or {}
        infos = {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in self.targets.items()}
        for path, info in infos.items():
            folder, slash, name = path.rpartition("/")
            self.files[f"tuf/targets/{folder}{slash}{info.hashes['sha256']}.{name}"] = self.targets[path]
        version = self.version
        targets = self.write(
            f"{version}.targets.json",
            Targets(version, expires=soon(90), targets=infos),
            "targets",
            chosen.get("targets"),
        )
        meta = {"targets.json": MetaFile.from_data(version, targets, ["sha256"])}
        snapshot = self.write(
            f"{version}.snapshot.json",
            Snapshot(version, expires=soon(30), meta=meta),
            "snapshot",
            chosen.get("snapshot"),
        )
        stamp = Timestamp(
            version,
            expires=soon(days),
            snapshot_meta=MetaFile.from_data(version, snapshot, ["sha256"]),
            unrecognized_fields={"x-cliplab-signed-at": (signed_at or datetime.now(UTC)).isoformat()},
        )
        self.write("timestamp.json", stamp, "timestamp", chosen.get("timestamp"))


def soon(days: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


class HasFiles(Protocol):
    """What is served, by path."""

    @property
    def files(self) -> dict[str, bytes]: ...


class Served:
    """The registry's server. ``answers`` replaces what a path is answered with; ``reports`` has what devices sent."""

    def __init__(self, registry: Any) -> None:
        self.registry = registry
        self.answers: dict[str, Answer] = {}
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[tuple[str, str]] = []
        self.down = False
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, *arguments: Any, served: Served) -> None:
        self.served = served
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        self.served.asked.append((path, self.headers.get("Range", "")))
        if self.served.down:
            self.answer(503, b"down")
        elif path in self.served.answers:
            self.served.answers[path](self)
        elif path in self.served.registry.files:
            self.send_file(self.served.registry.files[path])
        else:
            self.answer(404, b"not here")

    def send_file(self, data: bytes) -> None:
        wanted = self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if wanted else {}
        self.answer(206 if wanted else 200, data[start:], headers)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.served.down:
            self.answer(503, b"down")
            return
        if self.path in self.served.answers:
            self.served.answers[self.path](self)
            return
        if not self.path.endswith("/examples"):
            self.served.reports.append((self.path, json.loads(body)))
        self.answer(200, b"{}")

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextmanager
def serving(registry: HasFiles) -> Iterator[Served]:
    """Serve until the block ends."""
    served = Served(registry)
    server = _Server(("127.0.0.1", 0), partial(_Handler, served=served))
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def drip(handler: Any, data: bytes, seconds: float) -> None:
    """Answer a byte at a time until the client has gone or the time is over."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    end = time.monotonic() + seconds
    for byte in data:
        if time.monotonic() > end:
            return
        handler.wfile.write(bytes([byte]))
        time.sleep(0.02)

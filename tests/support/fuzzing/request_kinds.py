"""Random requests to the HTTP host and the Label Studio host: wrong values in right places, and bytes of no meaning."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from fuzzing.case import Kind, Run, UnexpectedAnswerError, random_of
from fuzzing.media_kinds import render
from fuzzing.model_kinds import LABELS
from fuzzing.mutators import TEXT, mutate
from fuzzing.served_host import SECONDS, Client, checked, served

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e308,
    1 << 64,
    0.0001,
    "",
    "x" * 300,
    "\x00",
    "é",
    [],
    {},
    [[]],
    "frames",
)
VALUES += (
    "UINT8",
    "FP32",
    [1, 2, 8, 8, 3],
    [1, -1],
    [1 << 40, 1],
    ["a"],
    {"a": None},
    "../clip.mp4",
    "clip.mp4",
    "%2e",
)
VALUES += ("file:///etc/passwd", "http://127.0.0.1:1/", "/data/local-files/?d=clip.mp4", "clip.mp4\x1b[2J", "nan")
TYPES = (
    "application/json",
    "application/octet-stream",
    "multipart/form-data",
    "text/csv",
    "",
    "a/b; boundary=" + "b" * 300,
)
MODELS = ("served", "served", "served", "none", "..", "%00", "é")
_CONTROL = "".join(f'<Label value="{label}"/>' for label in LABELS)
LABEL_CONFIG = (
    f'<View><Video name="v" value="$video"/><TimelineLabels name="t" toName="v">{_CONTROL}</TimelineLabels></View>'
)


def _infer() -> dict[str, Any]:
    return {
        "id": "1",
        "inputs": [{"name": "frames", "shape": [1, 1, 2, 2, 3], "datatype": "UINT8", "data": list(range(12))}],
        "outputs": [{"name": "scores", "parameters": {"classification": 2}}],
    }


def _studio() -> dict[str, Any]:
    task = {"id": 1, "data": {"video": "clip.mp4"}}
    return {"tasks": [task], "label_config": LABEL_CONFIG, "schema": LABEL_CONFIG, "project": {"id": 1}, "action": "x"}


def changed(random: Random, value: Any) -> Any:
    """JSON with a few values replaced, keys dropped or renamed."""
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        value = _changed_once(random, value)
    return value


def _changed_once(random: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        kept = {name: item for name, item in value.items() if name != key or random.random() < 0.9}
        if key in kept:
            kept[key if random.random() < 0.95 else key + "s"] = _changed_once(random, kept.pop(key))
        return kept
    if isinstance(value, list) and value and random.random() < 0.85:
        at = random.randrange(len(value))
        return [*value[:at], _changed_once(random, value[at]), *value[at + random.choice((0, 1, 1)) :]]
    return random.choice(VALUES)


def _query(random: Random) -> str:
    names = ("model", "top_k", "window_seconds", "stride_seconds", "shape", "fps", "every", "x")
    pairs = [
        f"{random.choice(names)}={quote(str(random.choice(VALUES)), safe='%')}" for _ in range(random.randrange(3))
    ]
    return "?" + "&".join(pairs) if pairs else ""


def _request(random: Random, studio: bool) -> bytes:
    """A request with a right length, mostly."""
    model = random.choice(MODELS)
    if studio:
        path, value = random.choice(("/predict", "/setup", "/webhook", "/health", "/")), changed(random, _studio())
    else:
        of_model = f"/v2/models/{model}"
        paths = (f"{of_model}/infer", f"{of_model}/infer", f"{of_model}/versions/1/ready", of_model)
        path = random.choice((*paths, "/v1/videos", "/v1/videos", "/metrics", "/openapi.json", "/v1/stream"))
        value = changed(random, _infer() if "infer" in path else {"path": "clip.mp4"})
        path += _query(random)
    body, head = json.dumps(value).encode(), {}
    if "infer" in path and random.random() < 0.3:
        head["Inference-Header-Content-Length"] = str(random.choice((len(body), 0, -1, 1 << 60, "x", len(body) - 1)))
        body += struct.pack("<12B", *range(12)) * random.choice((0, 1, 2))
    head |= {
        "Host": "127.0.0.1",
        "Content-Type": random.choice(TYPES[:1] * 6 + TYPES),
        "Content-Length": str(len(body)),
    }
    if random.random() < 0.2:
        names = (
            "Content-Length",
            "Content-Encoding",
            "Transfer-Encoding",
            "Host",
            "Expect",
            "Upgrade",
            "Authorization",
        )
        values = ("", "x", "-1", "gzip", "chunked", "100-continue", "websocket", "9" * 30, "evil.example", "é", "1, 2")
        head[random.choice(names)] = random.choice(values)
    method = random.choice(("POST", "POST", "POST", "GET", "HEAD", "PUT", "\x16\x03\x01"))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


def _send(random: Random, client: Client, studio: bool) -> str:
    data = _request(random, studio)
    if random.random() < 0.4:
        data = mutate(random, data, TEXT)
    return client.raw(data)


@contextmanager
def requests(folder: Path) -> Iterator[Run]:
    root = folder / "root"
    root.mkdir()
    render(root / "clip.mp4", "mpeg4", {}, {})
    with served(folder, root) as client:
        yield lambda seed: _send(random_of("requests", seed), client, studio=False)


@contextmanager
def studio_requests(folder: Path) -> Iterator[Run]:
    from adapters.hosts.label_studio.videos import VideoFetcher
    from adapters.hosts.label_studio_host import LabelStudioBackend

    root = folder / "root"
    root.mkdir()
    render(root / "clip.mp4", "mpeg4", {}, {})
    fetcher = VideoFetcher(root, None, 4_000_000)
    with served(folder, root, lambda model, host: LabelStudioBackend(model, fetcher).make_app(host)) as client:
        yield lambda seed: _send(random_of("studio_requests", seed), client, studio=True)


def _messages(random: Random, jpeg: bytes) -> Iterator[str | bytes]:
    """What a client of a stream may send: frames, sizes, times, and what is none of them."""
    fields: tuple[dict[str, Any], ...] = ({"time": 0.4}, {"width": 32, "height": 24}, {"reset": True}, {"end": True})
    for _ in range(random.randrange(1, 6)):
        kind = random.randrange(4)
        if kind == 0:
            text = json.dumps(changed(random, random.choice(fields)))
            yield text if random.random() < 0.7 else mutate(random, text.encode(), TEXT).decode("utf-8", "replace")
        elif kind == 1:
            yield mutate(random, jpeg, most=2)
        else:
            yield jpeg if kind == 2 else bytes(random.choice((0, 1, 12, 32 * 24 * 3, 100_000)))


@contextmanager
def stream(folder: Path) -> Iterator[Run]:
    import cv2
    import numpy as np
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    _, encoded = cv2.imencode(".jpg", np.full((24, 32, 3), 90, np.uint8))
    with served(folder, streams=True) as client:

        def run(seed: int) -> str:
            random = random_of("stream", seed)
            url = f"ws://127.0.0.1:{client.port}/v1/stream{_query(random) if random.random() < 0.3 else ''}"
            try:
                with connect(url, open_timeout=SECONDS, close_timeout=SECONDS) as socket:
                    try:
                        for message in _messages(random, encoded.tobytes()):
                            socket.send(message)
                        socket.send('{"end": true}')
                        while True:
                            socket.recv(timeout=SECONDS)
                    except ConnectionClosed as closed:
                        code = closed.rcvd.code if closed.rcvd else 1006
            except InvalidStatus as error:
                return checked(error.response.status_code, error.response.body or b"")
            if code not in (1000, 1003, 1007, 1008, 1009):
                raise UnexpectedAnswerError(f"the stream was closed with {code}")
            return "read" if code == 1000 else f"refused: {code}"

        yield run


KINDS = {"requests": Kind(300, requests), "studio_requests": Kind(150, studio_requests), "stream": Kind(150, stream)}

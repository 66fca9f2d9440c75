"""Requests that no client means: 300 of a seed, over sockets. None is answered with 5xx, and the host goes on."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from http_server import PATIENT, Served, http_host
from tiny_videos import render_video

from adapters.inference import open_model

COUNT = 300 * int(os.environ.get("CLIPLAB_FUZZ", "1"))
TENSOR = {"name": "frames", "shape": [1, 2, 4, 4, 3], "datatype": "UINT8", "data": [7] * 96}
BOUNDARY = b"0123456789abcdef"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    render_video(folder / "good.mp4", "warm", 0)
    open_model({"adapter": "tiny_adapter:TinyAdapter"}).save(folder / "tiny.bundle")
    return folder


LIMITS = ("--max-body-mb", 1, "--max-tensor-mb", 1, "--max-megapixels", 0.5, "--timeout-seconds", 20)


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Served]:
    with http_host([root / "tiny.bundle"], "--root", root, *LIMITS) as host:
        yield host


@pytest.fixture(scope="module")
def studio(root: Path) -> Iterator[Served]:
    options = ("--root", root, "--max-video-mb", 1, "--timeout-seconds", 20)
    with http_host([root / "tiny.bundle"], *options, kind="label-studio") as host:
        yield host


# Requests -----------------------------------------------------------------------------------------------------------


def request(method: bytes, target: bytes, body: bytes, *headers: bytes) -> bytes:
    ending = () if any(b"Upgrade" in header for header in headers) else (b"Connection: close",)
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: localhost", *headers, *ending]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def seeds(root: Path) -> list[bytes]:
    """Requests of the HTTP host that are right."""
    tensor = {key: value for key, value in TENSOR.items() if key != "data"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": 96}}], "id": "a"}).encode()
    full = json.dumps(
        {
            "id": "1",
            "inputs": [TENSOR],
            "parameters": {"binary_data_output": False},
            "outputs": [{"name": "scores", "parameters": {"classification": 2}}, {"name": "labels"}],
        }
    ).encode()
    form = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n%s\r\n--%s--\r\n' % (
        BOUNDARY,
        (root / "good.mp4").read_bytes(),
        BOUNDARY,
    )
    json_type = b"Content-Type: application/json"
    return [
        request(b"GET", b"/v2/health/live", b""),
        request(b"GET", b"/v2/models/tiny/versions/1/ready", b""),
        request(b"GET", b"/metrics", b""),
        request(b"POST", b"/v2/models/tiny/infer", full, json_type),
        request(b"POST", b"/v2/models/tiny/infer", gzip.compress(full), json_type, b"Content-Encoding: gzip"),
        request(
            b"POST", b"/v2/models/tiny/infer", head + bytes(96), b"Inference-Header-Content-Length: %d" % len(head)
        ),
        request(
            b"POST",
            b"/v1/videos?top_k=1&window_seconds=0.5",
            form,
            b"Content-Type: multipart/form-data; boundary=" + BOUNDARY,
        ),
        request(b"POST", b"/v1/videos?shape=hf", b'{"path": "good.mp4"}', json_type),
        request(
            b"GET",
            b"/v1/stream?model=tiny",
            b"",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ),
    ]  # fmt: skip


def studio_seeds() -> list[bytes]:
    """Requests of the Label Studio host that are right."""
    config = (
        '<View><Video name="v" value="$video"/><TimelineLabels name="l" toName="v"><Label value="warm"/>'
        "</TimelineLabels></View>"
    )
    task = {"id": 1, "data": {"video": "/data/local-files/?d=good.mp4"}}
    bodies = [
        (b"/predict", {"tasks": [task], "label_config": config}),
        (b"/setup", {"project": "1", "schema": config}),
        (b"/webhook", {"action": "START_TRAINING", "project": {"id": 1, "label_config": config}}),
    ]
    return [
        request(b"POST", path, json.dumps(body).encode(), b"Content-Type: application/json") for path, body in bodies
    ] + [request(b"GET", b"/health", b"")]


# Changes ------------------------------------------------------------------------------------------------------------

ODD_VALUES: list[bytes] = [
    b"", b"-1", b"abc", b"1e3", b"0x10", b"99999999999999999999999", b"4, 4", b"\xb2", b"\xff\xfe", b"null", b" ",
    b"chunked", b"gzip, chunked", b"localhost.evil.com", b"evil.com/localhost", b"user@localhost", b"localhost:80@evil",
    b"[::1]evil", b"[", b"a" * 5000, b"%00", b"\x01", b"multipart/form-data; boundary=" + b"x" * 300,
    b"multipart/form-data; boundary*=utf-8''%ff", b'multipart/form-data; boundary="',
    b"multipart/form-data; boundary=\xe9",
]  # fmt: skip
ODD_JSON: list[Any] = [
    None, True, -1, 0, 2**31, 2**63, 10**400, 1.5, 1e308, "", "a", "\ud800", "\0", "x" * 3000, [], {}, [None], [[]],
    [[[[[[1]]]]]], {"a": None}, ["x" * 100_000] + [""] * 20_000, [7] * 96, [[1, 2], [3]], "../../etc/passwd",
    "/data/local-files/?d=%252e",
]  # fmt: skip
NAMES = [
    b"Content-Length", b"Content-Type", b"Transfer-Encoding", b"Host", b"Content-Encoding", b"Origin", b"Expect",
    b"Inference-Header-Content-Length", b"Connection", b"Upgrade", b"Authorization", b"Sec-WebSocket-Key",
]  # fmt: skip
TARGETS = [
    b"*", b"", b"//", b"http://evil.com/v2", b"/v2/models/%00/ready", b"/v2/models/a%2fb/ready",
    b"/v2/models/%ff/infer", b"/v2/\xe9", b"/v1/videos?top_k=%ff", b"/v1/videos?window_seconds=1e-9",
    b"/v1/videos?top_k=" + b"9" * 5000, b"/..%2f", b"/v2?" + b"&" * 5000, b"evil.com:80", b"/%",
    b"/v1/stream?every=0", b"/v2/models/tiny/versions/%C2%B2/infer",
]  # fmt: skip


def change_bytes(random: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 8)):
        at = random.randrange(len(changed))
        kind = random.randrange(3)
        if kind == 0:
            changed[at] = random.randrange(256)
        elif kind == 1:
            del changed[at : at + random.randint(1, 20)]
        else:
            changed[at:at] = random.randbytes(random.randint(1, 20))
        if not changed:
            return b"x"
    return bytes(changed)


def change_header(random: random.Random, data: bytes) -> bytes:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    odd = random.choice(NAMES) + b": " + random.choice(ODD_VALUES)
    at = random.randrange(1, len(lines) + 1)
    if random.random() < 0.5:
        lines = [line for line in lines if not line.lower().startswith(odd.split(b":")[0].lower() + b":")]
    lines.insert(min(at, len(lines)), odd)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def change_line(random: random.Random, data: bytes) -> bytes:
    line, _, rest = data.partition(b"\r\n")
    method, target, version = line.split(b" ")
    choice = random.randrange(3)
    if choice == 0:
        method = random.choice([b"PUT", b"get", b"TRACE", b"CONNECT", b"", b"\xff", b"OPTIONS", b"HEAD", b"A" * 300])
    elif choice == 1:
        target = random.choice(TARGETS)
    else:
        version = random.choice([b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"", b"HTTP/1.1 x"])
    return b" ".join([method, target, version]) + b"\r\n" + rest


def change_json(random: random.Random, data: bytes) -> bytes:
    """Another value at any place of a JSON body, or JSON that is none."""
    head, _, body = data.partition(b"\r\n\r\n")
    if not body.startswith(b"{"):
        return change_line(random, data)
    value, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    rest = body[end:]
    text = random.choice([b"[" * 50_000, b'{"a":' * 50_000, b"NaN", b'{"inputs": Infinity}', b'{"a": 1e999}', b"\xff"])
    if random.random() < 0.85:
        holders = list(places(value))
        holder, key = random.choice(holders)
        if random.random() < 0.2:
            del holder[key]
        else:
            holder[key] = random.choice(ODD_JSON)
        text = json.dumps(value).encode("utf-8", "surrogatepass")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(text + rest), b"", text + rest])


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in list(value.items()) if isinstance(value, dict) else list(enumerate(value[:3])):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from places(inner)


def change_frame(random: random.Random, data: bytes) -> bytes:
    """Chunks, and after a WebSocket's handshake frames of any kind."""
    if b"websocket" in data:
        size = random.choice([0, 5, 125, 126, 127])
        frame = (
            bytes([random.randrange(256), 128 | size])
            + struct.pack(">Q", random.getrandbits(64))
            + random.randbytes(64)
        )
        return data + frame
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length") or random.random() < 0.3]
    size = random.choice([b"%x" % len(body), b"-1", b"zz", b"FFFFFFFFFFFFFFFFFF", b"5;" + b"x" * 5000, b""])
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", size, body, b"0", b"", b""])


CHANGES: list[Callable[[random.Random, bytes], bytes]] = [
    change_bytes, change_header, change_header, change_line, change_json, change_json, change_json, change_frame,
]  # fmt: skip


def statuses(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"(?:^|(?<=[\r\n}]))HTTP/1\.1 ([0-9]{3}) ", answer)]


def answer_to(port: int, data: bytes, patience: float = 0.3) -> bytes:
    """What the host answers until it closes. patience: after that many seconds of silence nothing more is sent."""
    answer = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        with suppress(OSError):  # an answer may come before everything is sent
            connection.sendall(data)
        while True:
            try:
                if not (chunk := connection.recv(65536)):
                    break
                answer += chunk
            except TimeoutError:
                if connection.gettimeout() == PATIENT:
                    raise
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(PATIENT)
    return answer


def check(host: Served, kinds: list[bytes], seed: int, good: Callable[[], httpx.Response]) -> None:
    chance = random.Random(seed)
    seen = set()
    for number in range(COUNT):
        data = chance.choice(kinds)
        for _ in range(chance.choice([1, 1, 2, 3])):
            with suppress(
                ValueError, IndexError, RecursionError
            ):  # it is no longer of the form that this change looks for
                data = chance.choice(CHANGES)(chance, data)
        codes = statuses(answer_to(host.port, data))
        assert all(code < 500 or code == 503 for code in codes), (number, codes, data[:2000])
        assert host.process.poll() is None, (number, data[:2000])
        seen.update(codes)
    assert {200, 400, 404} <= seen, seen
    assert good().status_code == 200


def test_requests_that_nobody_means(served: Served, root: Path) -> None:
    for data in seeds(root)[:-1]:
        assert statuses(answer_to(served.port, data, PATIENT)) == [200], data[:200]
    url = f"{served.url}/v1/videos"
    check(served, seeds(root), 1, lambda: httpx.post(url, json={"path": "good.mp4"}, timeout=PATIENT))
    assert served.uploads() == []


def test_requests_that_label_studio_does_not_mean(studio: Served) -> None:
    assert statuses(answer_to(studio.port, studio_seeds()[0], PATIENT)) == [200]
    check(studio, studio_seeds(), 2, lambda: httpx.get(f"{studio.url}/health", timeout=PATIENT))

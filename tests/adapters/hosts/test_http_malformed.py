"""Requests that are malformed in one place, over sockets: each is answered with the 4xx that fits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from http_server import Served, http_host, raw_request

from adapters.hosts.http_server.options import is_loopback
from adapters.inference import open_model

CLOSE = b"Connection: close\r\n"
HEAD = b"Host: localhost\r\n" + CLOSE
TENSOR = {"name": "frames", "shape": [1, 2, 4, 4, 3], "datatype": "UINT8", "data": [7] * 96}
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    bundle = tmp_path_factory.mktemp("malformed") / "tiny.bundle"
    open_model({"adapter": "tiny_adapter:TinyAdapter"}).save(bundle)
    with http_host([bundle]) as host:
        yield host


def status(host: Served, data: bytes) -> int:
    answer = raw_request(host.port, data)
    head, _, body = answer.partition(b"\r\n\r\n")
    code = int(head.split(b" ")[1])
    if code >= 400 and b"application/json" in head:
        assert list(json.loads(body)) == ["error"]
    return code


@pytest.mark.parametrize(
    "host, expected",
    [
        (b"localhost", 200),
        (b"LocalHost:80", 200),
        (b"127.0.0.1:9", 200),
        (b"127.9.9.9", 200),
        (b"[::1]:80", 200),
        (b"[::1]", 200),
        (b"localhost.evil.com", 403),
        (b"127.0.0.1.evil.com:80", 403),
        (b"evil-localhost", 403),
        (b"0.0.0.0", 403),
        (b"127.1", 403),
        (b"2130706433", 403),
        (b"[::]", 403),
        (b"", 403),
        (b"evil.com/localhost", 400),
        (b"localhost:80@evil.com", 400),
        (b"user:name@localhost", 400),
        (b"localhost#evil.com", 400),
        (b"[::1]evil.com", 400),
        (b"[::1].evil.com", 400),
        (b"[::1]:80:80", 400),
        (b"[127.0.0.1]", 400),
        (b"[localhost]", 400),
        (b"::1", 400),
        (b"[::1", 400),
        (b"localhost:999999", 400),
        (b"localhost:80a", 400),
        (b"localhost, evil.com", 400),
        (b"localhost evil.com", 400),
        (b"localhost\r\nHost: localhost", 400),
        (b"localhost\r\nHost: evil.com", 400),
        (b"loc\xe9lhost", 400),
    ],
)
def test_the_host_header_is_parsed_and_compared_whole(served: Served, host: bytes, expected: int) -> None:
    assert status(served, b"GET /v2 HTTP/1.1\r\n" + CLOSE + b"Host: " + host + b"\r\n\r\n") == expected
    handshake = b"GET /v1/nothing HTTP/1.1\r\n" + UPGRADE + KEY + b"Host: " + host + b"\r\n\r\n"
    assert status(served, handshake) in (403, expected)


def test_a_host_header_is_needed(served: Served) -> None:
    assert status(served, b"GET /v2 HTTP/1.1\r\n" + CLOSE + b"\r\n") == 400
    assert status(served, b"GET /v2 HTTP/1.0\r\n\r\n") == 403


@pytest.mark.parametrize(
    "origin, expected",
    [
        (b"http://localhost", 200),
        (b"https://localhost", 200),
        (b"http://evil.com", 403),
        (b"http://localhost.evil.com", 403),
        (b"http://evil.com/://localhost", 403),
        (b"null", 403),
        (b"localhost", 403),
        (b"http://localhost\r\nOrigin: http://evil.com", 403),
    ],
)
def test_other_pages_may_not_ask(served: Served, origin: bytes, expected: int) -> None:
    assert status(served, b"GET /v2 HTTP/1.1\r\n" + HEAD + b"Origin: " + origin + b"\r\n\r\n") == expected


def test_addresses_of_this_machine() -> None:
    assert all(is_loopback(name) for name in ("localhost", "127.0.0.1", "::1", "[::1]"))
    assert not any(is_loopback(name) for name in ("[::1", "::1]", "", "[]", "localhost.evil.com", "127.0.0.1]"))


@pytest.mark.parametrize(
    "target, expected",
    [
        (b"http://evil.com/v2", 400),
        (b"http://localhost/v2", 400),
        (b"*", 400),
        (b"localhost:80", 400),
        (b"//localhost/v2", 404),
        (b"/v2/\xe9", 400),
        (b"/v2/models/\xc3\xa9/ready", 400),
        (b"/v2/models/%C3%A9/ready", 404),
        (b"/v2/models/%ff/ready", 404),
        (b"/v2/models/%00/ready", 404),
        (b"/v2/models/a%2fb/ready", 404),
        (b"/v2/models/tiny%2fready", 200),
        (b"/v2/models/%2574iny/ready", 404),
        (b"/v2/../v2", 404),
        (b"/v2/models/tiny/versions/%C2%B9/ready", 404),
    ],
)
def test_targets_are_paths_that_are_decoded_once(served: Served, target: bytes, expected: int) -> None:
    assert status(served, b"GET " + target + b" HTTP/1.1\r\n" + HEAD + b"\r\n") == expected


LENGTHS = [b"abc", b"-1", b"+4", b"1_0", b"\xb2", b"4, 5", b"9" * 30, b"", b"0x4", b"4\r\nContent-Length: 5", b"4.0"]


@pytest.mark.parametrize("length", LENGTHS)
def test_lengths_that_are_none(served: Served, length: bytes) -> None:
    for path in (b"/v2/models/tiny/infer", b"/v1/videos"):
        head = b"POST " + path + b" HTTP/1.1\r\n" + HEAD + b"Content-Length: " + length
        assert status(served, head + b"\r\n\r\nabcd") == 400


def test_chunks_are_refused_also_beside_a_length(served: Served) -> None:
    head = b"POST /v2/models/tiny/infer HTTP/1.1\r\n" + HEAD
    assert status(served, head + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == 411
    assert status(served, head + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n") == 400


@pytest.mark.parametrize(
    "kind, expected",
    [
        (b"multipart/form-data; boundary=" + b"x" * 257, 400),
        (b"multipart/form-data; boundary=" + b"x" * 20_000, 400),
        (b"multipart/form-data; boundary=\xe9", 400),
        (b'multipart/form-data; boundary="', 400),
        (b"multipart/form-data; boundary=", 400),
        (b"multipart/form-data; boundary*=utf-8''%ff", 400),
        (b"multipart/form-data; boundary*0=a; boundary*1=b", 400),
        (b"multipart/form-data; =;;=", 400),
        (b"\xff\xfe", 415),
        (b"", 415),
    ],
)
def test_forms_whose_type_is_malformed(served: Served, kind: bytes, expected: int) -> None:
    head = b"POST /v1/videos HTTP/1.1\r\n" + HEAD + b"Content-Type: " + kind + b"\r\nContent-Length: 4\r\n\r\n"
    assert status(served, head + b"abcd") == expected


def infer(host: Served, **body: Any) -> int:
    data = json.dumps(body).encode()
    head = b"POST /v2/models/tiny/infer HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(data)
    return status(host, head + data)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [TENSOR], "parameters": None, "outputs": None, "id": None},
        {"inputs": [{**TENSOR, "parameters": None}], "parameters": {"binary_data_output": None}},
        {"inputs": [{**TENSOR, "parameters": {"binary_data_size": None}}], "outputs": []},
        {"inputs": [TENSOR], "outputs": [{"name": "scores", "parameters": None}, {"name": "labels"}]},
        {"inputs": [TENSOR], "outputs": [{"name": "scores", "parameters": {"binary_data": None}}]},
        {"inputs": [TENSOR], "outputs": [{"name": "scores", "parameters": {"classification": None}}]},
    ],
)
def test_null_is_as_absent_where_a_key_is_optional(served: Served, body: dict[str, Any]) -> None:
    assert infer(served, **body) == 200


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": None},
        {"inputs": [None]},
        *({"inputs": [{**TENSOR, key: None}]} for key in TENSOR),
        {"inputs": [{**TENSOR, "data": ["x" * 1_000_000] + [""] * 1_000_000}]},
        {"inputs": [{**TENSOR, "data": [[7] * 48, [[7]] * 48]}]},
        {"inputs": [{**TENSOR, "data": [True] * 96}]},
        {"inputs": [{**TENSOR, "name": "\ud800"}]},
        {"inputs": [{**TENSOR, "shape": [1, 10**4000, 4, 4, 3]}]},
        {"inputs": [TENSOR], "outputs": [{"name": None}]},
        {"inputs": [TENSOR], "outputs": [None]},
    ],
    ids=lambda body: str(body)[:60],
)
def test_tensors_that_are_malformed(served: Served, body: dict[str, Any]) -> None:
    assert infer(served, **body) == 400


@pytest.mark.parametrize("length", [b"9" * 5000, b"\xb2", b"-1", b"1_0", b"0x10"])
def test_lengths_of_a_head_that_are_none(served: Served, length: bytes) -> None:
    head = b"POST /v2/models/tiny/infer HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\n"
    assert status(served, head + b"Inference-Header-Content-Length: " + length + b"\r\n\r\n{}") == 400


@pytest.mark.parametrize(
    "lines",
    [
        b"POST /v1/stream HTTP/1.1\r\n" + UPGRADE + KEY,
        b"GET /v1/stream HTTP/1.1\r\n" + UPGRADE,
        b"GET /v1/stream HTTP/1.1\r\n" + UPGRADE.replace(b"13", b"12") + KEY,
        b"GET /v1/stream HTTP/1.1\r\n" + UPGRADE + b"Sec-WebSocket-Key: A\r\n",
        b"GET /v1/stream HTTP/1.1\r\n" + UPGRADE + KEY + b"Content-Length: 5\r\n",
        b"GET /v1/stream HTTP/1.1\r\n" + UPGRADE + KEY + b"X: y\r\n" * 200,
        b"GET /v1/stream HTTP/1.1\r\n" + UPGRADE + KEY + b"X: \xe9\r\n",
        b"GET http://localhost/v1/stream HTTP/1.1\r\n" + UPGRADE + KEY,
        b"GET /v1/nothing HTTP/1.1\r\n" + UPGRADE + KEY,
    ],
)
def test_handshakes_that_are_malformed(served: Served, lines: bytes) -> None:
    assert 400 <= status(served, lines + b"Host: localhost\r\n\r\n") < 500

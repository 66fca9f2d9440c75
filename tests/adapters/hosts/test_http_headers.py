"""Headers of a request that decide whether it is read at all."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("starlette", reason="pip install 'cliplab[http]'")

from starlette.datastructures import Headers

from adapters.hosts.http_server.errors import RequestError
from adapters.hosts.http_server.request_limits import check_body, check_target, host_name


def scope(*headers: tuple[str, str], target: bytes = b"/v2") -> dict[str, Any]:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {"type": "http", "headers": raw, "raw_path": target, "path": "/v2"}


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("", ""),
        ("localhost", "localhost"),
        ("LocalHost:8000", "localhost"),
        ("localhost:", "localhost"),
        ("127.0.0.1:65535", "127.0.0.1"),
        ("[::1]:8000", "::1"),
        ("[FE80::1]", "fe80::1"),
        ("a_b-c.example", "a_b-c.example"),
    ],
)
def test_the_name_of_a_host_is_without_port_and_in_lower_case(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    "host", ["localhost:65536", "localhost:123456", "a b", "user@localhost", "[::1", "::1", "a/b", "a,b", "localhost:x"]
)
def test_a_host_that_is_not_one_is_refused_by_its_value(host: str) -> None:
    with pytest.raises(RequestError) as error:
        host_name(host)
    assert error.value.status == 400
    assert repr(host) in str(error.value)


def test_two_hosts_and_targets_that_are_not_paths_are_refused() -> None:
    def check(*headers: tuple[str, str], target: bytes = b"/v2") -> None:
        given = scope(*headers, target=target)
        check_target(given, Headers(scope=given))

    check(("Host", "localhost"))
    check()
    with pytest.raises(RequestError, match="must have one Host header, got \\['a', 'b'\\]"):
        check(("Host", "a"), ("Host", "b"))
    for target in (b"*", b"http://localhost/v2", b"localhost:80"):
        with pytest.raises(RequestError, match="target must be a path such as /v2"):
            check(("Host", "localhost"), target=target)


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ([("Content-Length", "100")], None, ""),
        ([], None, ""),
        ([("Content-Length", "101")], 413, "the body has 101 bytes; at most 100 are allowed"),
        ([("Content-Length", "5"), ("Content-Length", "6")], 400, "must be one number, got '5, 6'"),
        ([("Content-Length", "-5")], 400, "must be one number, got '-5'"),
        ([("Content-Length", "+5")], 400, "must be one number"),
        ([("Content-Length", "5.0")], 400, "must be one number"),
        ([("Content-Length", "1" * 16)], 400, "must be one number"),
        ([("Transfer-Encoding", "chunked")], 411, "send Content-Length instead of Transfer-Encoding"),
        ([("Content-Encoding", "GZIP"), ("Content-Length", "5")], None, ""),
        ([("Content-Encoding", "identity"), ("Content-Length", "5")], None, ""),
        ([("Content-Encoding", "br")], 415, "Content-Encoding is 'br'; only gzip or deflate is supported"),
        ([("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")], 415, "'gzip, gzip'"),
    ],
)
def test_bodies_are_refused_by_their_headers(headers: list[tuple[str, str]], status: int | None, words: str) -> None:
    if status is None:
        check_body(scope(*headers), 100)
        return
    with pytest.raises(RequestError) as error:
        check_body(scope(*headers), 100)
    assert error.value.status == status
    assert words in str(error.value)

"""Servers that do not speak HTTP as they should: each request ends in time, and says what was wrong."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("tuf", reason="pip install 'cliplab[device]'")
from cliplab.rollout.device import CheckResult, DeviceClient, DeviceOptions
from cliplab.rollout.device.connection import RegistryConnection
from cliplab.rollout.device.errors import UnreachableError

OK = b"HTTP/1.1 200 OK\r\n"
LIMIT = 0.5  # seconds for a request


@contextmanager
def raw_server(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that says what it likes on each connection. Gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def each() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(client,), daemon=True).start()

        def one(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                speak(client)

        threading.Thread(target=each, daemon=True).start()
        yield listener.getsockname()[1]


def until_gone(client: socket.socket, data: bytes, pause: float = 0.0) -> None:
    """Send again and again until the other side has gone, a minute at most."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        client.sendall(data)
        time.sleep(pause)


def answering(head: bytes, again: bytes = b"", pause: float = 0.0) -> Callable[[socket.socket], None]:
    def speak(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(head)
        if again:
            until_gone(client, again, pause)

    return speak


@pytest.mark.parametrize(
    "speak",
    [
        pytest.param(answering(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001), id="continue-for-ever"),
        pytest.param(answering(OK, b"X: y\r\n", 0.001), id="headers-without-end"),
        pytest.param(answering(OK + b"X: ", b"y" * 1000, 0.001), id="a-header-without-end"),
        pytest.param(answering(b"", b"H", 0.05), id="a-letter-of-the-head-now-and-then"),
        pytest.param(answering(b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n"), id="a-long-reason"),
        pytest.param(answering(OK + b"Content-Length: 9\r\n\r\n", b"", 0), id="a-body-that-ends-early"),
        pytest.param(answering(OK + b"Content-Length: 9\r\n\r\n1", b" ", 0.2), id="a-body-that-drips"),
        pytest.param(
            answering(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 0.001), id="trailers-without-end"
        ),
        pytest.param(
            answering(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 100, 0.001), id="a-chunk-s-name-without-end"
        ),
        pytest.param(answering(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), id="a-chunk-of-no-number"),
        pytest.param(answering(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n"), id="a-chunk-below-nothing"),
        pytest.param(answering(OK + b"Connection: close\r\n\r\n{", b" ", 0.2), id="a-body-of-no-length-that-drips"),
        pytest.param(answering(b"220 smtp.example.org ESMTP\r\n"), id="another-protocol"),
        pytest.param(answering(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"), id="another-address"),
        pytest.param(answering(b"HTTP/1.1 401 \r\nWWW-Authenticate: Basic\r\n\r\n", b"x" * 1000), id="a-long-refusal"),
        pytest.param(lambda client: time.sleep(5), id="silence"),
        pytest.param(lambda client: client.shutdown(socket.SHUT_RDWR), id="nothing"),
    ],
)
def test_a_request_ends_in_time_and_says_why(speak: Callable[[socket.socket], None]) -> None:
    with raw_server(speak) as port:
        connection = RegistryConnection(f"http://127.0.0.1:{port}", small_seconds=LIMIT)
        began = time.monotonic()
        with contextlib.closing(connection), pytest.raises(UnreachableError, match=f"127.0.0.1:{port}") as raised:
            connection.get("tuf/metadata/timestamp.json", 16_384)
        assert time.monotonic() - began < 20 * LIMIT
        assert len(str(raised.value)) < 4_000


def test_more_than_an_answer_said_is_not_the_next_answer() -> None:
    speak = answering(OK + b"Content-Length: 1\r\n\r\n1" + OK + b"Content-Length: 1\r\n\r\n2")
    with (
        raw_server(speak) as port,
        contextlib.closing(RegistryConnection(f"http://127.0.0.1:{port}", small_seconds=LIMIT)) as connection,
    ):
        assert [connection.get("a", 10).body for _ in range(2)] == [b"1", b"1"]


def test_a_handshake_that_does_not_end(tmp_path: Path) -> None:
    """A byte of https now and then: the limit of the request holds for it too."""

    def speak(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"\x16\x03\x03\x40\x00")  # a handshake message of 16 kB follows
        until_gone(client, b"\x02", 0.05)

    with (
        raw_server(speak) as port,
        contextlib.closing(RegistryConnection(f"https://127.0.0.1:{port}", small_seconds=LIMIT)) as connection,
    ):
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="within"):
            connection.get("tuf/metadata/timestamp.json", 16_384)
        assert time.monotonic() - began < 20 * LIMIT


@pytest.mark.parametrize("retry", [b"-5", b"1e9", b"99999999999", b"Fri, 31 Dec 9999 23:59:59 GMT", b"nan", b"\xff"])
def test_when_to_come_again_is_bounded(retry: bytes, tmp_path: Path) -> None:
    answer = b"HTTP/1.1 429 Later\r\nContent-Length: 0\r\nDate: nonsense\r\nRetry-After: " + retry + b"\r\n\r\n"

    def check(path: Path, golden: object) -> CheckResult:
        return CheckResult(True, "")

    with raw_server(answering(answer)) as port:
        options = DeviceOptions("a", f"http://127.0.0.1:{port}", tmp_path / "models")
        with contextlib.closing(DeviceClient(options, check=check, machine="one")) as client:
            done = client.round()
    assert not done.reachable
    assert "429" in done.problems[0]
    assert done.retry_seconds is None or 0 <= done.retry_seconds < 100_000

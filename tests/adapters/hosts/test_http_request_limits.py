"""What every request passes, asked of the ASGI app itself: who may ask, and in what time."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="pip install 'cliplab[http]'")

from adapters.errors import BundleError, ConfigError
from adapters.hosts.http_host import make_app, open_models
from adapters.hosts.http_server.errors import (
    MAX_MESSAGE_CHARACTERS,
    RequestError,
    error_response,
    one_line,
    to_request_error,
)
from adapters.hosts.http_server.options import HttpOptions, is_loopback
from adapters.hosts.http_server.state import HttpHost

TOKEN = "0123456789abcdef"
LOCAL = {"Host": "localhost:8000"}
TENSOR = {"name": "frames", "shape": [1, 1, 2, 2, 3], "datatype": "UINT8", "data": [7] * 12}
INFER = json.dumps({"inputs": [TENSOR]}).encode()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.json"
    path.write_text(json.dumps({"adapter": "tiny_adapter:TinyAdapter", "imgz": 32, "n_frames": 1}))
    return path


@pytest.fixture
def make_host(config: Path, tmp_path: Path) -> Iterator[Callable[..., HttpHost]]:
    hosts: list[HttpHost] = []

    def make(*names: str, **options: Any) -> HttpHost:
        models = open_models([f"{name}={config}" for name in names or ("tiny",)])
        hosts.append(HttpHost(models, HttpOptions(workers=1, **options), tmp_path))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


class Answer:
    """What the app sent: status, headers in lower case, JSON."""

    def __init__(self, messages: list[Any]) -> None:
        self.status = messages[0]["status"]
        self.headers = {key.decode().lower(): value.decode() for key, value in messages[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


def ask(
    host: HttpHost,
    path: str = "/v2",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | Callable[[], Awaitable[Any]] = b"",
) -> Answer:
    """One request. body: its bytes, or the ``receive`` of its connection."""
    given = LOCAL | ({"Content-Length": str(len(body))} if isinstance(body, bytes) else {}) | (headers or {})
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(key.lower().encode(), value.encode("latin-1")) for key, value in given.items()],
    }
    sent: list[Any] = []

    async def run() -> None:
        gone = asyncio.Event()
        pieces = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if pieces:
                return pieces.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await make_app(host)(scope, receive if isinstance(body, bytes) else body, send)

    asyncio.run(run())
    return Answer(sent)


# Who asks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, allowed",
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("127.0.0.1:8000", True),
        ("127.8.8.8", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("localhost.evil.example", False),
        ("evil.example", False),
        ("10.0.0.1:8000", False),
        ("0.0.0.0", False),
        ("[2001:db8::1]:8000", False),
        ("", False),
    ],
)
def test_without_a_token_this_machine_alone_is_served(make_host: Any, name: str, allowed: bool) -> None:
    host = make_host()
    assert ask(host, headers={"Host": name}).status == (200 if allowed else 403)
    assert ask(host, "/v2/health/live", headers={"Host": name}).status == (200 if allowed else 403)


@pytest.mark.parametrize(
    "origin, allowed",
    [
        ("http://localhost:8000", True),
        ("https://localhost:8000", True),
        ("http://localhost:8000.evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://localhost:80001", False),
        ("http://localhost", False),
        ("http://evil.example", False),
        ("http://evil.example?localhost:8000", False),
        ("http://user@localhost:8000", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_web_page_must_be_the_servers_own(make_host: Any, origin: str, allowed: bool) -> None:
    answer = ask(make_host(), headers={"Origin": origin})
    assert answer.status == (200 if allowed else 403)
    assert allowed or repr(origin) in answer.error


@pytest.mark.parametrize(
    "shown, allowed",
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        ("Basic " + base64.b64encode(f"anyone:{TOKEN}".encode()).decode(), True),
        ("Basic " + base64.b64encode(f":{TOKEN}".encode()).decode(), True),
        ("Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode(), False),
        ("Basic " + base64.b64encode(TOKEN.encode()).decode(), False),
        ("Basic %%%", False),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Bearer {TOKEN.upper()}", False),
        (f"Token {TOKEN}", False),
        (TOKEN, False),
        ("Bearer ü", False),
        ("", False),
    ],
)
def test_with_a_token_who_shows_it_is_served_from_anywhere(make_host: Any, shown: str, allowed: bool) -> None:
    host = make_host(token=TOKEN)
    answer = ask(host, headers={"Host": "far.example", "Origin": "http://page.example", "Authorization": shown})
    assert answer.status == (200 if allowed else 401)
    assert ("www-authenticate" in answer.headers) != allowed
    assert ask(host, "/v2/health/ready", headers={"Host": "far.example", "Authorization": shown}).status == 200


def test_while_it_shuts_down_only_whether_it_lives_is_told(make_host: Any) -> None:
    host = make_host()
    host.draining = True
    for path in ("/v2", "/v2/health/ready", "/metrics"):
        answer = ask(host, path)
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert int(answer.headers["retry-after"]) > 0
    assert ask(host, "/v2/health/live").status == 200


def test_an_address_is_this_machine_or_another() -> None:
    for name in ("localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"):
        assert is_loopback(name)
    for name in (
        "localhost.",
        "LOCALHOST.example",
        "127.0.0.1.example",
        "128.0.0.1",
        "::",
        "0.0.0.0",
        "",
        "[",
        "local",
    ):
        assert not is_loopback(name)


# Bodies ---------------------------------------------------------------------------------------------------------------


def test_sizes_and_encodings_are_looked_at_before_the_body(make_host: Any) -> None:
    host = make_host(max_body_mb=0.001)

    async def never() -> Any:
        raise AssertionError("the body was asked for")

    def refused(**headers: str) -> Answer:
        return ask(host, "/v1/videos", "POST", {key.replace("_", "-"): value for key, value in headers.items()}, never)

    answer = refused(Content_Length="1001")
    assert answer.status == 413
    assert "1001" in answer.error
    assert "1000" in answer.error
    assert refused(Transfer_Encoding="chunked").status == 411
    for encoding in ("zstd", "gzip, gzip", "br"):
        answer = refused(Content_Length="4", Content_Encoding=encoding)
        assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip, deflate")
    json_body = {"Content-Type": "application/json", "Content-Encoding": " Identity "}
    assert ask(host, "/v1/videos", "POST", json_body, b"x" * 1000).status == 400  # it is read, and is not JSON


def trickle(pieces: list[tuple[float, bytes]]) -> Callable[[], Awaitable[Any]]:
    """A body that comes in pieces, each after a while; then nothing more."""
    left = list(pieces)

    async def receive() -> Any:
        if not left:
            await asyncio.Event().wait()
        seconds, data = left.pop(0)
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": data, "more_body": bool(left)}

    return receive


def test_the_limit_on_time_is_for_the_whole_body(make_host: Any) -> None:
    """Each piece comes well within it."""
    pieces = [(0.1, INFER[at : at + 4]) for at in range(0, len(INFER), 4)]
    assert len(pieces) > 20
    answer = ask(make_host(timeout_seconds=0.5), "/v2/models/tiny/infer", "POST", body=trickle(pieces))
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert "0.5 s" in answer.error


def test_a_body_in_time_is_answered_after_it(make_host: Any) -> None:
    """From then on the limit on the body is over: what follows is the answer's own."""
    host = make_host(timeout_seconds=30)
    answer = ask(host, "/v2/models/tiny/infer", "POST", body=trickle([(0, INFER[:30]), (0.01, INFER[30:])]))
    assert answer.status == 200
    assert json.loads(answer.body)["outputs"][0]["shape"] == [1, 2]


def test_an_answer_may_take_longer_than_the_body_may(make_host: Any) -> None:
    """The work has a limit of its own, a second longer."""
    host = make_host(timeout_seconds=0.3)
    model = host.models["tiny"].adapter
    predict = model.predict

    def slow(batch: Any) -> Any:
        time.sleep(0.35)
        return predict(batch)

    model.predict = slow
    assert ask(host, "/v2/models/tiny/infer", "POST", body=trickle([(0, INFER)])).status == 200


def test_a_client_that_left_gets_no_answer(make_host: Any) -> None:
    host = make_host()

    async def left() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(IndexError):  # nothing was sent
        ask(host, "/v2/models/tiny/infer", "POST", {"Content-Length": "10"}, left)
    assert 'status="499"' in host.metrics.text().decode()
    assert host.memory.used_bytes == 0


# What is told ---------------------------------------------------------------------------------------------------------


def test_paths_and_methods_that_are_none(make_host: Any) -> None:
    host = make_host()
    for path, method, status in (("/v3", "GET", 404), ("/v2/", "GET", 404), ("/v2", "POST", 405)):
        answer = ask(host, path, method)
        assert answer.status == status
        assert "openapi.json" in answer.error
    assert "GET" in ask(host, "/v2", "DELETE").headers["allow"]
    assert ask(host, "/v2/models/tiny/versions/2").status == 404
    assert ask(host, "/v2/models/tiny/versions/1").status == 200


def test_which_model_is_meant(make_host: Any) -> None:
    assert make_host("one").model(None).name == "one"
    several = make_host("one", "two")
    assert several.model("two").name == "two"
    for name, status in ((None, 400), ("three", 404)):
        with pytest.raises(RequestError, match="one, two") as caught:
            several.model(name)
        assert caught.value.status == status


def test_requests_are_counted_by_what_became_of_them(make_host: Any) -> None:
    host = make_host()
    ask(host)
    ask(host)
    ask(host, "/nowhere")
    ask(host, "/v2/models/tiny/infer", "POST", body=b"{")
    text = host.metrics.text().decode()
    for operation, status, count in (("server", 200, 2), ("none", 404, 1), ("infer", 400, 1)):
        assert f'cliplab_requests_total{{operation="{operation}",status="{status}"}} {count}.0' in text
    assert 'cliplab_request_seconds_count{operation="server"} 2.0' in text


def test_a_fault_of_the_server_tells_nothing_of_it(make_host: Any, caplog: pytest.LogCaptureFixture) -> None:
    host = make_host()

    def fail(batch: Any) -> Any:
        raise ZeroDivisionError("a secret")

    host.models["tiny"].adapter.predict = fail
    answer = ask(host, "/v2/models/tiny/infer", "POST", body=INFER)
    assert answer.status == 500
    assert "secret" not in answer.error
    assert "a secret" in caplog.text


@pytest.mark.parametrize("error, status", [(BundleError("damaged"), 500), (ConfigError("no such key"), 400)])
def test_whose_fault_it_is(error: Any, status: int) -> None:
    assert to_request_error(error).status == status
    assert to_request_error(error, 422).status == (500 if status == 500 else 422)


def test_an_error_is_one_line_of_bounded_length() -> None:
    assert one_line(" a\n b\tc ") == "a b c"
    assert one_line("x" * MAX_MESSAGE_CHARACTERS) == "x" * MAX_MESSAGE_CHARACTERS
    assert one_line("x" * (MAX_MESSAGE_CHARACTERS + 1)) == "x" * (MAX_MESSAGE_CHARACTERS - 3) + "..."
    answer = error_response(418, "gr\ud800ße", {"Retry-After": "3"})
    assert (answer.status_code, answer.headers["retry-after"]) == (418, "3")
    assert json.loads(bytes(answer.body)) == {"error": "gr?ße"}

"""What strangers and bad devices send to ``cliplab registry serve``: it answers, and holds nobody else up."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("alembic", reason="pip install 'cliplab[registry,http]'")
pytest.importorskip("tuf", reason="pip install 'cliplab[registry,http]'")
pytest.importorskip("uvicorn", reason="pip install 'cliplab[registry,http]'")
from registry_files import TRUSTED, make_registry
from running_registry import NAME, Running, running
from waiting import until

from cliplab.registry import open_registry, publish, registry_promote
from cliplab.rollout.report import MAX_MODELS
from cliplab.rollout.serving.app import MAX_LARGE_AT_ONCE, REPORT_BYTES
from cliplab.rollout.serving.intake import MAX_NAMED


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("registry") / "registry"
    with make_registry(path, "1.0.0", name=NAME, keys=True) as registry:
        registry_promote(NAME, "1.0.0", "production", registry=path, trust_adapters=TRUSTED)
        publish(registry)
    with running(str(path)) as found:
        yield found


def test_a_device_that_names_ever_new_versions_is_stopped(server: Running) -> None:
    """Each would have rows of its own in the database, for good."""
    statuses = []
    for number in range(1, 8):
        versions = {f"model-{number}-{index}": "1.0.0" for index in range(MAX_MODELS // 2)}
        status, answer = server.report("inventive", sequence=number, versions=versions)
        statuses.append(status)
    most = MAX_NAMED // (MAX_MODELS // 2)
    assert statuses == [200] * most + [429] * (7 - most)
    assert "has named more than" in answer["error"]
    assert server.report("inventive", sequence=9, versions={"model-1-0": "1.0.0"})[0] == 200, "what it named before"
    assert server.report("another")[0] == 200
    with open_registry(server.place) as registry, registry.engine.connect() as connection:
        query = "SELECT count(*) FROM rollout_sums WHERE device = 'inventive'"
        assert connection.exec_driver_sql(query).scalar() == MAX_NAMED


def test_large_reports_that_do_not_arrive_leave_room_for_the_usual_ones(server: Running) -> None:
    address = server.url.removeprefix("http://")
    waiting = [http.client.HTTPConnection(address, timeout=60) for _ in range(MAX_LARGE_AT_ONCE)]
    try:
        for number, connection in enumerate(waiting):
            connection.putrequest("POST", f"/devices/large-{number}/reports")
            connection.putheader("Content-Length", str(REPORT_BYTES))
            connection.endheaders(b"{")
        large = b" " * (REPORT_BYTES - 10) + b"{}"
        until(
            lambda: server.ask("POST", "/devices/next/reports", large)[0] == 429,
            what="one more large report is refused",
            every=0.5,
        )
        assert server.report("usual")[0] == 200
    finally:
        for connection in waiting:
            connection.close()
    until(lambda: server.ask("POST", "/devices/last/reports", large)[0] == 400, what="places are free again", every=0.5)


def test_metrics_asked_for_without_pause_hold_no_report_up(server: Running) -> None:
    with ThreadPoolExecutor(24) as pool:
        asked = [pool.submit(server.ask, "GET", "/metrics") for _ in range(200)]
        reports = [pool.submit(server.report, f"beside-{number}") for number in range(20)]
        assert Counter(item.result()[0] for item in asked) == {200: 200}
        assert Counter(item.result()[0] for item in reports) == {200: 20}


@pytest.mark.parametrize(
    "data, statuses",
    [
        (b"\x16\x03\x01\x02\x00\x01", {400}),
        (b"GET / HTTP/9.9\r\n\r\n", {400, 403, 505}),
        (b"GET  /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", {400}),
        (b"POST /devices/a/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", {400}),
        (
            b"POST /devices/a/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
            {400},
        ),
        (
            b"POST /devices/a/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            {400, 411},
        ),
        (b"POST /devices/a/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {411}),
        (b"POST /devices/a/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\n\r\n", {400, 415}),
        (b"GET /health HTTP/1.1\r\nHost: evil.example.org\r\n\r\n", {200, 403}),
        (b"GET /metrics HTTP/1.1\r\n\r\n", {400}),
        (b"DELETE /devices/a/reports HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", {405}),
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", {400, 431}),
    ],
)
def test_what_is_not_a_request_is_refused(server: Running, data: bytes, statuses: set[int]) -> None:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        answer = connection.makefile("rb").readline()
    assert int(answer.split()[1]) in statuses, answer
    assert server.ask("GET", "/health")[0] == 200


def test_a_flood_of_one_device_is_stored_once_and_holds_nobody_up(server: Running) -> None:
    def send(number: int) -> int:
        return server.report("flooding", sequence=number % 500 + 1)[0]

    with ThreadPoolExecutor(16) as pool:
        flood = [pool.submit(send, number) for number in range(2_000)]
        assert [server.report(f"patient-{number}")[0] for number in range(20)] == [200] * 20
        found = Counter(item.result() for item in flood)
    assert set(found) == {200, 429}
    with open_registry(server.place) as registry, registry.engine.connect() as connection:
        rows, counted = (
            connection.exec_driver_sql(f"SELECT {what} WHERE device = 'flooding'").scalar()
            for what in ("count(*) FROM rollout_reports", "sum(reports) FROM rollout_sums")
        )
    assert rows == counted
    assert 0 < rows <= found[200]
    assert server.ask("GET", "/health")[0] == 200

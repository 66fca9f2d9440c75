"""``cliplab registry serve``: the signed files and the reports of a fleet, and what it refuses."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("alembic", reason="pip install 'cliplab[registry,http]'")
pytest.importorskip("tuf", reason="pip install 'cliplab[registry,http]'")
pytest.importorskip("uvicorn", reason="pip install 'cliplab[registry,http]'")
from command_line import cli
from registry_files import TRUSTED, make_registry, upload
from running_registry import NAME, Running, running
from signed_registry import serving
from waiting import until

from adapters.errors import ConfigError
from cliplab.registry import open_registry, publish, registry_promote
from cliplab.rollout import rollout_halt, rollout_start
from cliplab.rollout.device import DeviceClient, DeviceOptions
from cliplab.rollout.serving import (
    add_device,
    list_devices,
    registry_device_add,
    registry_device_list,
    registry_device_remove,
    registry_serve,
)
from cliplab.rollout.serving.intake import BURST

# Each kill costs the start of a server.
KILLS = pytest.mark.parametrize("kills", [1, pytest.param(30, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("registry") / "registry"
    with make_registry(path, "1.0.0", name=NAME, keys=True) as registry:
        registry_promote(NAME, "1.0.0", "production", registry=path, trust_adapters=TRUSTED)
        publish(registry)
    return str(path)


@pytest.fixture(scope="module")
def server(place: str) -> Iterator[Running]:
    """One that only this machine reaches, without tokens."""
    with running(place) as found:
        yield found


# Files --------------------------------------------------------------------------------------------------------------


def target(server: Running) -> tuple[str, bytes]:
    folder = server.folder / "tuf" / "targets"
    [path] = folder.glob(f"{NAME}/1.0.0/*.tflite")
    return f"/tuf/targets/{path.relative_to(folder).as_posix()}", path.read_bytes()


def test_files_with_ranges_and_entity_tags(server: Running) -> None:
    path, data = target(server)
    status, headers, body = server.ask("GET", path)
    assert (status, body) == (200, data)
    assert "immutable" in headers["cache-control"]
    tag = headers["etag"]
    assert server.ask("GET", path, headers={"If-None-Match": tag})[0] == 304
    status, headers, body = server.ask("GET", path, headers={"Range": "bytes=10-"})
    assert (status, headers["content-range"]) == (206, f"bytes 10-{len(data) - 1}/{len(data)}")
    assert body == data[10:]
    assert server.ask("GET", path, headers={"Range": "bytes=5-7"})[2] == data[5:8]
    assert server.ask("GET", path, headers={"Range": "bytes=-7"})[2] == data[-7:]
    assert server.ask("GET", path, headers={"Range": f"bytes={len(data)}-"})[0] == 416
    assert server.ask("GET", path, headers={"Range": "bytes=0-1,4-5"})[0] == 200
    assert server.ask("GET", path, headers={"Range": "bytes=10-", "If-Range": '"other"'})[0] == 200
    assert server.ask("HEAD", path)[2] == b""
    assert server.ask("GET", "/tuf/metadata/timestamp.json")[1]["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/tuf/metadata/nothing.json",
        "/tuf/metadata/../../registry.json",
        "/tuf/metadata/..%2f..%2fregistry.json",
        "/tuf/targets/%2e%2e/%2e%2e/registry.db",
        "/tuf/targets//etc/passwd",
        "/tuf/targets/.hidden",
        "/tuf/targets/base-general",
        "/tuf/keys/root.pem",
        "/registry.json",
        "/devices.json",
        "/tuf/metadata/" + "a" * 5000,
        "/tuf/metadata/a%00b",
    ],
)
def test_nothing_else_is_served(server: Running, path: str) -> None:
    status, _, body = server.ask("GET", path)
    assert status == 404
    assert "error" in json.loads(body)


# Devices ------------------------------------------------------------------------------------------------------------


def test_a_device_follows_the_real_registry(server: Running, tmp_path: Path) -> None:
    client = DeviceClient(DeviceOptions("real-1", server.url, tmp_path / "models"), machine="one")
    done = client.round()
    assert done.problems == ()
    assert (done.models[NAME].version, done.reports_sent) == ("1.0.0", 1)
    assert client.round().models[NAME].action == "none"
    before = requests(server)
    client._last_report = float("-inf")
    assert client.round().problems == ()
    # A round in which nothing is new: the timestamp as it was, and a report.
    assert requests(server) - before == Counter({("metadata", "304"): 1, ("report", "200"): 1, ("metrics", "200"): 1})
    [listed] = [item for item in registry_device_list(server.place) if item["name"] == "real-1"]
    assert listed["versions"] == {NAME: "1.0.0"}


def test_metrics_are_those_that_prometheus_reads(server: Running) -> None:
    assert server.ask("GET", "/tuf/metadata/nothing.json")[0] == 404
    assert server.report("measured")[0] == 200
    status, headers, body = server.ask("GET", "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = dict(line.rpartition(" ")[::2] for line in body.decode().splitlines() if not line.startswith("#"))
    assert float(lines['cliplab_registry_requests_total{operation="report",status="200"}']) >= 1
    assert any(name.endswith('",status="404"}') for name in lines)
    assert float(lines[f'cliplab_fleet_devices_by_version{{model="{NAME}",version="1.0.0"}}']) >= 1
    assert float(lines["cliplab_fleet_devices"]) >= 1
    assert float(lines["cliplab_fleet_devices_silent"]) == 0


def requests(server: Running) -> Counter[tuple[str, str]]:
    """What the server has answered so far, by operation and status."""
    text = server.ask("GET", "/metrics")[2].decode()
    found = re.findall(r'cliplab_registry_requests_total\{operation="(\w+)",status="(\d+)"\} (\S+)', text)
    return Counter({(operation, status): int(float(count)) for operation, status, count in found})


def test_a_report_is_stored_once(server: Running) -> None:
    assert server.report("once") == (200, {"device": "once", "sequence": 1, "new": True})
    assert server.report("once") == (200, {"device": "once", "sequence": 1, "new": False})
    status, answer = server.report("once", predictions=99)
    assert status == 409
    assert "second device has this name" in answer["error"]


def test_two_devices_of_one_name_are_both_told(server: Running) -> None:
    answers = [server.report("twin", client=client, sequence=number) for number, client in enumerate("ababa", 1)]
    assert [status for status, _ in answers] == [200] * 5
    assert "two devices" in answers[-2][1]["warning"]
    assert "two devices" in answers[-1][1]["warning"]
    [listed] = [item for item in registry_device_list(server.place) if item["name"] == "twin"]
    assert listed["warning"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 50_000,
        b'{"sequence": 1e400, "versions": {}}',
        b'{"sequence": -1, "versions": {}}',
        b'{"sequence": 1, "versions": {}, "predictions": 1, "errors": 2}',
        b'{"sequence": 1, "versions": {}, "unknown": 1}',
        b'{"sequence": 1, "sequence": 2, "versions": {}}',
    ],
)
def test_reports_that_lie(server: Running, body: bytes) -> None:
    status, _, answer = server.ask("POST", "/devices/liar/reports", body)
    assert status == 400
    assert "error" in json.loads(answer)


def test_reports_that_are_too_large_or_too_many(server: Running) -> None:
    assert server.ask("POST", "/devices/large/reports", b" " * 200_000)[0] == 413
    with ThreadPoolExecutor(16) as pool:
        found = Counter(pool.map(lambda number: server.report("flood", sequence=number)[0], range(1, 401)))
    assert set(found) == {200, 429}
    assert found[200] >= BURST
    assert server.report("other")[0] == 200  # the others are not held up


def test_many_reports_at_once(server: Running) -> None:
    """Each is stored or asked to come again, and what was answered with 200 is in the database."""
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda number: server.report(f"many-{number}"), range(400)))
    assert {status for status, _ in found} <= {200, 429}
    taken = {f"many-{number}" for number, (status, _) in enumerate(found) if status == 200}
    listed = {item["name"] for item in registry_device_list(server.place)}
    assert taken <= listed
    assert len(taken) > 300


def test_a_hard_example_is_taken_over_the_network(server: Running) -> None:
    head = json.dumps({"name": "00000000000000000001-0123456789abcdef", "suffix": ".jpg", "model": NAME}).encode()
    body = head + b"\n\xff\xd8\xff" + bytes(300_000)
    for new in (True, False):
        status, _, answer = server.ask("POST", "/devices/kitchen-01/examples", body)
        assert (status, json.loads(answer)["new"]) == (200, new)
    assert len(list((server.folder / "examples" / "kitchen-01").iterdir())) == 2
    assert server.ask("POST", "/devices/kitchen-01/examples", bytes(21_000_000))[0] == 413
    assert server.ask("POST", "/devices/..%2f..%2fx/examples", body)[0] in (400, 404)


def test_examples_that_never_end_do_not_fill_the_memory(server: Running) -> None:
    """Eight unfinished examples at once; the next is asked to come later, and reports still arrive."""
    address = server.url.removeprefix("http://")
    waiting = [http.client.HTTPConnection(address, timeout=60) for _ in range(8)]
    try:
        for number, connection in enumerate(waiting):
            connection.putrequest("POST", f"/devices/slow-{number}/examples")
            connection.putheader("Content-Length", "1000000")
            connection.endheaders(b"{")
        until(
            lambda: server.ask("POST", "/devices/kitchen-02/examples", b"{}")[0] == 429,
            what="a ninth is refused",
            every=0.5,
        )
        assert server.report("kitchen-02")[0] == 200
    finally:
        for connection in waiting:
            connection.close()
    until(
        lambda: server.ask("POST", "/devices/kitchen-02/examples", b"{}")[0] == 400,
        what="places are free again",
        every=0.5,
    )


def test_other_pages_and_machines_are_refused_without_tokens(server: Running) -> None:
    assert server.ask("GET", "/tuf/metadata/timestamp.json", headers={"Host": "evil.example.org"})[0] == 403
    assert server.ask("GET", "/tuf/metadata/timestamp.json", headers={"Origin": "http://evil.example.org"})[0] == 403
    assert server.ask("GET", "/health")[0] == 200


# Tokens -------------------------------------------------------------------------------------------------------------


def test_tokens_by_device(place: str, server: Running, tmp_path: Path) -> None:
    token = registry_device_add("kitchen", place)
    try:
        # From now on the server asks for tokens.
        assert server.ask("GET", "/tuf/metadata/timestamp.json")[0] == 401
        assert server.report("kitchen", "wrong")[0] == 401
        assert server.report("kitchen", token)[0] == 200
        status, answer = server.report("bath", token)
        assert status == 403
        assert "kitchen" in answer["error"]
        client = DeviceClient(DeviceOptions("kitchen", server.url, tmp_path / "m", token=token), machine="one")
        assert client.round().problems == ()
        without = DeviceClient(DeviceOptions("kitchen", server.url, tmp_path / "n"), machine="two")
        assert "Give --token-file FILE" in " ".join(without.round().problems)
        with pytest.raises(ConfigError, match="already has a token"):
            registry_device_add("kitchen", place)
        replaced = registry_device_add("kitchen", place, replace=True)
        assert server.report("kitchen", token)[0] == 401
        assert server.report("kitchen", replaced, sequence=7)[0] == 200
        assert token not in (Path(place) / "devices.json").read_text()
    finally:
        registry_device_remove("kitchen", place)
    with pytest.raises(ConfigError, match="no device of this name"):
        registry_device_remove("kitchen", place)
    assert server.ask("GET", "/tuf/metadata/timestamp.json")[0] == 200


def test_the_commands(place: str, tmp_path: Path, server: Running) -> None:
    made = json.loads(cli("registry", "device", "add", "hall", "--registry", place, "--json", code=0).stdout)
    (tmp_path / "token").write_text(made["token"] + "\n")
    words = ("--name", "hall", "--registry", server.url, "--models", tmp_path / "m", "--once", "--json")
    assert cli("device", "run", *words, code=1).stdout  # without its token
    ran = cli("device", "run", *words, "--token-file", tmp_path / "token", code=0)
    assert json.loads(ran.stdout)["models"][NAME]["version"] == "1.0.0"
    status = json.loads(cli("device", "status", "--models", tmp_path / "m", "--json", code=0).stdout)
    assert status["models"][NAME]["whole"]
    assert "1.0.0" in cli("device", "status", "--models", tmp_path / "m", code=0).stdout
    assert "hall" in cli("registry", "device", "list", "--registry", place, code=0).stdout
    cli("registry", "device", "remove", "hall", "--registry", place, code=0)
    assert "no device has run here" in cli("device", "status", "--models", tmp_path / "none", code=2).output


def test_what_cannot_be_served(tmp_path: Path, place: str) -> None:
    empty = tmp_path / "empty"
    make_registry(empty).close()
    with pytest.raises(ConfigError, match="nothing is published"):
        registry_serve(empty, port=0)
    with pytest.raises(ConfigError, match="no device has a token"):
        registry_serve(place, host="0.0.0.0", port=0)
    with pytest.raises(ConfigError, match="must be given together"):
        registry_serve(place, port=0, certificate=tmp_path / "c.pem")


def test_two_threads_add_devices(tmp_path: Path) -> None:
    threads = [threading.Thread(target=add_device, args=(tmp_path, f"d{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list_devices(tmp_path)) == 8


# Rollouts -----------------------------------------------------------------------------------------------------------


def test_a_rollout_reaches_a_device_through_the_server_and_a_halt_takes_it_back(
    place: str, server: Running, tmp_path: Path
) -> None:
    upload(Path(place), NAME, "1.1.0")
    client = DeviceClient(DeviceOptions("rolled", server.url, tmp_path / "models"), machine="one")
    assert client.round().models[NAME].version == "1.0.0"
    started = rollout_start(NAME, "1.1.0", registry=place, stages="100")
    assert client.round().models[NAME].version == "1.1.0"
    rollout_halt(started.rollout.id, registry=place, reason="a test")
    done = client.round()
    assert (done.problems, done.models[NAME].version) == ((), "1.0.0")


# Losses -------------------------------------------------------------------------------------------------------------


class RegistryFolder:
    """The files of a registry, for the small server of tests."""

    def __init__(self, place: Path) -> None:
        self._place = place

    @property
    def files(self) -> dict[str, bytes]:
        paths = [path for path in (self._place / "tuf").rglob("*") if path.is_file()]
        return {path.relative_to(self._place).as_posix(): path.read_bytes() for path in paths}


def test_a_registry_that_was_restored_is_refused_until_it_recovers(tmp_path: Path) -> None:
    place = tmp_path / "registry"
    with make_registry(place, "1.0.0", name=NAME, keys=True) as registry:
        registry_promote(NAME, "1.0.0", "production", registry=place, trust_adapters=TRUSTED)
        publish(registry)
        with serving(RegistryFolder(place)) as served:
            client = DeviceClient(DeviceOptions("restored", served.url, tmp_path / "models"), machine="one")
            assert client.round().problems == ()
            shutil.copytree(place / "tuf", tmp_path / "backup")
            upload(place, NAME, "1.1.0")
            registry_promote(NAME, "1.1.0", "production", registry=place, trust_adapters=TRUSTED)
            publish(registry)
            assert client.round().models[NAME].version == "1.1.0"
            shutil.rmtree(place / "tuf")
            shutil.copytree(tmp_path / "backup", place / "tuf")
            refused = client.round()
            assert "restored from a backup" in refused.problems[0]
            assert refused.models[NAME].version == "1.1.0"
            publish(registry, recover=True, reason="restored")
            assert client.round().problems == ()


@KILLS
def test_a_killed_server_loses_no_report_that_it_took(place: str, tmp_path: Path, kills: int) -> None:
    """Killed at any moment of storing, deciding and signing: what was answered is there, each once, all else whole."""
    taken: list[int] = []
    for round_number in range(kills):
        with running(place) as found:
            stop = threading.Event()

            def send(first: int, found: Running = found, stop: threading.Event = stop) -> None:
                for number in range(first, first + 100):
                    try:
                        status, _ = found.report(f"killed-{number}")
                    except (OSError, http.client.HTTPException, ValueError):
                        return
                    if status == 200:
                        taken.append(number)
                    if stop.is_set():
                        return

            threads = [threading.Thread(target=send, args=(1000 * round_number + 100 * index,)) for index in range(4)]
            wanted = len(taken) + 10 + round_number % 7
            for thread in threads:
                thread.start()
            until(lambda wanted=wanted: len(taken) > wanted)
            found.process.kill()
            found.process.wait()
            stop.set()
            for thread in threads:
                thread.join()
    stored = {item["name"] for item in registry_device_list(place) if item["name"].startswith("killed-")}
    assert {f"killed-{number}" for number in taken} <= stored
    assert len(taken) > 10 * kills
    with open_registry(place) as registry, registry.engine.connect() as connection:
        registry.check()
        query = "SELECT count(*), sum(predictions), sum(errors) FROM rollout_sums WHERE device LIKE 'killed-%%'"
        [counted] = connection.exec_driver_sql(query)
        assert tuple(counted) == (len(stored), 10 * len(stored), len(stored))
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    with running(place) as found:
        client = DeviceClient(DeviceOptions("after", found.url, tmp_path / "models"), machine="one")
        with closing(client):
            done = client.round()
        assert (done.problems, done.reports_sent) == ((), 1)
        assert found.report("killed-0", errors=1)[1]["new"] is False

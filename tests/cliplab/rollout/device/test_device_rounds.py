"""A round in which nothing is new: what it asks for, what it writes, and that no check is lost with the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="pip install 'cliplab[device]'")
from securesystemslib.signer import CryptoSigner
from signed_registry import MODEL, Served, SignedRegistry, serving
from tflite_adapter import make_tflite
from waiting import until

from cliplab.rollout.device import CheckResult, DeviceClient, DeviceOptions
from cliplab.rollout.device.deadlines import Deadline
from cliplab.rollout.device.installed import InstalledModel
from cliplab.rollout.device.state import RESERVED

STAMP = "tuf/metadata/timestamp.json"


class Fleet:
    """A registry with one version, and devices that follow it."""

    def __init__(self, tmp_path: Path, served: Served) -> None:
        self.tmp_path, self.served, self.registry = tmp_path, served, served.registry
        self.folder = tmp_path / "models"
        self.promote("1.0.0")

    def promote(self, version: str) -> None:
        made = make_tflite(self.tmp_path / "made", version)
        self.registry.promote(version, made.read_bytes())

    def client(self) -> DeviceClient:
        def check(path: Path, golden: Any) -> CheckResult:
            return CheckResult(True, "")

        return DeviceClient(DeviceOptions("a", self.served.url, self.folder), check=check, machine="one")

    def in_use(self) -> str | None:
        current = InstalledModel(self.folder, MODEL).current()
        return current.version if current else None


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with serving(SignedRegistry()) as served:
        yield Fleet(tmp_path, served)


def due(client: DeviceClient) -> DeviceClient:
    """Let the next round report, whenever the last one did."""
    client._last_report = float("-inf")
    return client


def with_tags(registry: SignedRegistry, path: str, asked: list[str]) -> Callable[[Any], None]:
    """Answer with an entity tag, and with 304 to who shows it."""

    def answer(handler: Any) -> None:
        data = registry.files[path]
        tag = f'"{hash(data)}"'
        asked.append(handler.headers.get("If-None-Match", ""))
        if asked[-1] == tag:
            handler.answer(304, b"", {"ETag": tag})
        else:
            handler.answer(200, data, {"ETag": tag})

    return answer


def test_an_idle_round_asks_twice_and_writes_nothing(fleet: Fleet) -> None:
    client = fleet.client()
    client.round()
    due(client).round()
    state = fleet.folder / ".device" / "device.json"
    before = state.stat().st_ino, state.read_bytes()
    fleet.served.asked.clear()
    fleet.served.reports.clear()
    for _ in range(5):
        done = due(client).round()
        assert (done.problems, done.reports_sent, done.reports_waiting) == ((), 1, 0)
    assert [path for path, _ in fleet.served.asked] == ["tuf/metadata/2.root.json", STAMP] * 5
    assert len({report["sequence"] for _, report in fleet.served.reports}) == 5
    assert (state.stat().st_ino, state.read_bytes()) == before
    fleet.promote("1.1.0")
    assert client.round().models[MODEL].action == "installed"


def test_a_tag_spares_the_timestamp(fleet: Fleet) -> None:
    asked: list[str] = []
    fleet.served.answers[STAMP] = with_tags(fleet.registry, STAMP, asked)
    client = fleet.client()
    for _ in range(3):
        assert client.round().problems == ()
    assert [bool(tag) for tag in asked] == [False, True, True]
    fleet.promote("1.1.0")
    assert client.round().models[MODEL].version == "1.1.0"


@pytest.mark.parametrize("tag", ['"', "", '"a\tb"', "x" * 5000, '"é"', '"a", "b"', "*"])
def test_tags_that_are_none(fleet: Fleet, tag: str) -> None:
    """What is not an entity tag is never sent back."""
    asked: list[str] = []

    def answer(handler: Any) -> None:
        asked.append(handler.headers.get("If-None-Match", ""))
        handler.send_response(200)
        handler.wfile.write(b"".join(handler._headers_buffer))
        handler._headers_buffer = []
        data = fleet.registry.files[STAMP]
        handler.wfile.write(f"ETag: {tag}\r\nContent-Length: {len(data)}\r\n\r\n".encode("latin-1") + data)

    fleet.served.answers[STAMP] = answer
    client = fleet.client()
    for _ in range(2):
        assert client.round().problems == ()
    assert asked == ["", ""]


def test_a_registry_that_always_says_304_is_noticed_when_the_metadata_expire(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    fleet.served.answers[STAMP] = with_tags(fleet.registry, STAMP, asked)
    client = fleet.client()
    client.round()
    fleet.served.answers[STAMP] = lambda handler: handler.answer(304, b"")
    assert client.round().problems == ()
    later = time.time() + 2 * 86400
    monkeypatch.setattr("cliplab.rollout.device.state.wall_clock", lambda: later)
    done = client.round()
    assert not done.reachable
    assert done.problems
    assert fleet.in_use() == "1.0.0"
    fleet.served.answers.clear()
    fleet.registry.sign(days=5)
    assert client.round().problems == ()


def test_a_registry_that_names_its_newest_root_is_asked_once(fleet: Fleet) -> None:
    """The header says what a 404 would say, and is believed as far: a newer root is read before anything else."""
    named = ["1"]

    def answer(handler: Any) -> None:
        handler.answer(200, fleet.registry.files[STAMP], {"X-Cliplab-Root": named[0]})

    fleet.served.answers[STAMP] = answer
    client = fleet.client()
    client.round()
    fleet.served.asked.clear()
    assert client.round().problems == ()
    assert [path for path, _ in fleet.served.asked] == [STAMP]
    for lie in ("", "0", "7", "x" * 1000):
        named[0] = lie
        fleet.served.asked.clear()
        assert client.round().problems == ()
        assert ("tuf/metadata/2.root.json", "") in fleet.served.asked
    named[0] = "1"
    for _ in range(2):
        client.round()
    registry, named[0] = fleet.registry, "2"
    [old] = registry.keys["timestamp"]
    registry.keys["timestamp"] = [CryptoSigner.generate_ed25519()]
    registry.root.revoke_key(old.public_key.keyid, "timestamp")
    registry.root.add_key(registry.keys["timestamp"][0].public_key, "timestamp")
    registry.root.version = 2
    registry.write("2.root.json", registry.root, "root")
    assert "without valid signatures" in client.round().problems[0]
    # A lie hides the new root as a 404 would, until anything else is new.
    registry.sign()
    named[0] = "1"
    assert client.round().problems == ()


def test_a_304_that_nobody_asked_for_is_an_error(fleet: Fleet) -> None:
    fleet.served.answers[STAMP] = lambda handler: handler.answer(304, b"")
    done = fleet.client().round()
    assert "304" in done.problems[0]


def test_a_replayed_timestamp_is_refused_between_idle_rounds(fleet: Fleet) -> None:
    client = fleet.client()
    client.round()
    old = fleet.registry.files[STAMP]
    fleet.promote("1.1.0")
    for _ in range(3):
        assert client.round().models[MODEL].version == "1.1.0"
    new, fleet.registry.files[STAMP] = fleet.registry.files[STAMP], old
    for _ in range(2):
        assert "older state" in client.round().problems[0]
    fleet.registry.files[STAMP] = new
    assert client.round().problems == ()


def test_what_was_seen_before_an_error_counts_after_it(fleet: Fleet) -> None:
    """A timestamp that was verified before a snapshot that was not: the one before it is a rollback from then on."""
    client = fleet.client()
    for _ in range(2):
        client.round()
    old = fleet.registry.files[STAMP]
    fleet.promote("1.1.0")
    snapshot = fleet.registry.files.pop("tuf/metadata/2.snapshot.json")
    assert client.round().problems
    fleet.registry.files[STAMP], new = old, fleet.registry.files[STAMP]
    assert "older state" in client.round().problems[0]
    fleet.registry.files |= {STAMP: new, "tuf/metadata/2.snapshot.json": snapshot}
    assert client.round().models[MODEL].version == "1.1.0"


def test_a_root_alone_is_followed_and_ends_the_old_keys(fleet: Fleet) -> None:
    """The timestamp is the very same; its key was revoked since."""
    client = fleet.client()
    for _ in range(2):
        assert client.round().problems == ()
    registry = fleet.registry
    [old] = registry.keys["timestamp"]
    registry.keys["timestamp"] = [CryptoSigner.generate_ed25519()]
    registry.root.revoke_key(old.public_key.keyid, "timestamp")
    registry.root.add_key(registry.keys["timestamp"][0].public_key, "timestamp")
    registry.root.version = 2
    registry.write("2.root.json", registry.root, "root")
    assert "without valid signatures" in client.round().problems[0]
    registry.sign()
    assert client.round().problems == ()


def test_keys_that_were_stolen_cannot_stop_a_device_for_ever(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who had the keys of timestamp and snapshot signed the highest numbers and a time far ahead: new keys end it.

    The specification's recovery from fast-forward attacks, 5.3.11.
    """
    client, registry = fleet.client(), fleet.registry
    client.round()
    honest = registry.version
    registry.version = 2**40
    registry.sign(days=20_000, signed_at=datetime(2060, 1, 1, tzinfo=UTC))
    client.round()
    assert client._state.seen_versions["timestamp"] == 2**40 + 1
    for role in ("snapshot", "timestamp"):
        [old] = registry.keys[role]
        registry.keys[role] = [CryptoSigner.generate_ed25519()]
        registry.root.revoke_key(old.public_key.keyid, role)
        registry.root.add_key(registry.keys[role][0].public_key, role)
    registry.root.version = 2
    registry.write("2.root.json", registry.root, "root")
    registry.version = honest
    fleet.promote("1.1.0")
    done = client.round()
    assert (done.problems, done.models[MODEL].version) == ((), "1.1.0")
    assert client._state.clock_behind_seconds() < 86400
    # Without new keys the lower numbers are a rollback, also where the stored metadata were lost.
    for path in (fleet.folder / ".device" / "trust").glob("*.json"):
        if path.name != "trusted_root.json":
            path.unlink()
    registry.version = 0
    registry.sign()
    assert "restored from a backup" in fleet.client().round().problems[0]


def test_a_client_that_was_killed_uses_no_number_again(fleet: Fleet) -> None:
    """Reports that count nothing are not on the disk before they are sent."""
    for _ in range(3):
        client = fleet.client()
        for _ in range(4):
            assert due(client).round().reports_sent == 1
        # Not closed, as after SIGKILL.
    numbers = [report["sequence"] for _, report in fleet.served.reports]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 12
    assert numbers[-1] <= 12 + 3 * RESERVED
    client.close()
    due(fleet.client()).round()
    assert fleet.served.reports[-1][1]["sequence"] == numbers[-1] + 1


def test_a_report_that_cannot_be_sent_waits(fleet: Fleet) -> None:
    client = fleet.client()
    client.round()
    fleet.served.answers["/devices/a/reports"] = lambda handler: handler.answer(503, b"", {"Retry-After": "7"})
    for waiting in (1, 2):
        done = due(client).round()
        assert (done.reachable, done.reports_waiting, done.retry_seconds) == (True, waiting, 7)
    fleet.served.answers.clear()
    fleet.served.reports.clear()
    again = due(fleet.client()).round()  # the one before was killed
    assert (again.reports_sent, again.reports_waiting) == (3, 0)
    numbers = [report["sequence"] for _, report in fleet.served.reports]
    assert numbers == sorted(set(numbers))


def test_deadlines() -> None:
    ended: list[str] = []
    first = Deadline(0.01, lambda: ended.append("first"))
    never = Deadline(3600, lambda: ended.append("never"))
    cancelled = Deadline(0.01, lambda: ended.append("cancelled"))
    cancelled.cancel()
    raising = Deadline(0.01, lambda: ended.append("raising") or 1 / 0)  # type: ignore[func-returns-value]
    until(lambda: first.passed and raising.passed)
    assert sorted(ended) == ["first", "raising"]
    assert not cancelled.passed
    assert not never.passed
    # What began to end is waited for.
    entered, leave = threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        leave.wait(60)

    late = Deadline(0, slow)
    assert entered.wait(60)
    threading.Timer(0.05, leave.set).start()
    late.cancel()
    assert leave.is_set()
    assert late.passed
    never.cancel()

"""What a device reports: every count once, under the version that made it, waiting on the disk until it was taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.records import Prediction
from cliplab.rollout import read_report
from cliplab.rollout.device.connection import Answer, said_in
from cliplab.rollout.device.errors import UnreachableError
from cliplab.rollout.device.loop_counts import LATENCY_EDGES_MS, LoopFile
from cliplab.rollout.device.report_queue import ReportQueue
from cliplab.rollout.device.state import DeviceState
from cliplab.rollout.device.telemetry import SENT_PER_ROUND, Telemetry

MODEL, OLD, NEW = "base-ads", "a" * 64, "b" * 64
IN_USE = {MODEL: "1.1.0"}


class Registry:
    """Takes reports, or answers with a status."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.status: int | None = None
        self.down = False
        self.body = b"{}"

    def post(self, path: str, body: bytes, kind: str) -> Answer:
        assert kind == "application/json"
        if self.down:
            raise UnreachableError("no answer", self.status)
        self.taken.append((path, json.loads(body)))
        return Answer(200, self.body, {})

    @property
    def reports(self) -> list[dict[str, Any]]:
        return [report for _, report in self.taken]


class Device:
    def __init__(self, folder: Path) -> None:
        self.folder, self.warnings = folder, list[str]()
        self.open()

    def open(self) -> None:
        self.state = DeviceState(self.folder, "kitchen", "machine")
        self.queue = ReportQueue(self.folder / "reports")
        self.telemetry = Telemetry(self.folder, self.state, self.queue, self.warnings.append)

    def loop(self) -> LoopFile:
        return LoopFile(self.folder / "loops", MODEL)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    (tmp_path / "loops").mkdir()
    made = Device(tmp_path)
    made.telemetry.remember_version(OLD, "1.0.0")
    made.telemetry.remember_version(NEW, "1.1.0")
    return made


def count(loop: LoopFile, sha256: str, predictions: int, milliseconds: float = 5.0) -> None:
    one = Prediction(np.array([0.75, 0.25], np.float32), ("ad", "show"), 0.0, 1.0, "x")
    loop.counts(sha256).add([one] * predictions, milliseconds)
    loop.write()


def test_each_version_has_a_report_of_its_own_and_that_in_use_comes_last(device: Device) -> None:
    loop, registry = device.loop(), Registry()
    count(loop, NEW, 2)
    count(loop, OLD, 3)
    loop.counts(OLD).errors, loop.counts(OLD).labelled, loop.counts(OLD).correct = 1, 4, 3
    loop.close()
    assert device.telemetry.make(IN_USE) == 2
    assert device.telemetry.send(registry) == 2  # type: ignore[arg-type]
    old, new = registry.reports
    assert {path for path, _ in registry.taken} == {"devices/kitchen/reports"}
    assert (old["versions"], new["versions"]) == ({MODEL: "1.0.0"}, IN_USE)
    assert (old["predictions"], old["errors"], old["labelled"], old["correct"]) == (4, 1, 4, 3), "failed ones included"
    assert (new["predictions"], new["errors"], new["labelled"], new["correct"]) == (2, 0, None, None)
    assert (old["sequence"], new["sequence"]) == (1, 2)
    assert old["client"] == new["client"] == device.state.client_id
    assert old["latency_ms"]["edges"] == list(LATENCY_EDGES_MS)
    assert sum(old["latency_ms"]["counts"]) == 3
    assert sum(old["scores"]["ad"]) == 3
    assert old["disk_free_bytes"] > 0
    assert old["time"] > 1e9
    for report in registry.reports:
        assert read_report("kitchen", report).predictions == report["predictions"]
    assert list((device.folder / "loops").iterdir()) == [], "the files of loops that ended are removed"


def test_what_was_reported_is_not_reported_again(device: Device) -> None:
    loop, registry = device.loop(), Registry()
    count(loop, NEW, 2)
    device.telemetry.make(IN_USE)
    count(loop, NEW, 3)
    device.telemetry.make(IN_USE)
    device.open()
    assert device.telemetry.make(IN_USE) == 1, "a report without counts says that the device lives"
    device.telemetry.send(registry)  # type: ignore[arg-type]
    assert [report["predictions"] for report in registry.reports] == [2, 3, 0]
    assert registry.reports[2]["latency_ms"] is None
    assert [report["sequence"] for report in registry.reports] == [1, 2, 3]
    assert device.telemetry.totals(MODEL, NEW).predictions == 5
    assert device.telemetry.totals(MODEL, OLD).empty
    assert device.telemetry.totals("other", NEW).empty
    loop.close()


def test_events_are_reported_once_with_their_version(device: Device) -> None:
    registry = Registry()
    assert not device.telemetry.has_events
    device.telemetry.note(MODEL, OLD, golden_failures=2)
    device.telemetry.note(MODEL, OLD, restarts=1)
    device.telemetry.note(MODEL, OLD, golden_failures=1)
    assert device.telemetry.has_events
    assert device.telemetry.make({MODEL: "1.0.0"}) == 1
    assert not device.telemetry.has_events
    device.telemetry.make({MODEL: "1.0.0"})
    device.telemetry.send(registry)  # type: ignore[arg-type]
    assert [(one["golden_failures"], one["restarts"]) for one in registry.reports] == [(3, 1), (0, 0)]
    assert [one["versions"] for one in registry.reports] == [{MODEL: "1.0.0"}] * 2


def test_a_loop_that_ended_without_saying_so_is_a_crash_once(device: Device) -> None:
    registry = Registry()
    crashed, ended, running = device.loop(), device.loop(), device.loop()
    for loop in (crashed, ended, running):
        count(loop, NEW, 1)
    crashed.close(ended=False)
    ended.close()
    (found,) = device.telemetry.crashes()
    assert (found.model, found.version) == (MODEL, NEW)
    assert device.telemetry.crashes() == []
    device.telemetry.make(IN_USE)
    device.telemetry.send(registry)  # type: ignore[arg-type]
    assert [(one["restarts"], one["predictions"]) for one in registry.reports] == [(1, 3)]
    assert len(list((device.folder / "loops").glob("*.json"))) == 1, "the one that runs"
    running.close()


def test_reports_wait_until_the_registry_can_be_reached(device: Device) -> None:
    registry = Registry()
    registry.down = True
    device.telemetry.make(IN_USE)
    device.telemetry.make(IN_USE)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            device.telemetry.send(registry)  # type: ignore[arg-type]
    assert len(device.queue) == 2
    registry.down = False
    assert device.telemetry.send(registry) == 2  # type: ignore[arg-type]
    assert [one["sequence"] for one in registry.reports] == [1, 2]
    assert len(device.queue) == 0
    assert device.telemetry.send(registry) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_a_report_that_is_refused_is_dropped_and_said(status: int, device: Device) -> None:
    registry = Registry()
    registry.down, registry.status = True, status
    device.telemetry.make(IN_USE)
    assert device.telemetry.send(registry) == 0  # type: ignore[arg-type]
    assert device.warnings == ["report 1 was refused and is dropped: no answer"]
    assert len(device.queue) == 0
    device.telemetry.make(IN_USE, online=True)
    assert device.telemetry.send(registry) == 0  # type: ignore[arg-type]
    assert "report 2 was refused" in device.warnings[1]


@pytest.mark.parametrize("status", [None, 401, 429, 500, 503])
def test_other_answers_let_a_report_wait(status: int | None, device: Device) -> None:
    registry = Registry()
    registry.down, registry.status = True, status
    device.telemetry.make(IN_USE)
    with pytest.raises(UnreachableError):
        device.telemetry.send(registry)  # type: ignore[arg-type]
    assert len(device.queue) == 1
    assert device.warnings == []


def test_a_device_that_comes_back_sends_a_part_in_each_round(device: Device) -> None:
    registry = Registry()
    for _ in range(SENT_PER_ROUND + 3):
        device.telemetry.make(IN_USE)
    assert device.telemetry.send(registry) == SENT_PER_ROUND  # type: ignore[arg-type]
    assert device.telemetry.send(registry) == 3  # type: ignore[arg-type]
    assert [one["sequence"] for one in registry.reports] == list(range(1, SENT_PER_ROUND + 4))


def test_a_sign_of_life_is_kept_in_memory_while_the_registry_answers(device: Device) -> None:
    registry = Registry()
    assert device.telemetry.make(IN_USE, online=True) == 1
    assert len(device.queue) == 0
    assert device.telemetry.send(registry) == 1  # type: ignore[arg-type]
    assert device.telemetry.send(registry) == 0, "once"  # type: ignore[arg-type]
    device.telemetry.make(IN_USE, online=True)
    registry.down = True
    with pytest.raises(UnreachableError):
        device.telemetry.send(registry)  # type: ignore[arg-type]
    assert len(device.queue) == 1, "on the disk where it could not be sent"
    registry.down = False
    device.telemetry.send(registry)  # type: ignore[arg-type]
    numbers = [one["sequence"] for one in registry.reports]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 2


def test_a_warning_of_the_registry_is_said(device: Device) -> None:
    registry = Registry()
    registry.body = b'{"device": "d", "warning": "two devices have this name"}'
    device.telemetry.make(IN_USE)
    device.telemetry.send(registry)  # type: ignore[arg-type]
    assert device.warnings == ["two devices have this name"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "wait  a\\n second"}', "wait a second"),
        (b"<p>Bad\n gateway</p>", "<p>Bad gateway</p>"),
        (b'{"error": 5}', '{"error": 5}'),
        (b'["error"]', '["error"]'),
        (b'{"other": "x"}', '{"other": "x"}'),
        (b"\xff{", "\ufffd{"),
        (b"[" * 3000, "[" * 3000),
        (b"", ""),
    ],
)
def test_what_an_answer_says(body: bytes, said: str) -> None:
    assert said_in(body, "error") == said


def test_counts_of_a_version_without_a_name_wait_for_it(device: Device) -> None:
    loop, registry = device.loop(), Registry()
    count(loop, "c" * 64, 2)
    device.telemetry.make(IN_USE)
    device.telemetry.send(registry)  # type: ignore[arg-type]
    assert [one["predictions"] for one in registry.reports] == [0]
    loop.close()


def test_the_names_of_the_last_twenty_versions_are_remembered(device: Device) -> None:
    for number in range(20):
        device.telemetry.remember_version(f"{number:064d}", f"2.0.{number}")
    device.telemetry.remember_version(f"{0:064d}", "2.0.0")
    device.telemetry.remember_version("d" * 64, "2.1.0")
    device.telemetry.make(IN_USE)
    known = device.state.get("versions")
    assert len(known) == 20
    assert OLD not in known
    assert f"{1:064d}" not in known
    assert f"{0:064d}" in known, "the one that was named again is new"


def test_the_queue_of_reports_is_bounded_and_drops_the_oldest(tmp_path: Path) -> None:
    queue = ReportQueue(tmp_path, max_reports=3)
    assert [queue.put("d", {"sequence": number}) for number in range(1, 6)] == [0, 0, 0, 1, 1]
    assert [one.sequence for one in queue.waiting(10)] == [3, 4, 5]
    assert [one.sequence for one in queue.waiting(5)] == [3, 4]
    assert {one.device for one in queue.waiting(10)} == {"d"}
    (tmp_path / f"{4:012d}.json").write_text("{")
    assert [one.sequence for one in queue.waiting(10)] == [3, 5]
    queue.remove_from(5)
    assert (len(queue), queue.clear(), len(queue)) == (1, 1, 0)
    small = ReportQueue(tmp_path / "s", max_bytes=1)
    assert [small.put("d", {"sequence": number}) for number in (1, 2)] == [0, 1]
    assert [one.sequence for one in small.waiting(10)] == [2], "the newest is kept"

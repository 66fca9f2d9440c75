"""The client on a device: only what is signed, whole and works here comes into use, in one step, and back again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="pip install 'cliplab[device]'")
from signed_registry import MODEL, Served, SignedRegistry, serving
from tflite_adapter import make_tflite
from waiting import until

from adapters.bundle import render_clip
from adapters.errors import ConfigError, StorageError
from adapters.inference import open_model
from cliplab.registry import CurrentModel
from cliplab.rollout.device import (
    CheckResult,
    DeviceClient,
    DeviceError,
    DeviceModel,
    DeviceOptions,
    HardExamples,
    Round,
    golden_process,
)
from cliplab.rollout.device.client import only_client, wait_seconds
from cliplab.rollout.device.examples import examples_of
from cliplab.rollout.device.golden_check import check_model
from cliplab.rollout.device.installed import InstalledModel
from cliplab.rollout.device.loop_counts import LoopFile
from cliplab.rollout.device.report_queue import ReportQueue


@pytest.fixture
def registry() -> SignedRegistry:
    return SignedRegistry()


@pytest.fixture
def served(registry: SignedRegistry) -> Iterator[Served]:
    with serving(registry) as found:
        yield found


def passes(path: Path, golden: Any) -> CheckResult:
    return CheckResult(True, "")


def model_bytes(tmp_path: Path, label: str) -> bytes:
    return make_tflite(tmp_path / f"{label}.made", label).read_bytes()


def device(served: Served, folder: Path, name: str = "kitchen-01", **options: Any) -> DeviceClient:
    arguments = {"check": options.pop("check", passes), "machine": options.pop("machine", "one")}
    return DeviceClient(DeviceOptions(name, served.url, folder, **options), **arguments)


def in_use(folder: Path) -> str | None:
    current = InstalledModel(folder, MODEL).current()
    return current.version if current else None


def label(folder: Path) -> str:
    adapter = CurrentModel(folder / MODEL).get()
    [prediction] = adapter.predict([render_clip(adapter.input_spec)])
    return str(prediction.labels[1])


# Following --------------------------------------------------------------------------------------------------------


def test_it_follows_the_registry_and_a_loop_follows_it(
    registry: SignedRegistry, served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    client = device(served, folder)
    first = client.round()
    assert (first.reachable, first.problems, first.models[MODEL].action) == (True, (), "installed")
    assert "trusted from now on" in first.warnings[0]
    with DeviceModel(folder, MODEL) as loop:
        clip = render_clip(loop.get().input_spec)
        assert loop.predict([clip])[0].labels[1] == "one"
        registry.promote("1.1.0", model_bytes(tmp_path, "two"))
        assert client.round().models[MODEL].action == "installed"
        assert loop.predict([clip])[0].labels[1] == "two"
    assert client.round().models[MODEL].action == "none"
    assert InstalledModel(folder, MODEL).previous().version == "1.0.0"  # type: ignore[union-attr]
    # The registry goes back: the version before is here, so that nothing is downloaded.
    served.asked.clear()
    registry.promote("1.0.0", registry.targets[f"{MODEL}/1.0.0/{MODEL}-v1.0.0.tflite"])
    assert client.round().models[MODEL].action == "installed"
    assert not [path for path, _ in served.asked if path.endswith(".tflite")]
    assert label(folder) == "one"


def test_reports_say_what_loops_did(registry: SignedRegistry, served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    client = device(served, folder)
    client.round()
    served.reports.clear()
    with DeviceModel(folder, MODEL) as loop:
        clip = render_clip(loop.get().input_spec)
        loop.predict([clip, clip])
        loop.record_label(True)
        with pytest.raises(AttributeError):
            loop.predict([None])  # type: ignore[list-item]
    client._last_report = float("-inf")
    assert client.round().reports_sent == 1
    [(path, report)] = served.reports
    assert path == "/devices/kitchen-01/reports"
    assert (report["versions"], report["predictions"], report["errors"]) == ({MODEL: "1.0.0"}, 3, 1)
    assert sum(report["latency_ms"]["counts"]) == 2
    assert (report["labelled"], report["correct"]) == (1, 1)
    assert sum(report["scores"]["one"]) == 2
    client._last_report = float("-inf")
    client.round()
    assert served.reports[-1][1]["predictions"] == 0  # counted once
    assert not list((folder / ".device" / "loops").iterdir())


def test_what_a_loop_is_unsure_of_waits_for_the_client(
    registry: SignedRegistry, served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    client = device(served, folder)
    client.round()
    which = HardExamples(min_confidence=0.0, max_confidence=1.0, sample_rate=1.0)
    with DeviceModel(folder, MODEL, examples=which) as loop:
        clip = render_clip(loop.get().input_spec)
        loop.predict([clip, clip])
    assert len(examples_of(folder)) == 1, "two that look the same are one"
    assert client.round().examples_sent == 1
    assert len(examples_of(folder)) == 0
    with DeviceModel(folder, MODEL) as loop:
        loop.predict([clip])
    assert client.round().examples_sent == 0


def test_a_full_disk_ends_the_keeping_of_examples_and_not_the_loop(
    registry: SignedRegistry, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    device(served, tmp_path / "models").round()

    def full(*_: Any) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr("cliplab.rollout.device.device_model.keep_hard_example", full)
    said: list[str] = []
    which = HardExamples(min_confidence=0.0, max_confidence=1.0, sample_rate=1.0)
    with DeviceModel(tmp_path / "models", MODEL, examples=which, on_warning=said.append) as loop:
        clip = render_clip(loop.get().input_spec)
        assert [len(loop.predict([clip])) for _ in range(3)] == [1, 1, 1]
    assert said == ["no more examples are kept until the next start: no space left"]


def test_reports_wait_for_the_network_and_are_sent_once(
    registry: SignedRegistry, served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    client = device(served, folder)
    client.round()
    served.reports.clear()
    served.down = True
    for _ in range(3):
        client._last_report = float("-inf")
        away = client.round()
        assert not away.reachable
        assert away.problems
    assert away.reports_waiting == 3
    assert in_use(folder) == "1.0.0"
    client.close()
    served.down = False
    back = device(served, folder).round()
    assert (back.reports_sent, back.reports_waiting) == (4, 0)
    numbers = [report["sequence"] for _, report in served.reports]
    assert numbers == list(range(numbers[0], numbers[0] + 4))


def test_a_rollout_reaches_its_devices_and_a_halt_takes_it_back(
    registry: SignedRegistry, served: Served, tmp_path: Path
) -> None:
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    clients = [device(served, tmp_path / f"{number}", f"device-{number}") for number in range(8)]
    for client in clients:
        client.round()
    registry.roll_out("1.1.0", model_bytes(tmp_path, "two"), 50)
    versions = [client.round().models[MODEL].version for client in clients]
    assert set(versions) == {"1.0.0", "1.1.0"}
    registry.roll_out("1.1.0", model_bytes(tmp_path, "two"), 100)
    assert {client.round().models[MODEL].version for client in clients} == {"1.1.0"}
    registry.roll_out("1.1.0", model_bytes(tmp_path, "two"), 100, "halted")
    assert {client.round().models[MODEL].version for client in clients} == {"1.0.0"}


# What does not work here --------------------------------------------------------------------------------------------


def test_a_golden_failure_is_never_used_and_is_reported(
    registry: SignedRegistry, served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    tried: list[Path] = []

    def check(path: Path, golden: Any) -> CheckResult:
        tried.append(path)
        return CheckResult(len(tried) == 1, "off by 0.4")

    client = device(served, folder, check=check)
    client.round()
    registry.promote("1.1.0", model_bytes(tmp_path, "two"))
    refused = client.round()
    assert refused.models[MODEL].action == "refused"
    assert "off by 0.4" in refused.problems[0]
    assert label(folder) == "one"
    failed = [report for _, report in served.reports if report["golden_failures"]]
    assert [report["versions"] for report in failed] == [{MODEL: "1.1.0"}]
    assert served.reports[-1][1]["versions"] == {MODEL: "1.0.0"}
    client.round()
    assert len(tried) == 2  # the same bytes are not tried again
    registry.promote("1.1.1", model_bytes(tmp_path, "three"))
    assert client.round().models[MODEL].action == "refused"  # other bytes are


def test_the_golden_clip_is_predicted_in_a_process_of_its_own(
    tmp_path: Path,
) -> None:
    path = make_tflite(tmp_path / "a.tflite", "a")
    opened = open_model(path)
    [prediction] = opened.predict([render_clip(opened.input_spec, 2)])
    golden = {
        "variant": 2,
        "scores": prediction.scores.tolist(),
        "labels": list(prediction.labels),
        "precision": "float32",
        "tolerance": 1e-4,
    }
    assert check_model(path, golden).passed
    wrong = check_model(path, {**golden, "scores": [0.9, 0.1]})
    assert not wrong.passed
    assert "must be" in wrong.message
    assert golden_process.check(str(path), None)[0]
    assert not golden_process.check(str(path), {**golden, "labels": ["b", "a"]})[0]
    assert not golden_process.check(str(path), {"form": "unknown"})[0]


def test_a_loop_that_crashes_again_and_again_brings_the_version_before_back(
    registry: SignedRegistry, served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    client = device(served, folder)
    for version, name in (("1.0.0", "one"), ("1.1.0", "two")):
        registry.promote(version, model_bytes(tmp_path, name))
        client.round()
    for _ in range(3):
        loop = DeviceModel(folder, MODEL)
        loop.predict([render_clip(loop.get().input_spec)])
        loop._loop.close(ended=False)  # as a process that dies
        done = client.round()
    assert any("3 crashes" in warning for warning in done.warnings)
    assert in_use(folder) == "1.0.0"
    assert sum(report["restarts"] for _, report in served.reports) == 3
    assert client.round().models[MODEL].action == "refused"  # it does not come back by itself
    assert label(folder) == "one"


def test_a_version_whose_predictions_all_fail_is_taken_back(
    registry: SignedRegistry, served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    client = device(served, folder)
    for version, name in (("1.0.0", "one"), ("1.1.0", "two")):
        registry.promote(version, model_bytes(tmp_path, name))
        client.round()
    with DeviceModel(folder, MODEL) as loop:
        for _ in range(20):
            with pytest.raises(AttributeError):
                loop.predict([None])  # type: ignore[list-item]
        loop._loop.write()
        assert any("predictions failed" in warning for warning in client.round().warnings)
    assert in_use(folder) == "1.0.0"


def test_a_damaged_file_is_replaced(registry: SignedRegistry, served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    client = device(served, folder)
    for version, name in (("1.0.0", "one"), ("1.1.0", "two")):
        registry.promote(version, model_bytes(tmp_path, name))
        client.round()
    current = InstalledModel(folder, MODEL).current()
    assert current is not None
    (folder / MODEL / current.file).write_bytes(b"rotten")
    served.down = True
    assert any("damaged" in problem for problem in client.round().problems)
    assert label(folder) == "one"
    served.down = False
    client.round()
    assert label(folder) == "two"


# The device's own troubles -------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_all_as_it_was(
    registry: SignedRegistry, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    client = device(served, folder)
    client.round()
    registry.promote("1.1.0", model_bytes(tmp_path, "two"))
    monkeypatch.setattr("cliplab.rollout.device.updating.free_bytes", lambda folder: 1000)
    full = client.round()
    assert "must stay free" in full.problems[0]
    assert (full.reachable, in_use(folder)) == (True, "1.0.0")
    monkeypatch.undo()
    assert client.round().models[MODEL].version == "1.1.0"


def test_another_name_or_machine_is_another_device(registry: SignedRegistry, served: Served, tmp_path: Path) -> None:
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    folder = tmp_path / "models"
    device(served, folder).round()
    clone = device(served, folder, machine="two").round()
    assert "copied here from another machine" in clone.warnings[0]
    renamed = device(served, folder, "bath", machine="two").round()
    assert "was kitchen-01" in renamed.warnings[0]
    clients = [(path, report["client"]) for path, report in served.reports]
    assert len(set(clients)) == 3
    assert in_use(folder) == "1.0.0"


def test_one_client_for_a_folder(tmp_path: Path) -> None:
    with only_client(tmp_path), pytest.raises(DeviceError, match="another client"), only_client(tmp_path):
        pass


@pytest.mark.parametrize("name", ["", "../x", "a/b", "ä", "x" * 65, "-x", "a b"])
def test_names_of_devices(name: str, served: Served, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the device's name"):
        device(served, tmp_path, name)


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://u:p@h", "http://h:99999", "models.example.org"])
def test_addresses_of_registries(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="registry is"):
        DeviceClient(DeviceOptions("a", url, tmp_path))


def test_a_damaged_state_is_named(registry: SignedRegistry, served: Served, tmp_path: Path) -> None:
    (tmp_path / ".device").mkdir()
    (tmp_path / ".device" / "device.json").write_text('{"format": 1')
    with pytest.raises(DeviceError, match="damaged"):
        device(served, tmp_path)


def test_waiting_backs_off_and_spreads() -> None:
    assert wait_seconds(60, 0, None, 0.0) == pytest.approx(51)
    assert wait_seconds(60, 0, None, 1.0) == 60
    waits = [wait_seconds(60, failures, None, 1.0) for failures in range(1, 9)]
    assert waits == sorted(waits)
    assert waits[-1] == 3600
    assert wait_seconds(60, 1, 300, 0.0) >= 300  # the registry asks to wait
    assert wait_seconds(60, 1, 1e9, 0.0) <= 3600 * 2


def test_run_repeats_until_it_is_stopped(registry: SignedRegistry, served: Served, tmp_path: Path) -> None:
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    client = device(served, tmp_path / "models", poll_seconds=1)
    stop, rounds = threading.Event(), list[Round]()
    thread = threading.Thread(target=client.run, args=(stop, rounds.append))
    thread.start()
    until(lambda: len(rounds) > 1)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


def test_a_waiting_report_that_is_refused_does_not_block_the_others(
    registry: SignedRegistry, served: Served, tmp_path: Path
) -> None:
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    served.answers["/devices/kitchen-01/reports"] = lambda handler: handler.answer(400, b"no")
    client = device(served, tmp_path / "models")
    done = client.round()
    assert done.reports_waiting == 0
    assert any("refused" in warning for warning in client.round().warnings + done.warnings)


def test_reports_that_are_dropped_are_said_and_numbers_are_given_once(
    registry: SignedRegistry, served: Served, tmp_path: Path
) -> None:
    registry.promote("1.0.0", model_bytes(tmp_path, "one"))
    client = device(served, tmp_path / "models")
    client.round()
    served.reports.clear()
    client._queue._max_reports = 2
    served.down = True
    said = []
    for _ in range(4):
        client._last_report = float("-inf")
        said += client.round().warnings
    assert [text.partition(" reports")[0] for text in said if "dropped" in text] == ["1", "1"]
    served.down = False
    client._last_report = float("-inf")
    client.round()
    numbers = [report["sequence"] for _, report in served.reports]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) >= 2


def test_the_queue_of_reports_is_bounded(tmp_path: Path) -> None:
    queue = ReportQueue(tmp_path, max_reports=3)
    assert [queue.put("a", {"sequence": number}) for number in range(1, 6)] == [0, 0, 0, 1, 1]
    assert [item.sequence for item in queue.waiting(100)] == [3, 4, 5]
    (tmp_path / "000000000004.json").write_bytes(b"\xff")
    assert [json.loads(item.body)["sequence"] for item in queue.waiting(5)] == [3]
    assert len(queue) == 2


def test_a_device_reports_what_each_of_many_models_did(
    registry: SignedRegistry, served: Served, tmp_path: Path
) -> None:
    names = [f"base-m{number:02d}" for number in range(40)]
    models = {}
    for number, name in enumerate(names):
        data = make_tflite(tmp_path / name, "one", contrast=0.1 + number / 1000).read_bytes()
        facts = registry.place("1.0.0", data)
        models[name] = facts | {"target": f"{name}/1.0.0/{name}.tflite"}
        registry.targets[f"{name}/1.0.0/{name}.tflite"] = data
    registry.targets["environments/production.json"] = json.dumps({"models": models}).encode()
    registry.targets["rollouts.json"] = b'{"rollouts": []}'
    registry.sign()
    client = device(served, tmp_path / "models")
    assert client.round().problems == ()
    for number, name in enumerate(names):
        current = InstalledModel(tmp_path / "models", name).current()
        assert current is not None
        loop = LoopFile(tmp_path / "models" / ".device" / "loops", name)
        loop.counts(current.sha256).errors = number + 1
        loop.close()
    served.reports.clear()
    client._last_report = float("-inf")
    assert client.round().problems == ()
    counted = {
        name: report["errors"] for _, report in served.reports for name in report["versions"] if report["errors"]
    }
    assert counted == {name: number + 1 for number, name in enumerate(names)}

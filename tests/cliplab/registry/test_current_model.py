"""A worker that follows the current model: it switches without a restart, and never to anything that is not whole."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import python, start_python
from small_network import SMALL_NETWORK
from tflite_adapter import make_tflite
from waiting import until

from adapters.base import BaseModelAdapter
from adapters.bundle import render_clip
from adapters.errors import BundleError, ConfigError
from adapters.inference import open_model
from adapters.litert import read_description, with_description
from adapters.litert.tflite_file import without_description
from cliplab.registry import MANIFEST_NAME, CurrentModel, current_model, registry_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two models, of which a.tflite is current."""
    path = tmp_path / "models"
    path.mkdir()
    make_tflite(path / "a.tflite", "a")
    registry_manifest(path)
    make_tflite(path / "b.tflite", "b")
    registry_manifest(path)
    return path


@pytest.fixture
def warnings() -> list[str]:
    return []


def label(adapter: BaseModelAdapter) -> str:
    """Which model this is, by what it predicts."""
    [prediction] = adapter.predict([render_clip(adapter.input_spec)])
    return prediction.labels[1]


def wait_for(adapter: Callable[[], BaseModelAdapter], expected: str) -> None:
    """A damaged model is tried again only after ten times as long as it took; all else is seen by the next get."""
    until(lambda: label(adapter()) == expected, 300)


# Switching ----------------------------------------------------------------------------------------------------------


def test_it_follows_current_and_loads_only_on_a_change(folder: Path) -> None:
    model = CurrentModel(folder)
    first = model.get()
    assert label(first) == "a"
    assert model.get() is first
    registry_manifest(folder, current="b.tflite")
    name, second = model.get_named()
    assert (name, label(second)) == ("b.tflite", "b")
    assert label(first) == "a"  # a request that began with it can end with it
    (folder / "m.json").write_text('{"f1": 1}')
    registry_manifest(folder, add=folder / "a.tflite", metrics=folder / "m.json")
    assert model.get() is second
    registry_manifest(folder, keep_best="f1")
    assert model.get_named()[0] == "a.tflite"


def test_overrides_hold_for_every_model(folder: Path) -> None:
    model = CurrentModel(folder, {"contrast": 0.5})
    assert model.get().config["contrast"] == 0.5
    registry_manifest(folder, current="b.tflite")
    assert model.get().config["contrast"] == 0.5
    with pytest.raises(ConfigError, match="contrasst"):
        CurrentModel(folder, {"contrasst": 0.5}).get()


def test_the_first_get_says_what_is_missing_and_works_when_it_is_there(folder: Path) -> None:
    manifest = folder / MANIFEST_NAME
    text = manifest.read_text()
    manifest.unlink()
    model = CurrentModel(folder)
    with pytest.raises(
        BundleError, match=r"model_manifest\.json: does not exist\. Write it: cliplab registry manifest"
    ):
        model.get()
    manifest.write_text('{"current": null, "models": []}')
    with pytest.raises(BundleError, match="has no current model"):
        model.get()
    manifest.write_text(text[:40])
    with pytest.raises(BundleError, match=r"model_manifest\.json: is damaged or half-written"):
        model.get()
    manifest.write_text(text.replace('"a.tflite",\n  "models"', '"b.tflite",\n  "models"'))
    (folder / "b.tflite").rename(folder / "elsewhere")
    with pytest.raises(BundleError, match=r"b\.tflite: cannot be read"):
        model.get()
    (folder / "elsewhere").rename(folder / "b.tflite")
    assert label(model.get()) == "b"


def test_edits_within_one_step_of_the_clock_are_all_seen(folder: Path) -> None:
    """Two edits in place may leave the same size, inode and times: a file system counts time in steps of some ms."""
    text = (folder / MANIFEST_NAME).read_bytes()
    at = text.index(b'"current": "') + len(b'"current": "')
    model = CurrentModel(folder)
    with (folder / MANIFEST_NAME).open("r+b", buffering=0) as file:
        for expected in b"ab" * 25:
            os.pwrite(file.fileno(), bytes([expected]), at)
            assert model.get_named()[0][0] == chr(expected)


# Never a file that is not whole -------------------------------------------------------------------------------------


def test_a_manifest_seen_half_way_keeps_the_old_model(folder: Path, warnings: list[str]) -> None:
    """`cat > model_manifest.json << EOF` truncates the file first and writes it in any number of pieces."""
    manifest = folder / MANIFEST_NAME
    text = manifest.read_text().replace('"current": "a', '"current": "b')
    model = CurrentModel(folder, on_warning=warnings.append)
    first = model.get()
    with manifest.open("w") as file:
        for start in range(0, len(text), 30):
            assert model.get() is first
            file.write(text[start : start + 30])
            file.flush()
        assert label(model.get()) == "b"
    assert 1 <= len(warnings) <= 12
    assert all(f"{manifest}: is damaged or half-written" in item and "a.tflite stays" in item for item in warnings)


def test_a_model_that_is_still_being_copied_keeps_the_old_one(folder: Path, warnings: list[str]) -> None:
    """The manifest is ahead of the upload: the file grows, and is used when it is whole, the manifest untouched."""
    data = make_tflite(folder / "b.tflite", "b", size_bytes=100_000).read_bytes()
    model = CurrentModel(folder, on_warning=warnings.append)
    first = model.get()
    registry_manifest(folder, current="b.tflite")
    with (folder / "b.tflite").open("wb") as file:
        for start in range(0, len(data), 20_000):
            assert model.get() is first
            file.write(data[start : start + 20_000])
            file.flush()
            time.sleep(0.02)
    wait_for(model.get, "b")
    assert any("b.tflite: is truncated" in item and "a.tflite stays in use" in item for item in warnings)
    assert len(warnings) <= 3  # once for each thing that is wrong, however often it was tried


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is truncated"),
        (lambda path: path.write_bytes(without_description(path.read_bytes())), "does not describe itself"),
        (lambda path: make_tflite(path, "b", aspect="crop", n_frames=1).write_bytes(_naming(path, "x:Y")), "x:Y"),
        (lambda path: path.write_bytes(_naming(path, 7)), "has no adapter"),
    ],
)
def test_a_bad_new_model_is_named_once_and_the_old_one_kept(
    damage: Callable[[Path], Any], message: str, folder: Path, warnings: list[str]
) -> None:
    whole = (folder / "b.tflite").read_bytes()
    model = CurrentModel(folder, on_warning=warnings.append)
    first = model.get()
    registry_manifest(folder, current="b.tflite")
    damage(folder / "b.tflite")
    for _ in range(3):
        assert model.get() is first
        time.sleep(0.02)
    [warning] = warnings
    assert str(folder / "b.tflite") in warning
    assert message in warning
    assert warning.endswith("a.tflite stays in use.")
    (folder / "b.tflite").write_bytes(whole)
    wait_for(model.get, "b")


def test_a_model_that_changes_while_it_is_read_is_not_used(folder: Path, warnings: list[str]) -> None:
    """Its config may be that of one file and its program that of another."""
    make_tflite(folder / "c.tflite", "c", adapter="tflite_adapter:OverwrittenAdapter")
    registry_manifest(folder)
    model = CurrentModel(folder, on_warning=warnings.append)
    first = model.get()
    registry_manifest(folder, current="c.tflite")
    assert model.get() is first
    assert "c.tflite: was changed while it was read" in warnings[0]
    wait_for(model.get, "overwritten")


def _naming(path: Path, adapter: Any) -> bytes:
    description = read_description(path)
    description["config"]["adapter"] = adapter
    return with_description(path.read_bytes(), description)


def test_the_way_back_is_at_once(folder: Path, warnings: list[str]) -> None:
    """A bad model is not tried again for ten times as long as it took, and delays no other."""
    make_tflite(folder / "c.tflite", "c")
    large = bytearray(make_tflite(folder / "b.tflite", "b", size_bytes=30_000_000).read_bytes())
    registry_manifest(folder)
    model = CurrentModel(folder, on_warning=warnings.append)
    model.get()
    registry_manifest(folder, current="b.tflite")
    large[-1] ^= 1
    (folder / "b.tflite").write_bytes(large)
    model.get()
    registry_manifest(folder, current="c.tflite")
    assert label(model.get()) == "c"
    assert len(warnings) == 1


def test_without_a_callback_the_warning_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = CurrentModel(folder)
    first = model.get()
    (folder / MANIFEST_NAME).unlink()
    with caplog.at_level(logging.WARNING, "cliplab"):
        assert model.get() is first
        assert model.get() is first
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{folder / MANIFEST_NAME}: does not exist" in record.getMessage()


# Many threads, and processes that die -------------------------------------------------------------------------------


def test_many_threads_while_a_process_switches_and_is_killed(folder: Path, warnings: list[str]) -> None:
    code = (
        "import sys; from cliplab.registry import registry_manifest\n"
        "for n in range(10**6):\n"
        "    registry_manifest(sys.argv[1], current='ba'[n % 2] + '.tflite')\n"
        "    print(n, flush=True)\n"
    )
    model = CurrentModel(folder, on_warning=warnings.append)
    seen: set[tuple[str, str]] = set()
    errors: list[BaseException] = []
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.is_set():
                name, adapter = model.get_named()
                seen.add((name, label(adapter)))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    switcher = start_python(code, folder)
    assert switcher.stdout is not None
    lines = 0
    while lines < 12 or (len(seen) < 2 and not errors):
        assert switcher.stdout.readline()
        lines += 1
    switcher.send_signal(signal.SIGKILL)
    switcher.communicate(timeout=600)
    last = registry_manifest(folder).current
    stop.set()
    for thread in threads:
        thread.join(timeout=600)
    assert errors == []
    assert warnings == []
    assert seen == {("a.tflite", "a"), ("b.tflite", "b")}
    assert model.get_named()[0] == last


def test_others_are_served_while_one_thread_loads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new model opens slowly, and then it is damaged."""
    model = CurrentModel(folder, on_warning=lambda message: None)
    first = model.get()
    opening, goes_on = threading.Event(), threading.Event()

    def open_slowly(path: Path, *arguments: Any) -> BaseModelAdapter:
        opening.set()
        assert goes_on.wait(600)
        raise BundleError(f"{path}: damaged")

    monkeypatch.setattr(current_model, "open_model", open_slowly)
    registry_manifest(folder, current="b.tflite")
    loader = threading.Thread(target=model.get)
    loader.start()
    assert opening.wait(600)
    served: list[BaseModelAdapter] = []
    other = threading.Thread(target=lambda: served.append(model.get()))
    other.start()
    other.join(timeout=600)
    in_time = list(served)
    goes_on.set()
    loader.join(timeout=600)
    assert not loader.is_alive()
    assert in_time == [first]
    assert model.get() is first


def test_a_fifo_in_the_place_of_a_model_holds_nobody_up(folder: Path, warnings: list[str]) -> None:
    model = CurrentModel(folder, on_warning=warnings.append)
    first = model.get()
    registry_manifest(folder, current="b.tflite")
    (folder / "b.tflite").unlink()
    os.mkfifo(folder / "b.tflite")
    assert model.get() is first
    assert "b.tflite: is a FIFO" in warnings[0]


# A real network -----------------------------------------------------------------------------------------------------

WORKER = """
import sys, threading, time
from pathlib import Path
from adapters.bundle.rendered_clip import render_clip
from cliplab.registry.current_model import CurrentModel
from cliplab.registry import registry_manifest
folder = Path(sys.argv[1])
model = CurrentModel(folder)
first = model.get()
clip = render_clip(first.input_spec)
[before] = first.predict([clip])
registry_manifest(folder, current="real_v002.tflite")
second = model.get()
for path in folder.glob("*.tflite"):
    path.write_bytes(b"")                       # nothing is read from the files any more
[after], [again] = second.predict([clip]), first.predict([clip])
time.sleep(2.2)                                 # until timestamps can be trusted
model.get()
opened = []
sys.addaudithook(lambda event, given: opened.append(given) if event == "open" else None)
start = time.perf_counter()
for _ in range(1000):
    assert model.get() is second
print(before.labels, after.labels, (before.scores == again.scores).all(), len(opened), "tensorflow" in sys.modules)
print((time.perf_counter() - start) * 1e3, "us a get", file=sys.stderr)
"""


def test_a_converted_network_switches_in_a_worker_without_tensorflow(tmp_path: Path, own_cache: Path) -> None:
    pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")
    config = {"weights": "random", "imgz": 32, "n_frames": 2, "labels": ["normal", "trick"]}
    network = open_model(SMALL_NETWORK, config)
    network.convert(tmp_path / "real_v001.tflite")
    folder = tmp_path / "models"
    folder.mkdir()
    registry_manifest(folder, add=tmp_path / "real_v001.tflite")
    data = (tmp_path / "real_v001.tflite").read_bytes()
    description = read_description(data)
    labels = ["normal", "jump"]
    other = {**description, "labels": labels, "config": {**description["config"], "labels": labels}}
    (tmp_path / "out.tflite").write_bytes(with_description(without_description(data), other))
    registry_manifest(folder, add=tmp_path / "out.tflite", next_name="real_v001")
    done = python(WORKER, folder)
    assert done.stdout.splitlines() == ["('normal', 'trick') ('normal', 'jump') True 0 False"], done.stderr
    [prediction] = open_model(tmp_path / "real_v001.tflite").predict([render_clip(network.input_spec)])
    np.testing.assert_allclose(
        prediction.scores, network.predict([render_clip(network.input_spec)])[0].scores, atol=1e-5
    )

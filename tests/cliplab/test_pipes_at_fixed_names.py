"""A FIFO or a device where a file is expected is refused at once: nothing waits for a writer or reads for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from adapters.data.formats.cvat import _picture_size
from adapters.data.formats.safe_xml import root_name
from adapters.errors import AdapterError
from cliplab.datasets import from_database
from cliplab.detect import load_break_profile, read_schedules
from cliplab.rollout.device.loop_counts import read_loops
from cliplab.rollout.device.report_queue import ReportQueue
from cliplab.rollout.device.run import device_status
from cliplab.rollout.device.state import STATE_NAME, DeviceState
from cliplab.rollout.example_queue import ExampleQueue
from cliplab.rollout.serving.devices import DEVICES_NAME, list_devices


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["fifo", "device"])
def make(request: pytest.FixtureRequest) -> Callable[[Path], Path]:
    def made(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if request.param == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        path.parent.chmod(0o700)
        return path

    return made


def key(path: Path) -> object:
    pytest.importorskip("cryptography")
    pytest.importorskip("securesystemslib")
    from cliplab.registry.key_files import load_key

    path.chmod(0o600) if not path.is_symlink() else None
    return load_key(path)


def query(path: Path) -> object:
    pytest.importorskip("sqlalchemy")
    return from_database.dataset_from_db(path.parent / "a.db", path.parent / "out", query=path)


def published(path: Path) -> object:
    from movinet_adapter.streaming import published as found

    return found.published_program(path, 172, "relu6")


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "break profile": ("profile.json", load_break_profile),
    "schedules": ("schedules.jsonl", read_schedules),
    "key": ("key.pem", key),
    "published program": ("model.tflite", published),
    "state of a device": (f"device/{STATE_NAME}", lambda path: DeviceState(path.parent, "name")),
    "device list": (DEVICES_NAME, lambda path: list_devices(path.parent)),
}


@pytest.mark.parametrize("name", READERS)
def test_it_is_refused(name: str, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    file, read = READERS[name]
    path = make(tmp_path / file)
    with pytest.raises(AdapterError) as raised:
        read(path)
    assert path.name in str(raised.value) or path.parent.name in str(raised.value)


def test_status_of_a_device(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    from cliplab.rollout.device.installed import PRIVATE

    make(tmp_path / PRIVATE / STATE_NAME)
    with pytest.raises(AdapterError, match=STATE_NAME):
        device_status(tmp_path)


def test_what_is_damaged_is_left_out(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    make(tmp_path / "loops" / "a.json")
    assert list(read_loops(tmp_path / "loops")) == []
    make(tmp_path / "reports" / "000000000001.json")
    assert list(ReportQueue(tmp_path / "reports").waiting(5)) == []
    make(tmp_path / "examples" / f"{'0' * 20}-{'a' * 16}.json")
    assert list(ExampleQueue(tmp_path / "examples").waiting()) == []


def test_pictures_and_xml_that_are_looked_at(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert _picture_size(make(tmp_path / "a.jpg")) == (0, 0)
    assert root_name(make(tmp_path / "a.xml")) is None

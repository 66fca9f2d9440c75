"""A lock keeps others out, says who holds it, and ends with its process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from places import ROOT

from adapters.errors import AdapterError, StorageError
from adapters.system import descriptor_lock, file_lock

HOLD = (
    "import sys\nfrom adapters.errors import StorageError\nfrom adapters.system import file_lock\n"
    "with file_lock(sys.argv[1], busy=StorageError):\n    print('held', flush=True)\n    sys.stdin.read()\n"
)


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            yield other
        finally:
            other.kill()


def busy(holder: str) -> AdapterError:
    return StorageError(f"held by {holder}")


def test_the_error_names_the_holder_and_the_lock_ends_when_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.lock"
    with held_by_another_process(path) as other:
        for wait in (False, 0.05):
            with (
                pytest.raises(StorageError, match=f"held by process {other.pid} on "),
                file_lock(path, busy=busy, wait=wait),
            ):
                pass
        other.send_signal(signal.SIGKILL)
        with file_lock(path, busy=busy, wait=600) as held:
            assert held
            assert f"process {os.getpid()} on " in path.read_text()
    assert path.exists()


def test_a_folder_is_locked_without_a_file_in_it(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path):
        assert not list(tmp_path.iterdir())
        with pytest.raises(StorageError, match="another process"), file_lock(tmp_path, busy=busy):
            pass


def test_threads_wait_for_each_other(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(5):
            with file_lock(tmp_path / "a.lock", busy=busy, wait=True):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 15


def test_an_open_file_keeps_its_content_and_position(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"rows")
    with path.open("rb") as file, path.open("rb") as other:
        file.seek(2)
        with descriptor_lock(file.fileno()) as held, descriptor_lock(other.fileno(), wait=False) as also:
            assert (held, also) == (True, False)
        with descriptor_lock(other.fileno(), wait=False) as held:
            assert held
        assert file.tell() == 2
    assert path.read_bytes() == b"rows"


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, *, blocking: bool) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.lock_descriptor", refuse)
    with file_lock(tmp_path / "a.lock", busy=busy) as held:
        assert not held
    with (tmp_path / "a.lock").open("rb") as file, descriptor_lock(file.fileno()) as held:
        assert not held


def test_a_lock_file_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="not a folder"), file_lock(tmp_path / "file" / "a.lock", busy=busy):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_fifo_in_the_place_of_a_lock_file_is_refused(tmp_path: Path, mode: int) -> None:
    os.mkfifo(tmp_path / "lock", mode)
    with pytest.raises(StorageError, match=r"lock.*FIFO"), file_lock(tmp_path / "lock", busy=StorageError, wait=True):
        pass

"""A write is whole or did not happen, whatever goes wrong."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import python, start_python

from adapters.errors import AdapterError, StorageError
from adapters.system.atomic import json_text, write_bytes_atomic, write_json_atomic, write_text_atomic


def test_writes_replace_and_make_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "a.bin"
    write_bytes_atomic(path, b"one")
    write_bytes_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [file.name for file in path.parent.iterdir()] == ["a.bin"]


def test_text_keeps_line_ends_and_letters(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "a.txt", "größe\r\n広告\n")
    assert (tmp_path / "a.txt").read_bytes() == "größe\r\n広告\n".encode()


def test_json_takes_numpy_values_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json_atomic(path, {"a": np.float32(0.5), "b": np.arange(3), "c": Path("x"), "d": "広告"})
    assert json.loads(path.read_text()) == {"a": 0.5, "b": [0, 1, 2], "c": "x", "d": "広告"}
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(path, {"a": float("nan")})
    with pytest.raises(TypeError, match="object"):
        write_json_atomic(path, {"a": object()})
    assert json.loads(path.read_text())["a"] == 0.5


def test_a_file_name_of_another_encoding_survives_json_and_is_refused_as_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    assert json.loads(json_text({"path": name, "label": "広告"})) == {"path": name, "label": "広告"}
    with pytest.raises(StorageError, match="caf"):
        write_text_atomic(tmp_path / "a.csv", f"path\n{name}\n")
    assert not (tmp_path / "a.csv").exists()


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("{}")
    target.chmod(0o640)
    link.symlink_to(target)
    write_json_atomic(link, [1])
    assert link.is_symlink()
    assert json.loads(target.read_text()) == [1]
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    previous = os.umask(0o027)
    try:
        write_json_atomic(path, 1)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_bytes_atomic("/dev/null", b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to stand for a full disk")
def test_a_full_device_is_named_with_its_reason() -> None:
    with pytest.raises(StorageError, match=r"/dev/full: .*No space left.* Free some space"):
        write_bytes_atomic("/dev/full", b"x" * 100_000)


def test_a_path_through_a_file_and_a_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"file/a\.json: could not be written .*is a file"):
        write_json_atomic(tmp_path / "file" / "a.json", 1)
    with pytest.raises(AdapterError, match="is a folder; name a file in it"):
        write_bytes_atomic(tmp_path, b"x")


def test_a_write_cut_short_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files fails in the middle of the write, as a full disk does."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import resource, sys; from adapters.system.atomic import write_bytes_atomic\n"
        "from adapters.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: write_bytes_atomic(sys.argv[1], b'n' * 1_000_000)\n"
        "except StorageError as error: print(error)\n"
    )
    done = python(code, str(path))
    assert str(path) in done.stdout, done.stderr
    assert "too large" in done.stdout
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_killed_writer_leaves_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json_atomic(path, [0] * 200_000, indent=None)
    code = (
        "import sys; from adapters.system.atomic import write_json_atomic\n"
        "print('ready', flush=True)\n"
        "for n in range(10**6): write_json_atomic(sys.argv[1], [n % 10] * 200_000, indent=None)\n"
    )
    for wait in (0.02, 0.05, 0.11):
        writer = start_python(code, path)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=600)
        numbers = json.loads(path.read_text())
        assert len(numbers) == 200_000
        assert len(set(numbers)) == 1


def test_an_interrupt_removes_the_temporary_file(tmp_path: Path) -> None:
    """Ctrl-C between the write and the rename, raised by a real signal at the fsync."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys; from adapters.system import atomic\n"
        "real = os.fsync\n"
        "os.fsync = lambda n: (real(n), signal.raise_signal(signal.SIGINT))\n"
        "try: atomic.write_bytes_atomic(sys.argv[1], b'new')\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    assert python(code, str(path)).stdout.strip() == "interrupted"
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]

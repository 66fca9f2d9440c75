"""A write is whole or did not happen, whatever goes wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import python, start_python

from adapters.errors import AdapterError, StorageError
from adapters.system import (
    atomic_file,
    atomic_path,
    json_text,
    storage_error,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)


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
    with pytest.raises(AdapterError, match="is a folder; give a file in it"):
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


def test_what_is_renamed_into_place_is_on_disk_before_and_the_rename_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a machine that loses its power may come back with the new name and no content."""
    done: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        status = os.fstat(handle)
        done.append(("folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes", status.st_ino))
        fsync(handle)

    def replaced(source: Path, target: Path) -> None:
        done.append(("rename", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_bytes_atomic(tmp_path / "a.bin", b"12345")
    file, folder = (tmp_path / "a.bin").stat().st_ino, tmp_path.stat().st_ino
    assert done == [("5 bytes", file), ("rename", file), ("folder", folder)]


def test_a_reader_that_has_opened_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes_atomic(path, b"old" * 10_000)
    with path.open("rb") as reader:
        assert reader.read(3) == b"old"
        write_bytes_atomic(path, b"new")
        assert reader.read() == b"old" * 9_999


def test_a_file_that_is_written_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    for text in ("one\r\n", "zwei 広告\n"):
        with atomic_file(path, text=True) as file:
            file.write(text[:2])
            file.write(text[2:])
        assert path.read_bytes() == text.encode()
    path.chmod(0o640)
    with atomic_file(path) as binary:
        binary.write(b"three")
        assert path.read_text(encoding="utf-8") == "zwei 広告\n", "replaced before it is whole"
    assert path.read_bytes() == b"three"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def write_part(path: Path, error: BaseException) -> None:
    with atomic_file(path, text=True) as file:
        file.write("new")
        raise error


def write_video_part(path: Path, error: BaseException) -> None:
    with atomic_path(path, suffix=".mp4") as temporary:
        assert temporary.suffix == ".mp4"
        temporary.write_text("new")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("bad"), OSError(28, "No space left on device")])
def test_an_error_in_the_block_leaves_the_old_file_and_no_other(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    raised = StorageError if isinstance(error, OSError) else type(error)
    with pytest.raises(raised):
        write_part(path, error)
    with pytest.raises(raised):
        write_video_part(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_and_a_folder_are_not_replaced(tmp_path: Path) -> None:
    with atomic_file(os.devnull, text=True) as file:
        file.write("gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    with pytest.raises(StorageError, match="folder"), atomic_file(tmp_path):
        pass


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some of your quota"),
        (errno.EFBIG, "on another disk"),
        (errno.EROFS, "is read-only"),
        (errno.EACCES, "permissions"),
        (errno.EPERM, "permissions"),
        (errno.ENOTDIR, "is a file, not a folder"),
        (errno.EISDIR, "is a folder"),
        (errno.EIO, "Check the path and the disk"),
    ],
)
def test_the_next_step_fits_what_went_wrong(number: int, step: str) -> None:
    text = str(storage_error("out.json", OSError(number, os.strerror(number))))
    assert text.startswith("out.json: ")
    assert step in text


def test_a_pipe_that_nobody_reads_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="a pipe that no program reads"):
        write_bytes_atomic(tmp_path / "pipe", b"x")


def test_a_pipe_that_is_read_gets_all_bytes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    data = b"x" * 200_000
    for _ in range(500):
        try:
            write_bytes_atomic(tmp_path / "pipe", data)
            break
        except StorageError:  # it is not open yet
            time.sleep(0.01)
    reader.join(10)
    assert found == [data]

"""Files are opened only where they are regular ones, and read up to a limit."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.errors import BundleError, DatasetError
from adapters.system import check_regular_file, open_regular_file, read_regular_bytes, read_regular_text


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket has at most about 100 bytes
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("target"))
    path.symlink_to("target")


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [fifo, unix_socket, endless_device, link_to_fifo, folder])
def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "labels.json"
    make(path)
    with pytest.raises(DatasetError, match="regular file"):
        check_regular_file(path, DatasetError)
    with pytest.raises(BundleError, match="regular file"):
        open_regular_file(path, BundleError)
    with pytest.raises(DatasetError, match="regular file"):
        read_regular_bytes(path, 10, DatasetError)


def test_a_fifo_that_replaces_the_file_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels.json"
    fifo(path)
    real, regular = os.stat, Path(__file__).stat()
    monkeypatch.setattr(os, "stat", lambda name, **more: regular if name == path else real(name, **more))
    with pytest.raises(DatasetError, match="FIFO"):
        open_regular_file(path, DatasetError)


def test_regular_files_and_links_to_them_are_read_up_to_the_limit(tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "link"
    path.write_bytes(b"\xef\xbb\xbfgr\xc3\xa1fico")
    link.symlink_to("a")
    assert read_regular_text(link, 11) == "gráfico"
    assert read_regular_bytes(path, 11, DatasetError) == path.read_bytes()
    with pytest.raises(DatasetError, match=r"11 bytes.*at most 10"):
        read_regular_bytes(path, 10, DatasetError)
    with pytest.raises(FileNotFoundError):
        read_regular_bytes(tmp_path / "absent", 10, DatasetError)
    with pytest.raises(DatasetError, match="at most 0"):
        read_regular_bytes(Path("/proc/self/status"), 0, DatasetError)

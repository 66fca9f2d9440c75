"""Downloads of signed files to a device: they continue where they stopped, and are verified as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.system import storage_error
from cliplab.rollout.device.connection import RegistryConnection
from cliplab.rollout.device.errors import UnreachableError, UntrustedError
from cliplab.rollout.device.workflow import TARGETS, tuf_errors

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from tuf.api.metadata import TargetFile


def download(connection: RegistryConnection, info: TargetFile, path: Path) -> None:
    """Download a file, continuing what an earlier attempt left at ``path``; it is verified as a whole.

    Args:
        connection: To the registry.
        info: What is signed about it.
        path: Where it is written. Only after this returned may it be used.

    Raises:
        UnreachableError: The connection ended; what arrived is kept for the next attempt.
        UntrustedError: The bytes are not those that were signed; they are removed.
        StorageError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        start = path.stat().st_size if path.exists() else 0
        if start > info.length:
            path.unlink()
            start = 0
        if start < info.length or info.length == 0:
            _append(connection, info, path, start)
        with path.open("rb") as file:
            info.verify_length_and_hashes(file)
    except tuf_errors.LengthOrHashMismatchError as error:
        path.unlink(missing_ok=True)
        raise UntrustedError(
            f"{info.path}: the downloaded file is not the one that the registry signed ({error}); it was removed."
        ) from error
    except OSError as error:
        raise storage_error(path, error) from error


def _append(connection: RegistryConnection, info: TargetFile, path: Path, start: int) -> None:
    url_path = f"{TARGETS}/{_consistent_path(info)}"
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with connection.open(
            "GET", url_path, headers=headers, seconds=connection.file_seconds(info.length - start)
        ) as response:
            if start and not _continues(response, start):
                start = 0
            _write(path, start, connection.blocks(response, info.length - start))
    except UnreachableError as error:
        if error.status == 416:  # what is here cannot be continued
            path.unlink(missing_ok=True)
        raise


def _write(path: Path, start: int, blocks: Iterator[bytes]) -> None:
    """Append the blocks. Errors of the disk are kept apart from those of the network."""
    try:
        file = path.open("r+b" if start else "wb")
    except OSError as error:
        raise storage_error(path, error) from error
    with file:
        file.seek(start)
        file.truncate()
        for block in blocks:
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                raise storage_error(path, error) from error
        try:
            os.fsync(file.fileno())
        except OSError as error:
            raise storage_error(path, error) from error


def _continues(response: HTTPResponse, start: int) -> bool:
    return response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _consistent_path(info: TargetFile) -> str:
    """Where a target is in a repository of consistent snapshots (specification, section 6.2)."""
    folder, slash, name = info.path.rpartition("/")
    return f"{folder}{slash}{next(iter(info.hashes.values()))}.{name}"

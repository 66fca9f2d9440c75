"""Atomic writes, which are whole or did not happen: temporary file, fsync, rename, fsync of the folder.

A process killed at any moment leaves either the old file or the new one, and at worst a hidden
``.<name>.<random>.tmp`` beside it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, overload

import numpy as np

from adapters.errors import StorageError

_NEXT_STEP = {
    errno.ENOSPC: "Free some space, or use a path on another disk.",
    errno.EDQUOT: "Free some of your quota, or use a path on another disk.",
    errno.EFBIG: "The file is larger than this process or file system allows; use a path on another disk.",
    errno.EROFS: "The file system is read-only; use a path that can be written.",
    errno.EACCES: "Use a path that this user may write, or change its permissions.",
    errno.EPERM: "Use a path that this user may write, or change its permissions.",
    errno.ENOTDIR: "A part of the path is a file, not a folder; use another path.",
    errno.EEXIST: "A part of the path is a file, not a folder; use another path.",
    errno.EISDIR: "The path is a folder; give a file in it.",
    errno.ENXIO: "Start what reads it first, or give the path of a file.",
}


@contextmanager
def atomic_path(path: str | Path, suffix: str = ".tmp") -> Iterator[Path]:
    """Write a file under a temporary name beside ``path``, which replaces ``path`` in one step when the block ends.

    Missing parent folders are made. A symbolic link stays, and its target is replaced. An existing file keeps its
    permissions. A device or pipe such as /dev/null is written to directly and never replaced. After any error, also
    Ctrl-C, the new file is removed and the old one is unchanged.

    Args:
        path: The file to replace or make.
        suffix: The end of the temporary name, for writers that choose a format by it.

    Yields:
        The temporary path, which the block writes.

    Raises:
        StorageError: The file cannot be written (full disk, read-only, ...), or the block raised an OSError.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        if target.exists() and not target.is_file():
            with _held_open(target):
                yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}{suffix}")
        try:
            yield temporary
            _replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise storage_error(path, error) from error
    _sync_folder(target.parent)


@overload
def atomic_file(path: str | Path, *, text: Literal[False] = False) -> AbstractContextManager[IO[bytes]]: ...
@overload
def atomic_file(path: str | Path, *, text: Literal[True]) -> AbstractContextManager[IO[str]]: ...
@contextmanager
def atomic_file(path: str | Path, *, text: bool = False) -> Iterator[IO[Any]]:
    """Open a file that replaces ``path`` when the block ends, as ``atomic_path`` does.

    Args:
        path: The file to replace or make.
        text: True: text in UTF-8, with line ends kept as they are written. False: bytes.

    Yields:
        The open file.

    Raises:
        StorageError: As ``atomic_path``.
    """
    with atomic_path(path) as temporary:
        # Opened by its own name where it is new; a device or pipe is already there.
        mode = "w" if temporary.exists() else "x"
        file: IO[Any] = temporary.open(mode, encoding="utf-8", newline="") if text else temporary.open(f"{mode}b")
        with file:
            yield file


def write_bytes_atomic(path: str | Path, data: bytes) -> None:
    """Write a file of these bytes, as ``atomic_path`` does.

    Args:
        path: The file to replace or make.
        data: Its content.

    Raises:
        StorageError: The file cannot be written; an old one is unchanged.
    """
    with atomic_file(path) as file:
        file.write(data)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write a file of this text, as ``atomic_path`` does: in UTF-8, with line ends kept.

    Args:
        path: The file to replace or make.
        text: Its content.

    Raises:
        StorageError: The file cannot be written, or the text cannot be encoded in UTF-8; an old file is unchanged.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise StorageError(
            f"{path}: was not written: its text holds a character that UTF-8 cannot encode, for example from a file "
            "name in "
            f"another encoding ({text[max(error.start - 20, 0) : error.end + 20]!r}). Rename that file, or write JSON."
        ) from None
    write_bytes_atomic(path, data)


def write_json_atomic(path: str | Path, value: Any, indent: int | None = 2) -> None:
    """Write a JSON value and a line end, as ``atomic_path`` does. The value is encoded before anything is written.

    Args:
        path: The file to replace or make.
        value: A JSON value; numpy values and paths in it are written as numbers, lists and text.
        indent: Spaces per level; None: on one line.

    Raises:
        StorageError: The file cannot be written; an old one is unchanged.
        ValueError: The value has NaN or infinity, which JSON does not have.
        TypeError: The value has another object that JSON does not have.
    """
    write_text_atomic(path, json_text(value, indent) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON text that can be encoded in UTF-8.

    Letters are written as they are. Where the value has a file name of another encoding, they are written as escapes,
    which a reader turns back into the same name.

    Args:
        value: As for ``write_json_atomic``.
        indent: Spaces per level; None: on one line.

    Raises:
        ValueError: As ``write_json_atomic``.
        TypeError: As ``write_json_atomic``.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False, default=_plain)
    return text


def storage_error(path: str | Path, error: OSError) -> StorageError:
    """The StorageError for an OSError, which says what to do next. Raise it from that error.

    Args:
        path: The file or folder that could not be written.
        error: The reason.
    """
    reason = error.strerror or type(error).__name__
    step = _NEXT_STEP.get(error.errno or 0, "Check the path and the disk, then try again.")
    return StorageError(f"{path}: could not be written ({reason}); an existing file is unchanged. {step}")


@contextmanager
def _held_open(target: Path) -> Iterator[None]:
    """Keep a pipe open for writing, so that opening it again does not wait: a pipe without a reader is an error."""
    if not stat.S_ISFIFO(target.stat().st_mode):
        yield
        return
    try:
        handle = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(error.errno, "a pipe that no program reads") from None
        raise
    try:
        yield
    finally:
        os.close(handle)


def _replace(temporary: Path, target: Path) -> None:
    with temporary.open("r+b") as file:  # Windows syncs only what may be written
        os.fsync(file.fileno())
    if target.exists():
        os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
    os.replace(temporary, target)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable. The file is in place by now, so failure on some file systems is ignored."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r:.60}")

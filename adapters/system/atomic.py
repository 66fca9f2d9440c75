"""Writes that are whole or did not happen: temporary file, fsync, rename, fsync of the folder.

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
from pathlib import Path
from typing import Any

import numpy as np

from adapters.errors import StorageError

_NEXT_STEP = {
    errno.ENOSPC: "Free some space, or name a path on another disk.",
    errno.EDQUOT: "Free some of your quota, or name a path on another disk.",
    errno.EFBIG: "The file is larger than this process or file system allows; name a path on another disk.",
    errno.EROFS: "The file system is read-only; name a path that can be written.",
    errno.EACCES: "Name a path that this user may write, or change its permissions.",
    errno.EPERM: "Name a path that this user may write, or change its permissions.",
    errno.ENOTDIR: "A part of the path is a file, not a folder; name another path.",
    errno.EEXIST: "A part of the path is a file, not a folder; name another path.",
    errno.EISDIR: "The path is a folder; name a file in it.",
}


def write_bytes_atomic(path: str | Path, data: bytes) -> None:
    """Put data at path, replacing what stood there in one step; missing parent folders are made.

    A symbolic link keeps pointing where it did and its target is replaced; an existing file keeps its permissions.
    A device or pipe such as /dev/null is written straight to, never replaced.
    Raises StorageError naming the path and the reason (full disk, read-only, ...); the old file is then unchanged.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, data)
    except OSError as error:
        raise storage_error(path, error) from error
    _sync_folder(target.parent)


def write_text_atomic(path: str | Path, text: str) -> None:
    """The same for text, as UTF-8 with its line ends kept. Raises StorageError."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise StorageError(
            f"{path}: was not written: its text holds a character that UTF-8 has not, such as that of a file name in "
            f"another encoding ({text[max(error.start - 20, 0) : error.end + 20]!r}). Rename that file, or write JSON."
        ) from None
    write_bytes_atomic(path, data)


def write_json_atomic(path: str | Path, value: Any, indent: int | None = 2) -> None:
    """The same for a JSON value, with a line end after it. numpy values and paths are written as plain JSON.

    Raises StorageError; ValueError for NaN or infinity, which JSON does not have; TypeError for other objects.
    The value is encoded before anything is written.
    """
    write_text_atomic(path, json_text(value, indent) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON text that UTF-8 can hold, under the rules of write_json_atomic.

    Letters are written as they are, unless a file name of another encoding is among them: then as escapes, which
    reading turns back into the same name.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False, default=_plain)
    return text


def storage_error(path: str | Path, error: OSError) -> StorageError:
    """An OSError met while writing path, as a StorageError that says what to do next."""
    reason = error.strerror or type(error).__name__
    step = _NEXT_STEP.get(error.errno or 0, "Check the path and the disk, then try again.")
    return StorageError(f"{path}: could not be written ({reason}); what stood there before is unchanged. {step}")


def _replace(target: Path, data: bytes) -> None:
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        # Also on Ctrl-C: no half-written file is left behind.
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable. The file is in place by now, so a file system that cannot do this is no error."""
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

"""The folders of a queue of jobs: what waits, who works on it, and where it is put afterwards."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.errors import StorageError
from adapters.media import is_video_name
from adapters.system import file_lock, parse_json, storage_error, write_json_atomic

_SETTLED_SECONDS = 2.0  # a file that is still being copied into the queue grows
_MOST_NAME_BYTES, _KEPT_BYTES = 255, 150  # of a file's name, on every usual file system
_MOST_LOOKED_BYTES = 1 << 20


class JobFolders:
    """A queue folder with its ``working``, ``done``, ``failed`` and ``sources``.

    Attributes:
        queue: Where jobs wait.
        working: Jobs that a worker has, and their locks.
        done: Finished jobs, each with a report.
        failed: Jobs that failed, each with the reason.
        sources: Videos that were put into the queue.
    """

    def __init__(self, queue: Path) -> None:
        """Make the folders.

        Args:
            queue: The folder, which is made.

        Raises:
            StorageError: It cannot be made or written.
        """
        self.queue = queue
        self.working, self.done, self.failed = (queue / name for name in ("working", "done", "failed"))
        self.sources = queue / "sources"
        try:
            for folder in (self.working, self.done, self.failed):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{queue}: cannot be used as a queue ({error.strerror}). Use another folder") from None

    def waiting(self) -> list[Path]:
        """Jobs in the order of their names, first those that another worker left."""
        return _jobs(self.working) + [path for path in _jobs(self.queue) if _is_settled(path)]

    def unsettled(self) -> bool:
        """Whether a job is in the queue that is still being written."""
        return any(not _is_settled(path) for path in _jobs(self.queue))

    @contextmanager
    def taken(self, path: Path) -> Iterator[Path | None]:
        """Take a job.

        Args:
            path: One of ``waiting``.

        Yields:
            Its file in ``working``; None where another worker has it.

        Raises:
            StorageError: The folders cannot be written.
        """
        lock = self.working / f".{_name(path.name, '.lock', before=1)}"
        try:
            with file_lock(lock, busy=_busy):
                yield self._move(path)
            lock.unlink(missing_ok=True)
        except _Busy:
            yield None

    def _move(self, path: Path) -> Path | None:
        if not path.exists():  # another worker has just done it
            return None
        target = self.working / path.name
        try:
            if path.suffix.lower() != ".json":
                # The video stays where its clips find it later, and a job is made of it.
                self.sources.mkdir(exist_ok=True)
                home = _free(self.sources / path.name)
                _replace(path, home)
                target = self.working / _name(home.name, ".json")
                write_json_atomic(target, {"source": str(home.absolute())})
            elif path != target:
                _replace(path, target)
        except OSError as error:
            raise storage_error(target, error) from error
        return target

    def put_back(self, path: Path) -> None:
        """Return a job to the queue.

        Args:
            path: Its file in ``working``.
        """
        if path.exists():
            os.replace(path, self.queue / path.name)

    def close(self, path: Path, folder: Path, report: dict[str, Any]) -> None:
        """Put a job away. The report is written first: a job that is out of the queue always has one.

        Args:
            path: Its file in ``working``.
            folder: ``done`` or ``failed``.
            report: What is known of it.

        Raises:
            StorageError: The folder cannot be written.
        """
        target = folder / path.name
        target = _free(target) if target.is_dir() else target
        write_json_atomic(folder / _name(target.name, ".report.json"), report)
        try:
            os.replace(path, target)
        except OSError as error:
            raise storage_error(target, error) from error


def _jobs(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if _is_job(path)]
    except OSError as error:
        raise StorageError(f"{folder}: cannot be read ({error.strerror}). Check its permissions.") from None


def _is_job(path: Path) -> bool:
    named = path.suffix.lower() == ".json" or is_video_name(path.name)
    return named and not path.name.startswith(".") and path.is_file()


def _is_settled(path: Path) -> bool:
    """Whether a job was written to its end: a whole JSON, or a file that no longer changes."""
    try:
        status = path.stat()
        if abs(time.time() - status.st_mtime) > _SETTLED_SECONDS:  # or by a clock that is ahead
            return True
        if path.suffix.lower() != ".json" or status.st_size > _MOST_LOOKED_BYTES:
            return False
        parse_json(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _replace(path: Path, target: Path) -> None:
    """Move a file. A link still leads where it led before."""
    if path.is_symlink():
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.realpath(path))
        path.unlink()
    else:
        os.replace(path, target)


def _free(path: Path) -> Path:
    """The path, or another one beside it where there is something already."""
    if not os.path.lexists(path):
        return path
    return path.with_name(_name(path.stem, f"-{time.time_ns()}{path.suffix}"))


def _name(name: str, suffix: str, before: int = 0) -> str:
    """A name with a suffix; one that is too long for a file is cut, and a digest tells it from others.

    Args:
        name: Of a file.
        suffix: What follows.
        before: Bytes that will be put before it.
    """
    whole, digest = os.fsencode(name), hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    if before + len(whole) + len(suffix) <= _MOST_NAME_BYTES:
        return name + suffix
    return whole[:_KEPT_BYTES].decode("utf-8", "ignore") + f"~{digest}{suffix}"


class _Busy(StorageError):
    """Another worker has the job."""


def _busy(_holder: str) -> StorageError:
    return _Busy("another worker has this job")

"""Decoded pictures on disk, the ones that were not used for longest leave first."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path

DEFAULT_CACHE_BYTES = 2_000_000_000
# After a clean-up this share of the limit is used, so that not every picture needs one.
_AFTER_CLEANING = 0.9


class PictureCache:
    """A cache of small files in a folder, for one process; what it cannot store is decoded again.

    Attributes:
        folder: Where the files are. Other files in it are deleted when room is needed.
        limit_bytes: Maximum size in bytes.
    """

    def __init__(self, folder: Path, limit_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self._lock = threading.Lock()
        self._used: int | None = None  # None: not counted yet

    def get(self, key: str) -> bytes | None:
        """What is stored for a key, or None.

        Args:
            key: Any text.
        """
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)
        return content or None

    def put(self, key: str, content: bytes) -> None:
        """Store a file for a key; nothing is stored where the disk does not take it.

        Args:
            key: Any text.
            content: At least one byte.
        """
        path = self._path(key)
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(content)
            os.replace(unfinished, path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            return
        with self._lock:
            self._used = self._count() if self._used is None else self._used + len(content)
            if self._used > self.limit_bytes:
                self._used = self._make_room()

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:40]
        return self.folder / name[:2] / name[2:]

    def _files(self) -> list[tuple[float, int, str]]:
        """When each file was used last, its size and its path."""
        found = []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)
                with suppress(OSError):
                    stat = os.stat(path, follow_symlinks=False)
                    found.append((stat.st_mtime, stat.st_size, path))
        return found

    def _count(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _make_room(self) -> int:
        files = sorted(self._files())
        used = sum(size for _, size, _ in files)
        for _, size, path in files:
            if used <= self.limit_bytes * _AFTER_CLEANING:
                break
            with suppress(OSError):
                os.unlink(path)
                used -= size
        return used

"""Blocks of remote files on this machine's disk: shared by its processes, bounded, and checked when they are read.

fsspec's own disk cache (``blockcache::``) has no bound, no digests, and no blocks that several processes add to at a
time; see "Our own code where a kept library exists" in docs/architecture.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import uuid
from collections import Counter
from pathlib import Path

from adapters.errors import AdapterError, ConfigError
from adapters.system import cache_dir, open_regular_file

BLOCK_BYTES = 256 * 1024
DEFAULT_GB = 10.0
_DIGEST_BYTES = 16
# The cache is made smaller once this part of it was written since the last time, to this part of its bound.
_WRITTEN_PART, _KEPT_PART = 0.05, 0.9
# Bytes that this process wrote to each cache since it last made room there.
_written: Counter[Path] = Counter()
_lock = threading.Lock()


class BlockCache:
    """A folder of blocks. Where the disk is full or read-only, nothing is kept and no error is raised.

    Args:
        folder: Where blocks are kept; default: ``storage`` in the cache's folder.
        limit_bytes: About how much of the disk is used; 0 keeps nothing. Default: $CLIPLAB_STORAGE_GB, or 10 GB.

    Attributes:
        folder: Where blocks are kept.
        limit_bytes: About how much of the disk is used.

    Raises:
        ConfigError: CLIPLAB_STORAGE_GB is not a number of 0 or more.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        self.folder = folder or cache_dir() / "storage"
        self.limit_bytes = _limit() if limit_bytes is None else limit_bytes

    def of(self, identity: str) -> Blocks:
        """The blocks of one version of one file.

        Args:
            identity: Differs between files, and between versions of a file.
        """
        name = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        return Blocks(self, self.folder / name)

    def wrote(self, count: int) -> None:
        """Remove the least recently used blocks if enough was written since the last time.

        Args:
            count: Bytes that were written now.
        """
        with _lock:
            _written[self.folder] += count
            if _written[self.folder] < self.limit_bytes * _WRITTEN_PART:
                return
            _written[self.folder] = 0
        self._shrink()

    def _shrink(self) -> None:
        found = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        left = sum(size for _, size, _ in found)
        if left <= self.limit_bytes:
            return
        for _, size, path in sorted(found):
            if left <= self.limit_bytes * _KEPT_PART:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                left -= size
        for folder in self.folder.iterdir():
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


class Blocks:
    """The cached blocks of one file. On disk each ends with its digest.

    Args:
        cache: Which they are part of.
        folder: Of this file's blocks.
    """

    def __init__(self, cache: BlockCache, folder: Path) -> None:
        self._cache, self._folder = cache, folder

    def read(self, number: int) -> bytes | None:
        """Read a block and mark it as used.

        Args:
            number: From 0, in blocks of BLOCK_BYTES.

        Returns:
            The block; None if it is not cached or damaged. A damaged block is removed.
        """
        path = self._folder / str(number)
        try:
            with open_regular_file(path) as file:
                data = file.read()
            block, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
            if hashlib.blake2b(block, digest_size=_DIGEST_BYTES).digest() != digest:
                path.unlink()
                return None
            os.utime(path)
        except (AdapterError, OSError):
            return None
        return block

    def write(self, number: int, block: bytes) -> None:
        """Keep a block, in one step, so that other processes never see a part of it.

        Args:
            number: From 0, in blocks of BLOCK_BYTES.
            block: Its bytes.
        """
        if not self._cache.limit_bytes:
            return
        begun = self._folder / f".{uuid.uuid4().hex}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            begun.write_bytes(block + hashlib.blake2b(block, digest_size=_DIGEST_BYTES).digest())
            os.replace(begun, self._folder / str(number))
        except OSError:
            with contextlib.suppress(OSError):
                begun.unlink()
            return
        self._cache.wrote(len(block) + _DIGEST_BYTES)

    def remove(self) -> None:
        """Remove all blocks of the file."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _limit() -> int:
    text = os.environ.get("CLIPLAB_STORAGE_GB") or str(DEFAULT_GB)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(f"CLIPLAB_STORAGE_GB is {text!r}; it must be a number of gigabytes, 0 or more")
    return int(value * 1e9)

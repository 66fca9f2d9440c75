"""LiteRT programs made from weights, kept so that the next process needs no TensorFlow to make them again.

Beside each program lies its SHA-256, which is checked whenever the program is handed out: one that was damaged is made
again. Programs of older versions have none; theirs is written when they are first used.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from adapters.config import Config
from adapters.errors import StorageError
from adapters.system import cache_dir, file_lock, storage_error, value_digest, write_bytes_atomic

# Format numbers of the code that every program is made by. Raise one where a change of that code changes programs, so
# that cached ones are made again; test_program_formats.py fails where the number was not raised. The number of an
# adapter's own network is its class's ``network_format``.
CONVERSION_FORMAT = 2  # TensorFlow to LiteRT, and writing: converting, editing, quantising; drawing random variables
HEAD_FORMAT = 1  # the layers between features and scores

_log = logging.getLogger(__name__)
_DIGEST_CHARACTERS = 64
_MARK = b"TFL3"  # the bytes 4 to 8 of a TFLite file


def program_path(identity: Config) -> Path:
    """Where the program of an identity is cached, whether or not it exists.

    Args:
        identity: What the program's bytes follow from, as JSON values.
    """
    digest = value_digest({**identity, "conversion": CONVERSION_FORMAT})
    return cache_dir() / "programs" / f"{digest}.tflite"


def digest_path(program: Path) -> Path:
    """Where the digest of a cached program is kept.

    Args:
        program: The cached .tflite.
    """
    return program.with_name(f"{program.name}.sha256")


def cached_program(identity: Config) -> Path | None:
    """The cached program of an identity, if it is there and whole.

    Args:
        identity: What the program's bytes follow from, as JSON values.

    Returns:
        The path of the cached .tflite; None where it has to be made.
    """
    path = program_path(identity)
    return path if _is_whole(path) else None


def get_or_make(identity: Config, make: Callable[[], bytes]) -> Path:
    """The cached program of an identity; made and cached first if it does not exist or is damaged.

    Args:
        identity: What the program's bytes follow from, as JSON values.
        make: Returns the bytes of the .tflite.

    Returns:
        The path of the cached .tflite.

    Raises:
        StorageError: The cache cannot be written.
    """
    path = program_path(identity)
    if _is_whole(path):
        _log.info("%s: using the cached program", path)
        return path
    if path.exists():
        _log.warning("%s: this cached program is damaged and is converted again", path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path.parent}: the cache of programs cannot be written ({error.strerror}). Set CLIPLAB_CACHE to a "
            "writable folder, or use a bundle, which contains its programs"
        ) from error
    _log.info("%s: program converted and cached", path)
    program = make()
    # Locked, so that program and digest are of one writer where several make the same program.
    with file_lock(path.parent / ".writing.lock", busy=StorageError, wait=True):
        for place in (digest_path(path), path):
            if place.exists() and not place.is_file():  # a FIFO or a device would be written to
                _remove(place)
        write_bytes_atomic(digest_path(path), hashlib.sha256(program).hexdigest().encode())
        write_bytes_atomic(path, program)
    return path


def _is_whole(path: Path) -> bool:
    """Whether a cached program is there with the bytes that were written."""
    try:
        if not path.is_file():
            return False
        program = path.read_bytes()
        found = hashlib.sha256(program).hexdigest()
        noted = digest_path(path)
        if not noted.exists():
            return program[4:8] == _MARK and _note(noted, found)
        return noted.is_file() and noted.read_bytes()[: _DIGEST_CHARACTERS + 1].decode("ascii", "replace") == found
    except OSError:
        return False


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise storage_error(path, error) from error


def _note(path: Path, digest: str) -> bool:
    """Keep the digest of an older version's program. A cache that cannot be written is used as it is."""
    try:
        write_bytes_atomic(path, digest.encode())
    except StorageError:
        _log.debug("%s: cannot be written", path)
    return True

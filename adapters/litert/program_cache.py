"""LiteRT programs made from weights, kept so that the next process needs no TensorFlow to make them again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from adapters.config import Config
from adapters.errors import StorageError
from adapters.system import cache_dir, value_digest, write_bytes_atomic

# The code that a program's bytes follow from, beside its identity: a change in it makes cached programs stale.
CODE_FOLDERS = ("conversion.py", "litert_*.py", "head.py", "variables.py", "programs.py", "network.py", "*/network.py")


@cache
def _code_digest() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for pattern in CODE_FOLDERS:
        for path in sorted(here.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def path_of(identity: Config) -> Path:
    """Where the program of this identity lies, if it does."""
    return cache_dir() / "programs" / f"{value_digest({**identity, 'code': _code_digest()})}.tflite"


def get_or_make(identity: Config, make: Callable[[], bytes]) -> Path:
    """The cached program of this identity; made and kept first where there is none. Raises StorageError."""
    path = path_of(identity)
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{path.parent}: the cache of programs cannot be written ({error.strerror}). Set CLIPLAB_CACHE to a "
                "folder that can, or use a bundle, which brings its programs along"
            ) from error
        write_bytes_atomic(path, make())
    return path

"""LiteRT programs made from weights, kept so that the next process needs no TensorFlow to make them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adapters.config import Config
from adapters.errors import StorageError
from adapters.system import cache_dir, value_digest, write_bytes_atomic

# Format numbers of the code that every program is made by. Raise one where a change of that code changes programs, so
# that cached ones are made again; test_program_formats.py fails where the number was not raised. The number of an
# adapter's own network is its class's ``network_format``.
CONVERSION_FORMAT = 1  # TensorFlow to LiteRT: converting, editing and quantising; drawing random variables
HEAD_FORMAT = 1  # the layers between features and scores


def program_path(identity: Config) -> Path:
    """Where the program of an identity is cached, whether or not it exists.

    Args:
        identity: What the program's bytes follow from, as JSON values.
    """
    digest = value_digest({**identity, "conversion": CONVERSION_FORMAT})
    return cache_dir() / "programs" / f"{digest}.tflite"


def get_or_make(identity: Config, make: Callable[[], bytes]) -> Path:
    """The cached program of an identity; made and cached first if it does not exist.

    Args:
        identity: What the program's bytes follow from, as JSON values.
        make: Returns the bytes of the .tflite.

    Returns:
        The path of the cached .tflite.

    Raises:
        StorageError: The cache cannot be written.
    """
    path = program_path(identity)
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

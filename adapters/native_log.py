"""What native code prints to stderr, held back: LiteRT and TensorFlow log there whatever Python is told."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adapters.errors import MissingExtraError

_LOCK = threading.Lock()


class CapturedLog:
    """``text`` holds what was printed, once the ``with`` block of ``captured_stderr`` has ended."""

    text = ""


@contextmanager
def captured_stderr() -> Iterator[CapturedLog]:
    """Send file descriptor 2 to a temporary file for the length of the block.

    For short native calls only: what other threads print meanwhile is caught too. One block at a time; a second waits.
    Where the process has no stderr the block simply runs.
    """
    log = CapturedLog()
    with _LOCK:
        try:
            saved = os.dup(2)
        except OSError:
            yield log
            return
        with tempfile.TemporaryFile() as sink:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(sink.fileno(), 2)
            try:
                yield log
            finally:
                os.dup2(saved, 2)
                os.close(saved)
                sink.seek(0)
                log.text = sink.read().decode(errors="replace")


def import_tensorflow() -> Any:
    """The tensorflow module, imported without the page of notices that it prints on a machine without a GPU.

    Sets TF_CPP_MIN_LOG_LEVEL to 2 (errors only) unless the user has set it. MissingExtraError where it is missing.
    """
    return _import("tensorflow")


def import_keras() -> Any:
    """The tf_keras module, likewise."""
    return _import("tf_keras")


def _import(name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with captured_stderr():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("tensorflow", "tf_keras"):
            raise  # it is installed, and something that it needs is not
        raise MissingExtraError(error.name or name, "train") from error

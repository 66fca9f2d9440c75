"""Output of native code to stderr, held back: LiteRT and TensorFlow log there whatever Python's settings say."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from adapters.errors import MissingExtraError

_LOCK = threading.Lock()


class CapturedLog:
    """The output that a block of ``captured_stderr`` held back.

    Attributes:
        text: What was printed; empty until the block has ended.
    """

    text = ""


@dataclass
class _Redirect:
    """Where stderr goes while at least one block is open. ``saved`` is the descriptor to put back."""

    blocks: int = 0
    saved: int = -1
    sink: IO[bytes] | None = None


_REDIRECT = _Redirect()


@contextmanager
def captured_stderr() -> Iterator[CapturedLog]:
    """Send file descriptor 2 to a temporary file for the length of the block.

    Use it for native calls only: what other threads print meanwhile is caught too. Blocks may nest, and may overlap
    between threads: none waits for another, and stderr is restored when the last one ends. In a process without stderr
    the block simply runs.

    Yields:
        The log, whose ``text`` is filled when the block ends.
    """
    log = CapturedLog()
    start = _open_block()
    try:
        yield log
    finally:
        if start is not None:
            log.text = _close_block(start)


def _open_block() -> int | None:
    """Redirect stderr if no other block did; where in the file this block begins, or None without a stderr."""
    with _LOCK:
        if _REDIRECT.sink is None:
            try:
                _REDIRECT.saved = os.dup(2)
            except OSError:
                return None
            if sys.stderr is not None:
                sys.stderr.flush()
            # Closed by the last block; unbuffered, since native code writes to it past Python.
            _REDIRECT.sink = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            os.dup2(_REDIRECT.sink.fileno(), 2)
        _REDIRECT.blocks += 1
        return os.fstat(_REDIRECT.sink.fileno()).st_size


def _close_block(start: int) -> str:
    """What was printed since ``start``; the last block puts stderr back."""
    with _LOCK:
        sink = _REDIRECT.sink
        assert sink is not None
        sink.seek(start)
        text = sink.read().decode(errors="replace")
        sink.seek(0, os.SEEK_END)
        _REDIRECT.blocks -= 1
        if _REDIRECT.blocks == 0:
            os.dup2(_REDIRECT.saved, 2)
            os.close(_REDIRECT.saved)
            sink.close()
            _REDIRECT.sink = None
        return text


@contextmanager
def warnings_only(logger_name: str) -> Iterator[None]:
    """Silence a Python logger below the level of warnings for the length of the block.

    In a notebook TensorFlow writes "INFO:tensorflow:Assets written to ..." to stdout.

    Args:
        logger_name: Such as "tensorflow".
    """
    logger = logging.getLogger(logger_name)
    level = logger.level
    logger.setLevel(max(logger.getEffectiveLevel(), logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)


def import_tensorflow() -> Any:
    """The tensorflow module, imported without the notices that it prints on a machine without a GPU.

    It sets TF_CPP_MIN_LOG_LEVEL to 2 (errors only) unless the user has set it.

    Raises:
        MissingExtraError: TensorFlow is not installed.
    """
    known = sys.modules.get("tensorflow")  # None: whoever runs this has barred it
    # Once it is there nothing is called, since this is called in functions that TensorFlow traces.
    if known is not None and not getattr(known.__spec__, "_initializing", False):
        return known
    tensorflow = _import("tensorflow")
    if known is not None:  # another thread had begun to import it
        return tensorflow
    # On Python 3.13 each trace of a function raises hundreds of them, which a notebook shows.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"gast\.")
    with captured_stderr():
        # The first look for a GPU prints an error where there is none. It changes no setting.
        tensorflow.config.list_physical_devices("GPU")
    return tensorflow


def import_keras() -> Any:
    """The tf_keras module, imported without notices like ``import_tensorflow``.

    Raises:
        MissingExtraError: TensorFlow or tf_keras is not installed.
    """
    import_tensorflow()
    return _import("tf_keras")


def _import(name: str) -> Any:
    if sys.modules.get(name) is not None:
        # By way of the import system, which waits where another thread has only begun to import it.
        return importlib.import_module(name)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with captured_stderr():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("tensorflow", "tf_keras"):
            raise  # it is installed, and something that it needs is not
        raise MissingExtraError(error.name or name, "train") from error

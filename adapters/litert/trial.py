"""A program that is new here runs in a process of its own first, so that a damaged or hostile one cannot end this one.

LiteRT checks a file's offsets, but not all that its operators do: a changed shape or option can make it read past its
memory, ask for gigabytes, or compute for minutes. What passed is remembered by its digest, in the process and in the
cache, so that it is tried once on each machine; what was converted in this process is not tried at all.

``LITERT`` says how programs of LiteRT are tried; another runtime has a ``TrialRuntime`` of its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from adapters.errors import BundleError, ConfigError
from adapters.litert.flatbuffer import DamagedFlatBufferError
from adapters.litert.graph_limits import check_parts
from adapters.litert.graph_order import check_order
from adapters.system import cache_dir

MB = 1_000_000
MEMORY_VARIABLE = "CLIPLAB_PROGRAM_MEMORY_MB"
SECONDS_VARIABLE = "CLIPLAB_PROGRAM_SECONDS"
# A small file costs little and a large one may cost more: bytes and seconds for any program, and for each of its bytes.
MEMORY_BYTES, MEMORY_PER_BYTE = 600 * MB, 20
CPU_SECONDS, CPU_SECONDS_PER_MB = 6, 2
CHILD = Path(__file__).with_name("trial_process.py")
_WALL_SECONDS = 10  # for each second of CPU time, where other processes keep the cores

_logger = logging.getLogger(__name__)
_known: set[str] = set()


@dataclass(frozen=True)
class TrialRuntime:
    """How programs of one runtime are tried.

    Attributes:
        package: The runtime's package; what passed with one release of it is tried again with another.
        kind: What messages call such a program.
        child: The file of the process that runs one; None for ``trial_process.py``.
        unsound: What is wrong with a file before it is run; None if nothing is.
        remedy: What a user can do, as a sentence.
    """

    package: str
    kind: str
    child: Path | None
    unsound: Callable[[bytes], str | None]
    remedy: str


def trust_program(model: bytes) -> bytes:
    """Remember a program that this process has made, so that it is not tried before it runs.

    Args:
        model: The bytes of a .tflite that was converted here, not read from elsewhere.

    Returns:
        The same bytes.
    """
    _remember(f"{LITERT.package} {hashlib.sha256(model).hexdigest()}")
    return model


def require_tried(
    model: bytes,
    name: str,
    threads: int,
    input_shape: Sequence[int] | None = None,
    runtime: TrialRuntime | None = None,
) -> None:
    """Return if a program may be opened in this process; one that is new here is run in another process first.

    Args:
        model: The bytes of the .tflite.
        name: What messages call it.
        threads: The threads of its first run.
        input_shape: What its only input is resized to; None for its own shape. Other runtimes get these numbers too.
        runtime: What runs it; None for LiteRT.

    Raises:
        BundleError: It cannot run, ends the process that runs it, or needs more memory or time than is allowed.
        ConfigError: A variable that sets a limit is not a number.
    """
    runtime = runtime or LITERT
    key = "x".join([hashlib.sha256(model).hexdigest(), *map(str, input_shape or ())])
    known = f"{runtime.package} {key}"
    if known in _known or _marker(known).is_file():
        _known.add(known)
        return
    reason = runtime.unsound(model) or _try(model, threads, input_shape or (), runtime.child)
    if reason is not None:
        raise BundleError(f"{name} is damaged or is not {runtime.kind} that can run here ({reason}). {runtime.remedy}")
    _remember(known)


def _remember(known: str) -> None:
    _known.add(known)
    marker = _marker(known)
    with suppress(OSError):  # a cache that cannot be written costs another trial, in the next process
        marker.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        marker.touch()


def _marker(known: str) -> Path:
    """The empty file that says that a program passed with this release. known: package, digest, and other sizes."""
    package, key = known.split(" ")
    return cache_dir() / "tried_programs" / _release(package) / key


@cache
def _release(package: str) -> str:
    # importlib.metadata takes longer to import than LiteRT; it is asked where a release does not name itself.
    found: Any = None
    if package == LITERT.package:
        import ai_edge_litert

        found = vars(ai_edge_litert).get("__version__")
    if not isinstance(found, str):
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version(package)
        except PackageNotFoundError:
            return package
    return f"{package}-{found}"


def _unsound(model: bytes) -> str | None:
    """What is wrong with a file before it is run."""
    try:
        check_parts(model)
        check_order(model)
    except DamagedFlatBufferError as error:
        return str(error)
    return None


LITERT = TrialRuntime(
    "ai-edge-litert", "a LiteRT program", None, _unsound, "Download it again, or write it again with cliplab convert."
)


def _try(model: bytes, threads: int, input_shape: Sequence[int], child: Path | None) -> str | None:
    """Why a program must not be opened here; None if it ran."""
    memory = _limit(MEMORY_VARIABLE, MB) or MEMORY_BYTES + MEMORY_PER_BYTE * len(model)
    seconds = _limit(SECONDS_VARIABLE, 1) or CPU_SECONDS + CPU_SECONDS_PER_MB * len(model) // MB
    command = [sys.executable or "python3", str(child or CHILD), *map(str, (threads, memory, seconds, *input_shape))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run(
            command, input=model, capture_output=True, timeout=_WALL_SECONDS * seconds, env=environment
        )
    except subprocess.TimeoutExpired as late:
        done = subprocess.CompletedProcess(command, -signal.SIGKILL, late.stdout or b"", late.stderr or b"")
    except (OSError, ValueError) as error:
        done = subprocess.CompletedProcess(command, 0, b"", str(error).encode())
    lines = _answers(done.stdout)
    if {"ready": True} not in lines:
        # Python is embedded in another program, or may start no process here.
        last = done.stderr.decode(errors="replace").strip()[-200:]
        _logger.warning("a new program runs without a trial, because no Python process could be started: %s", last)
        return None
    return _verdict(lines[-1], memory) if "error" in lines[-1] else _crash(done, memory, seconds)


def _answers(stdout: bytes) -> list[dict[str, Any]]:
    """What the process of a trial has printed."""
    found = []
    for line in stdout.splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return [item for item in found if isinstance(item, dict)]


def _verdict(answer: dict[str, Any], memory: int) -> str | None:
    error = answer["error"]
    if error is None:
        return None
    if "memory" in error or "bad_alloc" in error:
        return _over_limit("MB of memory", memory // MB, MEMORY_VARIABLE)
    line = str(error.splitlines()[0][:200])
    # XNNPACK does not say that it was refused memory.
    hint = f"; or it needs more than {memory // MB} MB of memory: {MEMORY_VARIABLE}" if "XNNPack" in line else ""
    return line + hint


def _crash(done: subprocess.CompletedProcess[bytes], memory: int, seconds: int) -> str:
    """The reason of a trial that did not end by itself."""
    name = signal.Signals(-done.returncode).name if done.returncode < 0 else ""
    if name in ("SIGXCPU", "SIGKILL"):
        return _over_limit("seconds of computing for one batch", seconds, SECONDS_VARIABLE)
    if b"bad_alloc" in done.stderr or b"length_error" in done.stderr:
        return _over_limit("MB of memory", memory // MB, MEMORY_VARIABLE)
    ended = f"by {name}" if name else f"with code {done.returncode}"
    return f"it crashes the process that runs it ({ended}); it may also need more than {memory // MB} MB of memory"


def _over_limit(what: str, limit: int, variable: str) -> str:
    return f"it needs more than {limit} {what}; if you trust the file, set {variable} to a larger number"


def _limit(variable: str, unit: int) -> int | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"{variable} is {text!r} and must be a whole number above 0")
    return int(text) * unit

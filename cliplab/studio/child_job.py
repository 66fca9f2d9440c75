"""A job's work in a process of its own: it computes beside the studio, and its crash or its memory does not end it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from adapters.errors import AdapterError, StorageError
from cliplab.studio.jobs import Job, JobStoppedError

# After a stop the child ends by itself at its next epoch or check; after this many seconds it is ended.
STOP_SECONDS = 30.0
MAX_MESSAGE_BYTES = 64_000_000
_LAST_WORDS = 20  # lines of the child's stderr that are kept for the message of a crash


def run_child(
    job: Job, target: str, arguments: Mapping[str, Any], *, stop_seconds: float = STOP_SECONDS
) -> dict[str, Any] | None:
    """Call a function in a child process, with its progress, lines and epochs as this job's.

    The child ends when the studio does, also when that was killed.

    Args:
        job: The job that this runs in.
        target: "module:function" of our own code, never from a request. It receives a ``Job`` and the arguments.
        arguments: A JSON object.
        stop_seconds: How long the child may take to end after it was asked to stop.

    Returns:
        What the function returned.

    Raises:
        JobStoppedError: The job was stopped.
        AdapterError: The function failed, or its process ended.
        StorageError: No process can be started.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
    command = [sys.executable or "python3", "-m", "cliplab.studio.child_process", target]
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=os.name == "posix",
        )
    except OSError as error:
        raise StorageError(f"a process for the job cannot be started with {sys.executable} ({error})") from None
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    job.progress("starting")
    words: deque[str] = deque(maxlen=_LAST_WORDS)
    helpers = [
        threading.Thread(target=_collect, args=(child.stderr, words), daemon=True),
        threading.Thread(target=_end_when_stopped, args=(job, child, stop_seconds), daemon=True),
    ]
    try:
        _send(child.stdin, arguments)
        for helper in helpers:
            helper.start()
        ending = _follow(job, child.stdout)
        child.wait()
        helpers[0].join(5)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            with suppress(OSError):
                stream.close()
    return _outcome(job, ending, child.returncode, words)


def _send(stream: IO[bytes], message: Any) -> None:
    with suppress(OSError):  # a child that ended already is reported by its exit
        stream.write(json.dumps(message).encode() + b"\n")
        stream.flush()


def _end_when_stopped(job: Job, child: subprocess.Popen[bytes], stop_seconds: float) -> None:
    while child.poll() is None:
        if job.wait_for_stop(0.2):
            assert child.stdin is not None
            _send(child.stdin, "stop")
            with suppress(subprocess.TimeoutExpired):
                child.wait(stop_seconds)
            if child.poll() is None:
                child.kill()
            return


def _collect(stream: IO[bytes], words: deque[str]) -> None:
    with suppress(OSError, ValueError):
        while line := stream.readline(10_000):
            words.append(line.decode(errors="replace").rstrip())


def _follow(job: Job, stream: IO[bytes]) -> dict[str, Any]:
    """Take over the child's messages until its last one, which has its result or error."""
    while line := stream.readline(MAX_MESSAGE_BYTES):
        try:
            message = json.loads(line)
        except ValueError:
            continue
        what = message["what"]
        if what == "progress":
            job.progress(message["stage"], message["done"], message["total"])
        elif what == "line":
            job.line(message["line"])
        elif what == "epoch":
            job.epoch(message["epoch"])
        elif what == "end":
            return dict(message)
    return {}


def _outcome(job: Job, ending: dict[str, Any], code: int, words: deque[str]) -> dict[str, Any] | None:
    if ending.get("state") == "done":
        result: dict[str, Any] | None = ending["result"]
        return result
    if ending.get("state") == "stopped" or (job.stopping and not ending):
        raise JobStoppedError
    for word in words:
        job.line(word)
    if ending.get("error"):
        raise AdapterError(ending["error"])
    how = f"by signal {-code}" + (" (it may have needed more memory than is available)" if code == -9 else "")
    last = next((word for word in reversed(words) if word.strip()), "")
    raise AdapterError(
        f"the job's process ended {how if code < 0 else f'with code {code}'} before it was done"
        + (f": {last}" if last else "")
        + ". Its stored results are kept; start it again to continue."
    )

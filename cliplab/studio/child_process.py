"""The process of a job: calls one function, and writes its progress, result or error as lines of JSON.

It reads the arguments and, later, "stop" from its standard input. It ends when its input does, that is, also when the
studio was killed.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import traceback
from typing import IO, Any

from adapters.errors import AdapterError
from adapters.system import json_text
from cliplab.studio.jobs import Job, JobStoppedError


def main() -> int:
    """Call the function that the first argument names; the exit status."""
    # What libraries print must not mix with the messages: they get stderr as their stdout.
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with lock:
            messages.write(json_text(message).replace("\n", " ") + "\n")
            messages.flush()

    def changed(job: Job, what: str) -> None:
        message: dict[str, Any] = {"what": what}
        if what == "progress":
            message |= {"stage": job.stage, "done": job.done, "total": job.total}
        elif what == "line":
            message["line"] = job.lines[-1]
        elif what == "epoch":
            message["epoch"] = job.epochs[-1]
        send(message)

    arguments = json.loads(sys.stdin.buffer.readline())
    job = Job("child", "child", "child", _changed=changed)
    threading.Thread(target=_watch_input, args=(sys.stdin.buffer, job), daemon=True).start()
    module, _, name = sys.argv[1].partition(":")
    try:
        result = getattr(importlib.import_module(module), name)(job, arguments)
        send({"what": "end", "state": "done", "result": result})
    except JobStoppedError:
        send({"what": "end", "state": "stopped"})
    except AdapterError as error:
        send({"what": "end", "state": "failed", "error": str(error)})
    except Exception as error:  # the person who started the job reads it; the traceback is in the job's log
        traceback.print_exc()
        send({"what": "end", "state": "failed", "error": f"{type(error).__name__}: {error}"})
    sys.stdout.flush()
    # Threads of native libraries are not waited for.
    os._exit(0)


def _watch_input(stream: IO[bytes], job: Job) -> None:
    while line := stream.readline():
        if line.strip() == b'"stop"':
            job.request_stop()
    os._exit(1)  # the studio is gone


if __name__ == "__main__":
    main()

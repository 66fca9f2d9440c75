"""Runs scans that are killed: at a fault point, or at a random moment. A process of its own, which forks for each scan.

python scan_driver.py LIBRARY BUNDLE FOLDER fault WHEN-CALL-NUMBER...  scans that die at the NUMBERth such call, each
                                                                      with its h.json in FOLDER/WHEN-CALL-NUMBER
python scan_driver.py LIBRARY BUNDLE FOLDER random KILLS SEED          scans killed at random moments, each from where
                                                                      the one before was, and anew once one is through

WHEN is before or after, CALL one of fsync, replace, commit. Prints a JSON line for each scan: what its store held then.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2  # noqa: F401 # loaded once, so that the children spend their time on the scan

from adapters.inference import open_model
from cliplab.scan import scan
from cliplab.scan import store as scan_store


def main() -> None:
    library, bundle, folder, mode, *rest = sys.argv[1:]
    open_model(bundle)
    if mode == "fault":
        for fault in rest:
            output = str(Path(folder, fault, "h.json"))
            pid = start(library, bundle, output, lambda fault=fault: die_at(*fault.split("-")))  # type: ignore[misc]
            tell(output, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return
    output = str(Path(folder, "h.json"))
    kills, chance = int(rest[0]), random.Random(int(rest[1]))
    began = time.monotonic()
    os.waitpid(start(library, bundle, output), 0)
    whole = time.monotonic() - began
    reference = Path(output).read_bytes()
    remove(output)
    while kills:
        began = time.monotonic()
        pid = start(library, bundle, output)
        time.sleep(chance.uniform(0, whole))
        os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        kills -= code == -signal.SIGKILL
        tell(output, code)
        if code == 0:
            whole = min(whole, time.monotonic() - began)  # the first may have met a busy machine
            assert Path(output).read_bytes() == reference, "another result than that of an unbroken run"
            remove(output)


def start(library: str, bundle: str, output: str, prepare: Callable[[], None] = lambda: None) -> int:
    """A scan in a child process; its number. What the child leaves is what a killed process leaves."""
    pid = os.fork()
    if pid:
        return pid
    try:
        prepare()
        scan(library, bundle, output=output, min_score=0.0, sample_fps=8.0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def die_at(when: str, call: str, number: str) -> None:
    """From now on the process kills itself before or after a call, the last moment where its effect is there or not."""
    owner: Any = scan_store.Store if call == "commit" else os
    function, left = getattr(owner, call), [int(number)]

    def dying(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if not left[0] and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, call, dying)


def remove(output: str) -> None:
    for path in Path(output).parent.iterdir():
        path.unlink()


def tell(output: str, code: int) -> None:
    """How many videos the store has, whether it is whole, and what else lies beside the output."""
    folder, kept = Path(output).parent, 0
    if (folder / "scan.db").exists():
        with sqlite3.connect(folder / "scan.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'scores'").fetchone()[0]:
                kept = connection.execute("SELECT count(*) FROM scores").fetchone()[0]
        connection.close()
    left = sorted(path.name for path in folder.iterdir())
    print(json.dumps({"code": code, "kept": kept, "files": left}), flush=True)


if __name__ == "__main__":
    main()

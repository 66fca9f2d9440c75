"""A device's client that is killed at a chosen step of a round; ``python killed_device.py URL FOLDER STEPS``.

Each attempt is a forked process that ends itself with SIGKILL at its Nth call that changes the disk or the network.
"""

from __future__ import annotations

import builtins
import http.client
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from cliplab.rollout.device import CheckResult, DeviceClient, DeviceOptions

_left = 0


def _count(function: Any) -> Any:
    def called(*arguments: Any, **options: Any) -> Any:
        global _left
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return called


def _open(file: Any, mode: str = "r", *arguments: Any, _open: Any = builtins.open, **options: Any) -> Any:
    global _left
    if any(letter in mode for letter in "wax+"):
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return _open(file, mode, *arguments, **options)


def one_round(url: str, folder: Path) -> None:
    def check(path: Path, golden: Any) -> CheckResult:
        return CheckResult(True, "")

    client = DeviceClient(DeviceOptions("a", url, folder), check=check, machine="one")
    done = client.round()
    print(json.dumps(done.to_json()), flush=True)


def attempt(url: str, folder: Path, step: int) -> bool:
    """Whether the round was killed; False where it has fewer steps."""
    global _left
    child = os.fork()
    if child == 0:
        _left = step
        for name in ("replace", "rename", "unlink", "fsync", "symlink"):
            setattr(os, name, _count(getattr(os, name)))
        builtins.open = _open
        http.client.HTTPConnection.getresponse = _count(http.client.HTTPConnection.getresponse)  # type: ignore[method-assign]
        http.client.HTTPResponse.read1 = _count(http.client.HTTPResponse.read1)  # type: ignore[method-assign]
        one_round(url, folder)
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


if __name__ == "__main__":
    print(attempt(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])), flush=True)
    # One client for all steps: the test says when to go on.
    for line in sys.stdin:
        print(attempt(sys.argv[1], Path(sys.argv[2]), int(line)), flush=True)

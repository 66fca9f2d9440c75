"""Whether a downloaded model works on this device: asked in a process of its own, which it may end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliplab.rollout.device.errors import DeviceError

CHECK_SECONDS = 180.0


@dataclass(frozen=True)
class CheckResult:
    """What the check of a model found.

    Attributes:
        passed: Whether the model may be used.
        message: Why, or why not.
    """

    passed: bool
    message: str


def check_model(model: Path, golden: Mapping[str, Any] | None, seconds: float = CHECK_SECONDS) -> CheckResult:
    """Predict a model's golden clip in another process and compare the scores.

    Args:
        model: A self-describing .tflite that was verified.
        golden: Its golden scores as the registry publishes them; None where there are none: then it must run and give
            finite scores.
        seconds: The time that it may take; a model that needs more has failed.

    Returns:
        Whether it passed, and why.

    Raises:
        DeviceError: The process cannot be started, or was killed from outside, for example for want of memory: that may
            be the machine's state at this moment.
    """
    script = Path(__file__).with_name("golden_process.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, str(script), str(model)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise DeviceError(
            f"{model}: the check of its golden clip cannot start ({error.strerror}). Try again."
        ) from error
    try:
        output, errors = process.communicate(json.dumps(golden).encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        return CheckResult(False, f"its golden clip was not predicted within {seconds:.0f} s")
    finally:
        _end(process)
    if process.returncode == -signal.SIGKILL:
        raise DeviceError(
            f"{model}: the check of its golden clip was killed, probably because the system ran out of memory."
        )
    return _result(process.returncode, output, errors)


def _result(code: int, output: bytes, errors: bytes) -> CheckResult:
    try:
        found = json.loads(output.splitlines()[-1])
        return CheckResult(bool(found["passed"]), str(found["message"]))
    except (ValueError, IndexError, KeyError, TypeError):
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        last = (errors.decode("utf-8", "replace").strip().splitlines() or [""])[-1]
        return CheckResult(False, f"it crashed the process that predicted its golden clip ({reason}) {last}".strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process with those that it started."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()

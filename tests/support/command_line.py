"""The one way in which tests run a cliplab command or other Python code: here, or in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from environment import environment
from typer.testing import CliRunner

COMMAND = (sys.executable, "-m", "cliplab")
Variables = Mapping[str, str | None]


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both streams."""
        return self.stdout + self.stderr


def cli(
    *words: object,
    code: int | None = None,
    process: bool = False,
    before: str = "",
    stdin: bytes = b"",
    env: Variables | None = None,
    **options: Any,
) -> Ran:
    """Run a command to its end.

    words: as on the command line. code: the exit code that it must have; None for any. process: run it as a real
    process; by default it runs in this one, which is faster. before: Python code that the process runs first. env:
    variables to set or, with None, to remove. options: those of subprocess.run, for a real process.
    """
    if before:
        ran = python(f"{before}\nfrom cliplab.cli.app import main\nmain()", *words, stdin=stdin, env=env, **options)
    elif process:
        ran = _run([*COMMAND, *words], stdin, env, options)
    else:
        from cliplab.cli.app import app

        result = CliRunner().invoke(app, [str(word) for word in words], input=stdin, env=env)
        ran = Ran(result.exit_code, result.stdout, result.stderr)
    assert code is None or ran.exit_code == code, ran.output
    return ran


def python(code: str, *arguments: object, stdin: bytes = b"", env: Variables | None = None, **options: Any) -> Ran:
    """Run Python code in a process of its own, to its end."""
    return _run([sys.executable, "-c", code, *arguments], stdin, env, options)


def start(*words: object, env: Variables | None = None, **options: Any) -> subprocess.Popen[Any]:
    """Start a command that the test goes on to watch, feed or end. options: those of subprocess.Popen."""
    return _start([*COMMAND, *words], env, options)


def start_python(code: str, *arguments: object, env: Variables | None = None, **options: Any) -> subprocess.Popen[Any]:
    """Start Python code in a process of its own. options: those of subprocess.Popen; standard output is a pipe."""
    return _start([sys.executable, "-c", code, *arguments], env, {"stdout": subprocess.PIPE, "text": True, **options})


def _start(command: list[Any], env: Variables | None, options: dict[str, Any]) -> subprocess.Popen[Any]:
    return subprocess.Popen([str(word) for word in command], env=environment(**(env or {})), **options)


def _run(command: list[Any], stdin: bytes, env: Variables | None, options: dict[str, Any]) -> Ran:
    options = {"timeout": 600, **options}
    done = subprocess.run(
        [str(word) for word in command], input=stdin, capture_output=True, env=environment(**(env or {})), **options
    )
    return Ran(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8", "backslashreplace"))

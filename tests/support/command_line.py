"""The one way in which tests run a cliplab command: in this process, or in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from environment import environment
from typer.testing import CliRunner

COMMAND = (sys.executable, "-m", "cliplab")


@dataclass(frozen=True)
class Ran:
    """A command that has ended. exception: what was raised in this process, other than the exit itself."""

    exit_code: int
    stdout: str
    stderr: str
    exception: BaseException | None = None

    @property
    def output(self) -> str:
        """Both streams."""
        return self.stdout + self.stderr


def cli(
    *words: object,
    code: int | None = None,
    process: bool = False,
    stdin: str | None = None,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    seconds: float = 600,
) -> Ran:
    """Run a command to its end.

    words: as on the command line. code: the exit code that it must have; None for any. process: run it as a real
    process; by default it runs in this one, which is faster. env: variables to set or, with None, to remove.
    cwd, seconds: of a real process.
    """
    arguments = [str(word) for word in words]
    if process:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment(**(env or {})),
            cwd=cwd,
            timeout=seconds,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout, done.stderr)
    else:
        from cliplab.cli.app import app

        result = CliRunner().invoke(app, arguments, input=stdin, env=env)
        raised = None if isinstance(result.exception, SystemExit) else result.exception
        ran = Ran(result.exit_code, result.stdout, result.stderr, raised)
    assert code is None or ran.exit_code == code, ran.output
    return ran


def start(
    *words: object,
    env: Mapping[str, str | None] | None = None,
    stdout: int | IO[Any] | None = subprocess.PIPE,
    stderr: int | IO[Any] | None = subprocess.PIPE,
    **options: Any,
) -> subprocess.Popen[Any]:
    """Start a command that the test goes on to watch, feed or end. options: those of subprocess.Popen."""
    command = [*COMMAND, *(str(word) for word in words)]
    return subprocess.Popen(command, env=environment(**(env or {})), stdout=stdout, stderr=stderr, **options)


def python(code: str, *arguments: object, env: Mapping[str, str | None] | None = None, cwd: Path | None = None) -> Ran:
    """Run Python code in a process of its own, to its end."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=600,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)

"""How commands talk: data on stdout, everything else on stderr, an error in one line, an exit code that says which.

Labels, file names and texts of errors come from models and files that anyone may have made. Whatever is shown passes
here, and what could command a terminal is shown as escapes; nothing is read as rich's markup.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ParamSpec

import typer

from adapters.errors import AdapterError, ConfigError, MissingExtraError
from adapters.system import terminal_json, terminal_text
from cliplab.cli import interrupts, verbosity
from cliplab.cli.shown_paths import from_here

P = ParamSpec("P")
GOOD, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def debug() -> bool:
    """CLIPLAB_DEBUG=1 shows tracebacks."""
    return os.environ.get("CLIPLAB_DEBUG", "") not in ("", "0")


def command(function: Callable[P, int | None]) -> Callable[P, None]:
    """A command's outcome as an exit code: 0 good, 1 something failed, 2 bad usage or config, 130 interrupted.

    The function returns its code, or None for 0.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = function(*args, **kwargs) or GOOD
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = _interrupted(function.__name__)
        except BrokenPipeError:
            # The reader of stdout has gone, as `| head` does; Python must not try to flush to it once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = GOOD
        except AdapterError as error:
            if debug():
                raise
            say_error(str(error))
            if sys.stderr.isatty():  # for people; logs and scripts get the error alone
                note(f"more about this error: {troubleshooting(error)}")
            code = USAGE if isinstance(error, (ConfigError, MissingExtraError)) else FAILED
        except Exception as error:
            if debug():
                raise
            code = _interrupted(function.__name__) if interrupts.pressed() else _unexpected(error)
        if verbosity.settings.verbose:
            say(verbosity.taken())
        raise typer.Exit(code)

    return run


def _interrupted(name: str) -> int:
    resume = interrupts.RESUME.get(name)
    say_error("interrupted; no incomplete file is left" + ("" if resume is None else f"; {resume}"))
    return INTERRUPTED


def _unexpected(error: Exception) -> int:
    if verbosity.settings.verbose:
        say(traceback.format_exc().rstrip("\n"))
    say_error(
        f"unexpected {type(error).__name__}: {error}. This is a bug in cliplab; CLIPLAB_DEBUG=1 shows where it happened"
    )
    return FAILED


def say_error(message: str) -> None:
    """One error on stderr, its first word in red where that is a terminal."""
    red, plain = ("\033[31m", "\033[0m") if verbosity.colored(sys.stderr) else ("", "")
    print(f"{red}error:{plain} {terminal_text(from_here(message))}", file=sys.stderr, flush=True)


def troubleshooting(error: AdapterError) -> str:
    """The section of the documentation about errors of this kind: that of its nearest class in adapters.errors."""
    kinds = (kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "adapters.errors")
    nearest = next(kinds)
    return f"docs/troubleshooting.md#{'by-message' if nearest == 'AdapterError' else nearest.lower()}"


def say(message: str) -> None:
    """A line of text on stderr."""
    print(terminal_text(from_here(message)), file=sys.stderr, flush=True)


def note(message: str) -> None:
    """A line on stderr that is good to know, unless --quiet was given."""
    if not verbosity.settings.quiet:
        say(f"note: {message}")


def guard_terminal() -> None:
    """From now on log messages and tracebacks on stderr are made fit for a terminal too. For programs."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_TerminalFormatter())
    sys.excepthook = _show_traceback


class _TerminalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return terminal_text(super().format(record))


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    say("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"))


def write_json(value: Any) -> None:
    """A JSON value on stdout, under the rules of ``adapters.system.atomic.json_text``."""
    from adapters.system import json_text

    print(terminal_json(json_text(value, indent=2)))


def write_row(value: Any) -> None:
    """A JSON value on a line of stdout, at once."""
    from adapters.system import json_text

    print(terminal_json(json_text(value)), flush=True)


def show(*renderables: Any) -> None:
    """Tables and text on stdout, as wide as the terminal, or 100 columns where there is none."""
    if all(isinstance(item, str) for item in renderables):  # rich takes as long to import as a short video to score
        for item in renderables:
            print(terminal_text(item))
        return
    from rich.console import Console
    from rich.text import Text

    color = verbosity.colored(sys.stdout)
    console = Console(
        highlight=False,
        width=None if sys.stdout.isatty() else 100,
        no_color=not color,
        force_terminal=True if color else None,
    )
    for item in renderables:
        plain = item.plain if isinstance(item, Text) else item
        if isinstance(plain, str):
            item = Text(terminal_text(plain), style=item.style if isinstance(item, Text) else "")
        # Plain lines are left to the terminal to wrap, so that a path can be copied from a pipe or a log.
        console.print(item, markup=False, soft_wrap=isinstance(item, Text))


class Bar:
    """A progress bar on stderr where that is a terminal, else nothing."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._task: Any = None
        self._text = ""

    @property
    def live(self) -> bool:
        """Whether it is shown. sys.stderr cannot say so: rich replaces it, before 14.1 by what is not a terminal."""
        return self._progress is not None

    def update(self, text: str, done: float, total: float | None) -> None:
        """Show text and done of total; another text begins another bar."""
        if self._progress is None:
            return
        text = terminal_text(text, one_line=True)
        if self._task is None:
            self._task = self._progress.add_task(text, total=total, completed=done)
        else:
            self._progress.update(self._task, description=text, total=total, completed=done)

    def line(self, text: str) -> None:
        """A line on stderr that stays, above the bar where there is one."""
        if verbosity.settings.quiet:
            return
        if self._progress is None:
            say(text)
        else:
            from rich.text import Text

            self._progress.console.print(Text(terminal_text(text)), soft_wrap=True)

    def video(self, path: str, seconds: float, length: float | None, done: int, files: int) -> None:
        """An ``OnVideoProgress``: the part of the present file counts too."""
        part = min(seconds / length, 1.0) if length and done < files else 0.0
        self.update(f"{os.path.basename(path)} ({min(done + 1, files)} of {files})", done + part, files)

    def stage(self, stage: str, done: int, total: int) -> None:
        """An ``OnProgress``."""
        self.update(stage, done, total)


@contextmanager
def bar() -> Iterator[Bar]:
    """A bar for the length of a command's work."""
    if not sys.stderr.isatty() or verbosity.settings.quiet:
        yield Bar(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True, no_color=not verbosity.colored(sys.stderr))
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress)

"""How much a command says, and whether in colours: ``-q``, ``-v``, ``--color``."""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from adapters.system import terminal_text

_PACKAGES = ("adapters", "cliplab", "movinet_adapter")


@dataclass
class Settings:
    """What was asked for on the command line.

    Attributes:
        quiet: Results, warnings and errors only: no progress, no notes.
        verbose: Log what is loaded, converted and cached; say what a command took; tracebacks of unexpected errors.
        color: auto, always or never.
    """

    quiet: bool = False
    verbose: bool = False
    color: str = "auto"


settings = Settings()
_started = 0.0


def reset() -> None:
    """Begin a command line: say what is usual."""
    settings.quiet, settings.verbose, settings.color = False, False, "auto"
    for name in _PACKAGES:
        logger = logging.getLogger(name)
        for handler in [one for one in logger.handlers if isinstance(one, _Log)]:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)


def be_quiet() -> None:
    """Say results, warnings and errors only."""
    settings.quiet = True


def be_verbose() -> None:
    """Log what the packages do, on stderr."""
    global _started
    if settings.verbose:
        return
    settings.verbose, _started = True, time.monotonic()
    for name in _PACKAGES:
        logger = logging.getLogger(name)
        logger.addHandler(_Log(logging.INFO))
        logger.setLevel(logging.INFO)


def taken() -> str:
    """What the command took until now: time, processor time and memory."""
    spent = os.times()
    used = spent.user + spent.system + spent.children_user + spent.children_system
    text = f"took {time.monotonic() - _started:.2f} s, {used:.2f} s of processor time"
    try:
        import resource
    except ImportError:  # Windows
        return text
    # In KiB on Linux, in bytes on macOS (getrusage(2) of each).
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{text}, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6:.0f} MB of memory at most"


def colored(stream: Any) -> bool:
    """Whether to write colours to a stream: as asked; by default to a terminal, unless NO_COLOR says no."""
    if settings.color != "auto":
        return settings.color == "always"
    # https://no-color.org: present and not empty.
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _Log(logging.Handler):
    """Messages of the packages on stderr, fit for a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record) if record.levelno < logging.WARNING else f"warning: {self.format(record)}"
        print(terminal_text(text), file=sys.stderr, flush=True)

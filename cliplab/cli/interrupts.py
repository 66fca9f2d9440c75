"""Whether Ctrl-C was pressed, also where what it broke says something else.

A compiled module that is interrupted while it is imported raises an ImportError or worse in place of KeyboardInterrupt.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

# What to do after Ctrl-C, by the name of the command's function. "Run the same command again" is true of commands that
# keep what they finished.
_AGAIN = "run the same command again to resume"
RESUME = {
    **dict.fromkeys(("train", "finetune", "scan", "extract", "dataset_prepare", "generate", "label_auto"), _AGAIN),
    "ads": "run the same command again to resume: finished recordings are not analysed again",
    "reel": "a reel cannot be resumed: run the same command again",
    "predict": "predict cannot be resumed: run it again; for large folders use cliplab scan, which resumes",
    "worker": "the job is back in its folder: run the same command again",
}
_pressed = threading.Event()


def watch() -> None:
    """Remember Ctrl-C from now on, which still raises KeyboardInterrupt. For programs, before their imports."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) not in (
        None,
        signal.SIG_IGN,  # as nohup and shells leave it for a command in the background
    ):
        signal.signal(signal.SIGINT, _interrupt)


def pressed() -> bool:
    """Whether Ctrl-C was pressed since ``watch``."""
    return _pressed.is_set()


def leave() -> None:
    """End the program as interrupted, before there was anything that could be lost."""
    print("error: interrupted", file=sys.stderr, flush=True)
    sys.exit(130)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _pressed.set()
    raise KeyboardInterrupt

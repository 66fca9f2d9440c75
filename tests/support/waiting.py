"""Waiting for what must come true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENT = 120.0  # seconds that a test waits: the machine may stall


def until(
    condition: Callable[[], T], seconds: float = PATIENT, what: str = "it did not come true", every: float = 0.02
) -> T:
    """Poll until the condition gives a true value, and return it. AssertionError, with what, after the seconds."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(every)
    return value

"""Limits for all clips that a process reads, for one that works on videos from people it does not know.

A training reads clips in many places, also in adapters of other packages. What is set here holds in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapters.media.opening import MediaLimits
from adapters.records import Clip, InputSpec


class ReadsClips(Protocol):
    """What reads clips in processes of its own: a ``DecoderPool``."""

    def read_clip(
        self,
        source: str | Path,
        limits: MediaLimits,
        spec: InputSpec,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
    ) -> Clip:
        """As ``DecoderPool.read_clip``."""


@dataclass(frozen=True)
class Guard:
    """What ``read_clip`` keeps to.

    Attributes:
        limits: Limits of each video; None for none.
        decoders: Processes that decode; None: this process.
    """

    limits: MediaLimits | None = None
    decoders: ReadsClips | None = None


_guard = Guard()


@contextmanager
def limited_reading(limits: MediaLimits, decoders: ReadsClips | None) -> Iterator[None]:
    """Have ``read_clip`` keep to limits, in every thread of this process, while the block runs.

    Args:
        limits: Limits of each video.
        decoders: Processes that decode; None: this process.
    """
    global _guard
    before, _guard = _guard, Guard(limits, decoders)
    try:
        yield
    finally:
        _guard = before


def current_guard() -> Guard:
    """The limits that hold now."""
    return _guard

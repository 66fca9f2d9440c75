"""Stub."""

from pathlib import Path

from cliplab.detect.recordings import Recording


def draw_breaks(found: Recording, path: Path) -> None: ...

"""Whether a file can last as long as its times say: hours that a few bytes claim cost as much as real ones."""

from __future__ import annotations

import os
from pathlib import Path

from adapters.errors import MediaError

# Shorter videos are believed. Even a still picture in H.264 takes more bytes per second.
SURE_SECONDS, LEAST_BYTES_PER_SECOND = 7200.0, 100


def require_footage(path: str | Path, seconds: float) -> None:
    """Refuse a file that claims hours in a few bytes, where each second of them would be worked on.

    Args:
        path: A local file.
        seconds: How long it lasts by its times.

    Raises:
        MediaError: It lasts more than two hours and has less than 100 bytes for each second.
        OSError: It is not there any more.
    """
    if seconds <= SURE_SECONDS:
        return
    size = os.path.getsize(path)
    if size < LEAST_BYTES_PER_SECOND * seconds:
        raise MediaError(
            f"{path}: lasts {seconds / 3600:.1f} h by its times and has {size:,} bytes: it is damaged, or a still "
            "picture. Convert it from its source."
        )

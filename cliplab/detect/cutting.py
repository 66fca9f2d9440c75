"""A copy of a recording without its breaks, made only when it is asked for. The recording itself is never changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapters.errors import MediaError
from adapters.media import copy_parts


def cut_out(
    path: str | Path, breaks: Sequence[tuple[float, float]], duration_seconds: float, output: str | Path
) -> list[str]:
    """Write a recording without some stretches. Packets are copied wherever a cut is at a key frame.

    Args:
        path: The recording.
        breaks: (start, end) in seconds since the first frame, in order.
        duration_seconds: Its length.
        output: The new file; its suffix chooses the container.

    Returns:
        Notes on what could not be copied.

    Raises:
        MediaError: Nothing would be left, or the recording cannot be read.
        StorageError: The output cannot be written.
    """
    kept, begin = list[tuple[float, float]](), 0.0
    for start, end in breaks:
        if start > begin:
            kept.append((begin, start))
        begin = max(begin, end)
    if duration_seconds > begin:
        # To its very end, also where the last frame is shown longer than declared.
        kept.append((begin, duration_seconds + 1.0))
    if not kept:
        raise MediaError(f"{path}: is one break from start to end, so nothing would remain. It is not cut.")
    return copy_parts(path, kept, output)

"""Whether a file that a watch has found is still being written."""

from __future__ import annotations

import time

from adapters.media import VideoFile


class SettleFilter:
    """Recognises files that nothing has written to for some seconds.

    A file whose time is that long ago is ready at once. Any other file, also one whose time lies in the future because
    the camera's clock was wrong, is ready once it has been seen unchanged for that long.

    Args:
        seconds: How long a file must stay unchanged.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[str, tuple[int, int, float]] = {}  # path -> size, time, when it was first seen so

    def ready(self, file: VideoFile) -> bool:
        """Whether a file, as it is now, has stayed unchanged for long enough."""
        now, state = time.monotonic(), (file.size_bytes, file.mtime_ns)
        known = self._seen.get(file.path)
        if known is None and time.time() - file.mtime_ns / 1e9 >= self._seconds:
            return True
        if known is None or known[:2] != state:
            self._seen[file.path] = (*state, now)
            return False
        return now - known[2] >= self._seconds

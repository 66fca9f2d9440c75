"""A single video at an address, read by connections that are checked, so that FFmpeg asks no server by itself.

FFmpeg looks a name up again each time that it connects, and a name may lead elsewhere then (DNS rebinding).
"""

from __future__ import annotations

import errno
import io
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import IO

from adapters.errors import MediaError
from cliplab.detect.highlights.web_reading import WebReader
from cliplab.library import BLOCK_BYTES, open_blocks

# Of a server that does not send parts, all is kept in a temporary file.
MOST_KEPT_BYTES = 4 << 30


class WebVideo:
    """A video as ``adapters.media.open_video`` takes it; ``str()`` is the address that was given.

    Attributes:
        size_bytes: Its size.
    """

    size_bytes: int

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        check_url: Callable[[str], object] | None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Ask for its size; fetch it whole where the server does not send parts.

        Args:
            url: Of http or https.
            headers: As for ``WebReader``.
            check_url: As for ``WebReader``.
            is_stopped: Asked while it is fetched whole.

        Raises:
            MediaError: It cannot be read, must not be asked, or is too large to be kept.
        """
        self._name, self._lock = url, threading.Lock()
        self._kept: IO[bytes] | None = None
        self._reader = WebReader(headers, check_url)
        self._url, size = self._reader.look(url)
        if size is None:
            self._kept = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
            size = self._reader.save(self._url, self._kept, MOST_KEPT_BYTES, is_stopped)
            self._kept.flush()
        self.size_bytes = size

    def __str__(self) -> str:
        return self._name

    def open_binary(self) -> io.BufferedReader:
        """A file to read and seek, of its own position."""
        return open_blocks(self)

    def fetch(self, first: int, count: int) -> list[bytes]:
        """Blocks from a place on; see ``open_blocks``.

        Args:
            first: The number of the first one.
            count: How many are wanted.

        Raises:
            OSError: They cannot be read.
        """
        start = first * BLOCK_BYTES
        size = min(count * BLOCK_BYTES, self.size_bytes - start)
        if self._kept is not None:
            with self._lock:  # readers share its position; os.pread is not on every system
                self._kept.seek(start)
                data = self._kept.read(size)
        else:
            try:
                with self._lock:
                    data, _ = self._reader.get(self._url, size, (start, size))
            except MediaError as error:
                raise OSError(errno.EIO, str(error)) from error
        return [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]

    def close(self) -> None:
        """Remove what was kept of it."""
        if self._kept is not None:
            self._kept.close()

"""What is in an ONNX file, counted before it is run: weights outside of it and too many parts are refused.

The little of protocol buffers that this needs: a message is a list of (field number, wire type, value).
Source: https://protobuf.dev/programming-guides/encoding/ and onnx/onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from adapters.errors import BundleError
from adapters.system import open_regular_file

MAX_PARTS = 2_000_000  # values of all messages; CLIP ViT-L/14 has some 60,000
MAX_NODES = 50_000  # nodes, weights and functions; CLIP ViT-L/14 has some 5,000, and a runtime plans each of them
_DEEPEST = 16  # of graphs in loops and branches
# Fields of messages, by onnx.proto3: those that hold further messages, by the kind of these.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
}
_DATA_LOCATION, _EXTERNAL = 14, 1
_DOMAIN = 7  # of a node
_WINDOW_BYTES, _MOST_NAME_BYTES = 4096, 256
_KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")


def unsound_onnx(data: bytes) -> str | None:
    """What is wrong with an ONNX file before it is run; None if nothing is.

    Args:
        data: The file.
    """
    return _unsound(_HeldBytes(data))


def unsound_onnx_file(path: Path) -> str | None:
    """The same of a file, of which only the heads of its parts are read: weights of gigabytes take no memory.

    Args:
        path: The file.

    Raises:
        BundleError: It is not a regular file.
        OSError: It cannot be read.
    """
    with open_regular_file(path, BundleError) as file:
        return _unsound(_FileBytes(file))


class _FileBytes:
    """The bytes of a file, read where they are looked at."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, file.seek(0, 2)
        self._window, self._begin = b"", 0

    def __len__(self) -> int:
        return self._size

    def byte(self, at: int) -> int:
        place = at - self._begin
        if not 0 <= place < len(self._window):
            self._window, self._begin, place = self.part(at, at + _WINDOW_BYTES), at, 0
        return self._window[place]

    def part(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)


class _HeldBytes:
    """The bytes of a file that was read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.byte = data.__getitem__

    def __len__(self) -> int:
        return len(self._data)

    def part(self, start: int, end: int) -> bytes:
        return self._data[start:end]


def _unsound(data: _FileBytes | _HeldBytes) -> str | None:
    if len(data) >= 1 << 31:
        return "it has 2 GB or more, which one ONNX file cannot hold"
    try:
        graphs = _Walk(data).check(0, len(data), "model", 0)
    except (ValueError, IndexError) as error:
        return str(error) or "it ends too early"
    return None if graphs else "it has no graph"


class _Walk:
    def __init__(self, data: _FileBytes | _HeldBytes) -> None:
        self._data, self._left, self._nodes_left = data, MAX_PARTS, MAX_NODES

    def check(self, start: int, end: int, kind: str, depth: int) -> int:
        """How many parts of a message were looked at; raises ValueError where one is not allowed."""
        if depth > _DEEPEST:
            raise ValueError("its graphs are nested too deeply")
        self._nodes_left -= kind in ("node", "tensor", "sparse", "function")
        if self._nodes_left < 0:
            raise ValueError(f"it has more than {MAX_NODES:,} nodes and weights")
        inner, count = _FIELDS.get(kind, {}), 0
        for field, value, place in self._items(start, end):
            if kind == "tensor" and field == _DATA_LOCATION and value == _EXTERNAL:
                raise ValueError("its weights are in another file; export it as one file")
            if kind == "node" and field == _DOMAIN:
                self._require_known(self._data.part(place[0], min(place[1], place[0] + _MOST_NAME_BYTES)))
            if field in inner:
                count += 1
                self.check(*place, inner[field], depth + 1)
        return count

    def _require_known(self, domain: bytes) -> None:
        name = domain.decode(errors="replace")
        if name not in _KNOWN_DOMAINS:
            raise ValueError(f"it needs operators of {name[:60]!r}, which are not built in")

    def _items(self, start: int, end: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
        """Field number, value of a number (0 of others), and where bytes begin and end."""
        at = start
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it has more than {MAX_PARTS:,} parts")
            key, at = self._number(at, end)
            field, wire = key >> 3, key & 7
            if not field:
                raise ValueError("it is not an ONNX file")
            value, place = 0, (at, at)
            if wire == 0:
                value, at = self._number(at, end)
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            elif wire == 2:
                size, at = self._number(at, end)
                place = (at, at + size)
                at += size
            else:
                raise ValueError("it is not an ONNX file")
            if at > end:
                raise ValueError("it ends too early")
            yield field, value, place

    def _number(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for step in range(10):
            if at >= end:
                raise ValueError("it ends too early")
            byte = self._data.byte(at)
            at += 1
            value |= (byte & 127) << (7 * step)
            if byte < 128:
                return value, at
        raise ValueError("it is not an ONNX file")

"""Messages between a host and its decoder processes: a JSON head and raw bytes, over pipes. Nothing is pickled.

A message is the number of bytes of its head (uint32) and of its data (uint64), both little-endian, the head as JSON,
and the data.
"""

from __future__ import annotations

import json
import struct
from io import FileIO
from typing import Any

import numpy as np

_SIZES = struct.Struct("<IQ")
# Larger heads are not sent: arrays are data, and a head holds names, times of one clip and warnings.
MAX_HEAD_BYTES = 1 << 20


def write_message(pipe: FileIO, head: dict[str, Any], *data: memoryview) -> None:
    """Write a message.

    Args:
        pipe: Where to; unbuffered.
        head: JSON values.
        *data: Bytes, written one after the other.

    Raises:
        OSError: The other side has closed the pipe.
    """
    text = json.dumps(head).encode()
    _write_all(pipe, memoryview(_SIZES.pack(len(text), sum(part.nbytes for part in data)) + text))
    for part in data:
        _write_all(pipe, part.cast("B") if part.nbytes else part)


def read_message(pipe: FileIO, limit_bytes: int) -> tuple[dict[str, Any], memoryview]:
    """Read a message.

    Args:
        pipe: Where from; unbuffered.
        limit_bytes: Size of the largest data.

    Returns:
        The head and the data, which is writable memory of its own.

    Raises:
        EOFError: The pipe ended.
        ValueError: What came is not a message within the limit.
        OSError: The pipe is broken.
    """
    head_bytes, data_bytes = _SIZES.unpack(_read_all(pipe, _SIZES.size))
    if head_bytes > MAX_HEAD_BYTES or data_bytes > limit_bytes:
        raise ValueError(f"a message of {head_bytes} + {data_bytes} bytes; at most {limit_bytes} are allowed")
    head = json.loads(bytes(_read_all(pipe, head_bytes)))
    if not isinstance(head, dict):
        raise ValueError("a message's head is not an object")
    return head, _read_all(pipe, data_bytes)


def _write_all(pipe: FileIO, data: memoryview) -> None:
    while data.nbytes:
        data = data[pipe.write(data) :]


def _read_all(pipe: FileIO, size: int) -> memoryview:
    data = np.empty(size, np.uint8).data  # not filled with zeros, as a bytearray would be
    done = 0
    while done < size:
        count = pipe.readinto(data[done:])
        if not count:
            raise EOFError
        done += count
    return data

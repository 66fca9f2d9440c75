"""The .safetensors format, bounded before its header is parsed.

Layout: a little-endian length of 8 bytes, that much JSON with each tensor's dtype, shape and place, then the values.
Source: the format's description in huggingface/safetensors.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.system.strict_json import parse_json

# A tensor takes about 120 bytes of header, and no network here has 3,000 tensors.
MAX_HEADER_BYTES = 8 << 20
MAX_TENSORS = 50_000
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # the upper half of a float32
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_METADATA = "__metadata__"


def parse_safetensors(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a .safetensors file.

    Args:
        data: The file.

    Returns:
        Arrays by name, which own their memory; bfloat16, which numpy lacks, becomes float32.

    Raises:
        ValueError: The file is damaged, or its header is larger than any network's; the text says how.
    """
    start, entries = _read_header(data)
    return {key: _read_array(key, entry, data, start) for key, entry in entries.items()}


def safetensors_metadata(data: bytes) -> dict[str, str]:
    """The texts that a .safetensors file carries beside its arrays.

    Args:
        data: The file.

    Raises:
        ValueError: As ``parse_safetensors``.
    """
    found = _parse_header(data)[1].get(_METADATA)
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _parse_header(data: bytes) -> tuple[int, dict[str, Any]]:
    if len(data) < 8:
        raise ValueError(f"it has {len(data)} bytes, too few for the length of its header (8 bytes)")
    (length,) = struct.unpack_from("<Q", data)
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header claims {length} bytes; at most {MAX_HEADER_BYTES} are allowed")
    if length + 8 > len(data):
        raise ValueError(f"it is cut short: its header has {length} bytes and the file {len(data)}")
    header = data[8 : 8 + length]
    try:
        found = parse_json(header)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is not JSON: {str(error)[:100]}") from None
    if not isinstance(found, dict):
        raise ValueError("its header is not a JSON object")
    if len(found) > MAX_TENSORS:
        raise ValueError(f"its header lists {len(found)} tensors; at most {MAX_TENSORS} are allowed")
    return 8 + length, found


def _read_header(data: bytes) -> tuple[int, Mapping[str, Any]]:
    """Where the values begin, and the tensors' entries. They must take each byte of the file once."""
    start, found = _parse_header(data)
    entries = {key: entry for key, entry in found.items() if key != _METADATA}
    spans = sorted(_span(key, entry) for key, entry in entries.items())
    end = 0
    for begin, finish in spans:
        if begin != end:
            raise ValueError("its tensors overlap or leave gaps")
        end = finish
    if start + end != len(data):
        what = "it is cut short: " if start + end > len(data) else ""
        raise ValueError(f"{what}its tensors take {end} bytes, but {len(data) - start} follow the header")
    return start, entries


def _span(key: str, entry: Any) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(value) is int for value in offsets):
        raise ValueError(f"the entry of {key!r:.60} is damaged")
    if not 0 <= offsets[0] <= offsets[1]:
        raise ValueError(f"the data offsets of {key!r:.60} are damaged")
    return offsets[0], offsets[1]


def _read_array(key: str, entry: Mapping[str, Any], data: bytes, start: int) -> npt.NDArray[Any]:
    begin, end = _span(key, entry)
    kind, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise ValueError(f"{key!r:.60} has dtype {kind!r:.20}; supported: {', '.join(_DTYPES)}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape) or len(shape) > 32:
        raise ValueError(f"{key!r:.60} has a damaged shape")
    dtype = np.dtype(_DTYPES[kind])
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(f"{key!r:.60} is {kind} {shape} but has {end - begin} bytes")
    try:
        values = np.frombuffer(data, dtype, math.prod(shape), start + begin).reshape(shape)
    except (ValueError, OverflowError):
        raise ValueError(f"{key!r:.60} has an impossible shape") from None
    if kind == "BF16":
        return np.asarray((values.astype(np.uint32) << 16).view(np.float32))
    if kind == "BOOL" and values.view(np.uint8).max(initial=0) > 1:
        raise ValueError(f"{key!r:.60} holds booleans that are neither 0 nor 1")
    return values.copy()

"""Arrays of a .npz file within bounds: it is a zip file, which may claim or unfold to any size."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

_HEADER_BYTES = 10_000
_SUFFIX = ".npy"


def read_arrays(data: bytes, names: Collection[str], max_bytes: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a .npz file. Nothing is allocated by what a header says before the bytes are there.

    Args:
        data: The content of the file.
        names: The arrays that it may have.
        max_bytes: Maximum total size in bytes.

    Raises:
        ValueError: It has other members, an array of Python objects, or more bytes than allowed.
        Exception: Whatever zipfile and numpy raise for damaged files.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        listed = [member.filename.removesuffix(_SUFFIX) for member in members]
        if len(set(listed)) < len(listed) or not set(listed) <= set(names):
            raise ValueError(f"its arrays must be among {', '.join(names)}, each once, got {listed[:8]!r:.200}")
        if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
            raise ValueError("its arrays are compressed in a way that numpy does not use")
        left = max_bytes + _HEADER_BYTES * len(members)
        if sum(member.file_size for member in members) > left:
            raise ValueError(f"its arrays have more than {max_bytes:,} bytes")
        for member, name in zip(members, listed, strict=True):
            with archive.open(member) as file:
                content = file.read(left + 1)
            left -= len(content)
            if left < 0:
                raise ValueError(f"its arrays have more than {max_bytes:,} bytes")
            found[name] = _array(name, content)
    return found


def _array(name: str, content: bytes) -> npt.NDArray[Any]:
    """An array of a .npy file of version 1.0 or 2.0."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, fortran, dtype = reader(file, max_header_size=_HEADER_BYTES)
    start = file.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} is an array of Python objects")
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"{name} is {dtype} {list(shape)} but has {len(content) - start} bytes")
    values = np.frombuffer(content, dtype, offset=start)
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)

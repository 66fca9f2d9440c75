"""PyTorch state dicts (.pth) written without PyTorch, in the zip layout that ``torch.save`` has since 1.6.

What is written is what ``torch.load(path, weights_only=True)`` allows: a pickle of protocol 2 whose only names are
``OrderedDict``, ``_rebuild_tensor_v2`` and the storages. The archive has one folder: ``data.pkl``, ``byteorder``, one
entry ``data/<key>`` for each tensor, ``version``. Entries are stored uncompressed and begin at multiples of 64 bytes,
as PyTorch writes them. Source: torch/serialization.py, torch/_weights_only_unpickler.py and
caffe2/serialize/inline_container.cc of PyTorch.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import WeightsError
from adapters.models.weights.pickle_objects import STORAGE_DTYPES
from adapters.system import write_bytes_atomic

_STORAGES = {dtype: name for name, dtype in STORAGE_DTYPES.items()}
_ROOT = "archive"
_ALIGNMENT = 64
_LOCAL_HEADER = struct.calcsize("<4s2B4HL2L2H")  # zipfile's own, before the name and the extra field
_PADDING_ID = 0x4246  # "FB", by which PyTorch marks its padding
_TIME = (1980, 1, 1, 0, 0, 0)  # the same arrays give the same bytes


def write_state_dict(path: Path | str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a PyTorch state dict without PyTorch, as a whole or not at all.

    Args:
        path: The file.
        arrays: float16 to float64, int8 to int64, uint8 or bool, of any shape and memory layout, by name. The order is
            kept.

    Raises:
        WeightsError: An array has another dtype, or there are none.
        StorageError: The file cannot be written.
    """
    write_bytes_atomic(Path(path), state_dict_bytes(arrays, str(path)))


def state_dict_bytes(arrays: Mapping[str, npt.NDArray[Any]], where: str = "state dict") -> bytes:
    """The content of the file that ``write_state_dict`` writes.

    Args:
        arrays: As there.
        where: What messages call it.

    Raises:
        WeightsError: An array has another dtype, or there are none.
    """
    if not arrays:
        raise WeightsError(f"{where}: there are no arrays to write. Give at least one.")
    values = {name: _storable(name, array, where) for name, array in arrays.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "data.pkl", _pickle(values))
        _add(archive, "byteorder", b"little")
        for key, value in enumerate(values.values()):
            _add(archive, f"data/{key}", value.tobytes())
        _add(archive, "version", b"3\n")
    return stream.getvalue()


def _storable(name: str, array: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    """In C order and little-endian, of a type that PyTorch has a storage for."""
    value = np.asarray(array)
    little = value.dtype.newbyteorder("<")
    if little.str not in _STORAGES:
        raise WeightsError(
            f"{where}: {name!r} is {value.dtype} {list(value.shape)}, which a state dict cannot hold. Allowed: "
            "float16, float32, float64, int8, int16, int32, int64, uint8 and bool."
        )
    return np.ascontiguousarray(value, little).reshape(value.shape)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(f"{_ROOT}/{name}", _TIME)
    begin = archive.fp.tell() + _LOCAL_HEADER + len(info.filename) + 4  # type: ignore[union-attr]
    padding = -begin % _ALIGNMENT
    info.extra = struct.pack("<2H", _PADDING_ID, padding) + b"Z" * padding
    archive.writestr(info, data)


# The pickle ---------------------------------------------------------------------------------------------------------


def _pickle(values: Mapping[str, npt.NDArray[Any]]) -> bytes:
    items = b"".join(_text(name) + _tensor(str(key), value) for key, (name, value) in enumerate(values.items()))
    # PROTO 2, an empty OrderedDict, MARK, the items, SETITEMS, STOP.
    return b"\x80\x02" + _global("collections OrderedDict") + b")R(" + items + b"u."


def _tensor(key: str, value: npt.NDArray[Any]) -> bytes:
    """_rebuild_tensor_v2(storage, offset 0, shape, strides, requires_grad False, no hooks)."""
    kind = _STORAGES[value.dtype.str]
    storage = b"(" + _text("storage") + _global(kind) + _text(key) + _text("cpu") + _whole(value.size) + b"tQ"
    # Strides as of a C-ordered tensor: numpy's own of an empty or flat one may differ.
    strides = [math.prod(value.shape[axis + 1 :]) for axis in range(value.ndim)]
    layout = _whole(0) + _tuple(value.shape) + _tuple(strides) + b"\x89"
    return (
        _global("torch._utils _rebuild_tensor_v2")
        + b"("
        + storage
        + layout
        + _global("collections OrderedDict")
        + b")RtR"
    )


def _global(name: str) -> bytes:
    module, _, attribute = name.partition(" ")
    return f"c{module}\n{attribute}\n".encode()


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _tuple(values: Any) -> bytes:
    return b"(" + b"".join(_whole(value) for value in values) + b"t"


def _whole(value: int) -> bytes:
    """BININT1, BININT2, BININT or LONG1, the shortest that holds it."""
    if value < 256:
        return b"K" + struct.pack("<B", value)
    if value < 65536:
        return b"M" + struct.pack("<H", value)
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)

"""PyTorch state dicts (.pth, .pt) read without PyTorch and without running the pickle inside.

A pickle is a program for a small stack machine, and the standard machine can be told to import and call anything.
So the standard machine is not used: ``pickle_machine`` knows only the instructions that ``torch.save`` needs for a
dict of tensors, and three names that may be called. What it does not know, it refuses.

Both layouts are read. Legacy (before PyTorch 1.6): five pickles in a row (magic number, protocol, system facts, the
dict, the storage keys), then each storage as an int64 count and its raw little-endian values. Zip (since 1.6):
``<name>/data.pkl`` and one stored entry ``<name>/data/<key>`` a storage. Source: torch/serialization.py of PyTorch.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import WeightsError
from adapters.models.weights.pickle_machine import RefusedPickleError, Storage, Tensor, run_pickle

Array = npt.NDArray[Any]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
LEGACY_PROTOCOL = 1001  # torch.serialization.PROTOCOL_VERSION


def read_state_dict(source: Path | str | bytes, name: str | None = None) -> dict[str, Array]:
    """Read a PyTorch state dict without PyTorch.

    Args:
        source: A path, or the file's bytes.
        name: What messages call it; default: the path.

    Returns:
        Arrays by tensor name, in the file's order. They are C-contiguous, own their memory and keep dtype and shape;
        bfloat16, which numpy lacks, becomes float32.

    Raises:
        WeightsError: The file is missing, damaged, or holds anything but a dict of dense CPU tensors.
    """
    label = name or ("the given bytes" if isinstance(source, bytes) else str(source))
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise WeightsError(
            f"weights file {label} could not be read ({error.strerror or error}). Give the path of a .pth file."
        ) from error
    try:
        return _read_zip(data) if data[:2] == b"PK" else _read_legacy(data)
    except RefusedPickleError as reason:
        raise WeightsError(
            f"{label} cannot be read as PyTorch weights: {reason}. Allowed is a state dict, that is a dict of plain "
            "tensors as torch.save(model.state_dict(), path) writes it; save it so, or fetch the file again if it may "
            "be damaged."
        ) from None


def _read_legacy(data: bytes) -> dict[str, Array]:
    stream = io.BytesIO(data)
    if run_pickle(stream) != LEGACY_MAGIC:
        raise RefusedPickleError("it does not begin as a PyTorch file does")
    if run_pickle(stream) != LEGACY_PROTOCOL:
        raise RefusedPickleError(f"its format version is not {LEGACY_PROTOCOL}, the one that can be read")
    system = run_pickle(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise RefusedPickleError("it was written on a big-endian machine")
    tensors = _tensors(run_pickle(stream))
    keys = run_pickle(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise RefusedPickleError("its list of storage keys is damaged")
    storages = _storages(tensors)
    arrays: dict[str, Array] = {}
    for key in keys:
        header = stream.read(8)
        if len(header) != 8 or key not in storages or key in arrays:
            raise RefusedPickleError(f"it ends early or is damaged at storage {key!r:.40}")
        storage = storages[key]
        if struct.unpack("<q", header)[0] != storage.count:
            raise RefusedPickleError(f"storage {key!r:.40} has another length than its tensors say")
        arrays[key] = _values(stream.read(storage.size_bytes), storage)
    if stream.read(1):
        raise RefusedPickleError("bytes follow the last storage")
    return _assemble(tensors, arrays)


def _read_zip(data: bytes) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_archive(archive, len(data))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise RefusedPickleError(f"the zip archive is damaged ({error})") from None


def _read_archive(archive: zipfile.ZipFile, file_size: int) -> dict[str, Array]:
    entries = {info.filename: info for info in archive.infolist()}
    roots = [
        entry.removesuffix("data.pkl") for entry in entries if entry.endswith("/data.pkl") and entry.count("/") == 1
    ]
    if len(roots) != 1:
        raise RefusedPickleError("it is a zip archive without the one data.pkl that PyTorch writes")
    # PyTorch stores its entries uncompressed. Holding it to that bounds what a small hostile file can grow to.
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        raise RefusedPickleError("it is a compressed zip archive, which PyTorch does not write")
    order = roots[0] + "byteorder"
    if order in entries and archive.read(order) != b"little":
        raise RefusedPickleError("it was written on a big-endian machine")
    tensors = _tensors(run_pickle(io.BytesIO(archive.read(roots[0] + "data.pkl"))))
    storages = _storages(tensors)
    if sum(storage.size_bytes for storage in storages.values()) > file_size:
        raise RefusedPickleError("its tensors need more bytes than the file has")
    arrays = {}
    for key, storage in storages.items():
        entry = f"{roots[0]}data/{key}"
        if entry not in entries:
            raise RefusedPickleError(f"storage {key!r:.40} is missing from the archive")
        arrays[key] = _values(archive.read(entry), storage)
    return _assemble(tensors, arrays)


def _tensors(state: object) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not state:
        raise RefusedPickleError(f"it holds a {type(state).__name__} where a dict of tensors is wanted")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            kind = type(value).__name__
            hint = "; the weights may be one level deeper, under this key" if isinstance(value, dict) else ""
            raise RefusedPickleError(f"entry {key!r:.60} is a {kind} where a tensor is wanted{hint}")
    return state


def _storages(tensors: dict[str, Tensor]) -> dict[str, Storage]:
    storages: dict[str, Storage] = {}
    for tensor in tensors.values():
        if storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise RefusedPickleError(f"storage {tensor.storage.key!r:.40} is described in two ways")
    return storages


def _values(raw: bytes, storage: Storage) -> Array:
    if len(raw) != storage.size_bytes:
        raise RefusedPickleError(
            f"storage {storage.key!r:.40} has {len(raw)} bytes where {storage.size_bytes} are wanted"
        )
    if storage.dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if storage.dtype == "|b1" and np.frombuffer(raw, np.uint8).max(initial=0) > 1:
        raise RefusedPickleError(f"storage {storage.key!r:.40} holds booleans that are neither 0 nor 1")
    return np.frombuffer(raw, storage.dtype)


def _assemble(tensors: dict[str, Tensor], arrays: dict[str, Array]) -> dict[str, Array]:
    missing = [key for key in _storages(tensors) if key not in arrays]
    if missing:
        raise RefusedPickleError(f"storage {missing[0]!r:.40} is missing")
    return {name: _view(name, tensor, arrays[tensor.storage.key]) for name, tensor in tensors.items()}


def _view(name: str, tensor: Tensor, values: Array) -> Array:
    """The tensor's elements, copied out of its storage after a check that every one lies inside it."""
    count = math.prod(tensor.shape)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if count > len(values) or (count and last >= len(values)):
        raise RefusedPickleError(f"tensor {name!r:.60} reaches outside its storage")
    if count == 0:
        return np.empty(tensor.shape, values.dtype)
    window = values[tensor.offset :]
    strides = tuple(stride * values.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(window, tensor.shape, strides).copy(order="C")

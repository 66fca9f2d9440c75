"""PyTorch checkpoints (.pth, .pt, .bin, .ckpt) read without PyTorch and without running the pickle inside.

A pickle is a program for a small stack machine, and the standard machine can be told to import and call anything.
So the standard machine is not used: ``pickle_machine`` knows only the instructions that a checkpoint needs, and a few
names that may be called, all of them its own. Other names stay names.

Both layouts are read. Legacy (before PyTorch 1.6): five pickles in a row (magic number, protocol, system facts, the
object, the storage keys), then each storage as an int64 count and its raw little-endian values. Zip (since 1.6):
``<name>/data.pkl`` and one stored entry ``<name>/data/<key>`` a storage. Source: torch/serialization.py of PyTorch.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import WeightsError
from adapters.models.weights.checkpoint_content import find_tensors
from adapters.models.weights.file_kinds import read_weights_bytes
from adapters.models.weights.pickle_machine import PickleMachine, run_pickle
from adapters.models.weights.pickle_objects import RefusedPickleError, Storage, Tensor

Array = npt.NDArray[Any]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
LEGACY_PROTOCOL = 1001  # torch.serialization.PROTOCOL_VERSION
# What may be made of a file: tied weights share a storage, and bfloat16 doubles.
MAX_EXPANSION = 4
MAX_TENSORS = 50_000
MAX_ENTRIES = 100_000
# Entries of archives of programs, by what wrote them.
_PROGRAMS = {"/code/__torch__": "TorchScript (torch.jit.save)", "/archive_format": "torch.export"}
_ENTRY_MARK = b"PK\x01\x02"  # of each entry in a zip archive's directory


@dataclass(frozen=True, eq=False)
class _Content:
    """A file's object, and how the values of a storage in it are read."""

    value: object
    read: Callable[[Storage], bytes]


def read_state_dict(
    source: Path | str | bytes, name: str | None = None, on_note: Callable[[str], object] | None = None
) -> dict[str, Array]:
    """Read the state dict of a PyTorch checkpoint without PyTorch.

    The state dict may be the whole file or lie under a key such as ``model_state_dict``; see ``find_tensors``.

    Args:
        source: A path, or the file's bytes.
        name: What messages call it; default: the path.
        on_note: Receives a sentence where the file holds several state dicts, about the one that was taken.

    Returns:
        Arrays by tensor name, in the file's order. They are C-contiguous, own their memory and keep dtype and shape;
        bfloat16, which numpy lacks, becomes float32.

    Raises:
        WeightsError: The file is missing, damaged, or holds no dict of dense CPU tensors.
    """
    label = name or ("the given bytes" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_weights_bytes(source)
    try:
        content = _read_zip(data) if data[:2] == b"PK" else _read_legacy(data)
        tensors = find_tensors(content.value, on_note)
        return _assemble(tensors, content.read, len(data))
    except RefusedPickleError as reason:
        raise WeightsError(
            f"{label} cannot be read as PyTorch weights: {reason}. A state dict is required: a dict of plain "
            "tensors as torch.save(model.state_dict(), path) writes it, alone or in a checkpoint. Save it that way, "
            "or download the file again if it may be damaged."
        ) from None


def _read_legacy(data: bytes) -> _Content:
    stream = io.BytesIO(data)
    if run_pickle(stream) != LEGACY_MAGIC:
        raise RefusedPickleError("it does not begin like a PyTorch file")
    if run_pickle(stream) != LEGACY_PROTOCOL:
        raise RefusedPickleError(f"its format version is not {LEGACY_PROTOCOL}, the only supported one")
    system = run_pickle(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise RefusedPickleError("it was written on a big-endian machine")
    machine = PickleMachine()
    value = run_pickle(stream, machine)
    keys = run_pickle(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise RefusedPickleError("its list of storage keys is damaged")
    places = _legacy_places(stream, keys, machine.storages)

    def read(storage: Storage) -> bytes:
        start = places.get(storage.key)
        if start is None:
            raise RefusedPickleError(f"storage {storage.key!r:.40} is missing")
        return data[start : start + storage.size_bytes]

    return _Content(value, read)


def _legacy_places(stream: io.BytesIO, keys: list[str], storages: Mapping[str, Storage]) -> dict[str, int]:
    """Where the values of each storage begin, each checked to lie in the file."""
    places: dict[str, int] = {}
    end = len(stream.getbuffer())
    for key in keys:
        header = stream.read(8)
        if len(header) != 8 or key not in storages or key in places:
            raise RefusedPickleError(f"it ends early or is damaged at storage {key!r:.40}")
        storage = storages[key]
        if struct.unpack("<q", header)[0] != storage.count:
            raise RefusedPickleError(f"storage {key!r:.40} has a different length than its tensors require")
        places[key] = stream.tell()
        if places[key] + storage.size_bytes > end:
            raise RefusedPickleError(
                f"it is cut short: storage {key!r:.40} has {end - places[key]} bytes; {storage.size_bytes} are wanted"
            )
        stream.seek(storage.size_bytes, io.SEEK_CUR)
    if stream.read(1):
        raise RefusedPickleError("bytes follow the last storage")
    return places


def _read_zip(data: bytes) -> _Content:
    if data.count(_ENTRY_MARK) > MAX_ENTRIES:
        raise RefusedPickleError(f"it is a zip archive of more than {MAX_ENTRIES} entries")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = {info.filename: info for info in archive.infolist()}
        root = _root(entries)
        order = root + "byteorder"
        if order in entries and archive.read(order) != b"little":
            raise RefusedPickleError("it was written on a big-endian machine")
        value = run_pickle(io.BytesIO(archive.read(root + "data.pkl")))
    except _ZIP_ERRORS as error:
        raise RefusedPickleError(f"the zip archive is damaged or cut short ({error})") from None

    def read(storage: Storage) -> bytes:
        entry = f"{root}data/{storage.key}"
        if entry not in entries:
            raise RefusedPickleError(f"storage {storage.key!r:.40} is missing from the archive")
        try:
            return archive.read(entry)
        except _ZIP_ERRORS as error:
            raise RefusedPickleError(f"the zip archive is damaged ({error})") from None

    return _Content(value, read)


_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)


def _root(entries: Mapping[str, zipfile.ZipInfo]) -> str:
    """The folder of the archive that PyTorch wrote, with a slash."""
    for mark, program in _PROGRAMS.items():
        if any(mark in entry for entry in entries):
            raise RefusedPickleError(f"it is a program of {program}, which is code, not only weights")
    if entries and all(entry.endswith(".npy") for entry in entries):
        raise RefusedPickleError("it is an archive of NumPy arrays (.npz)")
    roots = [
        entry.removesuffix("data.pkl") for entry in entries if entry.endswith("/data.pkl") and entry.count("/") == 1
    ]
    if len(roots) != 1:
        listed = ", ".join(sorted(entries)[:3]) or "nothing"
        raise RefusedPickleError(
            f"it is a zip archive of something else ({listed[:200]}), without the one data.pkl that PyTorch writes"
        )
    # PyTorch stores its entries uncompressed. Holding it to that bounds what a small hostile file can grow to.
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        raise RefusedPickleError("it is a compressed zip archive, which PyTorch does not write")
    return roots[0]


def _assemble(tensors: dict[str, Tensor], read: Callable[[Storage], bytes], file_size: int) -> dict[str, Array]:
    """The tensors' values, each copied out of its storage, once it is sure that all of them take no more than they may.

    A few bytes can name one storage a million times: what is made of a file is bounded by the file's own size.
    """
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if len(tensors) > MAX_TENSORS:
        raise RefusedPickleError(f"it has {len(tensors)} tensors; at most {MAX_TENSORS} are allowed")
    if sum(storage.size_bytes for storage in storages.values()) > file_size:
        raise RefusedPickleError("its tensors need more bytes than the file has")
    wanted = sum(math.prod(tensor.shape) * _item_bytes(tensor.storage) for tensor in tensors.values())
    if wanted > MAX_EXPANSION * file_size:
        raise RefusedPickleError(
            f"its tensors share storages and would take {wanted} bytes, more than {MAX_EXPANSION} times the file"
        )
    uses = dict.fromkeys(storages, 0)
    for tensor in tensors.values():
        uses[tensor.storage.key] += 1
    arrays: dict[str, Array] = {}
    found: dict[str, Array] = {}
    for name, tensor in tensors.items():
        key = tensor.storage.key
        if key not in arrays:
            arrays[key] = _values(read(storages[key]), storages[key])
        found[name] = _view(name, tensor, arrays[key])
        uses[key] -= 1
        if not uses[key]:
            del arrays[key]
    return found


def _item_bytes(storage: Storage) -> int:
    return 4 if storage.dtype == "bfloat16" else np.dtype(storage.dtype).itemsize


def _values(raw: bytes, storage: Storage) -> Array:
    if len(raw) != storage.size_bytes:
        raise RefusedPickleError(f"storage {storage.key!r:.40} has {len(raw)} bytes; {storage.size_bytes} are expected")
    if storage.dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if storage.dtype == "|b1" and np.frombuffer(raw, np.uint8).max(initial=0) > 1:
        raise RefusedPickleError(f"storage {storage.key!r:.40} holds booleans that are neither 0 nor 1")
    return np.frombuffer(raw, storage.dtype)


def _view(name: str, tensor: Tensor, values: Array) -> Array:
    """The tensor's elements, copied out of its storage after a check that every one lies inside it."""
    count = math.prod(tensor.shape)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if count > len(values) or (count and last >= len(values)):
        raise RefusedPickleError(f"tensor {name!r:.60} reaches outside its storage")
    if count == 0:
        return _empty(name, tensor, values)
    window = values[tensor.offset :]
    strides = tuple(stride * values.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(window, tensor.shape, strides).copy(order="C")


def _empty(name: str, tensor: Tensor, values: Array) -> Array:
    try:
        return np.empty(tensor.shape, values.dtype)
    except (ValueError, MemoryError, OverflowError):
        raise RefusedPickleError(f"tensor {name!r:.60} has an impossible shape") from None

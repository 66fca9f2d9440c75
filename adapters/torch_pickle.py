"""PyTorch state dicts (.pth, .pt) read without PyTorch and without running the pickle inside.

A pickle is a program for a small stack machine, and the standard machine can be told to import and call anything.
So the standard machine is not used: ``_Machine`` knows only the instructions that ``torch.save`` needs for a dict of
tensors, and its only callables are the few names below. What it does not know, it refuses.

Both layouts are read. Legacy (before PyTorch 1.6): five pickles in a row (magic number, protocol, system facts, the
dict, the storage keys), then each storage as an int64 count and its raw little-endian values. Zip (since 1.6):
``<name>/data.pkl`` and one stored entry ``<name>/data/<key>`` a storage. Source: torch/serialization.py of PyTorch.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import WeightsError

Array = npt.NDArray[Any]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
LEGACY_PROTOCOL = 1001  # torch.serialization.PROTOCOL_VERSION
STORAGE_DTYPES = {
    "torch DoubleStorage": "<f8",
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    "torch BFloat16Storage": "bfloat16",
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "|i1",
    "torch ByteStorage": "|u1",
    "torch BoolStorage": "|b1",
}
MAX_DIMENSIONS = 32  # numpy before 2.0 holds no more


class _Refused(Exception):
    """Why a file is not a state dict; ``read_state_dict`` adds where and what to do."""


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    count: int

    @property
    def size_bytes(self) -> int:
        return self.count * (2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize)


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Global:
    name: str


def read_state_dict(source: Path | str | bytes, name: str | None = None) -> dict[str, Array]:
    """Read a PyTorch state dict: tensor names to arrays, in the file's order.

    source: a path, or the file's bytes. name: what messages call it; the path by default.
    Arrays are C-contiguous, own their memory and keep dtype and shape; bfloat16, which numpy lacks, comes as float32.
    Raises WeightsError where the file is missing, damaged, or holds anything but a dict of dense CPU-layout tensors.
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
    except _Refused as reason:
        raise WeightsError(
            f"{label} cannot be read as PyTorch weights: {reason}. Allowed is a state dict, that is a dict of plain "
            "tensors as torch.save(model.state_dict(), path) writes it; save it so, or fetch the file again if it may "
            "be damaged."
        ) from None


def _read_legacy(data: bytes) -> dict[str, Array]:
    stream = io.BytesIO(data)
    if _run(stream) != LEGACY_MAGIC:
        raise _Refused("it does not begin as a PyTorch file does")
    if _run(stream) != LEGACY_PROTOCOL:
        raise _Refused(f"its format version is not {LEGACY_PROTOCOL}, the one that can be read")
    system = _run(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _Refused("it was written on a big-endian machine")
    tensors = _tensors(_run(stream))
    keys = _run(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise _Refused("its list of storage keys is damaged")
    storages = _storages(tensors)
    arrays: dict[str, Array] = {}
    for key in keys:
        header = stream.read(8)
        if len(header) != 8 or key not in storages or key in arrays:
            raise _Refused(f"it ends early or is damaged at storage {key!r:.40}")
        storage = storages[key]
        if struct.unpack("<q", header)[0] != storage.count:
            raise _Refused(f"storage {key!r:.40} has another length than its tensors say")
        arrays[key] = _values(stream.read(storage.size_bytes), storage)
    if stream.read(1):
        raise _Refused("bytes follow the last storage")
    return _assemble(tensors, arrays)


def _read_zip(data: bytes) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_archive(archive, len(data))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise _Refused(f"the zip archive is damaged ({error})") from None


def _read_archive(archive: zipfile.ZipFile, file_size: int) -> dict[str, Array]:
    entries = {info.filename: info for info in archive.infolist()}
    roots = [
        entry.removesuffix("data.pkl") for entry in entries if entry.endswith("/data.pkl") and entry.count("/") == 1
    ]
    if len(roots) != 1:
        raise _Refused("it is a zip archive without the one data.pkl that PyTorch writes")
    # PyTorch stores its entries uncompressed. Holding it to that bounds what a small hostile file can grow to.
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        raise _Refused("it is a compressed zip archive, which PyTorch does not write")
    order = roots[0] + "byteorder"
    if order in entries and archive.read(order) != b"little":
        raise _Refused("it was written on a big-endian machine")
    tensors = _tensors(_run(io.BytesIO(archive.read(roots[0] + "data.pkl"))))
    storages = _storages(tensors)
    if sum(storage.size_bytes for storage in storages.values()) > file_size:
        raise _Refused("its tensors need more bytes than the file has")
    arrays = {}
    for key, storage in storages.items():
        entry = f"{roots[0]}data/{key}"
        if entry not in entries:
            raise _Refused(f"storage {key!r:.40} is missing from the archive")
        arrays[key] = _values(archive.read(entry), storage)
    return _assemble(tensors, arrays)


def _tensors(state: object) -> dict[str, _Tensor]:
    if not isinstance(state, dict) or not state:
        raise _Refused(f"it holds a {type(state).__name__.strip('_')} where a dict of tensors is wanted")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, _Tensor):
            kind = type(value).__name__.strip("_")
            hint = "; the weights may be one level deeper, under this key" if isinstance(value, dict) else ""
            raise _Refused(f"entry {key!r:.60} is a {kind} where a tensor is wanted{hint}")
    return state


def _storages(tensors: dict[str, _Tensor]) -> dict[str, _Storage]:
    storages: dict[str, _Storage] = {}
    for tensor in tensors.values():
        if storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise _Refused(f"storage {tensor.storage.key!r:.40} is described in two ways")
    return storages


def _values(raw: bytes, storage: _Storage) -> Array:
    if len(raw) != storage.size_bytes:
        raise _Refused(f"storage {storage.key!r:.40} has {len(raw)} bytes where {storage.size_bytes} are wanted")
    if storage.dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if storage.dtype == "|b1" and np.frombuffer(raw, np.uint8).max(initial=0) > 1:
        raise _Refused(f"storage {storage.key!r:.40} holds booleans that are neither 0 nor 1")
    return np.frombuffer(raw, storage.dtype)


def _assemble(tensors: dict[str, _Tensor], arrays: dict[str, Array]) -> dict[str, Array]:
    missing = [key for key in _storages(tensors) if key not in arrays]
    if missing:
        raise _Refused(f"storage {missing[0]!r:.40} is missing")
    return {name: _view(name, tensor, arrays[tensor.storage.key]) for name, tensor in tensors.items()}


def _view(name: str, tensor: _Tensor, values: Array) -> Array:
    """The tensor's elements, copied out of its storage after a check that every one lies inside it."""
    count = math.prod(tensor.shape)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if count > len(values) or (count and last >= len(values)):
        raise _Refused(f"tensor {name!r:.60} reaches outside its storage")
    if count == 0:
        return np.empty(tensor.shape, values.dtype)
    window = values[tensor.offset :]
    strides = tuple(stride * values.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(window, tensor.shape, strides).copy(order="C")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _rebuild_tensor(arguments: tuple[Any, ...]) -> _Tensor:
    """``torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks[, metadata])``."""
    if not 6 <= len(arguments) <= 7:
        raise _Refused("a tensor is damaged")
    storage, offset, shape, strides = arguments[:4]
    sizes = (*shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else (None,)
    sound = isinstance(storage, _Storage) and _whole(offset) and all(_whole(size) for size in sizes)
    if not sound or len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise _Refused("a tensor has a damaged shape or stride")
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(arguments: tuple[Any, ...]) -> _Tensor:
    """``torch._utils._rebuild_parameter(tensor, requires_grad, hooks)``."""
    if len(arguments) != 3 or not isinstance(arguments[0], _Tensor):
        raise _Refused("a parameter is damaged")
    return arguments[0]


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise _Refused("a dict is damaged")
    return {}


CALLABLES: dict[str, Callable[[tuple[Any, ...]], object]] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
}


def _run(stream: io.BytesIO) -> object:
    """The object of the pickle that begins here; the stream then stands behind it."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error, RecursionError):
        raise _Refused("it ends early or is damaged") from None
    raise _Refused("it ends early")


class _Machine:
    """The part of the pickle machine that a dict of tensors needs: values, tuples, dicts, lists and CALLABLES."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO":
                pass
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
            case "MARK":
                self.marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(self.pop_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                items = tuple(stack[-count:])
                del stack[-count:]
                stack.append(items)
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "SETITEM" | "SETITEMS" | "APPEND" | "APPENDS":
                self.fill(name)
            case "GLOBAL":
                stack.append(self.named(argument))
            case "REDUCE":
                stack.append(self.call())
            case "BINPERSID":
                stack.append(self.storage(self.pop()))
            case "BUILD":
                self.pop()  # the dict's _metadata (version numbers of modules): not weights
                if not isinstance(stack[-1], dict):
                    raise _Refused("it sets the state of an object that is not a dict")
            case _:
                raise _Refused(f"it uses the pickle instruction {name}, which no dict of tensors needs")

    def fill(self, name: str) -> None:
        items = (
            self.pop_mark() if name.endswith("S") else [self.pop() for _ in range(1 if name == "APPEND" else 2)][::-1]
        )
        target = self.stack[-1]
        if name.startswith("APPEND") and isinstance(target, list):
            target.extend(items)
        elif name.startswith("SETITEM") and isinstance(target, dict) and all(isinstance(k, str) for k in items[::2]):
            # Text keys only: to hash a deeply nested tuple would overflow the C stack.
            target.update(zip(items[::2], items[1::2], strict=True))
        else:
            raise _Refused("it fills something other than a list or a dict by text keys")

    def named(self, name: str) -> _Global:
        if name not in CALLABLES and name not in STORAGE_DTYPES:
            raise _Refused(f"it names {name.replace(' ', '.')!r:.80}, which is not allowed")
        return _Global(name)

    def call(self) -> object:
        arguments, target = self.pop(), self.pop()
        if not isinstance(target, _Global) or target.name not in CALLABLES or not isinstance(arguments, tuple):
            raise _Refused("it calls something that may not be called")
        return CALLABLES[target.name](arguments)

    def storage(self, identity: object) -> _Storage:
        """A storage's ticket: ("storage", type, key, device, count), in the legacy layout with a view that is None."""
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
            raise _Refused("a storage is damaged")
        kind, key, count = identity[1], identity[2], identity[4]
        if not isinstance(kind, _Global) or kind.name not in STORAGE_DTYPES or not isinstance(key, str):
            raise _Refused("a storage is of an unknown type")
        if not _whole(count) or identity[5:] not in ((), (None,)):
            raise _Refused("a storage has a damaged length or is a view of another")
        return _Storage(key, STORAGE_DTYPES[kind.name], count)

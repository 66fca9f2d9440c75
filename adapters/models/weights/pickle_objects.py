"""What a pickle of PyTorch weights holds, described and not read: storages, tensors, and names that stay names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

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


class RefusedPickleError(Exception):
    """A pickle that is damaged or not a state dict; ``read_state_dict`` adds where and what to do."""


@dataclass(frozen=True)
class Storage:
    """One block of raw values in the file, described but not read.

    Attributes:
        key: Its name in the file.
        dtype: Its type as numpy spells it, such as "<f4", or "bfloat16".
        count: How many values it has.
    """

    key: str
    dtype: str
    count: int

    @property
    def size_bytes(self) -> int:
        """The size of the values."""
        return self.count * (2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize)


@dataclass(frozen=True)
class Tensor:
    """A tensor as a window onto a storage, described but not read.

    Attributes:
        storage: The block of values.
        offset: The first value, counted in values.
        shape: The tensor's shape.
        strides: The step along each axis, counted in values and not in bytes.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class GlobalName:
    """A name that the pickle mentioned. It is never imported.

    Attributes:
        name: "module attribute", as the pickle spells it.
    """

    name: str


@dataclass(frozen=True)
class Opaque:
    """An object of a class or function that is not known here: never made, only named.

    Attributes:
        name: Of the class or function, "module.attribute".
    """

    name: str


def is_whole(value: object) -> bool:
    """Whether a value is a whole number from 0 to below 2**62."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _rebuild_tensor(arguments: tuple[Any, ...]) -> object:
    """``torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks[, metadata])``."""
    if not 6 <= len(arguments) <= 7:
        raise RefusedPickleError("a tensor is damaged")
    storage, offset, shape, strides = arguments[:4]
    if isinstance(storage, Opaque):
        return Opaque(storage.name)
    sizes = (*shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else (None,)
    sound = isinstance(storage, Storage) and is_whole(offset) and all(is_whole(size) for size in sizes)
    if not sound or len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise RefusedPickleError("a tensor has a damaged shape or stride")
    return Tensor(storage, offset, shape, strides)


def _rebuild_parameter(arguments: tuple[Any, ...]) -> object:
    """``torch._utils._rebuild_parameter(tensor, requires_grad, hooks)``, and the same with a state."""
    if not 3 <= len(arguments) <= 4 or not isinstance(arguments[0], (Tensor, Opaque)):
        raise RefusedPickleError("a parameter is damaged")
    return arguments[0]


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise RefusedPickleError("a dict is damaged")
    return {}


def _from_type(arguments: tuple[Any, ...]) -> object:
    """``torch._tensor._rebuild_from_type_v2(function, type, arguments, state)``: a tensor with attributes."""
    if len(arguments) != 4 or not isinstance(arguments[0], GlobalName) or not isinstance(arguments[2], tuple):
        raise RefusedPickleError("a tensor with attributes is damaged")
    rebuild = {name: CALLABLES[name] for name in _TENSOR_MAKERS}.get(arguments[0].name)
    return Opaque(arguments[0].name.replace(" ", ".")) if rebuild is None else rebuild(arguments[2])


_TENSOR_MAKERS = (
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_parameter_with_state",
)
CALLABLES = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
    "torch._utils _rebuild_parameter_with_state": _rebuild_parameter,
    "torch._tensor _rebuild_from_type_v2": _from_type,
}

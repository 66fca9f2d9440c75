"""The small part of the pickle machine that a PyTorch state dict needs: values, tuples, lists, dicts and three names.

Nothing is imported, and no object of the file's choosing is made, called or given a state. Opcodes are told apart by
``pickletools`` of the standard library, which only reads them.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
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
    """An allowed name that the pickle mentioned.

    Attributes:
        name: A key of CALLABLES or of STORAGE_DTYPES.
    """

    name: str


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _rebuild_tensor(arguments: tuple[Any, ...]) -> Tensor:
    """``torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks[, metadata])``."""
    if not 6 <= len(arguments) <= 7:
        raise RefusedPickleError("a tensor is damaged")
    storage, offset, shape, strides = arguments[:4]
    sizes = (*shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else (None,)
    sound = isinstance(storage, Storage) and _whole(offset) and all(_whole(size) for size in sizes)
    if not sound or len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise RefusedPickleError("a tensor has a damaged shape or stride")
    return Tensor(storage, offset, shape, strides)


def _rebuild_parameter(arguments: tuple[Any, ...]) -> Tensor:
    """``torch._utils._rebuild_parameter(tensor, requires_grad, hooks)``."""
    if len(arguments) != 3 or not isinstance(arguments[0], Tensor):
        raise RefusedPickleError("a parameter is damaged")
    return arguments[0]


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise RefusedPickleError("a dict is damaged")
    return {}


CALLABLES: dict[str, Callable[[tuple[Any, ...]], object]] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
}


def run_pickle(stream: io.BytesIO) -> object:
    """Read the pickle that begins here. The stream is at its end afterwards.

    Args:
        stream: The file, at the beginning of a pickle.

    Returns:
        Plain values, lists, dicts, and ``Storage`` and ``Tensor`` descriptions.

    Raises:
        RefusedPickleError: The pickle is damaged or asks for anything else.
    """
    machine = PickleMachine()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error, RecursionError):
        raise RefusedPickleError("it ends early or is damaged") from None
    raise RefusedPickleError("it ends early")


class PickleMachine:
    """The part of the pickle machine that a dict of tensors needs: values, tuples, dicts, lists and CALLABLES."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        """Take the top of the stack."""
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        """Take everything above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def step(self, name: str, argument: Any) -> None:
        """Execute one instruction, by its name in ``pickletools``."""
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
                    raise RefusedPickleError("it sets the state of an object that is not a dict")
            case _:
                raise RefusedPickleError(f"it uses the pickle instruction {name}, which no dict of tensors needs")

    def fill(self, name: str) -> None:
        """Execute SETITEM, SETITEMS, APPEND or APPENDS."""
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
            raise RefusedPickleError("it fills something other than a list or a dict by text keys")

    def named(self, name: str) -> GlobalName:
        """Look up a name that the pickle mentions."""
        if name not in CALLABLES and name not in STORAGE_DTYPES:
            raise RefusedPickleError(f"it names {name.replace(' ', '.')!r:.80}, which is not allowed")
        return GlobalName(name)

    def call(self) -> object:
        """Execute REDUCE on one of CALLABLES."""
        arguments, target = self.pop(), self.pop()
        if not isinstance(target, GlobalName) or target.name not in CALLABLES or not isinstance(arguments, tuple):
            raise RefusedPickleError("it calls something that may not be called")
        return CALLABLES[target.name](arguments)

    def storage(self, identity: object) -> Storage:
        """A storage's ticket: ("storage", type, key, device, count), in the legacy layout with a view that is None."""
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
            raise RefusedPickleError("a storage is damaged")
        kind, key, count = identity[1], identity[2], identity[4]
        if not isinstance(kind, GlobalName) or kind.name not in STORAGE_DTYPES or not isinstance(key, str):
            raise RefusedPickleError("a storage is of an unknown type")
        if not _whole(count) or identity[5:] not in ((), (None,)):
            raise RefusedPickleError("a storage has a damaged length or is a view of another")
        return Storage(key, STORAGE_DTYPES[kind.name], count)

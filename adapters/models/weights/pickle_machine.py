"""The small part of the pickle machine that a PyTorch checkpoint needs: values, containers and a few names.

Nothing is imported, and no object of the file's choosing is made, called or given a state: a class or function that is
not known becomes an ``Opaque`` of its name, whatever the pickle does with it. So a checkpoint that also holds an
optimizer or hyper-parameters of other packages' classes is read, and one with such an object in a tensor's place is
refused by that name. Opcodes are told apart by ``pickletools`` of the standard library, which only reads them.
"""

from __future__ import annotations

import io
import pickletools
import struct
from typing import Any

from adapters.models.weights.pickle_objects import (
    CALLABLES,
    STORAGE_DTYPES,
    GlobalName,
    Opaque,
    RefusedPickleError,
    Storage,
    is_whole,
)

# A tensor takes about 25 instructions. Two million take about five seconds, and their objects some 200 MB at most.
MAX_INSTRUCTIONS = 2_000_000
_PLAIN = (str, bytes, int, float, bool, type(None))  # the keys of dicts that are kept
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "LONG", "INT", "BINFLOAT", "FLOAT")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "STRING")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_VALUES = frozenset((*_NUMBERS, *_TEXTS, *_BYTES))
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
_FILLS = frozenset(["SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS"])


def run_pickle(stream: io.BytesIO, machine: PickleMachine | None = None) -> object:
    """Read the pickle that begins here. The stream is behind it afterwards.

    Args:
        stream: The file, at the beginning of a pickle.
        machine: What carries it out, and lists its storages; None makes one.

    Returns:
        Plain values, lists, dicts, and ``Storage``, ``Tensor`` and ``Opaque`` descriptions.

    Raises:
        RefusedPickleError: The pickle is damaged, too long, or uses an instruction that no checkpoint needs.
    """
    machine = machine or PickleMachine()
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if opcode.name == "STOP":
                return machine.pop()
            if number >= MAX_INSTRUCTIONS:
                raise RefusedPickleError(f"its pickle has more than {MAX_INSTRUCTIONS} instructions")
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error, RecursionError, MemoryError):
        raise RefusedPickleError("it ends early or is damaged") from None
    raise RefusedPickleError("it ends early")


class PickleMachine:
    """The part of the pickle machine that a checkpoint needs: values, tuples, dicts, lists, names, CALLABLES.

    Attributes:
        storages: Every storage that the pickle has named, by its key.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

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
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _FILLS:
            self.fill(name)
        else:
            self.arrange(name, argument)

    def arrange(self, name: str, argument: Any) -> None:
        """Execute an instruction that moves values, remembers them or names something."""
        stack = self.stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self.marks.append(len(stack))
            case "POP_MARK":
                self.pop_mark()
            case "POP":
                if self.marks and self.marks[-1] == len(stack):
                    self.marks.pop()
                else:
                    self.pop()
            case "DUP":
                stack.append(stack[-1])
            case "TUPLE" | "LIST" | "FROZENSET":
                items = self.pop_mark()
                stack.append(tuple(items) if name == "TUPLE" else items)
            case "DICT":
                items = self.pop_mark()
                stack.append({})
                _update(stack[-1], items)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                items = [self.pop() for _ in range(count)][::-1]
                stack.append(tuple(items))
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(GlobalName(argument))
            case "STACK_GLOBAL":
                attribute, module = self.pop(), self.pop()
                if not isinstance(attribute, str) or not isinstance(module, str):
                    raise RefusedPickleError("a name is damaged")
                stack.append(GlobalName(f"{module} {attribute}"))
            case _:
                self.make(name, argument)

    def make(self, name: str, argument: Any) -> None:
        """Execute an instruction that would make an object or give it a state."""
        stack = self.stack
        match name:
            case "REDUCE":
                stack.append(self.call())
            case "NEWOBJ" | "NEWOBJ_EX":
                taken = [self.pop() for _ in range(2 if name == "NEWOBJ" else 3)]
                stack.append(_opaque(taken[-1]))
            case "INST":
                self.pop_mark()
                stack.append(_opaque(GlobalName(argument)))
            case "OBJ":
                stack.append(_opaque(self.pop_mark()[0]))
            case "BINPERSID":
                stack.append(self.storage(self.pop()))
            case "BUILD":
                self.pop()  # of a dict its _metadata (version numbers of modules), which are not weights
                if not isinstance(stack[-1], (dict, Opaque)):
                    raise RefusedPickleError("it sets the state of an object other than a dict")
            case _:
                raise RefusedPickleError(f"it uses the pickle instruction {name}, which no checkpoint needs")

    def fill(self, name: str) -> None:
        """Execute SETITEM, SETITEMS, APPEND, APPENDS or ADDITEMS. What fills an object that is not made is dropped."""
        if name.endswith("S"):
            items = self.pop_mark()
        else:
            items = [self.pop() for _ in range(1 if name == "APPEND" else 2)][::-1]
        target = self.stack[-1]
        if isinstance(target, Opaque):
            return
        if name in ("APPEND", "APPENDS", "ADDITEMS") and isinstance(target, list):
            target.extend(items)
        elif name.startswith("SETITEM") and isinstance(target, dict):
            _update(target, items)
        else:
            raise RefusedPickleError("it fills something other than a list or a dict")

    def call(self) -> object:
        """Execute REDUCE: one of CALLABLES is carried out here, anything else stays a name."""
        arguments, target = self.pop(), self.pop()
        if not isinstance(arguments, tuple):
            raise RefusedPickleError("it calls something without arguments")
        if isinstance(target, GlobalName) and target.name in CALLABLES:
            return CALLABLES[target.name](arguments)
        return _opaque(target)

    def storage(self, identity: object) -> Storage | Opaque:
        """A storage's ticket: ("storage", type, key, device, count), in the legacy layout with a view that is None."""
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
            raise RefusedPickleError("a storage is damaged")
        kind, key, count = identity[1], identity[2], identity[4]
        if not isinstance(kind, GlobalName) or not isinstance(key, str):
            raise RefusedPickleError("a storage is of an unknown type")
        if not is_whole(count) or identity[5:] not in ((), (None,)):
            raise RefusedPickleError("a storage has a damaged length or is a view of another")
        if kind.name not in STORAGE_DTYPES:
            return Opaque(_dotted(kind.name))
        found = Storage(key, STORAGE_DTYPES[kind.name], count)
        if self.storages.setdefault(key, found) != found:
            raise RefusedPickleError(f"storage {key!r:.40} has two different descriptions")
        return found


def _update(target: dict[Any, Any], items: list[Any]) -> None:
    if len(items) % 2:
        raise RefusedPickleError("a dict is damaged")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Plain keys only: to hash a deeply nested tuple would overflow the C stack. No weights lie under others.
        if isinstance(key, _PLAIN):
            target[key] = value


def _opaque(target: object) -> Opaque:
    if isinstance(target, GlobalName):
        return Opaque(_dotted(target.name))
    if isinstance(target, Opaque):
        return target
    raise RefusedPickleError("it calls something other than a named function")


def _dotted(name: str) -> str:
    return name.replace(" ", ".")[:200]

"""Made-up values: an object of a dataclass in which every field has a value that no other field has."""

from __future__ import annotations

import collections.abc
import dataclasses
import itertools
import types
import typing
from pathlib import Path
from typing import Any


class Maker:
    """Makes values of types, each another one."""

    def __init__(self) -> None:
        self._numbers = itertools.count(11)

    def make(self, kind: type, **given: Any) -> Any:
        """An object of a dataclass. given: fields that have another value than the type alone says."""
        hints = typing.get_type_hints(kind)
        fields = [field for field in dataclasses.fields(kind) if field.init]
        made = {field.name: self.value(hints[field.name], field.name) for field in fields if field.name not in given}
        return kind(**made, **given)

    def value(self, annotation: Any, name: str) -> Any:
        """A value of an annotation: never None where something else is allowed, two items where several are."""
        number = next(self._numbers)
        origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation is bool:
            return True
        if annotation is int:
            return number
        if annotation is float:
            return number + 0.25
        if annotation in (str, Any, object):
            return f"{name} {number}"
        if annotation is Path:
            return Path(f"{name}-{number}")
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            return self.make(annotation)
        if origin is typing.Literal:
            return inner[-1]
        if origin in (typing.Union, types.UnionType):
            return self.value(next(one for one in inner if one is not types.NoneType), name)
        if origin is typing.Annotated:
            return self.value(inner[0], name)
        if origin is tuple and inner[-1:] != (...,):
            return tuple(self.value(one, name) for one in inner)
        if origin in (tuple, list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable):
            kind = origin if origin in (tuple, list, set, frozenset) else tuple
            return kind(self.value(inner[0], name) for _ in range(2))
        if origin in (dict, collections.abc.Mapping):
            return {self.value(inner[0], f"{name} key"): self.value(inner[1], name) for _ in range(2)}
        raise TypeError(f"{name}: no value is known for {annotation}")

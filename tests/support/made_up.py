"""Made-up values: an object of a dataclass in which every field has a value that no other field has."""

from __future__ import annotations

import collections.abc
import dataclasses
import itertools
import types
import typing
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np


class Maker:
    """Makes values of types, each another one.

    given: for dataclasses with rules of their own, fields by name. names: what annotations name beyond their modules.
    """

    def __init__(
        self, given: Mapping[type, Mapping[str, Any]] | None = None, names: Mapping[str, Any] | None = None
    ) -> None:
        self._numbers = itertools.count(11)
        self._given, self._names = dict(given or {}), dict(names or {})

    def make(self, kind: type, **given: Any) -> Any:
        """An object of a dataclass. given: fields that have another value than the type alone says."""
        hints = typing.get_type_hints(kind, localns=self._names)
        given = {**self._given.get(kind, {}), **given}
        fields = [field for field in dataclasses.fields(kind) if field.init and not field.name.startswith("_")]
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
        if annotation is Fraction:
            return Fraction(number)
        if origin is np.ndarray:
            return np.array([number, number + 1]) / 256
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

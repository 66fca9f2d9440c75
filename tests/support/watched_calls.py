"""Watch the function that a caller leads to: what arrived there, instead of what it does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


class ReachedError(BaseException):
    """The last of the watched functions was called. Not an Exception, so that no caller deals with it."""


def watch(
    patch: pytest.MonkeyPatch, functions: Sequence[Callable[..., Any]], places: Sequence[ModuleType]
) -> dict[str, Any]:
    """Replace functions by ones that write down their arguments.

    patch: undoes it. functions: in the order of their calls; the last one ends the call by a ReachedError, the earlier
    ones give a placeholder. places: modules that hold them under their names.

    Returns what arrives by the names of arguments, defaults included; those of earlier functions after their names.
    """
    arrived: dict[str, Any] = {}
    for function in functions:
        last = function is functions[-1]
        watcher = _watcher(function, arrived, "" if last else f"{function.__name__}.", last)
        for place in places:
            if getattr(place, function.__name__, None) is function:
                patch.setattr(place, function.__name__, watcher)
    return arrived


def _watcher(function: Callable[..., Any], arrived: dict[str, Any], before: str, last: bool) -> Callable[..., Any]:
    def watcher(*values: Any, **named: Any) -> Any:
        bound = inspect.signature(function).bind(*values, **named)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            kind = bound.signature.parameters[name].kind
            spread = value.items() if kind is inspect.Parameter.VAR_KEYWORD else [(name, value)]
            arrived.update({before + key: plain(found) for key, found in spread})
        if last:
            raise ReachedError
        return f"made by {function.__name__}"

    return watcher


def plain(value: Any) -> Any:
    """A value as the comparison sees it: paths are texts, sequences are lists, and functions are alike."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return "a function" if callable(value) else value


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The defaults of a function's arguments, as the comparison sees them."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name: plain(one.default) for one in parameters if one.default is not one.empty}

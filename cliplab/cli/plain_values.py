"""Values of arguments and options without pydantic, whose import takes as long as that of numpy.

Recent versions of Typer convert each value with pydantic. A value of a plain type that is surely right - a text, a
path, a number in its usual form, one of a few words - is converted here as Typer would. Everything else is left to
Typer: also a value that is wrong, so that the message is Typer's.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

_NUMBERS = {int: re.compile(r"-?[0-9]{1,15}"), float: re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")}
# What may limit a value beyond its type, with the value that limits nothing.
_NO_LIMITS = {
    "parser": None,
    "click_type": None,
    "min": None,
    "max": None,
    "clamp": False,
    "path_type": None,
    "exists": False,
    "writable": False,
    "resolve_path": False,
    "file_okay": True,
    "dir_okay": True,
    "case_sensitive": True,
    "allow_dash": False,
}
_UNKNOWN = object()


def convert_plainly(command: Any, parent: Any = None) -> None:
    """Let a command, and those below it, convert plain values without pydantic.

    Versions of Typer that convert in another way are left as they are.

    Args:
        command: A click command that Typer made.
        parent: The context of the command above it; None for the program.
    """
    context = command.context_class(command, info_name=command.name, parent=parent, **command.context_settings)
    for parameter in command.get_params(context):
        if isinstance(parameter.process_value, functools.partial):
            continue  # an option that commands share
        described = getattr(parameter, "type_descriptor", None)
        limits = getattr(described, "parameter_info", None)
        if limits is not None and all(getattr(limits, name, free) == free for name, free in _NO_LIMITS.items()):
            parameter.process_value = functools.partial(_process, parameter, parameter.process_value)
    for child in getattr(command, "commands", {}).values():
        convert_plainly(child, context)


def _process(parameter: Any, by_typer: Any, ctx: Any, value: Any) -> Any:
    """What a parameter's ``process_value`` returns."""
    several = parameter.multiple or parameter.nargs == -1
    if parameter.required and value in (None, (), []):
        return by_typer(ctx, value)
    if value is None:
        found: Any = () if several else None
    elif several:
        found = _each(parameter.type_descriptor.annotation, value)
    else:
        found = plain_value(parameter.type_descriptor.annotation, value)
    if found is _UNKNOWN:
        return by_typer(ctx, value)
    return found if parameter.callback is None else parameter.callback(ctx, parameter, found)


def _each(annotation: Any, values: Any) -> Any:
    if get_origin(annotation) is not list or not isinstance(values, (list, tuple)):
        return _UNKNOWN
    found = [plain_value(get_args(annotation)[0], value) for value in values]
    return _UNKNOWN if any(value is _UNKNOWN for value in found) else found


def plain_value(annotation: Any, value: Any) -> Any:
    """A word as a value of a plain type; ``_UNKNOWN`` for another type, and for a word that may be wrong."""
    if annotation in (str, int, float, bool) and type(value) is annotation:
        return value
    if annotation is Path and isinstance(value, (str, Path)):
        return Path(value)
    if not isinstance(value, str):
        return _UNKNOWN
    if annotation in _NUMBERS and _NUMBERS[annotation].fullmatch(value):
        return annotation(value)
    if get_origin(annotation) is Literal and all(isinstance(word, str) for word in get_args(annotation)):
        return value if value in get_args(annotation) else _UNKNOWN
    return _UNKNOWN

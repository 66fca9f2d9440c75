"""Words on the command line: a name that begins with ``-`` or in another normal form, and a value of a wrong type."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from adapters.system import in_own_form
from cliplab.cli.everywhere import Group

_ARGUMENTS = "cliplab.arguments"
# Parts of the messages of pydantic, which recent versions of Typer show, and of earlier ones; and what is said instead.
_THEIR_WORDS = {
    "Input should be a valid integer": "must be a whole number",
    "Input should be a valid number": "must be a number",
    "is not a valid integer": "must be a whole number",
    "is not a valid float": "must be a number",
}


class HintingGroup(Group):
    """A group of commands that finds files under the names that people write, or says how to write them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Find names that differ only by their normal form, keep the arguments for the hint, and parse them."""
        args = [in_own_form(name) for name in args]
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an unknown option that may be a name gets the hint."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # By its name: Typer brings a Click of its own from some version on.
            if type(error).__name__ == "NoSuchOption":
                option = str(getattr(error, "option_name", ""))
                hint = dashed_hint(option, ctx.meta.get(_ARGUMENTS, ()))
                if hint not in str(getattr(error, "message", "")):
                    error.message = f"{error.message}{hint}"  # type: ignore[attr-defined]
            elif type(error).__name__ == "BadParameter":
                error.message = value_words(  # type: ignore[attr-defined]
                    str(getattr(error, "message", "")),
                    _given(getattr(getattr(error, "param", None), "opts", ()), ctx.meta.get(_ARGUMENTS, ())),
                )
            raise


def value_words(message: str, given: str | None) -> str:
    """The message about a wrong value: what is allowed and what was given, without the words of pydantic.

    Args:
        message: Typer's message.
        given: The value on the command line; None if it is not known.
    """
    for theirs, ours in _THEIR_WORDS.items():
        if theirs in message:
            message = ours if given is None else f"{ours}, got {given!r}"
    return message.removeprefix("Value error, ")


def _given(options: Sequence[str], arguments: Sequence[str]) -> str | None:
    """The value of an option, by its names, in the arguments; None if it is an argument or is not found."""
    for place, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        if name in options:
            return value if separator else next(iter(arguments[place + 1 : place + 2]), None)
    return None


def dashed_hint(option: str, arguments: Sequence[str]) -> str:
    """The end of the message about an unknown option, or the empty string where no argument looks like a name.

    Args:
        option: What was taken for an option, such as ``-c`` of ``-clip.mp4``.
        arguments: Those of the command line.
    """
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for argument in before:
        if argument.startswith(option) and option and (os.path.lexists(argument) or "." in argument.partition("=")[0]):
            return (
                f". If {argument!r} is the name of a file or folder, put -- before it, after all options: "
                f"-- {argument}; or write .{os.sep}{argument}"
            )
    return ""

"""What every command has: ``-q``, ``-v`` and ``--color``, and a help page in which nothing is cut.

``apply`` gives it to all commands of an app, so that a new command has it without a line of its own.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from cliplab.cli import verbosity

ELSEWHERE = "-q, --quiet   -v, --verbose   --color WHEN   (see cliplab --help)"

# Longer names of options stand on a line of their own, so that the texts beside the others have room.
_LEFT = 24


def apply(app: typer.Typer) -> None:
    """Make every command and group of an app one of this module, but those that have a class of their own."""
    for command in app.registered_commands:
        command.cls = Command if command.cls in (None, TyperCommand) else command.cls
    for group in app.registered_groups:
        if group.typer_instance is not None:
            info = group.typer_instance.info
            info.cls = info.cls if isinstance(info.cls, type) else Group
            apply(group.typer_instance)


class _Page:
    """Help as the pages of git have it: arguments by name, whole sentences, the common options in one line."""

    params: list[Any]

    def get_params(self, ctx: Any) -> list[Any]:
        own: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        taken = {name for parameter in own for name in parameter.opts}
        return own + [option for option in common_options() if not taken.intersection(option.opts)]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = ["[OPTIONS]", *(_argument(p, usage=True) for p in _arguments(self.params))]
        return [*pieces, "COMMAND"] if isinstance(self, Group) else pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments = [(_argument(parameter), parameter.help or "") for parameter in _arguments(self.params)]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        if isinstance(self, Group):
            self.format_commands(ctx, formatter)
        options = [p for p in self.get_params(ctx) if p.param_type_name == "option"]
        rows = [row for option in options if (row := _option(option, ctx)) is not None]
        with formatter.section("Options"):
            formatter.write_dl(rows, col_max=_LEFT)
            formatter.write_text(ELSEWHERE)


class Command(_Page, TyperCommand):
    """A command."""


class Group(_Page, TyperGroup):
    """A group of commands; its page has the first sentence of each, whole."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands with what each does."""
        rows = [(name, summary(command)) for name, command in self.commands.items() if not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def summary(command: Any) -> str:
    """The first sentence of a command's help."""
    first = " ".join((command.help or "").split("\n\n")[0].split())
    return first.partition(". ")[0].rstrip(".") + "."


def _arguments(parameters: list[Any]) -> list[Any]:
    return [parameter for parameter in parameters if parameter.param_type_name == "argument"]


def _argument(parameter: Any, usage: bool = False) -> str:
    """MODEL, [OUTPUT] where it may be left out, VIDEO... where there may be several."""
    name = parameter.metavar.strip("[]").removesuffix("...") + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _option(option: Any, ctx: Any) -> tuple[str, str] | None:
    """An option's row: its first long name stands for its other spellings, which docs/cli.md lists."""
    row: tuple[str, str] | None = option.get_help_record(ctx)
    if row is None:
        return None
    name, text = row
    for spelling in [one for one in option.opts if one.startswith("--")][1:]:
        name = name.replace(f", {spelling}", "")
    return name, text


@functools.cache
def common_options() -> tuple[Any, ...]:
    """The options of every command, as parameters without a value for its function."""
    page = typer.Typer(add_completion=False)
    page.command()(_common)
    found = get_command(page).params
    for option in found:
        option.expose_value = False
        vars(option)["hidden"] = True
    return tuple(found)


def _quiet(wanted: bool) -> None:
    if wanted:
        verbosity.be_quiet()


def _verbose(wanted: bool) -> None:
    if wanted:
        verbosity.be_verbose()


def _color(when: str | None) -> None:
    if when is not None:
        verbosity.settings.color = when


def _common(
    quiet: Annotated[bool, typer.Option("-q", "--quiet", callback=_quiet, is_eager=True)] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", callback=_verbose, is_eager=True)] = False,
    color: Annotated[
        Literal["auto", "always", "never"] | None,
        typer.Option("--color", "--colour", metavar="WHEN", callback=_color, is_eager=True),
    ] = None,
) -> None:
    """Never run: its options are those of every command."""

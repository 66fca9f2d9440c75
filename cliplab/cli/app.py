"""The command line. Each command is one call of the function of its name in ``cliplab.api``, and a way to show it."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from adapters.system import terminal_text
from cliplab import __version__
from cliplab.cli import everywhere, interrupts, verbosity
from cliplab.cli.console import guard_terminal, note
from cliplab.cli.dashed_names import HintingGroup
from cliplab.cli.first_page import first_page
from cliplab.cli.other_words import own_words
from cliplab.cli.plain_values import convert_plainly


class _Commands(HintingGroup):
    """The commands, also in the words of other pipelines; wrong usage is shown like any other text from outside."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # completion, and tests that read the help
            return super().parse_args(ctx, args)
        verbosity.reset()
        args, notes = own_words(args, self)
        for text in notes if not {"-q", "--quiet"}.intersection(args) else ():
            note(text)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(first_page(ctx.command_path, ABOUT, dict(self.commands)) + "\n")

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "format_message") and isinstance(getattr(error, "message", None), str):
                vars(error)["message"] = terminal_text(vars(error)["message"])
            raise


ABOUT = "Train, evaluate, convert and run video models. `cliplab COMMAND --help` has the details of a command."
HELP = (
    "Train, evaluate, convert and run video models. Every command takes `--json`, `-q`/`--quiet` (results, warnings "
    "and errors only), `-v`/`--verbose` (log what is loaded, converted and cached, and the time and memory used) and "
    "`--color auto|always|never` (auto: colours on a terminal, unless NO_COLOR is set). "
    "`cliplab --install-completion` makes Tab complete commands, options and names. Exit codes: 0 success, 1 some "
    "inputs failed, 2 bad usage or config, 130 interrupted. CLIPLAB_DEBUG=1 shows tracebacks."
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cliplab {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What stands before a command."""


# The modules of commands in the order of the help, each with its commands and groups. Only the module of the command
# that runs is imported; a test compares this with what they register.
MODULES: dict[str, tuple[str, ...]] = {
    "model": ("predict", "evaluate", "bench"),
    "training": ("train", "finetune"),
    "conversion": ("convert", "verify", "adopt", "ensemble"),
    "explain": ("explain",),
    "compare": ("compare",),
    "stream": ("stream",),
    "scan": ("scan", "score"),
    "ads": ("ads", "ads-learn"),
    "detect": ("detect", "generate", "worker"),
    "reel": ("reel",),
    "data": ("config", "dataset", "demo"),
    "clips": ("clips",),
    "extract": ("extract",),
    "registry": ("registry",),
    "rollout": ("rollout",),
    "active": ("active",),
    "device": ("device", "doctor"),
    "dataloop": ("dataloop",),
    "host": ("host",),
    "studio": ("studio", "label"),
    "machine": ("cache",),
}


def make_app(name: str | None = None) -> typer.Typer:
    """The program with all of its commands.

    Args:
        name: A command or group: only those of its module are there. None, and an unknown name, are all.
    """
    app = typer.Typer(
        name="cliplab",
        cls=_Commands,
        help=HELP,
        no_args_is_help=True,
        add_completion=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(options)
    for module in [module for module, names in MODULES.items() if name in names] or MODULES:
        importlib.import_module(f"cliplab.cli.{module}").register(app)
    everywhere.apply(app)
    return app


# Set by the shell when Tab is pressed: options of every command are needed then.
_COMPLETES = "_CLIPLAB_COMPLETE"

if TYPE_CHECKING:
    app = make_app()
else:

    def __getattr__(name: str) -> Any:
        """``app``: the whole program, made when it is first asked for."""
        if name != "app":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()["app"] = make_app()
        return globals()["app"]


def program(words: Sequence[str]) -> Any:
    """The program as far as a command line needs it.

    Args:
        words: The arguments. What they name as the command is there, with every other command of its module.

    Returns:
        A click command.
    """
    name = next((word for word in words if not word.startswith("-")), None)
    found = make_app(name)
    if name is None and "--version" not in words and _COMPLETES not in os.environ:
        _keep_help_alone(found)
    command = get_command(found)
    convert_plainly(command)
    return command


def _keep_help_alone(app: typer.Typer) -> None:
    """Replace the commands by what the help of the program shows of them: its options take long to read."""
    for info in app.registered_commands:
        info.callback = _documented(info.callback)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for info in group.typer_instance.registered_commands:
            info.callback = _documented(info.callback)


def _documented(function: Any) -> Any:
    def command() -> None: ...

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    return command


def main() -> None:
    """The entry point ``cliplab``."""
    interrupts.watch()
    guard_terminal()
    # TensorFlow, where a command needs it, tells of drivers that it looked for and did not find: no error of ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):  # a name that is not text is escaped as JSON does, whatever the locale
            output.reconfigure(errors="backslashreplace")
    try:
        program(sys.argv[1:])()
    except KeyboardInterrupt:
        interrupts.leave()


if __name__ == "__main__":
    main()

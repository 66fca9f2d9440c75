"""The command line. Each command is one call of the function of its name in ``cliplab.api``, and a way to show it."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer

from adapters.system import terminal_text
from cliplab import __version__
from cliplab.cli import (
    active,
    ads,
    clips,
    compare,
    conversion,
    data,
    dataloop,
    detect,
    device,
    everywhere,
    explain,
    extract,
    host,
    interrupts,
    machine,
    model,
    reel,
    registry,
    rollout,
    scan,
    stream,
    studio,
    training,
    verbosity,
)
from cliplab.cli.console import guard_terminal, note
from cliplab.cli.dashed_names import HintingGroup
from cliplab.cli.first_page import first_page
from cliplab.cli.other_words import own_words


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
app = typer.Typer(
    name="cliplab",
    cls=_Commands,
    help="Train, evaluate, convert and run video models. Every command takes `--json`, `-q`/`--quiet` (results, "
    "warnings and errors only), `-v`/`--verbose` (log what is loaded, converted and cached, and what the command took) "
    "and `--color auto|always|never` (auto: colours on a terminal, unless NO_COLOR is set). `cliplab "
    "--install-completion` makes Tab complete commands, options and names. Exit codes: 0 good, 1 some inputs failed, "
    "2 bad usage or config, 130 interrupted. CLIPLAB_DEBUG=1 shows tracebacks.",
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cliplab {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What stands before a command."""


# In the order of the help.
for module in (
    model,
    training,
    conversion,
    explain,
    compare,
    stream,
    scan,
    ads,
    detect,
    reel,
    data,
    clips,
    extract,
    registry,
    rollout,
    active,
    device,
    dataloop,
    host,
    studio,
    machine,
):
    module.register(app)
everywhere.apply(app)


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
        app()
    except KeyboardInterrupt:
        interrupts.leave()


if __name__ == "__main__":
    main()

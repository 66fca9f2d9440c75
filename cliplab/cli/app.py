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
    compare as commands_compare,
)
from cliplab.cli import (
    data as commands_data,
)
from cliplab.cli import (
    dataloop as commands_dataloop,
)
from cliplab.cli import (
    explain as commands_explain,
)
from cliplab.cli import (
    extract as commands_extract,
)
from cliplab.cli import (
    host as commands_host,
)
from cliplab.cli import (
    interrupts,
)
from cliplab.cli import (
    model as commands_model,
)
from cliplab.cli import (
    reel as commands_reel,
)
from cliplab.cli import (
    registry as commands_registry,
)
from cliplab.cli import (
    scan as commands_scan,
)
from cliplab.cli import (
    stream as commands_stream,
)
from cliplab.cli import (
    studio as commands_studio,
)
from cliplab.cli.console import guard_terminal
from cliplab.cli.dashed_names import HintingGroup


class _Commands(HintingGroup):
    """The commands; what is wrong with their usage is shown like any other text from outside."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "format_message") and isinstance(getattr(error, "message", None), str):
                vars(error)["message"] = terminal_text(vars(error)["message"])
            raise


app = typer.Typer(
    name="cliplab",
    cls=_Commands,
    help="Train, evaluate, convert and run video models. Every command takes --json. Exit codes: 0 good, 1 some inputs "
    "failed, 2 bad usage or config, 130 interrupted. CLIPLAB_DEBUG=1 shows tracebacks.",
    no_args_is_help=True,
    add_completion=False,
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


commands_model.register(app)
commands_explain.register(app)
commands_compare.register(app)
commands_stream.register(app)
commands_scan.register(app)
commands_reel.register(app)
commands_data.register(app)
commands_extract.register(app)
commands_registry.register(app)
commands_dataloop.register(app)
commands_host.register(app)
commands_studio.register(app)


def main() -> None:
    """The entry point ``cliplab``."""
    interrupts.watch()
    guard_terminal()
    # TensorFlow, where a command needs it, tells of drivers that it looked for and did not find: no error of ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that is no text is escaped as JSON does, whatever the locale
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        interrupts.leave()


if __name__ == "__main__":
    main()

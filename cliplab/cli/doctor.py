"""The command doctor."""

from __future__ import annotations

import typer

from cliplab.cli.console import FAILED, command, show, write_json
from cliplab.cli.machine import machine_text
from cliplab.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(command(doctor))


def doctor(as_json: AsJson = False) -> int | None:
    """Check this installation and machine. Exits with 1 where something does not work."""
    from cliplab import models

    report = models.machine()
    if as_json:
        write_json(report.to_json())
    else:
        show(*machine_text(report))
    return FAILED if report.problems else None

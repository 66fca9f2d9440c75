"""Commands about the Dataloop app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cliplab.cli.console import FAILED, command, say, show, write_json
from cliplab.cli.options import AsJson, Force, Overrides, opt, parsed


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    dataloop = typer.Typer(help="Make the Dataloop app.", no_args_is_help=True, rich_markup_mode=None)
    dataloop.command("manifest")(command(dataloop_manifest))
    dataloop.command("programs")(command(dataloop_programs))
    app.add_typer(dataloop, name="dataloop")


def dataloop_manifest(
    output: Annotated[Path, opt("FILE", "The manifest to write.", "-o", "--output")] = Path("dataloop.json"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if FILE is out of date.")] = False,
    git_url: Annotated[
        str | None,
        opt("URL", "Git address of the code, at this version's tag; default: publish a folder."),
    ] = None,
    model_id: Annotated[
        str | None, opt("SIZE", "Size of the MoViNet models, a0 to a5, with the pods that fit it; default: a0.")
    ] = None,
    runner_image: Annotated[
        str | None, opt("IMAGE", "Container image of the services, such as one with converted programs.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> int | None:
    """Write dataloop.json from the ready configs and their schemas."""
    from cliplab import models

    report = models.dataloop_manifest(
        output, check=check, git_url=git_url, model_id=model_id, runner_image=runner_image, force=force
    )
    if as_json:
        write_json(report.to_json())
    elif report.current:
        show(f"{report.path}: {len(report.models)} models, {'up to date' if check else 'written'}")
    else:
        show(
            f"{report.path} is out of date, or was written with other options. Give these options to --check too, or "
            f"write it again: cliplab dataloop manifest -o {report.path} --force",
            *report.difference,
        )
    return None if report.current else FAILED


def dataloop_programs(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="Models of the manifest; default: all.")
    ] = None,
    model_ids: Annotated[str, opt("A,B", "Sizes of MoViNet, a0 to a5.", "--model-id")] = "a0",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Make the programs that the app predicts with, so that a pod starts within seconds.

    They are written to CLIPLAB_CACHE; deploy/dataloop.Dockerfile builds a runner image that contains it.
    """
    from cliplab import models as functions

    report = functions.dataloop_programs(
        models or (),
        [name.strip() for name in model_ids.split(",") if name.strip()],
        parsed(overrides),
        on_program=lambda done: say(
            f"{done.name}: {'converted' if done.converted else 'ready'} ({done.seconds:.1f} s)"
        ),
    )
    if as_json:
        write_json(report.to_json())
    else:
        show(f"{report.folder}: {len(report.programs)} programs")

"""Commands of the studio: studio, and label launch and label server, its older names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cliplab.cli.console import command, say, write_row
from cliplab.cli.options import AsJson, arg, opt

Port = Annotated[int, opt("N", "The port; 0 is one that the system chooses.")]
Host = Annotated[str, opt("HOST", "The address to listen on; others than this machine's need a token.")]
Labels = Annotated[
    str | None, opt("A,B", "The classes in their order (default: those that the folder has, or the browser asks).")
]
OutputFile = Annotated[
    Path | None, opt("FILE", "Keep this file in step with the labels: labels.json or dataset.jsonl.")
]
TokenFile = Annotated[
    Path | None,
    opt("FILE", "Holds the token for other machines (default: CLIPLAB_TOKEN, or a new one that is printed once)."),
]
Models = Annotated[Path | None, opt("DIR", "The folder of your models (default: models in DIR).", "--models")]
Annotator = Annotated[str | None, opt("NAME", "The name that labels are stored under (default: the browser asks).")]
Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("studio")(command(studio))
    label = typer.Typer(help="Label in the browser, and by models.", no_args_is_help=True, rich_markup_mode=None)
    label.command("launch")(command(label_launch))
    label.command("server")(command(label_server))
    app.add_typer(label, name="label")


def studio(
    data_dir: Annotated[Path, arg("DIR", "The folder of your media; labels.db is written into it.")],
    port: Port = 8080,
    labels: Labels = None,
    output: OutputFile = None,
    host: Host = "127.0.0.1",
    token_file: TokenFile = None,
    models: Models = None,
    annotator: Annotator = None,
    open_browser: Open = False,
    as_json: AsJson = False,
) -> None:
    """Label frames, clips and videos in the browser, review them and manage models. Ctrl-C ends it."""
    from cliplab.api import studio as run

    run(
        data_dir,
        host=host,
        port=port,
        labels=_names(labels),
        output=output,
        token_file=token_file,
        models=models,
        annotator=annotator,
        open_browser=open_browser,
        on_ready=_on_ready(data_dir, as_json),
    )


def label_launch(
    data_dir: Annotated[Path, opt("DIR", "The folder of your media; labels.db is written into it.")],
    port: Port = 8080,
    labels: Labels = None,
    output: OutputFile = None,
    host: Host = "127.0.0.1",
    token_file: TokenFile = None,
    annotator: Annotator = None,
    as_json: AsJson = False,
) -> None:
    """Start the studio and open it in the browser. The same as: cliplab studio DIR --open."""
    from cliplab.api import label_launch as run

    run(
        data_dir,
        host=host,
        port=port,
        labels=_names(labels),
        output=output,
        token_file=token_file,
        annotator=annotator,
        on_ready=_on_ready(data_dir, as_json),
    )


def label_server(
    data_dir: Annotated[Path, opt("DIR", "The folder of your media; labels.db is written into it.")],
    port: Port = 8080,
    labels: Labels = None,
    output: OutputFile = None,
    host: Host = "127.0.0.1",
    token_file: TokenFile = None,
    annotator: Annotator = None,
    as_json: AsJson = False,
) -> None:
    """Start the studio. The same as: cliplab studio DIR."""
    from cliplab.api import label_server as run

    run(
        data_dir,
        host=host,
        port=port,
        labels=_names(labels),
        output=output,
        token_file=token_file,
        annotator=annotator,
        on_ready=_on_ready(data_dir, as_json),
    )


def _names(labels: str | None) -> list[str] | None:
    """The classes of ``--labels``."""
    return None if labels is None else [name.strip() for name in labels.split(",")]


def _on_ready(data_dir: Path, as_json: bool) -> Callable[[str], object]:
    """Says where the studio is."""

    def show(url: str) -> None:
        if as_json:
            write_row({"url": url})
        else:
            say(f"the studio of {data_dir} is at {url}\nCtrl-C ends it; every label is stored as soon as it says saved")

    return show

"""Commands of the studio: studio, and label launch and label server, its older names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.console import FAILED, bar, command, say, show, write_json, write_row
from cliplab.cli.dashed_names import HintingGroup
from cliplab.cli.options import AsJson, Device, Force, Overrides, Threads, TrustAdapters, arg, opt, parsed

if TYPE_CHECKING:
    from cliplab.cli.tables import Shown
    from cliplab.studio import PrelabelReport

_SHOWN_CLASSES, _SHOWN_FAILED = 20, 5
Port = Annotated[int, opt("N", "Port; 0: the system chooses one.")]
Host = Annotated[str, opt("HOST", "Address to listen on; addresses that other machines can reach need a token.")]
Labels = Annotated[str | None, opt("A,B", "Classes in order; default: those of the folder, or the browser asks.")]
OutputFile = Annotated[
    Path | None,
    opt("FILE", "Keep labels.json or dataset.jsonl up to date with the labels.", "-o", "--output"),
]
TokenFile = Annotated[
    Path | None,
    opt("FILE", "File with the token for other machines; default: CLIPLAB_TOKEN, or a new one is printed."),
]
Models = Annotated[Path | None, opt("DIR", "Folder of your models; default: DIR/models.", "--models")]
Annotator = Annotated[str | None, opt("NAME", "Name stored with each label; default: the browser asks.")]
RegistryOption = Annotated[
    str | None, opt("DIR|URL", "Registry that the Fleet page shows; default: CLIPLAB_REGISTRY, or your own.")
]
Database = Annotated[
    str | None,
    opt("DB", "Clip database: a file, or postgresql://USER@HOST/NAME; default: DIR/clips.db.", "--database"),
]
Open = Annotated[bool, typer.Option("--open", help="Open the browser.")]
SeveralLabels = Annotated[
    bool | None,
    typer.Option(
        "--several-labels/--one-label",
        help="Allow several labels per item, or one; default: the earlier setting of DIR, initially one.",
    ),
]


class _LabelCommands(HintingGroup):
    """The commands of label; one of them has an older name too."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, "auto" if cmd_name == "auto_label" else cmd_name)


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("studio")(command(studio))
    label = typer.Typer(
        cls=_LabelCommands, help="Label in the browser, and by models.", no_args_is_help=True, rich_markup_mode=None
    )
    label.command("launch")(command(_older_name(open_browser=True)))
    label.command("server")(command(_older_name(open_browser=False)))
    label.command("auto")(command(label_auto))
    label.command("rename")(command(label_rename))
    app.add_typer(label, name="label")


def studio(
    data_dir: Annotated[Path, arg("DIR", "Folder of your media; labels.db is kept in it.")],
    port: Port = 8080,
    labels: Labels = None,
    output: OutputFile = None,
    host: Host = "127.0.0.1",
    token_file: TokenFile = None,
    models: Models = None,
    database: Database = None,
    annotator: Annotator = None,
    registry: RegistryOption = None,
    several_labels: SeveralLabels = None,
    open_browser: Open = False,
    as_json: AsJson = False,
) -> None:
    """Label, review and manage models in the browser. Ctrl-C ends it."""
    from cliplab.api import studio as run

    _serve(
        run,
        data_dir,
        labels,
        as_json,
        host=host,
        port=port,
        output=output,
        token_file=token_file,
        models=models,
        database=database,
        annotator=annotator,
        registry=registry,
        several_labels=several_labels,
        open_browser=open_browser,
    )


def _older_name(open_browser: bool) -> Callable[..., None]:
    """The command under one of its older names, which differ in whether the browser opens."""

    def start(
        data_dir: Annotated[Path, opt("DIR", "Folder of your media; labels.db is kept in it.")],
        port: Port = 8080,
        labels: Labels = None,
        output: OutputFile = None,
        host: Host = "127.0.0.1",
        token_file: TokenFile = None,
        annotator: Annotator = None,
        as_json: AsJson = False,
    ) -> None:
        from cliplab.api import label_launch, label_server

        run = label_launch if open_browser else label_server
        _serve(
            run,
            data_dir,
            labels,
            as_json,
            host=host,
            port=port,
            output=output,
            token_file=token_file,
            annotator=annotator,
        )

    if open_browser:
        start.__doc__ = "Start the studio and open it in the browser. The same as: cliplab studio DIR --open."
    else:
        start.__doc__ = "Start the studio. The same as: cliplab studio DIR."
    return start


def _serve(run: Callable[..., None], data_dir: Path, labels: str | None, as_json: bool, **options: Any) -> None:
    """Run the studio until it is ended, and say where it is once it answers."""

    def ready(url: str) -> None:
        if as_json:
            write_row({"url": url})
        else:
            say(
                f"the studio of {data_dir} is at {url}\nPress Ctrl-C to stop it; a label is stored as soon as the "
                "page says saved"
            )

    names = None if labels is None else [name.strip() for name in labels.split(",")]
    run(data_dir, labels=names, on_ready=ready, **options)


def label_auto(
    model: Annotated[str, opt("MODEL", "A bundle, a .tflite, a config file, or a ready config.", "--model")],
    data_dir: Annotated[Path, opt("DIR", "Folder of frames, clips or videos, or a studio's folder.", "--data-dir")],
    output: Annotated[
        Path | None, opt("FILE", "Also write the pre-labels as JSON; default: labels.db only.", "-o", "--output")
    ] = None,
    threshold: Annotated[float, opt("X", "Minimum score of a pre-label; other items go to review.")] = 0.8,
    overrides: Overrides = None,
    device_option: Device = None,
    threads_option: Threads = None,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Let a model label a folder: certain items get pre-labels, the others go to the Review page.

    Pre-labels never count as labels by people. If interrupted, run it again to resume. Exits with 1 if items could not
    be read; the others are scored.
    """
    from cliplab.api import label_auto as run

    with bar() as progress:
        report = run(
            model,
            data_dir,
            output=output,
            threshold=threshold,
            overrides=parsed(overrides, device_option, threads_option),
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
        )
    write_json(report.to_json() | {"output": report.output}) if as_json else show(*_prelabelled(report))
    return FAILED if report.failed else None


def label_rename(
    old: Annotated[str, arg("OLD", "Present name of the class.")],
    new: Annotated[str, arg("NEW", "Its new name.")],
    data_dir: Annotated[Path, opt("DIR", "The studio's folder.", "--data-dir")],
    as_json: AsJson = False,
) -> None:
    """Rename a class of a studio; its labels follow."""
    from cliplab.api import label_rename as run

    run(data_dir, old, new)
    if as_json:
        write_json({"data_dir": str(data_dir), "old": old, "new": new})
    else:
        show(f"{data_dir}: class {old!r} is now {new!r}, and its labels with it. Reload pages that are open")


def _prelabelled(report: PrelabelReport) -> Shown:
    """What the model said, as a table by class, and what to do next."""
    from collections import Counter

    from cliplab.cli.tables import problems, table

    sure = Counter(one.label for one in report.pre_labels)
    unsure = Counter(one.label for one in report.review)
    rows = [(label, sure[label], unsure[label]) for label in report.classes if sure[label] or unsure[label]]
    names = ("class", f">at least {report.threshold:g}", ">to review")
    shown: Shown = [
        f"{report.data_dir}: {len(report.pre_labels)} pre-labels by model:{report.model}, {len(report.review)} to "
        f"review, {report.labelled} labelled by people",
        "",
        *([table(names, rows[:_SHOWN_CLASSES]), ""] if rows else []),
    ]
    shown += [f"note: {note}" for note in report.notes]
    shown += problems([f"{path}: {reason}" for path, reason in report.failed], "left out: ", _SHOWN_FAILED)
    shown += [f"written: {report.output}"] if report.output else []
    return [*shown, f"Review them: cliplab studio {report.data_dir}"]

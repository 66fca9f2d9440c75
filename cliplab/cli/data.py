"""Commands about configs and datasets, and the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapters.data import FORMATS
from cliplab.cli.advise import dataset_advise
from cliplab.cli.console import FAILED, bar, command, show, write_json
from cliplab.cli.from_database import dataset_from_db
from cliplab.cli.options import (
    AsJson,
    Data,
    DryRun,
    Force,
    Model,
    OutputOption,
    Overrides,
    TrustAdapters,
    arg,
    one_output,
    opt,
    parsed,
)

FORMAT_NAMES = f"{', '.join(FORMATS[:-1])} and {FORMATS[-1]}"
Output = Annotated[Path | None, arg("OUTPUT", "The file or folder to write.")]
FrameRate = Annotated[
    float | None, opt("FPS", "Frame rate, for formats that count frames; default: each video's.", "--frame-rate")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    config = typer.Typer(help="Show, check and describe configs.", no_args_is_help=True, rich_markup_mode=None)
    config.command("show")(command(config_show))
    config.command("check")(command(config_check))
    config.command("schema")(command(config_schema))
    dataset = typer.Typer(
        help="Import, split, export, count and judge labelled clips.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    dataset.command("import")(command(dataset_import))
    dataset.command("from-db")(command(dataset_from_db))
    dataset.command("split")(command(dataset_split))
    dataset.command("export")(command(dataset_export))
    dataset.command("prepare")(command(dataset_prepare))
    dataset.command("stats")(command(dataset_stats))
    dataset.command("advise")(command(dataset_advise))
    app.add_typer(config, name="config")
    app.add_typer(dataset, name="dataset")
    app.command()(command(demo))


def config_show(
    config: Model, overrides: Overrides = None, trust_adapters: TrustAdapters = None, as_json: AsJson = False
) -> None:
    """Show a complete config, with every default filled in."""
    from cliplab import models
    from cliplab.cli import tables as render

    complete = models.config_show(config, overrides=parsed(overrides), trust_adapters=trust_adapters or ())
    write_json(complete) if as_json else show(*render.config(complete))


def config_check(
    configs: Annotated[list[str], arg("CONFIG", "Config files, names of ready configs, or bundles.")],
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Check configs. Exits with 2 if one is wrong, and says what is."""
    from dataclasses import asdict

    from cliplab import models
    from cliplab.cli import tables as render
    from cliplab.cli.console import USAGE

    checks = models.config_check(configs, trust_adapters=trust_adapters or ())
    write_json([asdict(item) for item in checks]) if as_json else show(*render.config_checks(checks))
    return USAGE if any(item.error for item in checks) else None


def config_schema(
    config: Annotated[str, arg("CONFIG", 'An adapter, "module:Class", or a config that names one.')],
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """List the keys of an adapter's config; with --json, its JSON Schema."""
    from cliplab import models
    from cliplab.cli import tables as render

    found = models.config_schema(config, trust_adapters=trust_adapters or ())
    write_json(found) if as_json else show(*render.schema(found))


def dataset_import(
    source: Data,
    output: Output = None,
    output_option: OutputOption = None,
    format: Annotated[
        str | None,
        opt("FORMAT", "Format of DATA (docs/formats.md lists them); default: detected.", "--format"),
    ] = None,
    labels: Annotated[
        list[str] | None, opt("LABEL", "Class name; repeat it for each class, in order.", "--label")
    ] = None,
    videos: Annotated[Path | None, opt("FOLDER", "Folder of the videos; default: beside DATA.", "--videos")] = None,
    frame_rate: FrameRate = None,
    rest: Annotated[str | None, opt("LABEL", "Class for the time between the intervals of an EDL.", "--rest")] = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Read labelled clips in any known format and write dataset.jsonl.

    Prints how they were read and what was left out. docs/formats.md lists the formats.
    """
    from cliplab import datasets
    from cliplab.cli import tables as render

    report = datasets.dataset_import(
        source,
        one_output(output, output_option),
        format=format,
        labels=labels,
        videos=videos,
        frame_rate=frame_rate,
        rest=rest,
        force=force,
        dry_run=dry_run,
    )
    write_json(report.to_json()) if as_json else show(*render.dataset(report))


def dataset_split(
    data: Data,
    output: Output = None,
    output_option: OutputOption = None,
    fractions: Annotated[
        tuple[float, float, float],
        opt("A B C", "Shares of train, validation and test."),
    ] = (
        0.7,
        0.15,
        0.15,
    ),
    seed: Annotated[int, opt("N", "Seed of the random assignment.")] = 0,
    reassign: Annotated[
        bool, typer.Option("--reassign", help="Also reassign clips that already have a split.")
    ] = False,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Assign clips to train, validation and test, by class and in whole groups."""
    from cliplab import datasets
    from cliplab.cli import tables as render

    report = datasets.dataset_split(
        data,
        one_output(output, output_option),
        fractions=fractions,
        seed=seed,
        reassign=reassign,
        force=force,
        dry_run=dry_run,
    )
    write_json(report.to_json()) if as_json else show(*render.dataset(report))


def dataset_export(
    data: Data,
    format: Annotated[str, opt("FORMAT", f"{FORMAT_NAMES}.", "--format")],
    output: Output = None,
    output_option: OutputOption = None,
    only: Annotated[str | None, opt("A,B", "Write these classes only, such as ad for an EDL of breaks.")] = None,
    media: Annotated[str | None, opt("HOW", "copy or link, for folders, videofolder and dataloop.")] = None,
    frame_rate: FrameRate = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write a dataset in another format, and say what that format cannot store."""
    from cliplab import datasets
    from cliplab.cli import tables as render

    report = datasets.dataset_export(
        data,
        one_output(output, output_option),
        format=format,
        only=None if only is None else [name.strip() for name in only.split(",") if name.strip()],
        media=media,
        frame_rate=frame_rate,
        force=force,
        dry_run=dry_run,
    )
    write_json(report.to_json()) if as_json else show(*render.dataset(report))


def dataset_prepare(
    data: Data,
    output: Annotated[Path | None, arg("OUTPUT", "The folder for class folders and dataset.json.")] = None,
    output_option: OutputOption = None,
    fps: Annotated[
        float | None, opt("F", "Frames per second of video; default: 1, or that of the merged dataset.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Add to the dataset in OUTPUT.")] = False,
    seed: Annotated[int, opt("N", "Seed of the random assignment.")] = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> int | None:
    """Write frames of labelled clips into class folders that train reads.

    If interrupted, run it again to resume. Exits with 1 if some clips could not be read.
    """
    from cliplab import datasets
    from cliplab.cli import tables as render

    with bar() as progress:
        report = datasets.dataset_prepare(
            data,
            one_output(output, output_option),
            fps=fps,
            merge=merge,
            seed=seed,
            force=force,
            on_progress=progress.stage,
        )
    write_json(report.to_json()) if as_json else show(*render.prepared(report))
    return FAILED if report.skipped else None


def dataset_stats(data: Data, as_json: AsJson = False) -> int | None:
    """Count clips, groups and seconds, and list what training would refuse. Exits with 1 if it would."""
    from cliplab import datasets
    from cliplab.cli import tables as render

    report = datasets.dataset_stats(data)
    write_json(report.to_json()) if as_json else show(*render.dataset(report))
    return FAILED if report.problems else None


def demo(
    output: Annotated[Path, opt("DIR", "Folder for the model, figures and timeline.", "-o", "--output")] = Path(
        "demo_output"
    ),
    samples: Annotated[Path | None, opt("DIR", "The sample clips; default: those that come with cliplab.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> int | None:
    """Train on the sample clips, evaluate, convert, and find an ad break."""
    from cliplab.cli import tables as render
    from cliplab.demo import demo as run_demo

    with bar() as progress:
        report = run_demo(output, samples=samples, force=force, on_progress=progress.stage, on_line=progress.line)
    write_json(report.to_json()) if as_json else show(*render.demo(report))
    return None if report.found_break else FAILED

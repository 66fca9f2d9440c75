"""The commands cache show and cache clear, and what doctor says of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.console import command, show, write_json
from cliplab.cli.options import AsJson, DryRunRemoval, arg, opt

if TYPE_CHECKING:
    from cliplab.models import CacheFolder, MachineReport


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    cache = typer.Typer(
        help="Show and clear the cache; cliplab recreates its files when needed.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for function in (cache_show, cache_clear):
        cache.command(function.__name__.removeprefix("cache_"))(command(function))
    app.add_typer(cache, name="cache")


def cache_show(as_json: AsJson = False) -> None:
    """List the folders of the cache with their sizes."""
    from adapters.system import cache_dir
    from cliplab import models

    folders = models.cache_show()
    if as_json:
        write_json({"folder": str(cache_dir()), "folders": [one.to_json() for one in folders]})
    else:
        show(f"{cache_dir()}", _folders(folders) if folders else "empty")


def cache_clear(
    names: Annotated[list[str] | None, arg("NAME", "Folders to clear; default: all.")] = None,
    older_than_days: Annotated[float | None, opt("N", "Only files not used for N days; default: all.")] = None,
    dry_run: DryRunRemoval = False,
    as_json: AsJson = False,
) -> None:
    """Remove files of the cache. They can all be made or downloaded again."""
    from cliplab import models

    cleared = models.cache_clear(tuple(names or ()), older_than_days=older_than_days, dry_run=dry_run)
    if as_json:
        write_json({"dry_run": dry_run, "folders": [one.to_json() for one in cleared]})
        return
    total = sum(one.bytes for one in cleared)
    show(
        *([_folders([one for one in cleared if one.files])] if any(one.files for one in cleared) else []),
        f"{_size(total)} {'would be removed' if dry_run else 'removed'}",
    )


def machine_text(report: MachineReport) -> list[Any]:
    """A MachineReport as lines and tables: what works, what is missing, and the line for a report of a fault."""
    have = [name for name, there in report.decoders.items() if there]
    write = [name for name, there in report.encoders.items() if there]
    memory = "unknown" if report.memory_bytes is None else f"{report.memory_bytes / 2**30:.1f} GiB"
    facts = [
        ("system", report.system),
        ("packages", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
        ("processor", f"{report.cores} cores; {' '.join(report.instructions) or 'instruction sets unknown'}"),
        ("memory", memory),
        ("GPU", "; ".join(report.gpus) or "none found by nvidia-smi"),
        ("TensorFlow", report.tensorflow or "not installed (needed to fine-tune, not to predict or to train a head)"),
        ("decodes", ", ".join(have)),
        ("encodes", ", ".join(write)),
        ("weights found", ", ".join(name for name, there in report.weights.items() if there) or "none"),
        ("cache", f"{_size(sum(one.bytes for one in report.cache))}, {_size(report.free_bytes)} free"),
    ]
    lacking = [(one.name, ", ".join(one.missing) or "complete") for one in report.extras]
    if not lacking:
        lacking = [("all", "unknown: cliplab runs from a checkout and is not installed")]
    problems = [f"problem: {one}" for one in report.problems] or ["No problem found."]
    return [
        _rows(("", ""), facts),
        _rows(("extra", "lacks"), lacking),
        *problems,
        "For a bug report:",
        f"  {report.line()}",
    ]


def _rows(titles: tuple[str, str], rows: list[tuple[str, str]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    from adapters.system import terminal_text

    table = Table(*titles, box=None, pad_edge=False, show_header=any(titles))
    for row in rows:
        table.add_row(*(Text(terminal_text(cell)) for cell in row))
    return table


def _folders(folders: tuple[CacheFolder, ...] | list[CacheFolder]) -> Any:
    from rich.table import Table

    table = Table("folder", "size", "files", "holds", box=None, pad_edge=False)
    for one in folders:
        table.add_row(one.name, _size(one.bytes), f"{one.files:,}", one.holds)
    return table


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""

"""`cliplab dataset from-db`: its arguments, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.console import FAILED, bar, show, write_json
from cliplab.cli.options import AsJson, Force, arg, opt

if TYPE_CHECKING:
    from cliplab.datasets import DatabaseReport

_SHOWN = 10


def dataset_from_db(
    database: Annotated[str, arg("DB", "A SQLite file, or postgresql://USER@HOST/NAME.")],
    output: Annotated[Path, opt("DIR", "The folder to write.", "-o", "--output")],
    query: Annotated[
        Path | None, opt("FILE", "File with one SELECT statement; default: all rows of the table clips.")
    ] = None,
    positive: Annotated[str, opt("CONDITION", "Rows that get the first label.")] = "rating >= 4",
    negative: Annotated[str, opt("CONDITION", "Rows that get the second label.")] = "rating <= 2",
    labels: Annotated[str, opt("A,B", "The names of the two labels.")] = "trick,non-trick",
    root: Annotated[Path | None, opt("DIR", "Base folder of relative paths; default: the database's folder.")] = None,
    reference: Annotated[bool, typer.Option("--reference", help="Do not copy the clips; keep their paths.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> int | None:
    """Make a dataset from the rated clips of a database. The database is not changed."""
    from cliplab import datasets

    with bar() as progress:
        report = datasets.dataset_from_db(
            database,
            output,
            query=query,
            positive=positive,
            negative=negative,
            labels=[name.strip() for name in labels.split(",")],
            root=root,
            reference=reference,
            force=force,
            on_progress=progress.stage,
        )
    write_json(report.to_json()) if as_json else show(*_shown(report))
    return FAILED if report.missing else None


def _shown(report: DatabaseReport) -> list[Any]:
    from cliplab.cli.tables import problems, table

    shown: list[Any] = [table(("label", ">clips"), list(report.clips.items()))]
    shown.append(f"{report.rows} rows: {report.neither} fit neither condition, {report.both} fit both and are left out")
    shown += problems(report.missing, "left out: ", _SHOWN)
    return [*shown, f"written: {report.output}, {'copies' if report.copied else 'references'} of the clips"]

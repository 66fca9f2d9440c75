"""The folder that `cliplab dataset advise` writes: everything as JSON, the picture, and lists to work through."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.data import export_dataset
from adapters.system import write_json_atomic, write_text_atomic
from cliplab.datasets.advise_plot import plot_advice
from cliplab.datasets.advise_report import AdviseReport, issue_rows

if TYPE_CHECKING:
    from adapters.data import Dataset

ISSUE_COLUMNS = ("path", "start_seconds", "end_seconds", "given", "likely", "given_score", "likely_score")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # how a cell begins that is one


def write_advice(report: AdviseReport, dataset: Dataset, folder: Path) -> None:
    """Write advise.png, label_issues.csv and .json, proposed_groups.csv where groups are proposed, and advise.json.

    label_issues.csv is for spreadsheets: a label or path that one would take for a formula begins with an apostrophe.
    label_issues.json has them as they are.

    proposed_groups.csv is the dataset with the proposed groups and without its splits, which the groups may cross.

    Args:
        report: What was found.
        dataset: The dataset.
        folder: Where to write; made if it does not exist.

    Raises:
        StorageError: A file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    plot_advice(report, folder / "advise.png")
    rows = issue_rows(report)
    text = io.StringIO()
    writer = csv.DictWriter(text, ISSUE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain_cell(value) for key, value in row.items()} for row in rows)
    write_text_atomic(folder / "label_issues.csv", text.getvalue())
    write_json_atomic(folder / "label_issues.json", rows)
    proposed = None if report.alike is None else report.alike.proposed
    if proposed is not None:
        examples = tuple(
            replace(example, group=f"alike-{number + 1}", split=None, frames=None)
            for example, number in zip(report.examples, proposed.member.tolist(), strict=True)
        )
        export_dataset(replace(dataset, examples=examples), folder / "proposed_groups.csv", "csv")
    else:
        (folder / "proposed_groups.csv").unlink(missing_ok=True)
    write_json_atomic(folder / "advise.json", report.to_json())


def _plain_cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula, with an apostrophe before it (OWASP, "CSV Injection")."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

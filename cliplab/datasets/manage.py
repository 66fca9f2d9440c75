"""`cliplab dataset`: import, split, export and count labelled clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.data import (
    FORMATS,
    Dataset,
    dataset_problems,
    export_dataset,
    find_format,
    read_dataset,
    split_dataset,
    summarize_dataset,
    without_missing,
    write_dataset,
)
from adapters.errors import AdapterError, DatasetError
from cliplab.outputs import require_new


@dataclass(frozen=True)
class DatasetReport:
    """What a dataset holds, where it was written, and what a model would refuse it for."""

    output: str | None
    stats: dict[str, Any]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"output": self.output, **self.stats, "problems": list(self.problems)}


def dataset_import(
    source: str | Path,
    output: str | Path,
    *,
    format: str | None = None,
    labels: Sequence[str] | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> DatasetReport:
    """Read labelled clips in any format and write them as dataset.jsonl.

    source: a folder for each class, labels.json, a CSV, COCO-style JSON, a Dataloop export, or a dataset.jsonl.
    output: a .jsonl file, or a folder for dataset.jsonl. format: one of ``adapters.data.FORMATS``; None looks.
    labels: the classes in order; None keeps the source's. Raises DatasetError, StorageError.
    """
    dataset = read_dataset(source, labels or None, format)
    return _write(dataset, output, force, dry_run)


def dataset_split(
    data: str | Path,
    output: str | Path,
    *,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    reassign: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> DatasetReport:
    """Give every clip one of train, validation and test: stratified by class, whole groups, the same for a seed.

    fractions: of train, validation and test, adding up to 1. Rows that have a split keep it, unless reassign.
    """
    dataset = split_dataset(read_dataset(data), fractions, seed, reassign)
    return _write(dataset, output, force, dry_run)


def dataset_export(
    data: str | Path,
    output: str | Path,
    *,
    format: str,
    media: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> DatasetReport:
    """Write a dataset in one of ``adapters.data.FORMATS``.

    media: ``copy`` or ``link``, for the forms that hold the videos themselves (folders, dataloop).
    """
    options: dict[str, Any] = {} if media is None else {"media": media}
    if options and not find_format(format).holds_videos:
        holding = " and ".join(name for name in FORMATS if find_format(name).holds_videos)
        raise DatasetError(f"media goes with the formats that hold the videos, {holding}; got {format!r}")
    require_new(output, force)
    dataset = read_dataset(data)
    if not dry_run:
        output = export_dataset(dataset, output, format, **options)
    return _report(dataset, None if dry_run else output)


def dataset_stats(data: str | Path) -> DatasetReport:
    """Clips, groups, videos and seconds by class and split, and everything that a model would refuse it for.

    Videos are opened for their length where a clip has no end.
    """
    return _report(read_dataset(data), None)


def _write(dataset: Dataset, output: str | Path, force: bool, dry_run: bool) -> DatasetReport:
    target = Path(output)
    target = target if target.suffix.lower() in (".jsonl", ".ndjson") else target / "dataset.jsonl"
    require_new(target, force)
    written = None if dry_run else write_dataset(dataset, target)
    return _report(dataset, written)


def _report(dataset: Dataset, output: str | Path | None) -> DatasetReport:
    _, missing = without_missing(dataset)
    found = [*dataset_problems(dataset), *(f"{path}: no such file" for path in missing)]
    return DatasetReport(None if output is None else str(output), summarize_dataset(dataset, _seconds), tuple(found))


def _seconds(path: Path) -> float:
    from adapters.media import probe

    try:
        seconds = probe(path).duration_seconds
    except AdapterError as error:
        raise ValueError(str(error)) from error
    if seconds is None:
        raise ValueError(f"{path}: its length is not known")
    return seconds

"""Kinetics' CSV: a label, an id and seconds per row. Reading is that of any CSV with a header."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from adapters.data.examples import Dataset, describe
from adapters.data.formats.csv_table import import_csv
from adapters.data.formats.format import Format
from adapters.data.formats.text import read_head
from adapters.data.rows import relative_path
from adapters.data.video_paths import cut_from
from adapters.errors import DatasetError
from adapters.system import write_text_atomic

_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
_SPLITS = {"validation": "validate", "train": "train", "test": "test", None: ""}  # as the published files call them


def export_kinetics_csv(dataset: Dataset, path: str | Path) -> Path:
    """Write the columns of Kinetics. The id is the path of the video without its suffix; a whole video has no times.

    Args:
        dataset: The clips.
        path: The CSV file.

    Returns:
        The path.

    Raises:
        DatasetError: A clip has not exactly one label, or two videos differ only by their suffix.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    names = video_ids(dataset, path.parent)
    for item in dataset.examples:
        if item.label.startswith("["):
            raise DatasetError(
                f"{describe(item)}: the label {item.label!r} cannot be written to this CSV. Export to csv"
            )
        start, end = item.start_seconds, item.end_seconds
        if (start, end) == (None, None) and (cut := cut_from(item.path.stem)) is not None:
            writer.writerow([item.label, cut[0], cut[1], cut[2], _SPLITS[item.split]])
        else:
            writer.writerow([item.label, names[item.path], _seconds(start), _seconds(end), _SPLITS[item.split]])
    write_text_atomic(path, buffer.getvalue())
    return path


def _seconds(value: float | None) -> float | int | None:
    """Whole seconds without a decimal point, as in the published files, which many readers parse as integers."""
    return int(value) if value is not None and value.is_integer() else value


def video_ids(dataset: Dataset, folder: Path) -> dict[Path, str]:
    """The id of each video: its path without the suffix where that names it, otherwise the path.

    Args:
        dataset: The clips.
        folder: The folder of the file that is written.
    """
    paths = list(dict.fromkeys(item.path for item in dataset.examples))
    stems = Counter(path.stem for path in paths)
    return {
        path: path.stem if stems[path.stem] == 1 and _is_plain(path, folder) else relative_path(path, folder)
        for path in paths
    }


def _is_plain(path: Path, folder: Path) -> bool:
    """Whether the stem alone leads back to the file: it exists below the folder, and has no dot that looks a suffix."""
    return (
        path.is_relative_to(folder.absolute())
        and "." not in path.stem
        and path.exists()
        and path.stem.strip() == path.stem
    )


def _is_kinetics(path: Path) -> bool:
    names = {name.strip().strip('"') for name in read_head(path).split("\n", 1)[0].strip().split(",")}
    return {"label", "youtube_id", "time_start", "time_end"} <= names


FORMAT = Format(
    import_csv,
    export_kinetics_csv,
    suffixes=(".csv",),
    matches=_is_kinetics,
    keeps=frozenset({"ranges", "splits"}),
)

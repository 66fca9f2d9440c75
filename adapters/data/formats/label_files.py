"""A folder of label files of other tools, one for each video: EDL, ELAN, chapters, skip lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset
from adapters.data.formats import elan, interval_clips
from adapters.data.formats.foreign_rows import NoClipsError
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.text import not_empty
from adapters.data.rows import make_dataset, to_row
from adapters.media import is_hidden

# By suffix, the format. Only suffixes that say by themselves that a file is of one video; .txt where Comskip wrote it.
_FORMATS = {
    ".edl": "edl",
    ".eaf": "elan",
    ".ffmeta": "ffmetadata",
    ".ffmetadata": "ffmetadata",
    ".chapters": "matroska_chapters",
    ".skiplist": "mythtv",
    ".cutlist": "mythtv",
    ".txt": "comskip",
}
_TAKEN = ("path", "label", "start_seconds", "end_seconds")


def import_label_files(
    path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS
) -> Dataset:
    """Read every label file of a folder. Of several files of one video, the first by the name of the format is read.

    Args:
        path: The folder.
        labels: The order of the classes; None: as the files first name them.
        options: Where the videos are, their rate, and the label of what lies between intervals.

    Raises:
        DatasetError: A file is wrong, or none holds a clip.
    """
    root = Path(path)
    options = replace(options, videos=options.videos or root)
    rows: list[tuple[str, dict[str, Any]]] = []
    notes: list[str] = []
    seen: dict[str, Path] = {}
    for file in sorted(_files(root), key=lambda file: (file.suffix.lower(), file.name)):
        first = seen.setdefault(file.stem, file)
        if first != file:
            notes.append(f"{file}: left out, since {first.name} is for the same video")
            continue
        name = _FORMATS[file.suffix.lower()]
        known = elan.FORMAT if name == "elan" else interval_clips.format_of(name)
        try:
            found = known.read(file, None, options)
        except NoClipsError as error:
            notes.append(f"left out: {error}")
            continue
        rows += [(str(file), {key: to_row(item, root)[key] for key in _TAKEN}) for item in found.examples]
        notes += found.notes
    made = not_empty(make_dataset(rows, root, labels), root)
    return replace(made, notes=(*made.notes, f"{root}: {len(seen)} label files, one per video", *notes))


def _files(root: Path) -> Iterator[Path]:
    """The label files directly in a folder."""
    for file in root.iterdir():
        name = _FORMATS.get(file.suffix.lower())
        if name is None or is_hidden(file.name) or not file.is_file():
            continue
        if file.suffix.lower() != ".txt" or interval_clips.format_of(name).matches(file):
            yield file


FORMAT = Format(
    import_label_files,
    matches=lambda path: path.is_dir() and next(_files(path), None) is not None,
    takes_options=True,
    keeps=frozenset({"ranges"}),
)

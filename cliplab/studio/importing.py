"""Labels that exist already: the clips of a dataset or labels file as items, their labels as events of "imported"."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.data import Dataset, Example, clips_digest, detect_format, find_format, read_dataset
from adapters.errors import DatasetError
from adapters.media import is_picture_name, is_video_name
from cliplab.library import fingerprint
from cliplab.studio.appending import append_events
from cliplab.studio.classes import read_classes, write_classes
from cliplab.studio.events import LabelEvent
from cliplab.studio.items import OnProgress, overlap_share, stored_path
from cliplab.studio.state import IMPORTED, refresh_wanted
from cliplab.studio.store import SEVERAL_LABELS, LabelStore

# What a data folder may hold that is read when a studio opens it.
LABEL_FILES = ("dataset.jsonl", "labels.json", "dataset.csv", "dataset.json")


@dataclass(frozen=True)
class ImportReport:
    """What was taken from a dataset.

    Attributes:
        clips: Clips in the dataset.
        items: New items.
        labels: Labels that this call stored; those of an earlier import of the same clips are not among them.
        left_out: A sentence for each kind of clip that was left out.
        notes: What was read otherwise than it is written.
    """

    clips: int
    items: int
    labels: int
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def import_dataset(
    store: LabelStore,
    path: str | Path,
    on_progress: OnProgress | None = None,
    *,
    allowed: Callable[[Path], bool] = lambda path: True,
) -> ImportReport:
    """Add the clips of a dataset as items, and their labels as those of the annotator "imported".

    Classes that the store does not have are added. Where a clip has several labels, the studio takes several for each
    item from then on. The same clips are imported once, however often this is called.

    Args:
        store: The label store.
        path: A dataset in any format that ``adapters.data.read_dataset`` reads.
        on_progress: Called with the stage's name, the files done and the files in all.
        allowed: Returns False for a file that must not become an item.

    Raises:
        DatasetError: It is not a dataset.
        StorageError: The store cannot be written.
    """
    return _import(store, read_dataset(path), on_progress, allowed)


def _import(
    store: LabelStore, dataset: Dataset, on_progress: OnProgress | None, allowed: Callable[[Path], bool]
) -> ImportReport:
    examples = [item for item in dataset.examples if allowed(item.path)]
    contents = _contents(examples, on_progress)
    several = any(len(item.labels) > 1 for item in examples)
    # Where clips have several labels, one without a label is of none of the classes. Otherwise it waits for a label.
    labelled = [item for item in examples if item.labels or several]
    waiting = [item for item in examples if not item.labels and not several]
    client = f"import {clips_digest(labelled)[:16]}"
    with store.writing() as connection:
        names = [one.name for one in read_classes(connection)]
        new = [name for name in dataset.labels if name not in names]
        if new:
            write_classes(connection, [*names, *new])
        before = _count(connection)
        numbers = [_item_of(connection, store.folder, item, contents[item.path]) for item in labelled]
        for item in waiting:
            _item_of(connection, store.folder, item, contents[item.path])
        if several:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, '1')", (SEVERAL_LABELS,))
        refresh_wanted(connection)
        events = [
            LabelEvent(client, place, IMPORTED, number, "label", _value_of(item), 0.0)
            for place, (number, item) in enumerate(zip(numbers, labelled, strict=True))
        ]
        result = append_events(connection, events)
        added = _count(connection) - before
    problems = list(dict.fromkeys(one.error for one in result.refused))[:5]
    if len(examples) < len(dataset.examples):
        problems.append(
            f"{len(dataset.examples) - len(examples):,} clips do not have the name of a picture or video, or are "
            "outside the folder, which is allowed only while the studio listens on 127.0.0.1"
        )
    notes = list(dataset.notes)
    if waiting:
        notes.append(f"{len(waiting):,} clips have no label and are to be labelled")
    empty = sum(not item.labels for item in labelled)
    if empty:
        notes.append(f"{empty:,} clips without a label are of none of the classes, since others have several labels")
    return ImportReport(len(dataset), added, len(result.applied), tuple(problems), tuple(notes))


def _value_of(item: Example) -> dict[str, Any]:
    """The value of the event that labels an item as a clip of a dataset is."""
    return {"label": item.label} if len(item.labels) == 1 else {"labels": list(item.labels)}


def import_folder_labels(
    store: LabelStore, on_progress: OnProgress | None = None, *, outside: bool = True
) -> ImportReport | None:
    """Import the labels that the data folder has when the studio opens the folder for the first time.

    They are those of its labels file; without one, those of folders of videos that are all named like a class.
    Later the file may be one that the studio keeps in step itself, whose labels would count twice. Pages show what an
    item's file holds, and the labels file may be somebody else's: only pictures and videos become items.

    Args:
        store: The label store.
        on_progress: As of ``import_dataset``.
        outside: Whether files outside the data folder become items, too.

    Returns:
        What was taken; None where there are no such labels, or the folder was looked at before.

    Raises:
        DatasetError: The file is not a dataset.
        StorageError: The store cannot be written.
    """
    if store.setting("labels_file") or store.version():
        return None
    found = next((path for name in LABEL_FILES if (path := store.folder / name).is_file()), None)
    root = os.path.realpath(store.folder) + os.sep

    def allowed(path: Path) -> bool:
        is_media = is_picture_name(path.name) or is_video_name(path.name)
        return is_media and (outside or os.path.realpath(path).startswith(root))

    if found is not None:
        report: ImportReport | None = import_dataset(store, found, on_progress, allowed=allowed)
    else:
        folders = _class_folders(store)
        report = None if folders is None else _import(store, folders, on_progress, allowed)
    store.set_setting("labels_file", "none" if found is None else found.name)
    return report


def _class_folders(store: LabelStore) -> Dataset | None:
    """The clips of the data folder where its folders of videos are all named like a class of the store."""
    known = {one.name for one in store.classes()}
    if not any((store.folder / name).is_dir() for name in known):
        return None
    try:
        dataset = find_format("folders").read(store.folder, None)
    except DatasetError:  # videos without folders, or in folders of recordings
        return None
    return dataset if known.issuperset(dataset.labels) else None


def classes_of(path: str | Path) -> Sequence[str]:
    """The classes that a dataset or labels file has, in their order.

    Args:
        path: A dataset in any format.

    Raises:
        DatasetError: It is not a dataset.
    """
    name, place = detect_format(path)
    return find_format(name).read(place, None).labels


def _contents(examples: Sequence[Example], on_progress: OnProgress | None) -> dict[Path, str]:
    """The fingerprint of each file; "" of one that is missing, which is found by its path once it is there."""
    paths = list(dict.fromkeys(item.path for item in examples))
    found: dict[Path, str] = {}
    for number, path in enumerate(paths):
        if on_progress is not None and number % 50 == 0:
            on_progress("reading files", number, len(paths))
        try:
            found[path] = fingerprint(str(path), os.stat(path).st_size).hex() if path.is_file() else ""
        except OSError:
            found[path] = ""
    return found


def _count(connection: sqlite3.Connection) -> int:
    [(count,)] = connection.execute("SELECT count(*) FROM items")
    return int(count)


def _item_of(connection: sqlite3.Connection, folder: Path, item: Example, content: str) -> int:
    """The number of the item of a clip, which is added where there is none."""
    path = stored_path(folder, item.path)
    kind = "frame" if item.is_picture else "clip"
    place = (path, item.start_seconds, item.end_seconds)
    found = connection.execute(
        "SELECT id FROM items WHERE path = ? AND coalesce(start_seconds, -1) = coalesce(?, -1) AND "
        "coalesce(end_seconds, -1) = coalesce(?, -1) AND fingerprint IN (?, '')",
        (*place, content),
    ).fetchone()
    if found is not None:
        connection.execute("UPDATE items SET kind = ? WHERE id = ? AND kind = 'video'", (kind, found[0]))
        return int(found[0])
    values: tuple[Any, ...] = (
        kind,
        content,
        *place,
        "" if item.group == str(item.path) else item.group,
        "" if item.source == str(item.path) else item.source,
        item.split,
        None if content else "gone",
        overlap_share(content or os.fsdecode(path), item.start_seconds),
    )
    done = connection.execute(
        "INSERT INTO items (kind, fingerprint, path, start_seconds, end_seconds, group_name, source, split, missing, "
        "overlap) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    if done.lastrowid is None:
        raise DatasetError(f"{item.path}: could not be added")
    return done.lastrowid

"""The frames, pictures and videos of a folder as items of the label store.

An item is known by the content of its file. A file that was renamed or moved keeps its labels. Where another content
has taken a file's place, its items are marked as replaced, and the new content gets an item without labels.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.data import footage_of
from adapters.errors import AdapterError
from adapters.media import UnreadablePath, VideoFile, is_picture_name, is_video_name, size_of_picture, videos_below
from adapters.system import read_regular_bytes
from cliplab.datasets import INDEX_NAME, FrameEntry, read_index
from cliplab.library import fingerprint, printable
from cliplab.studio.state import refresh_wanted
from cliplab.studio.store import LabelStore

OnProgress = Callable[[str, int, int], object]
MAX_PICTURE_BYTES = 64 * 2**20
_CHUNK = 500


@dataclass
class ItemsReport:
    """What a look at the folder found.

    Attributes:
        items: Items whose files exist.
        added: New items.
        moved: A sentence for each file that was found again under another name.
        replaced: A sentence for each file whose content is another one than was labelled.
        gone: Files of items that are not found.
        unreadable: A sentence for each file or folder that cannot be used.
        notes: Other sentences, such as about labels that were imported.
    """

    items: int = 0
    added: int = 0
    moved: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class _Found:
    """A file that can be labelled: its stored path and content, and of a frame where it is from."""

    path: bytes
    content: str
    kind: str
    size: tuple[int, int] | None
    frame: FrameEntry | None


def fill_items(
    store: LabelStore, media: Iterable[str | Path] = (), on_progress: OnProgress | None = None
) -> ItemsReport:
    """Bring the items in step with the files in the data folder and in further folders.

    Frames of ``cliplab extract`` and other pictures become items of kind frame, videos of kind video. Nothing is ever
    removed. An interrupted call can be repeated: files that were looked at are not read again.

    Args:
        store: The label store.
        media: Further files and folders; those that were given before are remembered.
        on_progress: Called with the stage's name, the files done and the files in all.

    Raises:
        StorageError: The store cannot be written.
    """
    report = ItemsReport()
    roots = _remembered(store, media)
    files = [one for root in roots for one in _media_files(root, report)]
    frames = _frames_of(files, report)
    found = list(_identified(store, files, frames, report, on_progress))
    with store.writing() as connection:
        _reconcile(connection, found, store, report)
        refresh_wanted(connection)
        [(report.items,)] = connection.execute("SELECT count(*) FROM items WHERE missing IS NULL")
    return report


def stored_path(folder: Path, path: str | Path) -> bytes:
    """A path as the store has it: relative to the data folder where it is below it, otherwise absolute.

    Args:
        folder: The data folder, absolute.
        path: The file.
    """
    full = os.path.abspath(path)
    base = str(folder) + os.sep
    return os.fsencode(full[len(base) :].replace(os.sep, "/") if full.startswith(base) else full)


def overlap_share(content: str, start: float | None) -> float:
    """A number from 0 to 1 that follows from an item's content, by which items are chosen to be labelled twice.

    Args:
        content: The fingerprint of its file.
        start: Where it begins, in seconds.
    """
    import hashlib

    return int.from_bytes(hashlib.sha256(f"{content}:{start}".encode()).digest()[:6], "big") / 2**48


# Files --------------------------------------------------------------------------------------------------------------


def _remembered(store: LabelStore, media: Iterable[str | Path]) -> list[str]:
    """The folders to look into: the data folder, those of before and the new ones, without one inside another."""
    known = [os.fsdecode(bytes.fromhex(text)) for text in store.setting("media").split()]
    roots = list(dict.fromkeys([str(store.folder), *known, *(os.path.abspath(one) for one in media)]))
    if roots[1:] != known:
        store.set_setting("media", " ".join(os.fsencode(one).hex() for one in roots[1:]))
    return [one for one in roots if not any(one != other and one.startswith(other + os.sep) for other in roots)]


def _media_files(root: str, report: ItemsReport) -> Iterator[VideoFile]:
    if os.path.isfile(root):
        status = os.stat(root)
        yield VideoFile(root, status.st_size, status.st_mtime_ns)
        return
    for one in videos_below(root, _is_media_name):
        if isinstance(one, UnreadablePath):
            report.unreadable.append(f"{printable(one.path)}: {one.error}")
        elif not _of_a_model(os.path.dirname(one.path)):
            yield one


def _of_a_model(folder: str) -> bool:
    """Whether a folder is a trained model, whose curves are pictures that nobody labels."""
    return os.path.isfile(os.path.join(folder, "bundle.json"))


def _is_media_name(name: str) -> bool:
    return is_picture_name(name) or is_video_name(name)


def _frames_of(files: Iterable[VideoFile], report: ItemsReport) -> dict[str, FrameEntry]:
    """The entries of the indexes beside the pictures, by the absolute path of the picture."""
    found: dict[str, FrameEntry] = {}
    looked: set[str] = set()
    for file in files:
        # The index is in the folder of the pictures, or above it.
        for folder in Path(file.path).parents[:3] if is_picture_name(file.path) else ():
            if str(folder) in looked:
                continue
            looked.add(str(folder))
            index = folder / INDEX_NAME
            if not index.exists():
                continue
            try:
                found |= {os.path.join(folder, entry.file): entry for entry in read_index(index)}
            except (OSError, AdapterError) as error:
                report.unreadable.append(f"{printable(str(index))}: {error}")
    return found


def _identified(
    store: LabelStore,
    files: list[VideoFile],
    frames: Mapping[str, FrameEntry],
    report: ItemsReport,
    on_progress: OnProgress | None,
) -> Iterator[_Found]:
    """Each file with its content; what was read is remembered in pieces, so that a kill costs little."""
    known = {row[0]: row[1:] for row in store.known_files()}
    fresh: list[tuple[Any, ...]] = []
    for number, file in enumerate(files):
        if on_progress is not None and number % 50 == 0:
            on_progress("reading files", number, len(files))
        path = stored_path(store.folder, file.path)
        state, frame = (file.size_bytes, file.mtime_ns), frames.get(file.path)
        picture = is_picture_name(file.path)
        kind = "frame" if picture else "video"
        if path in known and known[path][:2] == state:
            size = None if frame is None else (frame.width, frame.height)
            yield _Found(path, known[path][2], kind, size, frame)
            continue
        try:
            size = _size_of_picture(file.path) if picture else None
            content = fingerprint(file.path, file.size_bytes).hex()
        except (OSError, AdapterError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            report.unreadable.append(f"{printable(file.path)}: cannot be used ({reason})")
            continue
        fresh.append((path, *state, content))
        if len(fresh) >= _CHUNK:
            store.remember_files(fresh)
            fresh = []
        yield _Found(path, content, kind, size, frame)
    store.remember_files(fresh)
    if on_progress is not None:
        on_progress("reading files", len(files), len(files))


def _size_of_picture(path: str) -> tuple[int, int]:
    size = size_of_picture(read_regular_bytes(path, MAX_PICTURE_BYTES, AdapterError))
    if size is None:
        raise AdapterError("it is not a picture, or damaged")
    return size


# Items --------------------------------------------------------------------------------------------------------------


def _reconcile(connection: sqlite3.Connection, found: list[_Found], store: LabelStore, report: ItemsReport) -> None:
    """Set paths and states of the items that there are, and add new ones."""
    items: dict[bytes, list[tuple[int, str, str | None]]] = {}
    for number, path, content, missing in connection.execute("SELECT id, path, fingerprint, missing FROM items"):
        items.setdefault(path, []).append((number, content, missing))
    present = {one.path: one.content for one in found}
    lost = _lost_items(items, present)
    for one in found:
        here = items.get(one.path, [])
        if unknown := [number for number, content, _ in here if not content]:  # imported before the file was there
            _update(connection, unknown, "fingerprint = ?, missing = NULL", one.content)
            continue
        same = [entry for entry in here if entry[1] == one.content]
        if same:
            if back := [number for number, _, missing in same if missing]:
                _update(connection, back, "missing = NULL")
            continue
        if one.content in lost:
            old, numbers = lost.pop(one.content)
            _update(connection, numbers, "path = ?, missing = NULL", one.path)
            report.moved.append(f"{_shown(old)} is now {_shown(one.path)}; its labels were kept")
            continue
        _add_item(connection, one)
        report.added += 1
    _mark_missing(connection, items, present, lost, report)


def _lost_items(
    items: Mapping[bytes, list[tuple[int, str, str | None]]], present: Mapping[bytes, str]
) -> dict[str, tuple[bytes, list[int]]]:
    """The items whose content is no longer at their path, by content: their path and numbers."""
    lost: dict[str, tuple[bytes, list[int]]] = {}
    for path, entries in items.items():
        for number, content, _ in entries:
            if content and present.get(path) != content:
                lost.setdefault(content, (path, []))[1].append(number)
    return lost


def _mark_missing(
    connection: sqlite3.Connection,
    items: Mapping[bytes, list[tuple[int, str, str | None]]],
    present: Mapping[bytes, str],
    lost: Mapping[str, tuple[bytes, list[int]]],
    report: ItemsReport,
) -> None:
    for path, numbers in lost.values():
        state = "replaced" if path in present else "gone"
        before = {number: missing for number, _, missing in items[path]}
        if state == "gone":
            report.gone.append(_shown(path))
        elif any(before.get(number) != "replaced" for number in numbers):
            report.replaced.append(
                f"{_shown(path)}: is a different file from the one that was labelled; the labels stay with the "
                "previous content, and the new file needs labels"
            )
        _update(connection, numbers, "missing = ?", state)


def _update(connection: sqlite3.Connection, numbers: list[int], change: str, *values: object) -> None:
    connection.executemany(f"UPDATE OR IGNORE items SET {change} WHERE id = ?", [(*values, one) for one in numbers])


def _add_item(connection: sqlite3.Connection, one: _Found) -> None:
    frame = one.frame
    name = Path(os.fsdecode(one.path))
    start = frame.seconds if frame is not None else None
    group = footage_of(name.stem) or "" if frame is None else printable(frame.source)
    width, height = one.size or (None, None)
    connection.execute(
        "INSERT OR IGNORE INTO items (kind, fingerprint, path, start_seconds, width, height, group_name, source, "
        "overlap) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            one.kind,
            one.content,
            one.path,
            start,
            width,
            height,
            group,
            "" if frame is None else printable(frame.source),
            overlap_share(one.content, start),
        ),
    )


def _shown(path: bytes) -> str:
    return printable(os.fsdecode(path))

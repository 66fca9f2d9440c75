"""The file of ``--output``, kept in step with the labels: labels.json, or a row for each label in JSON Lines."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError
from adapters.system import (
    atomic_path,
    file_digest,
    json_text,
    storage_error,
    write_json_atomic,
    write_text_atomic,
)
from cliplab.studio.context import Studio

_DIGEST = "output_sha256"  # the setting that has what the file was when this studio wrote it last
_SECONDS = 1.0  # after a label, so that quick ones are written together
_ROW_KEYS = ("path", "start_seconds", "end_seconds", "label", "group", "split")
_log = logging.getLogger(__name__)


class OutputWriter:
    """Writes the file soon after each change, and once more when it closes.

    Args:
        studio: Whose labels.
        path: The file; one that ends in .jsonl gets a row for each label.
    """

    def __init__(self, studio: Studio, path: Path) -> None:
        self._studio, self._path = studio, path
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def soon(self) -> None:
        """Write the file in a second, unless that is to happen already."""
        with self._lock:
            if self._timer is None:
                self._timer = threading.Timer(_SECONDS, self.write)
                self._timer.daemon = True
                self._timer.start()

    def write(self) -> None:
        """Write the file now. A disk that is full does not stop the studio: the labels are in the store."""
        with self._lock:
            self._timer = None
        try:
            self._keep_what_others_wrote()
            write_labels(self._studio, self._path)
            self._studio.store.set_setting(_DIGEST, file_digest(self._path))
        except AdapterError as error:
            _log.warning("%s", error)

    def _keep_what_others_wrote(self) -> None:
        """Copy the file beside itself if its content is not what this studio wrote last."""
        try:
            written = file_digest(self._path)
            if self._path.stat().st_size == 0 or written == self._studio.store.setting(_DIGEST):
                return
            copy = self._path.with_name(f"{self._path.stem}.before-{written[:8]}{self._path.suffix}")
            with atomic_path(copy) as temporary:
                shutil.copyfile(self._path, temporary)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(self._path, error) from error
        _log.warning("%s: held something that this studio did not write; it is kept as %s", self._path, copy)

    def close(self) -> None:
        """Write what has not been written yet."""
        with self._lock:
            waiting = self._timer
        if waiting is not None:
            waiting.cancel()
            self.write()


def write_labels(studio: Studio, path: Path) -> None:
    """Write all labels to a file, atomically.

    Args:
        studio: Whose labels.
        path: The file. labels.json is an object with a list for each class, of paths relative to the file's folder,
            and of objects with path, start_seconds and end_seconds where only a part is labelled.

    Raises:
        StorageError: The file cannot be written.
    """
    rows = [_row(studio, path, row) for row in studio.store.export_rows() if not row["missing"]]
    if path.suffix.lower() == ".jsonl":
        write_text_atomic(path, "".join(json_text(row) + "\n" for row in rows))
        return
    content: dict[str, list[Any]] = {one.name: [] for one in studio.store.classes()}
    for row in rows:
        labels = row.pop("label")
        for label in [labels] if isinstance(labels, str) else labels:
            content.setdefault(label, []).append(row["path"] if list(row) == ["path"] else row)
    write_json_atomic(path, content)


def _row(studio: Studio, path: Path, row: dict[str, Any]) -> dict[str, Any]:
    file = studio.store.folder / row["path"]
    named = os.path.relpath(file, path.absolute().parent)
    # A frame's time is that in the footage it is from, not a part of its picture.
    times = {} if row["kind"] == "frame" else {key: row[key] for key in ("start_seconds", "end_seconds")}
    label = row["labels"][0] if len(row["labels"]) == 1 else row["labels"]
    values = {**{key: row[key] for key in ("group", "split")}, "label": label, **times, "path": named}
    return {key: values[key] for key in _ROW_KEYS if values.get(key) not in (None, "")}

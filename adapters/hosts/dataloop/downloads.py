"""Downloads of Dataloop items, a few at a time and ahead of the model. A failed download has a reason and no file."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.base import BaseModelAdapter
from adapters.errors import AdapterError, MediaError
from adapters.inference import map_ahead
from adapters.media import probe

# Items that are being downloaded or wait on disk, in addition to those that the model processes.
DOWNLOADS_AHEAD = 4
# A download is given up after its file did not grow for this long. dtlpy itself retries after 120 s of silence.
STALLED_SECONDS = 150.0
_POLL_SECONDS = 0.05
_REASON_CHARACTERS = 500


@dataclass
class FetchedItem:
    """One item and its file, or the reason why the file is missing.

    Attributes:
        item: The item.
        path: Its downloaded file; None if it failed.
        error: Why it failed; None if it did not.
        fps: Frames per second of a video; None if unknown.
    """

    item: Any
    path: Path | None = None
    error: str | None = None
    fps: float | None = None


def is_image(item: Any) -> bool:
    """Return whether an item is a still picture. A GIF counts as a video, since it may be animated."""
    kind = str(item.mimetype or "")
    return kind.startswith("image/") and kind != "image/gif"


@dataclass(frozen=True)
class DownloadFolder:
    """A temporary folder for downloads. A download cannot be stopped and is not waited for, so the folder is removed
    when it is closed and again by each download that ends later."""

    path: Path
    closed: threading.Event = field(default_factory=threading.Event)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def download_folder() -> Iterator[DownloadFolder]:
    downloads = DownloadFolder(Path(tempfile.mkdtemp(prefix="dataloop_items_")))
    try:
        yield downloads
    finally:
        downloads.closed.set()
        downloads.remove()


@dataclass(eq=False)
class _Download:
    """One item that is downloaded into its own folder, in a daemon thread."""

    item: Any
    downloads: DownloadFolder
    number: int
    path: Path | None = None
    error: str | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def folder(self) -> Path:
        return self.downloads.path / str(self.number)

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"download {self.item.id}", daemon=True).start()

    def _run(self) -> None:
        try:
            self.folder.mkdir()
            self.path = _download(self.item, self.folder)
        except Exception as error:  # an error of the client concerns this item only
            reasons = parse_item_errors(str(getattr(error, "message", error)))
            reason = reasons[0][1] if reasons else f"{type(error).__name__}: {error}"
            self.error = f"cannot be downloaded: {reason}"[:_REASON_CHARACTERS]
        self.done.set()
        if self.downloads.closed.is_set():
            self.downloads.remove()

    def wait(self) -> None:
        """Wait until it is done, its file did not grow for STALLED_SECONDS, or the folder is closed."""
        size, since = -1, time.monotonic()
        while not self.done.wait(_POLL_SECONDS):
            if self.downloads.closed.is_set():
                self.error = "its download was cancelled"
                return
            now_size = _folder_size(self.folder)
            if now_size != size:
                size, since = now_size, time.monotonic()
            elif time.monotonic() - since > STALLED_SECONDS:
                self.error = f"cannot be downloaded: no data for {STALLED_SECONDS:.0f} s, after {size} bytes"
                return


def fetch(adapter: BaseModelAdapter, items: Sequence[Any], downloads: DownloadFolder) -> Iterator[FetchedItem]:
    """Download items into a folder, at most DOWNLOADS_AHEAD of them before they are requested.

    Args:
        adapter: The model, which decides the supported types.
        items: The items.
        downloads: The folder.

    Yields:
        Each item and its file, in order.
    """

    def get(entry: tuple[int, Any]) -> FetchedItem:
        number, item = entry
        if (reason := unsupported_reason(adapter, item)) is not None:
            return FetchedItem(item, error=reason)
        download = _Download(item, downloads, number)
        download.start()
        download.wait()
        path = None if download.error is not None else download.path
        return FetchedItem(item, path, download.error, _fps(item, path))

    ahead = map_ahead(
        enumerate(items), get, threads=DOWNLOADS_AHEAD, ahead=DOWNLOADS_AHEAD, wait=False, name="download-wait"
    )
    with closing(ahead):
        for _, fetched in ahead:
            if downloads.closed.is_set():
                return
            yield fetched


def unsupported_reason(adapter: BaseModelAdapter, item: Any) -> str | None:
    """Return why a model does not support an item, or None if it does."""
    kind, images = item.mimetype, adapter.scores_frames
    if item.type != "file":
        return f"is a {item.type}; the model accepts files only"
    if is_image(item) and not images:
        return (
            f"is {kind}; {type(adapter).__name__} accepts videos only. A frame model (EfficientNet) also accepts images"
        )
    # The decoder decides on a type that the platform does not know.
    if kind and not str(kind).startswith(("video/", "image/")) and kind != "application/octet-stream":
        return f"is {kind}; the model accepts videos{' and images' if images else ' only'}"
    return None


def _download(item: Any, folder: Path) -> Path:
    """Download an item into a folder. AdapterError if the client reports success and the file is incomplete."""
    found = item.download(local_path=str(folder), overwrite=True, to_items_folder=False, raise_on_error=True)
    path = Path(found) if isinstance(found, str) else None
    if path is None or not path.is_file():
        raise AdapterError(f"the download ended after {_folder_size(folder)} of {item.size} bytes")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise AdapterError(f"its name {item.filename!r} points outside the download folder. Rename it")
    return path


def parse_item_errors(message: str) -> list[tuple[str, str]]:
    """Parse a message of dtlpy's downloader: "Item ID: <id>, Error: <reason>", then a traceback.

    Args:
        message: The message, which may name several items.

    Returns:
        (item id, reason) of each item.
    """
    return [(key, reason.strip()) for key, reason in re.findall(r"Item ID: (\S+), Error: (.*)", message)]


def _folder_size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size
        except OSError:  # renamed or removed this moment
            continue
    return size


def _fps(item: Any, path: Path | None) -> float | None:
    """Frames per second of a video: the platform's value, or the file's."""
    if path is None or is_image(item):
        return None
    if item.fps:
        return float(item.fps)
    try:
        return probe(path).fps
    except (MediaError, OSError):  # the decoder reports it later
        return None

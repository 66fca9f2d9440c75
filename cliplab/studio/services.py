"""What a running studio is made of: opened in order, closed in the opposite one."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.errors import AdapterError, DatasetError
from adapters.hosts.http_server.options import is_loopback
from adapters.system import cache_dir
from cliplab.studio.context import Studio, without_folders
from cliplab.studio.frames import FrameService
from cliplab.studio.hub import EventHub
from cliplab.studio.importing import import_folder_labels
from cliplab.studio.item_index import read_index
from cliplab.studio.items import fill_items
from cliplab.studio.jobs import Jobs
from cliplab.studio.options import StudioOptions
from cliplab.studio.output import OutputWriter
from cliplab.studio.queries import ItemFilter
from cliplab.studio.store import SEVERAL_LABELS, LabelStore, open_store
from cliplab.studio.uploads import clear_uploads

_SMALL_FOLDER_SECONDS = 5.0  # so long the start waits for the items; a larger folder is looked through meanwhile
_log = logging.getLogger(__name__)


@contextmanager
def open_studio(options: StudioOptions) -> Iterator[Studio]:
    """Open the store and the services of a studio, and close them when the block ends.

    Args:
        options: As it is started.

    Yields:
        The studio.

    Raises:
        StorageError: The store is damaged or of another program.
        DatasetError: A class's name is not allowed.
    """
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(open_store(options.data_dir, options.labels))
        identity = studio_identity(store)
        if options.several_labels is not None and not store.read_only:
            store.set_setting(SEVERAL_LABELS, "1" if options.several_labels else "")
        hub = EventHub()
        frames = FrameService(store, cache_dir() / "studio" / identity)
        stack.callback(frames.close)
        clear_uploads(options.data_dir)
        stack.callback(clear_uploads, options.data_dir)
        jobs = Jobs(options.data_dir / ".studio", hub.publish, lambda text: without_folders(studio, text))
        stack.callback(jobs.close)
        studio = Studio(options, store, frames, jobs, hub, identity=identity)
        if options.output is not None:
            writer = OutputWriter(studio, options.output)
            stack.callback(writer.close)
            studio.labels_changed = writer.soon
        look = threading.Thread(target=_look_through, args=(studio,), name="look through the folder", daemon=True)
        look.start()
        look.join(_SMALL_FOLDER_SECONDS)
        yield studio


def _look_through(studio: Studio) -> None:
    """Bring the items in step with the folder, and read them for the first page. Labels can be given meanwhile."""
    if not studio.store.read_only:
        _renew_items(studio)
    # What the first page needs of 100,000 items takes a tenth of a second: read before somebody waits for it.
    with contextlib.suppress(AdapterError):
        studio.store.progress()
        read_index(studio.store, ItemFilter(), studio.options.annotator or "")


def _renew_items(studio: Studio) -> None:
    studio.scanning = True
    try:
        _take_in_labels(studio)
        report = fill_items(studio.store)
        studio.hub.publish("items", {"items": report.items, "added": report.added})
    except AdapterError as error:
        _log.warning("%s", error)
    finally:
        studio.scanning = False


def _take_in_labels(studio: Studio) -> None:
    """Take in the labels file of a folder that is opened for the first time. A damaged one does not stop the studio."""
    try:
        taken = import_folder_labels(studio.store, outside=is_loopback(studio.options.host))
    except DatasetError as error:
        _log.warning("%s The labels of this file were not imported.", error)
        return
    if taken is not None:
        _log.info("%d labels of %d clips were imported", taken.labels, taken.clips)
        for sentence in taken.left_out:
            _log.warning("%s", sentence)


def studio_identity(store: LabelStore) -> str:
    """Return what names this store for good, so that a browser never sends labels of one studio to another.

    Args:
        store: The open store. It gets an identity if it has none; one that cannot be written is named by its place.
    """
    with store.reading() as connection:
        found = connection.execute("SELECT value FROM settings WHERE name = 'identity'").fetchone()
    if found is not None:
        return str(found[0])
    if store.read_only:
        return hashlib.sha256(os.fsencode(store.path)).hexdigest()[:24]
    with store.writing() as connection:
        connection.execute("INSERT OR IGNORE INTO settings VALUES ('identity', ?)", (secrets.token_hex(12),))
        [(identity,)] = connection.execute("SELECT value FROM settings WHERE name = 'identity'")
    return str(identity)

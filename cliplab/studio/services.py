"""What a running studio is made of: opened in order, closed in the opposite one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.system import cache_dir
from cliplab.studio.context import Studio
from cliplab.studio.frames import FrameService
from cliplab.studio.hub import EventHub
from cliplab.studio.jobs import Jobs
from cliplab.studio.options import StudioOptions
from cliplab.studio.store import LabelStore, open_store


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
        hub = EventHub()
        frames = FrameService(store, cache_dir() / "studio" / identity)
        stack.callback(frames.close)
        jobs = Jobs(options.data_dir / ".studio", hub.publish)
        yield Studio(options, store, frames, jobs, hub, identity=identity)


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

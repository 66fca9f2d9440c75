"""The model that a manifest calls current, followed by a worker that is never restarted."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.base import BaseModelAdapter
from adapters.bundle import render_clip
from adapters.errors import BundleError
from adapters.inference import open_model
from cliplab.registry.manifest_file import MANIFEST_NAME, check_model, read_manifest

# Within this time of a file's last change its timestamps alone do not tell whether it changed again: file systems count
# time in steps, the coarsest in use in steps of two seconds (FAT).
SETTLED_SECONDS = 2.0
# A model that failed is tried again after this many times as long as the attempt took, so that a slow upload costs the
# worker at most a tenth of its time.
RETRY_FACTOR = 10
# And after this time even where its files did not change, since the failure may have been the machine's.
RETRY_SECONDS = 60.0

Stamp = tuple[int, int, int, int] | None
OnWarning = Callable[[str], object]


@dataclass(frozen=True)
class _LoadedModel:
    """The model in use, and the file that it was loaded from."""

    name: str
    stamp: Stamp
    adapter: BaseModelAdapter


@dataclass(frozen=True)
class _SeenFiles:
    """Both files as they were when last looked at: while they stay so, and until that time, there is nothing to do."""

    manifest: Stamp
    model_path: Path | None
    model: Stamp
    until: float


class CurrentModel:
    """Follows ``current`` of a folder's manifest: ``get`` returns the adapter to predict with, in any thread.

    Args:
        folder: The folder of the models.
        overrides: Runtime keys of the config, for every model that becomes current.
        trust_adapters: Adapters of other packages that the models may name, "module:Class" each; their code is run.
        on_warning: Called with a message, once per state, when a new current model or the manifest is damaged,
            half-written or missing; the message names the file and the model that stays in use. None logs the message.
    """

    def __init__(
        self,
        folder: str | Path,
        overrides: Mapping[str, Any] | None = None,
        *,
        trust_adapters: Sequence[str] = (),
        on_warning: OnWarning | None = None,
    ) -> None:
        """Nothing is read here: the first ``get`` loads, and raises where it cannot."""
        self._folder = Path(folder).absolute()
        self._overrides = dict(overrides or {})
        self._trust_adapters = tuple(trust_adapters)
        self._on_warning = on_warning or logging.getLogger(__name__).warning
        self._switching = threading.Lock()
        self._loaded: _LoadedModel | None = None
        self._seen: _SeenFiles | None = None
        self._warned: str | None = None
        self._failed = ("", 0.0)

    def get(self) -> BaseModelAdapter:
        """The adapter of the current model, loaded and tried on a rendered clip.

        Without a change, this costs two ``stat`` calls. On a change, the thread that sees it first loads the new model
        and returns it, while others continue with the old one; adapters returned before stay usable. Where a new model
        or manifest is not whole, the old model stays in use and a warning is given.

        Raises:
            BundleError: The first model cannot be loaded.
            ConfigError: The overrides are not valid for the first model.
        """
        return self._follow().adapter

    def get_named(self) -> tuple[str, BaseModelAdapter]:
        """The file name of the current model, to store with its predictions, and its adapter; as ``get``."""
        loaded = self._follow()
        return loaded.name, loaded.adapter

    def _follow(self) -> _LoadedModel:
        loaded = self._loaded
        if loaded is not None and (self._unchanged() or not self._switching.acquire(blocking=False)):
            return loaded
        if loaded is None:
            self._switching.acquire()
        try:
            loaded = self._loaded
            return loaded if loaded is not None and self._unchanged() else self._reload(loaded)
        finally:
            self._switching.release()

    def _unchanged(self) -> bool:
        seen = self._seen
        return (
            seen is not None
            and seen.manifest == _stamp(self._folder / MANIFEST_NAME)
            and seen.model == _stamp(seen.model_path)
            and time.monotonic() < seen.until
        )

    def _reload(self, loaded: _LoadedModel | None) -> _LoadedModel:
        """Read the manifest and follow it. The stamps are taken first: what changes after them is seen by the next."""
        manifest_stamp, until = _stamp(self._folder / MANIFEST_NAME), math.inf
        path: Path | None = None
        model_stamp: Stamp = None
        try:
            path = self._folder / self._read_current()
            model_stamp = _stamp(path)
            if loaded is None or (loaded.name, loaded.stamp) != (path.name, model_stamp):
                if loaded is not None and self._failed[0] == path.name and time.monotonic() < self._failed[1]:
                    return loaded
                loaded = _LoadedModel(path.name, model_stamp, self._open(path))
            self._loaded, self._warned, self._failed = loaded, None, ("", 0.0)
        except Exception as error:
            # Whatever is wrong with the new one, also a fault of its adapter, must not stop a worker that has a model.
            if loaded is None:
                raise
            until = time.monotonic() + RETRY_SECONDS
            self._warn(error, path or self._folder / MANIFEST_NAME, loaded.name)
        settled = _is_settled(manifest_stamp) and _is_settled(model_stamp)
        self._seen = _SeenFiles(manifest_stamp, path, model_stamp, until) if settled else None
        return loaded

    def _read_current(self) -> str:
        manifest = read_manifest(self._folder)
        if manifest.current is None:
            state = "has no current model" if manifest.path.exists() else "does not exist"
            raise BundleError(f"{manifest.path}: {state}. Write it: cliplab registry manifest {self._folder}")
        return manifest.current

    def _open(self, path: Path) -> BaseModelAdapter:
        """The model, with all that it needs of the file in memory: a program is read when it first predicts."""
        start = time.monotonic()
        try:
            before = check_model(path)
            adapter = open_model(path, self._overrides, self._trust_adapters)
            adapter.predict([render_clip(adapter.input_spec)])
            if check_model(path) != before:
                raise BundleError(f"{path}: was changed while it was read. Save each new model under a new name.")
            return adapter
        finally:
            now = time.monotonic()
            self._failed = (path.name, now + RETRY_FACTOR * (now - start))

    def _warn(self, error: Exception, path: Path, name: str) -> None:
        text = str(error) if str(path) in str(error) else f"{path}: {type(error).__name__}: {error}"
        message = f"{text} {name} stays in use."
        # A file that is still being copied gives the same message with another size each time.
        kind = re.sub(r"\d+", "#", message)
        if kind != self._warned:
            self._warned = kind
            self._on_warning(message)


def _stamp(path: Path | None) -> Stamp:
    """What changes when a file is replaced or written; None where there is none."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _is_settled(stamp: Stamp) -> bool:
    return stamp is None or time.time_ns() - max(stamp[2], stamp[3]) > SETTLED_SECONDS * 1e9

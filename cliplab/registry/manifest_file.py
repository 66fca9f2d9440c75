"""model_manifest.json: which models a folder holds, and which of them its workers use. Read, checked, locked, written.

{"current": "highlight_v002.tflite",
 "models": [{"name": "highlight_v002.tflite", "created": "2025-01-08T10:00:00Z", "metrics": {"f1": 0.8}}]}
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.errors import BundleError, StorageError
from adapters.litert import read_description
from adapters.system import MAX_DEPTH, file_lock, parse_json, read_regular_text, write_json_atomic

MANIFEST_NAME = "model_manifest.json"
LOCK_NAME = ".model_manifest.lock"
LOCK_SECONDS = 60.0
MAX_MANIFEST_BYTES = 64_000_000
# A temporary file that an atomic write left when it was killed; the age makes sure that nobody is still writing it.
_STRAY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
_STRAY_SECONDS = 3600.0
_NAME = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*\.tflite", re.IGNORECASE)


@dataclass(frozen=True)
class Manifest:
    """A manifest of valid form; the files that it names are not checked.

    Attributes:
        path: Where it is, or will be written.
        document: The whole JSON object, with keys of other programs; never changed in place.
    """

    path: Path
    document: dict[str, Any]

    @property
    def current(self) -> str | None:
        """The model that workers use; None where there is none yet."""
        return self.document.get("current")

    @property
    def names(self) -> tuple[str, ...]:
        """Every listed model, in the order of the file."""
        return tuple(entry["name"] for entry in self.document["models"])

    def entry(self, name: str) -> dict[str, Any]:
        """The entry of a listed model: name, created, metrics and keys of other programs."""
        return next(entry for entry in self.document["models"] if entry["name"] == name)

    def metrics(self, name: str) -> dict[str, Any]:
        """The metrics of a listed model; empty where none were entered."""
        return dict(self.entry(name).get("metrics", {}))

    def with_model(self, name: str, created: str, metrics: Mapping[str, Any] | None) -> Manifest:
        """A copy with one more model; for a listed model, only its metrics are replaced, if they are given.

        Args:
            name: The model's file name.
            created: When the file was written, as ``utc`` writes it.
            metrics: The model's metrics; None keeps those of a listed model.
        """
        models = list(self.document["models"])
        if name not in self.names:
            models.append({"name": name, "created": created, "metrics": dict(metrics or {})})
        elif metrics is not None:
            models[self.names.index(name)] = {**self.entry(name), "metrics": dict(metrics)}
        return Manifest(self.path, {**self.document, "models": models})

    def with_current(self, name: str) -> Manifest:
        """A copy with another current model."""
        return Manifest(self.path, {**self.document, "current": name})


def read_manifest(folder: str | Path) -> Manifest:
    """Read a folder's manifest; one without models where there is no file yet.

    ``created`` and ``metrics`` may be absent, as people write it by hand; what is present must be valid.

    Args:
        folder: The folder of the models.

    Raises:
        BundleError: It cannot be read, is not JSON, or is not of the form above; the message names the fault.
    """
    path = Path(folder) / MANIFEST_NAME
    if path.is_dir():
        raise BundleError(f"{path}: cannot be read (it is a folder). Move it away.")
    try:
        text = read_regular_text(path, MAX_MANIFEST_BYTES, BundleError)
    except FileNotFoundError:
        return Manifest(path, {"current": None, "models": []})
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read ({error}). Correct it by hand, or move it away.") from error
    try:
        document = parse_json(text, MAX_DEPTH)
        problem = _problem(document)
    except (ValueError, RecursionError) as error:
        problem = f"is damaged or half-written: it is not JSON ({error or type(error).__name__})"
    if problem:
        raise BundleError(f"{path}: {problem}. It was not changed: correct it by hand, or move it away.")
    return Manifest(path, document)


def write_manifest(manifest: Manifest) -> None:
    """Write the manifest atomically. The caller holds ``locked``.

    Args:
        manifest: The manifest.

    Raises:
        StorageError: It cannot be written; the old one stays.
    """
    write_json_atomic(manifest.path, manifest.document)


def name_problem(name: object) -> str | None:
    """Why a model's name is not allowed: it must be one visible file of the folder, ending in .tflite.

    Args:
        name: The name to check.

    Returns:
        The reason; None for a valid name.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return None
    return f"{name!r:.200} is not a model's name: it must be a single file name that ends in .tflite, without a folder"


def check_model(path: Path) -> dict[str, Any]:
    """Check that a .tflite is whole and self-describing, so that workers can open it. Every byte is verified.

    Args:
        path: The .tflite.

    Returns:
        Its description.

    Raises:
        BundleError: It is missing, half-written, damaged, or does not describe itself.
    """
    description = read_description(path)
    config, labels = description.get("config"), description.get("labels")
    if not isinstance(config, dict) or not isinstance(config.get("adapter"), str) or not isinstance(labels, list):
        raise BundleError(
            f"{path}: its description has no adapter and labels, so workers cannot open it. "
            "Use a file that `cliplab convert` wrote."
        )
    return description


def utc(seconds: float) -> str:
    """A time as the manifest writes it: 2025-01-08T10:00:00Z.

    Args:
        seconds: Seconds since 1970.
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only writer of this folder's manifest, over threads and processes; the lock ends with the process.

    File systems without locks are used without one.

    Args:
        folder: The folder of the models.

    Raises:
        StorageError: Another writer did not finish within ``LOCK_SECONDS``.
    """
    path = folder / LOCK_NAME
    if not path.exists() and not os.access(folder, os.W_OK):
        yield  # nothing can be written there; looking at what is there is still good
        return

    def busy(holder: str) -> StorageError:
        return StorageError(
            f"{path}: {holder} has been writing the manifest for {LOCK_SECONDS:.0f} s. "
            "Wait until it finishes or stop it, then run this again."
        )

    with file_lock(path, busy=busy, wait=LOCK_SECONDS):
        _remove_strays(folder)
        yield


def _problem(document: Any) -> str | None:
    """What is wrong in a manifest's form, as the end of a sentence that begins with the file's name."""
    models = document.get("models") if isinstance(document, dict) else None
    if not isinstance(models, list):
        return 'must be a JSON object with "current" and a list "models"'
    names: list[str] = []
    for index, entry in enumerate(models):
        wrong = _entry_problem(entry)
        if wrong:
            return f"models[{index}]: {wrong}"
        names.append(entry["name"])
        if names.count(names[-1]) > 1:
            return f"models[{index}]: {names[-1]!r} is listed twice"
    current = document.get("current")
    if current is not None and current not in names:
        return f'"current" is {current!r:.200}, which is not in "models"'
    return None


def _entry_problem(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return f"must be an object with name, created and metrics, got {entry!r:.80}"
    if not isinstance(entry.get("metrics", {}), dict):
        return f'"metrics" must be an object of names and numbers, got {entry["metrics"]!r:.80}'
    if "created" in entry and not _is_time(entry["created"]):
        return f'"created" must be a time in UTC such as "2025-01-08T10:00:00Z", got {entry["created"]!r:.80}'
    return name_problem(entry.get("name"))


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _remove_strays(folder: Path) -> None:
    """Temporary files of writers that were killed long ago: each may be as large as a model."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if _STRAY.fullmatch(path.name) and time.time() - path.stat().st_mtime > _STRAY_SECONDS:
                path.unlink()

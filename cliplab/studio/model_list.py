"""The models that the studio shows: those below the folder of models, and the ready configs."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from adapters.bundle import is_bundle, read_bundle_config, read_seal
from adapters.config import migrate_config, read_config_file
from adapters.errors import AdapterError, ConfigError
from adapters.inference import ready_configs
from adapters.litert import read_description
from adapters.system import MAX_DEPTH, parse_json, read_regular_bytes
from cliplab.registry import MANIFEST_NAME, read_manifest

Kind = Literal["bundle", "tflite", "config"]
MOST_DEPTH = 3  # folders below the folder of models
MOST_MODELS = 5000
STAGED = ".cliplab-staged"
_CONFIG_ENDINGS = (".json", ".yaml", ".yml")
_MOST_CONFIG_BYTES = 1_000_000
_MOST_METRICS_BYTES = 64_000_000
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class ModelRef:
    """A model that exists.

    Attributes:
        id: What addresses name it: letters, digits, "_", "." and "-".
        name: Its path below the folder of models, or the name of a ready config.
        kind: "bundle", "tflite" or "config".
        path: Where it is.
        ready: Whether it is a config that comes with the library.
    """

    id: str
    name: str
    kind: Kind
    path: Path
    ready: bool = False


@dataclass(frozen=True)
class ModelEntry:
    """What a list says of a model.

    Attributes:
        ref: Which model.
        title: What its config calls it.
        adapter: The class that runs it, without its module.
        labels: How many classes; None where the config leaves them open.
        size_bytes: The size of all its files; None where it cannot be read.
        modified: When it was written, in seconds since 1970.
        metrics: What training or evaluation measured; empty without it.
        error: Why it cannot be used, in words; None for a good one.
    """

    ref: ModelRef
    title: str = ""
    adapter: str = ""
    labels: int | None = None
    size_bytes: int | None = None
    modified: float = 0.0
    metrics: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class ListedVersion:
    """A model that the manifest of the folder lists.

    Attributes:
        name: The name of its file.
        created: When it was written, such as 2025-01-08T10:00:00Z; "" where the manifest does not say.
        current: Whether workers use it.
        model_id: What addresses name it; None where its file is gone.
        metrics: What the manifest keeps of its metrics.
    """

    name: str
    created: str
    current: bool
    model_id: str | None
    metrics: dict[str, Any] = field(default_factory=dict)


class ModelLibrary:
    """Finds the models below one folder. Only what it found can be named by a request."""

    def __init__(self, folder: str | Path) -> None:
        """
        Args:
            folder: The folder of models. It need not exist yet.
        """
        self.folder = Path(folder)
        self._entries: dict[Path, tuple[tuple[int, int], ModelEntry]] = {}

    def refs(self) -> list[ModelRef]:
        """Every model, by name, the person's own before the ready configs."""
        own = sorted(self._scan(self.folder, 0), key=lambda ref: ref.name.casefold())[:MOST_MODELS]
        ready = [ModelRef(f"ready-{name}", name, "config", path, True) for name, path in ready_configs().items()]
        return own + ready

    def find(self, model_id: str) -> ModelRef:
        """The model of an id.

        Args:
            model_id: As ``refs`` gives it.

        Raises:
            ConfigError: There is none, or there is none any more.
        """
        found = next((ref for ref in self.refs() if ref.id == model_id), None)
        if found is None:
            raise ConfigError(
                f"{model_id!r:.100} is not a model of this studio. It may have been removed or renamed. Open "
                "the list of models again"
            )
        return found

    def entry(self, ref: ModelRef) -> ModelEntry:
        """What a list says of a model; what is wrong with a damaged one is its ``error``.

        A bundle's config and list of files are verified, not each of its bytes: its own page does that.
        """
        try:
            status = os.stat(ref.path / "bundle.json" if ref.kind == "bundle" else ref.path)
            stamp = (status.st_mtime_ns, status.st_size)
        except OSError as error:
            return ModelEntry(ref, error=f"it cannot be read ({error.strerror})")
        known = self._entries.get(ref.path)
        if known is None or known[0] != stamp:
            known = self._entries[ref.path] = stamp, _entry(ref, status.st_mtime)
        return known[1]

    def current_names(self) -> tuple[set[str], str | None]:
        """The model that the folder's manifest names as current, and what is wrong with the manifest."""
        try:
            current = read_manifest(self.folder).current
        except AdapterError as error:
            return set(), str(error)
        return {current} if current else set(), None

    def versions(self) -> list[ListedVersion]:
        """The models that the folder's manifest lists, the newest first; empty without a manifest that can be read."""
        try:
            manifest = read_manifest(self.folder)
        except AdapterError:
            return []  # ``current_names`` says what is wrong
        ids = {ref.name: ref.id for ref in self.refs()}
        found = []
        for name in reversed(manifest.names):
            created = str(manifest.entry(name).get("created") or "")
            is_current = name == manifest.current
            found.append(ListedVersion(name, created, is_current, ids.get(name), manifest.metrics(name)))
        return found

    def _scan(self, folder: Path, depth: int) -> Iterator[ModelRef]:
        try:
            with os.scandir(folder) as found:
                items = sorted(found, key=lambda item: item.name)
        except OSError:
            return
        for item in items:
            path = Path(item.path)
            if item.name.startswith(".") or not self._inside(path):
                continue
            kind = _kind_of(path, item)
            if kind is not None:
                yield self._ref(path, kind)
            elif item.is_dir() and depth < MOST_DEPTH:
                yield from self._scan(path, depth + 1)

    def _inside(self, path: Path) -> bool:
        """Whether a path is below the folder once links are followed."""
        root, real = os.path.realpath(self.folder), os.path.realpath(path)
        return real.startswith(os.path.join(root, ""))

    def _ref(self, path: Path, kind: Kind) -> ModelRef:
        name = path.relative_to(self.folder).as_posix()
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
        plain = _PLAIN.sub("_", name)[:60].strip("._") or "model"
        return ModelRef(f"{plain}-{digest}", name, kind, path)


def _kind_of(path: Path, item: os.DirEntry[str]) -> Kind | None:
    if item.is_dir():
        return "bundle" if is_bundle(path) else None
    name = item.name.lower()
    if name.endswith(".tflite"):
        return "tflite"
    if name.endswith(_CONFIG_ENDINGS) and item.name != MANIFEST_NAME and _may_be_config(path, item.stat().st_size):
        return "config"
    return None


def _may_be_config(path: Path, size: int) -> bool:
    """Whether a file names an adapter; one that cannot be parsed is listed too, so that its error is seen."""
    if size > _MOST_CONFIG_BYTES:
        return False
    try:
        text = read_regular_bytes(path, _MOST_CONFIG_BYTES)
    except (OSError, AdapterError):
        return False
    return b"adapter" in text or b"model_mode" in text


def _entry(ref: ModelRef, modified: float) -> ModelEntry:
    try:
        config, metrics, size = _read(ref)
        config = migrate_config(config, ref.name)
        labels = config.get("labels")
        return ModelEntry(
            ref,
            title=str(config.get("name") or ""),
            adapter=str(config.get("adapter") or "").rpartition(":")[2].removesuffix("Adapter"),
            labels=len(labels) if isinstance(labels, list) else None,
            size_bytes=size,
            modified=modified,
            metrics=metrics,
        )
    except AdapterError as error:
        return ModelEntry(ref, modified=modified, error=str(error))
    except (OSError, ValueError, RecursionError) as error:
        return ModelEntry(ref, modified=modified, error=f"it cannot be read ({error})")


def _read(ref: ModelRef) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Config, metrics and size of a model."""
    if ref.kind == "config":
        return read_config_file(ref.path), {}, ref.path.stat().st_size
    if ref.kind == "tflite":
        description = read_description(ref.path)
        config, metrics = description.get("config"), description.get("metrics")
        if not isinstance(config, dict):
            raise ConfigError(f"{ref.name}: its description has no config. Convert it again from its bundle")
        return config, metrics if isinstance(metrics, dict) else {}, ref.path.stat().st_size
    files = read_seal(ref.path)[0]
    size = sum(int(item["size_bytes"]) for item in files.values())
    places = (ref.path, ref.path / STAGED)  # a write that was interrupted after its commit has left files staged
    missing = [n for n, item in files.items() if all(_size(place / n) != item["size_bytes"] for place in places)]
    if missing:
        raise ConfigError(f"{ref.name}: {missing[0]} is missing or damaged. Copy the bundle again")
    place = next(place for place in places if (place / "metrics.json").exists())
    metrics = parse_json(read_regular_bytes(place / "metrics.json", _MOST_METRICS_BYTES), MAX_DEPTH)
    return read_bundle_config(ref.path), metrics if isinstance(metrics, dict) else {}, size


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1

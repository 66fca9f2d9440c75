"""`cliplab registry list | show | download | compare | history | lineage`: what a registry knows, without MLflow."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError, StorageError
from adapters.system import atomic_path
from cliplab.registry.events import Event
from cliplab.registry.names import parse_environment, parse_name
from cliplab.registry.opening import open_registry
from cliplab.registry.records import Placement, StoredVersion
from cliplab.registry.semantics import differences, measured
from cliplab.registry.store import PLACEMENTS, Registry
from cliplab.registry.uploading import unpack_bundle


@dataclass(frozen=True)
class ListedVersion:
    """A version, and where it is in use.

    Attributes:
        version: The version.
        environments: The environments whose current version it is.
    """

    version: StoredVersion
    environments: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The version with its environments as a JSON object."""
        return self.version.to_json() | {"environments": list(self.environments)}


@dataclass(frozen=True)
class VersionComparison:
    """Two versions side by side.

    Attributes:
        one: The first.
        other: The second.
        interface: What only a new major version may change, and differs; a sentence each.
        metrics: Figures that both have: before, after and difference.
        only: Figures that one of them has, by full name.
        intervals: The 95% intervals of stored evaluations, by figure, of the first and the second.
        clips: On how many clips each was measured; None where no evaluation is kept.
        notes: What a reader should know, in sentences.
    """

    one: StoredVersion
    other: StoredVersion
    interface: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, float]]
    only: Mapping[str, tuple[str, ...]]
    intervals: Mapping[str, tuple[Any, Any]]
    clips: tuple[int | None, int | None]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The comparison as a JSON object; of the versions their full names."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return found | {"one": self.one.full_name, "other": self.other.full_name}


@dataclass(frozen=True)
class Lineage:
    """Where a version came from and where it went.

    Attributes:
        version: The version.
        ancestors: The versions that it was trained from, the nearest first.
        descendants: Versions that were trained from it.
        before: The version that it follows in its own line; None for the first.
        events: What happened to it, in order.
    """

    version: StoredVersion
    ancestors: tuple[str, ...]
    descendants: tuple[str, ...]
    before: str | None
    events: tuple[Event, ...]

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return {
            "version": self.version.to_json(),
            "ancestors": list(self.ancestors),
            "descendants": list(self.descendants),
            "before": self.before,
            "events": [event.to_json() for event in self.events],
        }


def registry_list(
    name: str | None = None, *, environment: str | None = None, registry: str | Path | None = None
) -> list[ListedVersion]:
    """The versions of a registry, by model, the lowest first.

    Args:
        name: Only this model.
        environment: Only what this environment has.
        registry: The registry; see ``open_registry``.

    Raises:
        ConfigError: The name or environment breaks the rule.
        StorageError: There is no registry.
    """
    if environment is not None:
        parse_environment(environment)
    with open_registry(registry, read_only=True) as opened:
        placed = opened.placements()
        names = opened.names() if name is None else [name]
        found = [_listed(item, placed) for each in names for item in opened.versions(each)]
    return [item for item in found if environment is None or environment in item.environments]


def registry_show(reference: str, *, registry: str | Path | None = None) -> ListedVersion:
    """One version with all that is kept of it.

    Args:
        reference: "base-general@1.0.0", "base-general-v1.0.0", "base-general@production", or a model for its highest.
        registry: The registry; see ``open_registry``.

    Raises:
        ConfigError: The reference matches no version.
        StorageError: There is no registry.
    """
    with open_registry(registry, read_only=True) as opened:
        return _listed(opened.find(reference), opened.placements())


def registry_download(
    reference: str, output: str | Path, *, registry: str | Path | None = None, force: bool = False
) -> Path:
    """Write a version's model, verified by its digest, as a .tflite or a bundle's folder.

    Args:
        reference: As for ``registry_show``.
        output: The file or folder to write; an existing folder gets a .tflite under its full name.
        registry: The registry; see ``open_registry``.
        force: Replace a file that exists.

    Returns:
        What was written.

    Raises:
        ConfigError: The reference matches no version.
        StorageError: The output exists or cannot be written.
        BundleError: The file in the registry is missing or damaged.
    """
    with open_registry(registry, read_only=True) as opened:
        stored = opened.find(reference)
        source = opened.artifact(stored.name, stored.version)
        target = download_target(stored, output)
        if target.exists() and not (force and target.is_file()) and not (target.is_dir() and not any(target.iterdir())):
            raise StorageError(f"{target}: already exists. Use another path, or use --force to replace a file")
        if stored.format == "bundle":
            _unpack(source, target)
        else:
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
        return target


def download_target(stored: StoredVersion, output: str | Path) -> Path:
    """What a version's model is written to.

    Args:
        stored: The version.
        output: As for ``registry_download``.
    """
    target = Path(output)
    if (target.is_dir() and any(target.iterdir())) or (stored.format == "tflite" and target.is_dir()):
        return target / (stored.full_name if stored.format == "bundle" else stored.file_name)
    return target


def registry_compare(one: str, other: str, *, registry: str | Path | None = None) -> VersionComparison:
    """Compare two versions: interface, figures, intervals.

    Args:
        one: As for ``registry_show``.
        other: As for ``registry_show``.
        registry: The registry; see ``open_registry``.

    Raises:
        ConfigError: A reference matches no version.
        StorageError: There is no registry.
    """
    with open_registry(registry, read_only=True) as opened:
        first, second = opened.find(one), opened.find(other)
    kept = [item.evaluation or {} for item in (first, second)]
    names = sorted(set(kept[0].get("intervals") or {}) & set(kept[1].get("intervals") or {}))
    intervals = {name: (kept[0]["intervals"][name], kept[1]["intervals"][name]) for name in names}
    clips = (kept[0].get("clips"), kept[1].get("clips"))
    return VersionComparison(
        first,
        second,
        tuple(differences(first.interface, second.interface)),
        measured(first.metrics, second.metrics),
        {
            first.full_name: tuple(sorted(first.metrics.keys() - second.metrics.keys())),
            second.full_name: tuple(sorted(second.metrics.keys() - first.metrics.keys())),
        },
        intervals,
        clips,
        _comparison_notes(first, second, intervals),
    )


def registry_history(
    name: str | None = None,
    *,
    environment: str | None = None,
    registry: str | Path | None = None,
    last: int | None = None,
) -> list[Event]:
    """Who did what, when and why.

    Args:
        name: Only this model.
        environment: Only this environment.
        registry: The registry; see ``open_registry``.
        last: Maximum number of events, the latest ones.

    Raises:
        ConfigError: The name or environment breaks the rule, or last is below 1.
        StorageError: There is no registry, or somebody changed its history.
    """
    if name is not None:
        parse_name(name)
    if environment is not None:
        parse_environment(environment)
    if last is not None and last < 1:
        raise ConfigError(f"last: must be at least 1, got {last}")
    with open_registry(registry, read_only=True) as opened:
        opened.check()
        return opened.history(name, environment, last=last)


def registry_lineage(reference: str, *, registry: str | Path | None = None) -> Lineage:
    """Where a version came from, what was trained from it, and what happened to it.

    Args:
        reference: As for ``registry_show``.
        registry: The registry; see ``open_registry``.

    Raises:
        ConfigError: The reference matches no version.
        StorageError: There is no registry.
    """
    with open_registry(registry, read_only=True) as opened:
        stored = opened.find(reference)
        every = {item.full_name: item for name in opened.names() for item in opened.versions(name)}
        ancestors: list[str] = []
        parent = stored.lineage.get("parent")
        while isinstance(parent, str) and parent not in ancestors:
            ancestors.append(parent)
            parent = every[parent].lineage.get("parent") if parent in every else None
        return Lineage(
            stored,
            tuple(ancestors),
            tuple(name for name, item in every.items() if item.lineage.get("parent") == stored.full_name),
            stored.change.get("from"),
            tuple(_events_of(opened, stored)),
        )


def _events_of(registry: Registry, stored: StoredVersion) -> list[Event]:
    """Events that name the version, also as the one that an environment had before."""
    return [
        event
        for event in registry.history(stored.name)
        if stored.version in (event.version, event.to_version)
        or (event.kind in PLACEMENTS and event.from_version == stored.version)
    ]


def _listed(stored: StoredVersion, placed: list[Placement]) -> ListedVersion:
    here = [item.environment for item in placed if (item.name, item.version) == (stored.name, stored.version)]
    return ListedVersion(stored, tuple(here))


def _unpack(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        unpack_bundle(source, temporary)
        if target.is_dir():
            target.rmdir()
        temporary.rename(target)
    except OSError as error:
        raise StorageError(f"{target}: could not be written ({error.strerror}). Use a new folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _comparison_notes(one: StoredVersion, other: StoredVersion, intervals: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    if one.evaluation is None or other.evaluation is None:
        lacking = [item.full_name for item in (one, other) if item.evaluation is None]
        notes.append(f"{', '.join(lacking)}: no evaluation.json is stored, so differences have no interval")
    elif one.evaluation.get("clips") != other.evaluation.get("clips"):
        notes.append(
            f"measured on {one.evaluation.get('clips')} and {other.evaluation.get('clips')} clips, which may differ"
        )
    for name, (first, second) in intervals.items():
        if first and second and first[0] <= second[1] and second[0] <= first[1]:
            notes.append(f"{name}: the 95% intervals overlap, so the difference may be chance")
    return tuple(notes)

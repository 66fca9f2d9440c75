"""Publishing: what devices may see, signed, in tuf/ (metadata/ and targets/, with consistent snapshots).

Files are written first, then targets, then snapshot, then timestamp, each in one step. Clients begin at timestamp, so a
publisher that is killed leaves what was there before, whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import StorageError
from adapters.system import atomic_path, read_regular_bytes, write_bytes_atomic
from cliplab.registry.events import Event
from cliplab.registry.names import ENVIRONMENTS
from cliplab.registry.records import Placement, StoredVersion
from cliplab.registry.signing import (
    MAX_METADATA_BYTES,
    publishing_lock,
    read_root,
    role_days,
    sign_metadata,
    signers_of,
    tuf_module,
)
from cliplab.registry.store import PLACEMENTS, Registry

if TYPE_CHECKING:
    from tuf.api.metadata import Root

ROLLOUTS_TARGET = "rollouts.json"
SIGNED_AT_FIELD = "x-cliplab-signed-at"


@dataclass(frozen=True)
class PublishReport:
    """What was published.

    Attributes:
        versions: The version of each role's metadata.
        expires: When each role's metadata expires, ISO 8601, UTC.
        targets: The paths that devices may fetch.
        changed: Whether a target changed; otherwise metadata was only renewed, or nothing was due.
        warnings: What a person should do soon.
    """

    versions: Mapping[str, int]
    expires: Mapping[str, str]
    targets: tuple[str, ...]
    changed: bool
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def publish(registry: Registry, *, recover: bool = False, who: str = "", reason: str = "") -> PublishReport:
    """Sign what the environments and rollouts have now. Metadata that is due is renewed; other metadata stays.

    Args:
        registry: The registry.
        recover: After the registry was restored from a backup: devices that saw later metadata refuse what follows the
            backup. This raises all version numbers above any that they can have seen.
        who: Who recovers, for the history.
        reason: Why.

    Returns:
        What was published.

    Raises:
        ConfigError: The registry has no keys, or they are not on this machine.
        BundleError: A file of a version is missing or damaged.
        StorageError: The folder cannot be written.
    """
    with publishing_lock(registry):
        root = read_root(registry).signed
        files, documents = _wanted(registry)
        wanted = {path: _file_info(path, *facts) for path, (facts, _) in files.items()}
        wanted |= {path: tuf_module().TargetFile.from_data(path, data, ["sha256"]) for path, data in documents.items()}
        for path, (facts, stored) in files.items():
            _place_file(registry, path, facts[1], stored)
        for path, data in documents.items():
            _place_document(registry, path, data)
        floor = int(time.time()) if recover else 0
        report = _write_metadata(registry, root, wanted, floor)
        if recover:
            registry.append(Event("recover", who=who, reason=reason, details={"versions": dict(report.versions)}))
    return report


def environment_document(registry: Registry, environment: str) -> dict[str, Any]:
    """What devices of an environment should run, as it is published.

    Args:
        registry: The registry.
        environment: The environment.
    """
    versions = _all_versions(registry)
    placed = {item.name: item for item in registry.placements() if item.environment == environment}
    return {"environment": environment, "models": {name: _entry(item, versions) for name, item in placed.items()}}


def _entry(placed: Placement, versions: Mapping[tuple[str, str], StoredVersion]) -> dict[str, Any]:
    stored = versions[placed.name, placed.version]
    before = versions.get((placed.name, placed.previous or ""))
    return _facts(stored) | {"since": placed.since, "previous": _facts(before) if before else None}


def _facts(stored: StoredVersion) -> dict[str, Any]:
    return {
        "version": stored.version,
        "target": stored.target,
        "sha256": stored.sha256,
        "size_bytes": stored.size_bytes,
        "format": stored.format,
        "golden": stored.golden,
    }


def _all_versions(registry: Registry) -> dict[tuple[str, str], StoredVersion]:
    found = [StoredVersion.of(event) for event in registry.history(kinds=("upload",))]
    return {(item.name, item.version): item for item in found}


def _wanted(registry: Registry) -> tuple[dict[str, tuple[tuple[int, str], StoredVersion]], dict[str, bytes]]:
    """The files of versions by target path, with their size and digest, and the documents by target path.

    A version is published once an environment had it or a rollout names it, and from then on: devices go back to it.
    """
    versions = _all_versions(registry)
    named = {(event.model, event.to_version) for event in registry.history(kinds=PLACEMENTS)}
    rollouts = registry.rollouts()
    for rollout in rollouts:
        named |= {(rollout.get("model"), rollout.get("control")), (rollout.get("model"), rollout.get("candidate"))}
    chosen = [stored for key, stored in versions.items() if key in named]
    files = {stored.target: ((stored.size_bytes, stored.sha256), stored) for stored in chosen}
    documents: dict[str, Any] = {
        f"environments/{environment}.json": environment_document(registry, environment) for environment in ENVIRONMENTS
    }
    documents[ROLLOUTS_TARGET] = {"rollouts": [_with_facts(item, versions) for item in rollouts]}
    return files, {path: _json(value) for path, value in documents.items()}


def _with_facts(rollout: Mapping[str, Any], versions: Mapping[tuple[str, str], StoredVersion]) -> dict[str, Any]:
    """A rollout with the files of its candidate and control, so that a device needs no other document."""
    found = {
        f"{side}_file": _facts(versions[key])
        for side in ("control", "candidate")
        if (key := (str(rollout.get("model")), str(rollout.get(side)))) in versions
    }
    return dict(rollout) | found


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _file_info(path: str, size_bytes: int, sha256: str) -> Any:
    return tuf_module().TargetFile(size_bytes, {"sha256": sha256}, path)


def _target_path(registry: Registry, path: str, sha256: str) -> Path:
    folder, _, name = path.rpartition("/")
    return registry.tuf_folder / "targets" / folder / f"{sha256}.{name}"


def _place_file(registry: Registry, path: str, sha256: str, stored: StoredVersion) -> None:
    """Put a version's file under its digest: a hard link where that can be, otherwise a copy."""
    target = _target_path(registry, path, sha256)
    if target.is_file() and target.stat().st_size == stored.size_bytes:
        return
    source = registry.artifact(stored.name, stored.version)
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def _place_document(registry: Registry, path: str, data: bytes) -> None:
    target = _target_path(registry, path, hashlib.sha256(data).hexdigest())
    if not target.is_file() or target.read_bytes() != data:
        write_bytes_atomic(target, data)


def _write_metadata(registry: Registry, root: Root, wanted: dict[str, Any], floor: int) -> PublishReport:
    """Write what changed or is due, in the order in which clients cannot see a half."""
    tuf, days = tuf_module(), role_days(root)
    folder = registry.tuf_folder / "metadata"
    lost_is_allowed = floor > 0  # the new version numbers are above those of anything that was lost
    timestamp = _read(folder / "timestamp.json", lost_is_allowed)
    number = timestamp.signed.snapshot_meta.version if timestamp else 0
    snapshot = _read(folder / f"{number}.snapshot.json", lost_is_allowed) if timestamp else None
    number = snapshot.signed.meta["targets.json"].version if snapshot else 0
    targets = _read(folder / f"{number}.targets.json", lost_is_allowed) if snapshot else None
    changed = targets is None or targets.signed.targets != wanted
    new_targets = changed or floor or _is_due(root, "targets", targets, days)
    if new_targets:
        signed = tuf.Targets(_next(targets, floor), expires=_until(days["targets"]), targets=wanted)
        targets = _write(registry, root, "targets", signed, f"{signed.version}.targets.json")
    assert targets is not None
    new_snapshot = new_targets or _is_due(root, "snapshot", snapshot, days)
    if new_snapshot:
        meta = {"targets.json": tuf.MetaFile(targets.signed.version)}
        signed = tuf.Snapshot(_next(snapshot, floor), expires=_until(days["snapshot"]), meta=meta)
        snapshot = _write(registry, root, "snapshot", signed, f"{signed.version}.snapshot.json")
    assert snapshot is not None
    if new_snapshot or _is_due(root, "timestamp", timestamp, days):
        place = folder / f"{snapshot.signed.version}.snapshot.json"
        data = read_regular_bytes(place, MAX_METADATA_BYTES, StorageError)
        meta_file = tuf.MetaFile.from_data(snapshot.signed.version, data, ["sha256"])
        signed = tuf.Timestamp(
            _next(timestamp, floor),
            expires=_until(days["timestamp"]),
            snapshot_meta=meta_file,
            # Under the signature: a device whose clock is behind learns from it what time it is at least.
            unrecognized_fields={SIGNED_AT_FIELD: datetime.now(UTC).isoformat()},
        )
        timestamp = _write(registry, root, "timestamp", signed, "timestamp.json")
    assert timestamp is not None
    written = {"root": root, "targets": targets.signed, "snapshot": snapshot.signed, "timestamp": timestamp.signed}
    return PublishReport(
        versions={role: signed.version for role, signed in written.items()},
        expires={role: signed.expires.isoformat().replace("+00:00", "Z") for role, signed in written.items()},
        targets=tuple(sorted(wanted)),
        changed=changed,
        warnings=_warnings(registry, root),
    )


def _read(path: Path, lost_is_allowed: bool = False) -> Any:
    """Metadata as it was published; None where there is none yet."""
    if not os.path.lexists(path):
        return None
    try:
        return tuf_module().Metadata.from_bytes(read_regular_bytes(path, MAX_METADATA_BYTES, StorageError))
    except Exception as error:  # python-tuf has many reasons of its own
        if lost_is_allowed:
            return None
        raise StorageError(
            f"{path}: is damaged ({error}). Restore tuf/ from a backup, then: cliplab registry publish --recover"
        ) from error


def _write(registry: Registry, root: Root, role: str, signed: Any, name: str) -> Any:
    metadata = tuf_module().Metadata(signed)
    sign_metadata(metadata, signers_of(registry, root, role))
    write_bytes_atomic(registry.tuf_folder / "metadata" / name, metadata.to_bytes())
    return metadata


def _next(metadata: Any, floor: int) -> int:
    return max(floor, metadata.signed.version + 1 if metadata else 1)


def _until(days: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


def _is_due(root: Root, role: str, metadata: Any, days: Mapping[str, int]) -> bool:
    """Whether metadata must be signed again: half of its time is over, or the role's keys or days changed."""
    if metadata is None:
        return True
    left = metadata.signed.expires - datetime.now(UTC)
    if left < timedelta(days=days[role] / 2) or left > timedelta(days=days[role], hours=1):
        return True
    signed_by = set(metadata.signatures) & set(root.roles[role].keyids)
    return len(signed_by) < root.roles[role].threshold


def _warnings(registry: Registry, root: Root) -> tuple[str, ...]:
    left = root.expires - datetime.now(UTC)
    if left > timedelta(days=30):
        return ()
    return (
        f"root.json expires in {max(0, left.days)} days; devices refuse every update after that. Renew it: cliplab "
        f"registry rotate --registry {registry.folder}",
    )

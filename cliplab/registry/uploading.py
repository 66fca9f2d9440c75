"""`cliplab registry upload`: a model becomes a version that never changes."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from adapters.errors import BundleError, ConfigError, StorageError
from adapters.evaluation import GATES, EvaluationReport
from adapters.models import clean_copy
from adapters.system import atomic_path, file_digest, parse_json, read_regular_text
from cliplab.registry.events import ConflictError, Event
from cliplab.registry.inspection import Inspected, inspect_model
from cliplab.registry.location import NO_TRACKING
from cliplab.registry.manifest_metrics import MAX_METRICS_BYTES, is_figure, read_metrics
from cliplab.registry.names import BUMPS, full_name, next_number, parse_name, parse_reference, parse_version
from cliplab.registry.opening import open_registry
from cliplab.registry.records import StoredVersion
from cliplab.registry.semantics import describe_change
from cliplab.registry.store import Registry

_MOST_CLASSES = 50
_UPLOAD_SECONDS = 3600.0  # an upload that has not finished by then was killed
_COMMIT_VARIABLES = ("CLIPLAB_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA")


@dataclass(frozen=True)
class UploadReport:
    """A version that was stored, or with dry_run would be.

    Attributes:
        version: The version.
        written: Whether it was stored.
        notes: What a person should know, in sentences.
    """

    version: StoredVersion
    written: bool
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The version with ``written`` and ``notes`` as a JSON object."""
        return self.version.to_json() | {"written": self.written, "notes": list(self.notes)}


def registry_upload(
    model: str | Path,
    name: str,
    version: str,
    *,
    registry: str | Path | None = None,
    description: str = "",
    metrics: str | Path | None = None,
    figures: Mapping[str, float] | None = None,
    parent: str | None = None,
    data: str | Path | None = None,
    who: str = "",
    trust_adapters: Sequence[str] = (),
    dry_run: bool = False,
) -> UploadReport:
    """Keep a model as a new version. It is visible when all of it is stored, and never changes after that.

    Args:
        model: A bundle directory or a self-describing .tflite.
        name: What it is called, TYPE-VARIANT, such as "base-ad-detector".
        version: Such as "1.0.0", or "major", "minor" or "patch" for the next one; checked against what changed.
        registry: The registry; see ``open_registry``.
        description: Free text about the version.
        metrics: evaluation.json, which is kept whole and which promotion's gates read; or names and numbers. None keeps
            the validation figures that the model carries.
        figures: Names and numbers, in place of a file of metrics.
        parent: The version that it was trained from, such as "base-general@1.0.0".
        data: The file of clips that it was trained on; its digest is kept.
        who: Who uploads; empty for CLIPLAB_USER or this user.
        trust_adapters: Adapters of other packages that the model may name.
        dry_run: Check everything and store nothing.

    Returns:
        The version.

    Raises:
        ConfigError: The name, version, metrics or parent is not allowed, or the version needs another number.
        BundleError: The model is damaged.
        ConflictError: The version exists.
        StorageError: The registry cannot be written.
    """
    parse_name(name)
    number = None if version in BUMPS else parse_version(version)
    path = Path(model)
    with open_registry(registry, make_own=True) as opened:
        others = opened.versions(name)
        number = number or next_number(version, [parse_version(item.version) for item in others])
        version = str(number)
        _require_new(opened, others, name, version)
        found = inspect_model(path, trust_adapters)
        measured, evaluation = _figures(metrics, figures, found)
        lineage = dict(found.lineage) | _origin(opened, parent, data)
        change = describe_change(number, found.interface, measured, others)
        with _one_file(path, name, version) as file:
            facts = StoredVersion(
                name=name,
                version=version,
                uploaded_at="",
                uploaded_by=who,
                description=description,
                file="",
                file_name=file.name,
                format=found.format,
                sha256=file_digest(file),
                size_bytes=file.stat().st_size,
                metrics=measured,
                interface=found.interface,
                gates=found.gates,
                evaluation=evaluation,
                golden=found.golden,
                card=found.card,
                lineage=lineage,
                change=change,
            )
            notes = (*found.notes, *_notes(facts, others))
            if dry_run:
                return UploadReport(facts, False, notes)
            stored = _keep(opened, facts, file)
        return UploadReport(stored, True, notes)


def _require_new(registry: Registry, others: Sequence[StoredVersion], name: str, version: str) -> None:
    for item in others:
        if item.version == version:
            raise ConflictError(
                f"{registry.name}: {full_name(name, version)} already exists: uploaded by {item.uploaded_by} at "
                f"{item.uploaded_at}. A version never changes. Use the next number (highest: {others[-1].version})"
            )


def _figures(
    metrics: str | Path | None, given: Mapping[str, float] | None, found: Inspected
) -> tuple[dict[str, float], dict[str, Any] | None]:
    """The figures by name, and the whole evaluation where the file is one."""
    if metrics is not None and given is not None:
        raise ConfigError("metrics and figures both give the model's quality. Give only one of them")
    if given is not None:
        return {name: value for name, value in given.items() if is_figure(value)}, None
    if metrics is None:
        return dict(found.metrics), None
    figures = read_metrics(metrics)
    content = parse_json(read_regular_text(metrics, MAX_METRICS_BYTES, ConfigError), 100)
    if not (isinstance(content, dict) and "confusion_matrix" in content):
        return figures, None
    labels = content.get("labels")
    if labels != found.interface["labels"]:
        raise ConfigError(
            f"{metrics}: is for a model with the labels {labels!r:.120}; this model has "
            f"{found.interface['labels']!r:.120}. Evaluate this model: cliplab evaluate MODEL DATA --output FOLDER"
        )
    EvaluationReport.from_json(content)  # raises where it is not a whole report
    # Tables that grow with the classes, or with their square, are not for a history.
    left_out = {"curves", "mistakes"} | ({"confusion_matrix", "per_class"} if len(labels) > _MOST_CLASSES else set())
    return figures, {key: value for key, value in content.items() if key not in left_out}


def _origin(registry: Registry, parent: str | None, data: str | Path | None) -> dict[str, Any]:
    """Where the model came from, as far as the person or the build says so."""
    found: dict[str, Any] = {}
    if parent is not None:
        if parse_reference(parent).version is None and parse_reference(parent).environment is None:
            raise ConfigError(f"parent: {parent!r} is not a version. Give NAME@VERSION, such as {parent}@1.0.0")
        origin = registry.find(parent)
        found["parent"] = origin.full_name
        found["parent_sha256"] = origin.sha256
    if data is not None:
        if not Path(data).is_file():
            raise ConfigError(f"data: {data} is not a file. Give the file of clips (dataset.jsonl, a CSV, ...)")
        found["data"] = Path(data).name
        found["data_sha256"] = file_digest(Path(data))
    commit = next((os.environ[name] for name in _COMMIT_VARIABLES if os.environ.get(name)), None)
    if commit is not None:
        found["commit"] = commit[:100]
    return found


@contextmanager
def _one_file(path: Path, name: str, version: str) -> Iterator[Path]:
    """The model as one file of its published name, without paths of its maker's machine."""
    with clean_copy(path) as clean, tempfile.TemporaryDirectory(prefix="cliplab_") as folder:
        if clean.is_dir():
            target = Path(folder) / f"{full_name(name, version)}.tar"
            pack_bundle(clean, target)
        else:
            target = Path(folder) / f"{full_name(name, version)}.tflite"
            shutil.copyfile(clean, target)
        yield target


def pack_bundle(bundle: Path, target: Path) -> None:
    """Write a bundle as a tar file, the same bytes for the same bundle.

    Args:
        bundle: The bundle's folder.
        target: The tar file.
    """
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for file in sorted(item for item in bundle.rglob("*") if item.is_file()):
            info = tarfile.TarInfo(file.relative_to(bundle).as_posix())
            info.size, info.mode = file.stat().st_size, 0o644
            with file.open("rb") as stream:
                tar.addfile(info, stream)


def _notes(facts: StoredVersion, others: Sequence[StoredVersion]) -> tuple[str, ...]:
    notes = []
    same = next((item for item in others if item.sha256 == facts.sha256), None)
    if same is not None:
        notes.append(f"the file is identical to that of {same.version}")
    if facts.change["kind"] == "major" and not facts.change["interface"]:
        notes.append(
            f"input size, labels and architecture are those of {facts.change['from']}: a minor version would be enough"
        )
    lacking = [gate for gate in facts.gates if facts.metrics.get(GATES[gate][0]) is None and gate != "max_size_bytes"]
    if lacking:
        notes.append(f"no figures are stored for the gates {', '.join(lacking)} (--metrics FILE): promotion will fail")
    size = facts.evaluation.get("size_bytes") if facts.evaluation else None
    if facts.format == "tflite" and isinstance(size, int) and size != facts.size_bytes:
        notes.append(f"the evaluation was made with a file of {size} bytes, but this one has {facts.size_bytes}")
    return tuple(notes)


def _keep(registry: Registry, facts: StoredVersion, file: Path) -> StoredVersion:
    """Store the file, then the event that makes it visible."""
    from cliplab.registry.schema import sa

    run_id = None
    if registry.settings.tracking == NO_TRACKING:
        remove_leftovers(registry, facts.name)
        place = keep_file(registry, facts, file)
    else:
        from cliplab.registry.tracking import keep_run

        place, run_id = keep_run(registry.place, facts, file)
    stored = replace(facts, file=place, run_id=run_id)
    skipped = ("name", "version", "uploaded_at", "uploaded_by", "description", "sequence")
    details = {key: value for key, value in asdict(stored).items() if key not in skipped}
    event = Event("upload", facts.name, facts.version, reason=facts.description, details=details, who=facts.uploaded_by)
    try:
        sequence = registry.append(event)
    except StorageError as error:
        if isinstance(error.__cause__, sa.exc.IntegrityError):
            _require_new(registry, registry.versions(facts.name), facts.name, facts.version)
        raise
    if run_id is not None:
        from cliplab.registry.tracking import finish_run

        finish_run(registry.place, stored)
    return StoredVersion.of(registry.history(facts.name, kinds=("upload",), after=sequence - 1, last=None)[0])


def keep_file(registry: Registry, facts: StoredVersion, file: Path) -> str:
    """Copy a version's file below artifacts/, under its digest, so that two uploads at one time do not meet.

    Args:
        registry: The registry.
        facts: The version.
        file: Its file.

    Returns:
        The path below the registry's folder.
    """
    relative = f"{registry.settings.artifacts}/{facts.name}/{facts.version}/{facts.sha256[:16]}/{facts.file_name}"
    with atomic_path(registry.folder / relative) as temporary:
        shutil.copyfile(file, temporary)
    return relative


def remove_leftovers(registry: Registry, name: str) -> int:
    """Remove files of uploads that ended before their version became visible, such as those of a killed process.

    Args:
        registry: The registry, whose files are in its folder.
        name: The model.

    Returns:
        How many were removed. Files younger than an hour stay: another upload may be about to finish.
    """
    if "://" in registry.settings.artifacts:
        return 0
    top = registry.folder / registry.settings.artifacts / name
    kept = {registry.folder / item.file for item in registry.versions(name)}
    old = time.time() - _UPLOAD_SECONDS
    removed = 0
    for path in sorted(top.glob("*/*/*")):
        with suppress(FileNotFoundError):  # another upload removes it at the same time
            if path not in kept and path.is_file() and path.stat().st_mtime < old:
                path.unlink()
                removed += 1
    return removed


def unpack_bundle(archive: Path, target: Path) -> None:
    """Unpack a bundle's tar file into a new folder.

    Args:
        archive: The tar file.
        target: The folder, which does not exist.

    Raises:
        BundleError: The archive is damaged or holds something else than files.
    """
    try:
        with tarfile.open(archive) as tar:
            if not all(member.isfile() for member in tar.getmembers()):
                raise BundleError(f"{archive}: contains entries other than files, so it is not an archive of a bundle")
            target.mkdir(parents=True)
            tar.extractall(target, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise BundleError(f"{archive}: cannot be unpacked ({error})") from error

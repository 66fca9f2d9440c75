"""`cliplab registry export | to-folder | from-folder`: versions outside a registry, also in a folder's manifest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError, ConfigError, MissingExtraError, StorageError
from adapters.system import atomic_path, file_digest
from cliplab.outputs import require_new
from cliplab.registry.inspection import inspect_model
from cliplab.registry.listing import download_target, registry_download
from cliplab.registry.manifest_file import locked, read_manifest, write_manifest
from cliplab.registry.names import Version, parse_environment, parse_name, parse_version
from cliplab.registry.opening import open_registry
from cliplab.registry.records import StoredVersion
from cliplab.registry.semantics import differences
from cliplab.registry.uploading import registry_upload


@dataclass(frozen=True)
class FolderReport:
    """Versions that went from a registry to a folder, or the other way.

    Attributes:
        folder: The folder.
        written: What was written: file names, or full names of versions.
        skipped: What was already there.
        current: The file that workers of the folder use; None where none was chosen.
        notes: What a person should know, in sentences.
    """

    folder: str
    written: tuple[str, ...]
    skipped: tuple[str, ...]
    current: str | None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return dict(vars(self))


def registry_export(
    reference: str,
    output: str | Path,
    *,
    registry: str | Path | None = None,
    sign: str | Path | None = None,
    force: bool = False,
) -> tuple[Path, Path | None]:
    """Write a version's model, and beside it a signature of the OpenSSF model-signing form where a key is given.

    Args:
        reference: "base-general@1.0.0", "base-general@production", or a model for its highest version.
        output: The file or folder to write.
        registry: The registry; see ``open_registry``.
        sign: A private key of an elliptic curve (PEM), such as ``openssl ecparam -name prime256v1 -genkey -noout``
            makes; None signs nothing.
        force: Replace files that exist.

    Returns:
        What was written, and its signature, OUTPUT.sig, or None.

    Raises:
        ConfigError: The reference matches no version, or the key cannot be used.
        StorageError: The output or its signature exists or cannot be written.
        MissingExtraError: model-signing is not installed.
    """
    key = None if sign is None else Path(sign)
    if key is not None and not key.is_file():
        raise ConfigError(
            f"sign: {key} is not a file. Create a key: openssl ecparam -name prime256v1 -genkey -noout -out {key}"
        )
    signer = None if key is None else _signer(key)
    with open_registry(registry, read_only=True) as opened:
        planned = download_target(opened.find(reference), output)
    signature = planned.with_name(f"{planned.name}.sig")
    if signer is not None:
        require_new(signature, force)
    elif os.path.lexists(signature):
        raise StorageError(
            f"{signature}: is the signature of another file; nothing was written. Delete it, or sign the new file too "
            "(--sign KEY --force)"
        )
    target = registry_download(reference, output, registry=registry, force=force)
    if signer is None:
        return target, None
    try:
        signer.sign(target, signature)
    except OSError as error:
        raise StorageError(f"{signature}: could not be written ({error.strerror}). Use another folder") from error
    return target, signature


def _signer(key: Path) -> Any:
    try:
        import model_signing.signing
    except ImportError as error:
        raise MissingExtraError(error.name or "model_signing", "signing") from error
    config: Any = model_signing.signing.Config
    try:
        return config().use_elliptic_key_signer(private_key=key)
    except Exception as error:  # cryptography's many reasons: another kind of key, a password, damage
        raise ConfigError(
            f"sign: {key} is not a private key of an elliptic curve without a password ({error}). Create one: openssl "
            "ecparam -name prime256v1 -genkey -noout"
        ) from error


def registry_to_folder(
    name: str, folder: str | Path, *, environment: str | None = None, registry: str | Path | None = None
) -> FolderReport:
    """Write a model's versions into a folder with model_manifest.json, which workers follow with ``CurrentModel``.

    Args:
        name: The model.
        folder: The folder, which is made.
        environment: The environment whose current version becomes the folder's; None for the highest version.
        registry: The registry; see ``open_registry``.

    Returns:
        What was written.

    Raises:
        ConfigError: There is no such model, or the environment has none.
        BundleError: A file in the registry, or the folder's manifest, is damaged.
        StorageError: The folder cannot be written.
    """
    place = Path(folder)
    if environment is not None:
        parse_environment(environment)
    with open_registry(registry, read_only=True) as opened:
        chosen = opened.find(f"{name}@{environment}" if environment else name)
        versions = opened.versions(name)
        usable = [item for item in versions if item.format == "tflite"]
        notes = [
            f"{item.version} is a bundle, but a manifest lists only .tflite files"
            for item in versions
            if item not in usable
        ]
        if chosen not in usable:
            raise ConfigError(
                f"{chosen.full_name}: is a bundle, but a manifest lists only .tflite files. Convert it and upload the "
                ".tflite"
            )
        place.mkdir(parents=True, exist_ok=True)
        with locked(place):
            manifest = read_manifest(place)
            skipped = []
            for item in usable:
                target = place / item.file_name
                if target.is_file() and file_digest(target) == item.sha256 and item.file_name in manifest.names:
                    skipped.append(item.file_name)
                    continue
                with atomic_path(target) as temporary:
                    shutil.copyfile(opened.artifact(item.name, item.version), temporary)
                created = f"{item.uploaded_at[:19]}Z"
                manifest = manifest.with_model(item.file_name, created, item.metrics)
            write_manifest(manifest.with_current(chosen.file_name))
    written = tuple(item.file_name for item in usable if item.file_name not in skipped)
    return FolderReport(str(place), written, tuple(skipped), chosen.file_name, tuple(notes))


def registry_from_folder(
    folder: str | Path,
    name: str,
    *,
    registry: str | Path | None = None,
    who: str = "",
    trust_adapters: Sequence[str] = (),
) -> FolderReport:
    """Upload the models that a folder's model_manifest.json lists, in its order, under version numbers that fit.

    The first is 1.0.0; another input size, other labels or another architecture begins a new major version, and
    everything else is a minor one. What the registry has already is left out, so that it can be run again.

    Args:
        folder: The folder.
        name: What the model is called in the registry.
        registry: The registry; see ``open_registry``.
        who: Who uploads.
        trust_adapters: Adapters of other packages that the models may name.

    Returns:
        The versions.

    Raises:
        BundleError: The manifest is damaged.
        ConfigError: The name breaks the rule, or the manifest lists nothing.
        StorageError: The registry cannot be written.
    """
    parse_name(name)
    place = Path(folder)
    manifest = read_manifest(place)
    if not manifest.names:
        raise ConfigError(f"{manifest.path}: lists no model. Add models first: cliplab registry manifest {place}")
    with open_registry(registry, make_own=True) as opened:
        known = opened.versions(name)
    origins = {_origin(item.lineage): item for item in known}
    written, skipped, notes = [], [], []
    for listed in manifest.names:
        path = place / listed
        try:
            found = inspect_model(path, trust_adapters)
        except AdapterError as error:
            notes.append(f"left out: {error}")
            continue
        same = origins.get(_origin(found.lineage))
        if same is not None:
            skipped.append(same.full_name)
            continue
        report = registry_upload(
            path,
            name,
            str(_following(known, found.interface)),
            registry=registry,
            description=f"from {listed}",
            figures=manifest.metrics(listed),
            who=who,
            trust_adapters=trust_adapters,
        )
        known = [*known, report.version]
        written.append(report.version.full_name)
    return FolderReport(str(place), tuple(written), tuple(skipped), manifest.current, tuple(notes))


def _origin(lineage: Mapping[str, Any]) -> tuple[Any, Any]:
    return lineage.get("program_sha256"), lineage.get("config_sha256")


def _following(known: Sequence[StoredVersion], interface: Any) -> Version:
    if not known:
        return Version(1, 0, 0)
    last = parse_version(known[-1].version)
    if differences(known[-1].interface, interface):
        return Version(last.major + 1, 0, 0)
    return Version(last.major, last.minor + 1, 0)

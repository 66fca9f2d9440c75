"""The versions of one model on a device: the one in use, the one before it, and the step between them.

A model's folder is what ``cliplab.registry.CurrentModel`` follows: .tflite files, and model_manifest.json, whose
replacement is the only step by which a version comes into use. A process that is killed at any moment leaves the old
manifest or the new one, and both name files that are whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.errors import BundleError
from adapters.system import sha256_file, storage_error, write_json_atomic
from cliplab.registry import MANIFEST_NAME, read_manifest
from cliplab.rollout.device.errors import DeviceError

# The client's own files are in this folder beside those of the models.
PRIVATE = ".device"
# A part of a target path that becomes a name of a folder or file here.
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
# What changes when a file does: inode, size in bytes, time of modification in nanoseconds.
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class InstalledVersion:
    """A version of a model on this device.

    Attributes:
        version: Its version, such as "1.2.0".
        sha256: Of its file.
        file: The name of its file in the model's folder.
        installed: When it was installed by this device's clock, seconds since 1970.
    """

    version: str
    sha256: str
    file: str
    installed: float

    @property
    def short(self) -> str:
        """The beginning of its digest, for messages."""
        return self.sha256[:12]


class InstalledModel:
    """One model's folder.

    Args:
        folder: The folder of all models.
        name: The model's name, which becomes the name of its folder.
    """

    def __init__(self, folder: Path, name: str) -> None:
        if not _PART.fullmatch(name):
            raise DeviceError(
                f"the registry has a model named {name!r:.100}, which cannot be the name of a folder: A-Z a-z 0-9 . "
                "_ + - are allowed. Rename it in the registry."
            )
        self.name, self.folder = name, folder / name
        self._read: tuple[Stamp, dict[str, Any]] | None = None
        self._whole: dict[str, Stamp] = {}

    def current(self) -> InstalledVersion | None:
        """The version in use; None before the first."""
        return self._version("current")

    def previous(self) -> InstalledVersion | None:
        """The version to go back to; None where there is none."""
        return self._version("previous")

    def is_whole(self, version: InstalledVersion) -> bool:
        """Whether the version's file is there, byte for byte."""
        path = self.folder / version.file
        with contextlib.suppress(OSError):
            return path.is_file() and sha256_file(path) == version.sha256
        return False

    def seems_whole(self, version: InstalledVersion) -> bool:
        """As ``is_whole``, and the bytes are read again only where the file has changed since."""
        stamp = file_stamp(self.folder / version.file)
        if stamp is None:
            return False
        if self._whole.get(version.file) == stamp:
            return True
        if not self.is_whole(version):
            return False
        self._whole[version.file] = stamp
        return True

    def install(
        self, checked: Path, version: str, sha256: str, now: float, verified: Stamp | None = None
    ) -> InstalledVersion:
        """Bring a checked file into use, in one step, and keep the version before it.

        Args:
            checked: The file, on the same file system; it is moved.
            version: Its version.
            sha256: Its digest.
            now: Seconds since 1970.
            verified: The file's stamp when its digest was found right; None to read it again.

        Raises:
            StorageError: It cannot be moved, or the manifest cannot be written; the version in use stays.
        """
        before = self.current()
        new = InstalledVersion(version, sha256, self._file_name(version, sha256), now)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            os.replace(checked, self.folder / new.file)
            _sync(self.folder)
        except OSError as error:
            raise storage_error(self.folder / new.file, error) from error
        if verified is not None and verified == file_stamp(self.folder / new.file):
            self._whole[new.file] = verified
        if before is not None and (before.sha256 == sha256 or not self.seems_whole(before)):
            before = self.previous() if before.sha256 == sha256 else None
        self._write(new, before)
        return new

    def swap(self, now: float) -> InstalledVersion | None:
        """Bring the version before into use and keep the present one as the one before; None where there is none.

        Args:
            now: Seconds since 1970.

        Raises:
            StorageError: The manifest cannot be written.
        """
        current, previous = self.current(), self.previous()
        if previous is None or not self.is_whole(previous):
            return None
        swapped = replace(previous, installed=now)
        self._write(swapped, current)
        return swapped

    def go_back(self, now: float) -> InstalledVersion | None:
        """Bring the version before into use and forget the present one; None where there is none that is whole.

        Args:
            now: Seconds since 1970.

        Raises:
            StorageError: The manifest cannot be written.
        """
        previous = self.previous()
        if previous is None or not self.is_whole(previous):
            return None
        returned = replace(previous, installed=now)
        self._write(returned, None)
        return returned

    def rename(self, version: str) -> None:
        """Call the version in use by another name: the registry has the same file under it.

        Args:
            version: The name.

        Raises:
            StorageError: The manifest cannot be written.
        """
        current = self.current()
        if current is not None:
            self._write(replace(current, version=version), self.previous())

    def prune(self) -> None:
        """Remove files of versions that are neither in use nor the one before."""
        kept = {version.file for version in (self.current(), self.previous()) if version is not None}
        for path in self.folder.glob("*.tflite"):
            if path.name not in kept:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _write(self, current: InstalledVersion, previous: InstalledVersion | None) -> None:
        versions = [current] + ([] if previous is None or previous.file == current.file else [previous])
        document = {
            "current": current.file,
            "previous": versions[1].file if len(versions) > 1 else None,
            "models": [
                {
                    "name": item.file,
                    "created": datetime.fromtimestamp(max(item.installed, 0), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "metrics": {},
                    "version": item.version,
                    "sha256": item.sha256,
                    "installed": item.installed,
                }
                for item in versions
            ],
        }
        write_json_atomic(self.folder / MANIFEST_NAME, document)

    def _document(self) -> dict[str, Any]:
        """The manifest, which is read again where it has changed."""
        stamp = file_stamp(self.folder / MANIFEST_NAME)
        if self._read is None or stamp is None or self._read[0] != stamp:
            document = read_manifest(self.folder).document
            if stamp is None:
                return document
            self._read = (stamp, document)
        return self._read[1]

    def _version(self, key: str) -> InstalledVersion | None:
        try:
            document = self._document()
        except BundleError:  # of another program, or damaged: as if nothing were installed
            return None
        entry: dict[str, Any] | None = next(
            (item for item in document["models"] if item["name"] == document.get(key) and document.get(key)), None
        )
        if entry is None or not isinstance(entry.get("version"), str) or not isinstance(entry.get("sha256"), str):
            return None
        installed = entry.get("installed")
        return InstalledVersion(
            entry["version"],
            entry["sha256"],
            entry["name"],
            float(installed) if isinstance(installed, int | float) else 0.0,
        )

    def _file_name(self, version: str, sha256: str) -> str:
        name = f"{self.name}-v{version}.tflite" if _PART.fullmatch(version) else f"{sha256[:16]}.tflite"
        path = self.folder / name
        if path.exists() and sha256_file(path) != sha256:  # a version that was made again, or a damaged file in use
            name = f"{Path(name).stem}-{sha256[:8]}.tflite"
        return name


def model_folders(folder: Path) -> list[str]:
    """The names of the models that are installed.

    Args:
        folder: The folder of all models.
    """
    with contextlib.suppress(OSError):
        return sorted(
            path.name for path in folder.iterdir() if _PART.fullmatch(path.name) and (path / MANIFEST_NAME).is_file()
        )
    return []


def file_stamp(path: Path) -> Stamp | None:
    """What changes when a file does; None where there is no file.

    Args:
        path: The file.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder, or of the nearest folder above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _sync(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

"""A folder of files under one list of SHA-256 digests: replaced as a whole, or not at all.

How it stays whole. New files are written under ``.cliplab-staged/``; then ``bundle.json`` with their digests replaces
the old one in one rename: that is the commit. Only then are the staged files moved to their names, and reading takes a
staged file where the one in place is not the one that is listed. So a process killed at any moment leaves the old
content or the new one, and a folder that never had any is refused, because it has no ``bundle.json``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.atomic import storage_error, write_bytes_atomic
from adapters.errors import BundleError

MANIFEST = "bundle.json"
FORMAT = "cliplab-bundle"
VERSION = 1
_STAGED = ".cliplab-staged"
# Plain names only: no "..", no hidden file, no drive letter, no separator but "/".
_PART = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_NAME = re.compile(rf"{_PART}(/{_PART}){{0,7}}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RETRY_SECONDS = (0.02, 0.05, 0.2)


@dataclass(frozen=True)
class SealedFile:
    """A listed file. path: where it is now. label: what messages call it. sha256, size: what it must be."""

    path: Path
    label: str
    sha256: str
    size: int

    def read(self) -> bytes:
        """Its bytes, verified. Raises BundleError naming the file."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise BundleError(f"{self.label}: cannot be read ({error.strerror}). Copy the bundle again.") from error
        if len(data) != self.size:
            raise BundleError(
                f"{self.label}: is damaged: {len(data)} bytes, {MANIFEST} lists {self.size}. Copy the bundle again."
            )
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise BundleError(
                f"{self.label}: is damaged or was changed (SHA-256 differs from {MANIFEST}). "
                "Copy the bundle again; to change a model, save it again."
            )
        return data


@dataclass(frozen=True)
class Sealed:
    """What was read: the listed files, the content of those that were asked for, and the digest of the whole list."""

    files: dict[str, SealedFile]
    contents: dict[str, bytes]
    digest: str


def check_name(name: str, where: str) -> None:
    """BundleError for a name that could lead out of the folder or hide in it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == MANIFEST:
        raise BundleError(
            f"{where}: {name!r} is not allowed as a file's name in a bundle. Names are relative, with letters, digits "
            "and ._+- in each part, and no part begins with a dot."
        )


def write_sealed(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put these files in the folder, new or existing, in place of the sealed files that are there.

    Raises StorageError (full disk, read-only, a path that is a file) with the old content unchanged, and BundleError
    for a name that is not allowed, for a folder with visible files that were not sealed there, and while another
    process writes into it.
    """
    for name in files:
        check_name(name, str(folder))
    if len({name.casefold() for name in files}) < len(files):
        raise BundleError(f"{folder}: two files differ only in upper and lower case: {sorted(files)}. Rename one.")
    created = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            old = _finish_last_write(folder)
            _refuse_unlisted(folder, old, "A bundle is not written over other files. Choose a new folder, or move it")
            _stage_and_commit(folder, files)
            _settle(folder, files, old)
    except BaseException as error:
        if created:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise storage_error(folder, error) from error
        raise


def read_sealed(
    folder: Path, required: tuple[str, ...], optional: tuple[str, ...] = (), verify_all: bool = True
) -> Sealed:
    """Verify the files of the folder; the contents of the required and the optional ones are kept. Writes nothing.

    verify_all: every listed file, and that there is no other; otherwise only those whose contents are kept.
    Raises BundleError naming the file that is missing, damaged or not listed; a folder that was never finished, is of
    another kind or of a newer version; a list that leads out of the folder. Where another process is replacing the
    content meanwhile, it is read again.
    """
    for seconds in (*_RETRY_SECONDS, None):
        before = _state(folder)
        try:
            return _read_once(folder, required, optional, verify_all)
        except BundleError:
            if seconds is None or (_state(folder) == before and not (folder / _STAGED).exists()):
                raise
        time.sleep(seconds)
    raise AssertionError("unreachable")


def _read_once(folder: Path, required: tuple[str, ...], optional: tuple[str, ...], verify_all: bool) -> Sealed:
    entries, digest = _read_manifest(folder)
    for name in required:
        if name not in entries:
            raise BundleError(f"{folder / name}: is not in {MANIFEST}, and every bundle has one. Save the model again.")
    wanted = (*required, *optional)
    names = [name for name in entries if verify_all or name in wanted]
    files = {name: _locate(folder, name, entries[name]["sha256"], entries[name]["size_bytes"]) for name in names}
    if verify_all:
        _refuse_unlisted(folder, files, f"Nothing in {MANIFEST} vouches for it. Move it")
    contents = {}
    for name, file in files.items():
        data = file.read()
        if name in wanted:
            contents[name] = data
    return Sealed(files, contents, digest)


def _read_manifest(folder: Path) -> tuple[dict[str, dict[str, Any]], str]:
    """The list of files and its digest."""
    path = folder / MANIFEST
    try:
        _refuse_link(folder, path)
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(_why_no_manifest(folder, error)) from error
    try:
        manifest = json.loads(data)
        kind, version = manifest["format"], manifest["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: is damaged or foreign ({error!r:.80}). Copy or save the bundle again.") from error
    if kind != FORMAT:
        raise BundleError(f"{path}: has format {kind!r}, {FORMAT!r} is expected. This folder is not a bundle of ours.")
    if version != VERSION:
        raise BundleError(f"{path}: has version {version!r}, this cliplab reads {VERSION}. Install a newer cliplab.")
    files = manifest.get("files")
    if not isinstance(files, dict) or manifest.get("digest") != _digest(files):
        raise BundleError(f"{path}: is damaged or was edited (its own digest differs). Copy or save the bundle again.")
    for name, entry in files.items():
        check_name(name, str(path))
        if not _is_entry(entry):
            raise BundleError(f"{path}: {name} has no valid sha256 and size_bytes ({entry!r:.60}). Save it again.")
    return files, manifest["digest"]


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and bool(_SHA256.fullmatch(entry["sha256"]))
        and type(entry.get("size_bytes")) is int
    )


def _why_no_manifest(folder: Path, error: OSError) -> str:
    if not folder.exists():
        return f"{folder}: does not exist. Name a folder that a model was saved to."
    if not folder.is_dir():
        return f"{folder}: is a file, a bundle is a folder. A .tflite that describes itself is loaded as it is."
    if (folder / _STAGED).exists():
        return f"{folder}: was never finished (no {MANIFEST}): saving was interrupted. Save the model again."
    return f"{folder / MANIFEST}: cannot be read ({error.strerror}), so this is no bundle. Name a folder that has one."


def _manifest_bytes(files: Mapping[str, bytes]) -> bytes:
    entries = {n: {"sha256": hashlib.sha256(files[n]).hexdigest(), "size_bytes": len(files[n])} for n in sorted(files)}
    manifest = {"format": FORMAT, "version": VERSION, "files": entries, "digest": _digest(entries)}
    return (json.dumps(manifest, indent=2) + "\n").encode()


def _digest(entries: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _locate(folder: Path, name: str, sha256: str, size: int) -> SealedFile:
    """The listed file: in place, or staged where moving it there was interrupted."""
    in_place, staged = folder / name, folder / _STAGED / name
    if staged.is_file() and not _is(in_place, sha256) and _is(staged, sha256):
        in_place = staged
    label = str(folder / name)
    _refuse_link(folder, in_place)
    try:
        mode = in_place.stat().st_mode
    except OSError as error:
        raise BundleError(f"{label}: is missing, {MANIFEST} lists it. Copy the bundle again, whole.") from error
    if not stat.S_ISREG(mode):
        raise BundleError(f"{label}: is not a regular file. Copy the bundle again.")
    return SealedFile(in_place, label, sha256, size)


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _refuse_link(folder: Path, path: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(
            f"{path}: is a link that leads out of the bundle. Copy the bundle with its files, not its links."
        )


def _refuse_unlisted(folder: Path, listed: Mapping[str, object], advice: str) -> None:
    """Hidden files are the file system's and other tools' own business; everything else must be listed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted([*names, *links]):
            relative = Path(parent, name).relative_to(folder).as_posix()
            if not name.startswith(".") and relative != MANIFEST and relative not in listed:
                raise BundleError(f"{folder / relative}: is not a file of this bundle. {advice} out of {folder}.")


def _state(folder: Path) -> bytes | None:
    try:
        return (folder / MANIFEST).read_bytes()
    except OSError:
        return None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time, where the system has such locks; the lock goes with the process, also when killed."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BundleError(f"{folder}: another process is writing this bundle. Wait, or choose a folder.") from error
        except OSError:  # a network file system without locks
            pass
        yield
    finally:
        os.close(handle)


def _finish_last_write(folder: Path) -> dict[str, dict[str, Any]]:
    """Complete a write that was killed after its commit, drop one killed before it; the files that are listed now."""
    files: dict[str, dict[str, Any]] = {}
    if (folder / MANIFEST).exists():
        files, _ = _read_manifest(folder)
        for name, entry in files.items():
            staged = folder / _STAGED / name
            if staged.is_file() and not _is(folder / name, entry["sha256"]) and _is(staged, entry["sha256"]):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(staged, folder / name)
    _remove_staged(folder)
    return files


def _stage_and_commit(folder: Path, files: Mapping[str, bytes]) -> None:
    manifest = _manifest_bytes(files)
    try:
        for name, data in files.items():
            write_bytes_atomic(folder / _STAGED / name, data)
        write_bytes_atomic(folder / MANIFEST, manifest)
    except BaseException:
        # Ctrl-C may come just after the commit: then the staged files are the content.
        if _state(folder) != manifest:
            _remove_staged(folder)
        raise


def _settle(folder: Path, files: Mapping[str, bytes], old: Mapping[str, object]) -> None:
    """After the commit: move staged files to their names and remove those that are no longer listed."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / _STAGED / name, folder / name)
    for name in set(old) - set(files):
        (folder / name).unlink(missing_ok=True)
        for parent in list(Path(name).parents)[:-1]:
            with contextlib.suppress(OSError):  # not empty
                (folder / parent).rmdir()
    _remove_staged(folder)


def _remove_staged(folder: Path) -> None:
    shutil.rmtree(folder / _STAGED, ignore_errors=True)
    for stray in folder.glob(f".{MANIFEST}.*.tmp"):
        stray.unlink(missing_ok=True)

"""Writing a folder of sealed files in one step; sealed_folder.py says how it stays whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from adapters.bundle.sealed_folder import (
    FORMAT,
    OBSOLETE,
    SEAL,
    STAGED,
    VERSION,
    check_name,
    has_digest,
    list_digest,
    obsolete_names,
    read_seal,
    refuse_link,
    refuse_unlisted,
    write_state,
)
from adapters.errors import BundleError, StorageError
from adapters.system import file_lock, storage_error, write_bytes_atomic

_NOT_OVER_OTHERS = "A bundle never replaces other files. Choose a new folder, or move this file"


def write_sealed(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files into a folder, new or existing, in place of the sealed files that it may hold.

    Args:
        folder: The folder.
        files: The bytes of each file by relative name.

    Raises:
        StorageError: The folder cannot be written (full disk, read-only, a path that is a file). The old content is
            unchanged; after the commit, the new content is whole, and the message says so.
        BundleError: A name is not allowed, the folder has visible files that were not sealed there, or another process
            is writing into it.
    """
    for name in files:
        check_name(name, str(folder))
    if len({name.casefold() for name in files}) < len(files):
        raise BundleError(f"{folder}: two files differ only in upper and lower case: {sorted(files)}. Rename one.")
    created = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder, busy=lambda holder: _busy(folder, holder)):
            old = _finish_last_write(folder)
            refuse_unlisted(folder, old, _NOT_OVER_OTHERS)
            _stage_and_commit(folder, files, sorted(set(old) - set(files)))
            try:
                _settle(folder, files)
            except OSError as error:
                raise StorageError(
                    f"{folder}: the new bundle is saved and can be loaded, but its files could not all be moved into "
                    f"place ({error.strerror}). Free some space or check permissions, then save again."
                ) from error
    except BaseException as error:
        if created:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise storage_error(folder, error) from error
        raise


def require_own(folder: Path) -> None:
    """Check before long work what ``write_sealed`` requires of an existing folder. Nothing is changed.

    Args:
        folder: The folder.

    Raises:
        BundleError: It has visible files that were not sealed there, or its list of files cannot be read.
    """
    listed = read_seal(folder)[0] if (folder / SEAL).exists() else {}
    refuse_unlisted(folder, {*listed, *obsolete_names(folder)}, _NOT_OVER_OTHERS)


def seal_of(files: Mapping[str, bytes]) -> bytes:
    """The bytes of ``bundle.json`` for the files of a sealed folder.

    Args:
        files: The bytes of each file by relative name.
    """
    entries = {n: {"sha256": hashlib.sha256(files[n]).hexdigest(), "size_bytes": len(files[n])} for n in sorted(files)}
    manifest = {"format": FORMAT, "version": VERSION, "files": entries, "digest": list_digest(entries)}
    return (json.dumps(manifest, indent=2) + "\n").encode()


def _busy(folder: Path, holder: str) -> BundleError:
    return BundleError(f"{folder}: {holder} is writing this bundle. Wait, or choose a folder.")


def _finish_last_write(folder: Path) -> dict[str, dict[str, Any]]:
    """Complete a write that was killed after its commit, drop one killed before it; the files that are listed now."""
    files: dict[str, dict[str, Any]] = {}
    if (folder / SEAL).exists():
        files, _ = read_seal(folder)
        _settle(folder, [name for name, entry in files.items() if _is_waiting(folder, name, entry["sha256"])])
    _remove_staged(folder)
    return files


def _is_waiting(folder: Path, name: str, sha256: str) -> bool:
    return has_digest(folder / STAGED / name, sha256) and not has_digest(folder / name, sha256)


def _stage_and_commit(folder: Path, files: Mapping[str, bytes], obsolete: list[str]) -> None:
    manifest = seal_of(files)
    try:
        for name, data in files.items():
            write_bytes_atomic(folder / STAGED / name, data)
        write_bytes_atomic(folder / STAGED / OBSOLETE, json.dumps(obsolete).encode())
        write_bytes_atomic(folder / SEAL, manifest)
    except BaseException:
        # Ctrl-C may come just after the commit: then the staged files are the content.
        version = write_state(folder).version
        if version is None or version[0] != manifest:
            _remove_staged(folder)
        raise


def _settle(folder: Path, names: Iterable[str]) -> None:
    """After the commit: move staged files to their names and remove those of the old content that are not listed."""
    listed, _ = read_seal(folder)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / STAGED / name, folder / name)
    for name in set(obsolete_names(folder)) - set(listed):
        refuse_link(folder, folder / name)
        (folder / name).unlink(missing_ok=True)
        for parent in list(Path(name).parents)[:-1]:
            with contextlib.suppress(OSError):  # not empty
                (folder / parent).rmdir()
    _remove_staged(folder)


def _remove_staged(folder: Path) -> None:
    staged = folder / STAGED
    if staged.is_symlink():  # not ours: writing through it would lead out of the folder
        staged.unlink()
    shutil.rmtree(staged, ignore_errors=True)
    for stray in folder.glob(f".{SEAL}.*.tmp"):
        stray.unlink(missing_ok=True)

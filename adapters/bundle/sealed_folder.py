"""A folder of files under one list of SHA-256 digests: replaced as a whole, or not at all.

How it stays whole. New files are written under ``.cliplab-staged/``; then ``bundle.json`` with their digests replaces
the old one in one rename: that is the commit. Only then are the staged files moved to their names, and reading takes a
staged file where the one in place is not the one that is listed. So a process killed at any moment leaves the old
content or the new one, and a folder that never had any is refused, because it has no ``bundle.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, cast

from adapters.errors import BundleError
from adapters.system import MAX_DEPTH, file_digest, open_regular_file, parse_json, read_regular_bytes

SEAL = "bundle.json"
FORMAT = "cliplab-bundle"
VERSION = 1
STAGED = ".cliplab-staged"
OBSOLETE = ".obsolete"  # beside the staged files: which files of the old content are to go
# Plain names only: no "..", no hidden file, no drive letter, no separator but "/".
_PART = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_NAME = re.compile(rf"{_PART}(/{_PART}){{0,7}}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# A read that meets a writer is repeated: as long as the content keeps changing up to the first, and for a write that
# stands still (interrupted, or slow) up to the second. At least so many times, too: on a machine that stalls, the time
# may pass between two steps of one read.
_CHANGING_SECONDS, _CHANGING_READS = 10.0, 100
_STANDING_SECONDS, _STANDING_READS = 0.3, 3
_RETRY_SECONDS = 0.02
MAX_SEAL_BYTES = 16_000_000  # of bundle.json, which names each file with its digest
MAX_CONTENT_BYTES = 64_000_000  # of each file that is read whole as text: the config, the metrics and the card


@dataclass(frozen=True)
class SealedFile:
    """A listed file.

    Attributes:
        path: Where it is now, in its place or staged.
        label: What messages call it.
        sha256: The digest that it must have, in hexadecimal.
        size: The size that it must have, in bytes.
    """

    path: Path
    label: str
    sha256: str
    size: int

    def read(self) -> bytes:
        """Its bytes, verified. Raises BundleError naming the file."""
        try:
            with open_regular_file(self.path, BundleError) as file:
                data = file.read(self.size + 1)  # one byte more shows that there are others
        except OSError as error:
            raise self._unreadable(error) from error
        self._check(len(data), hashlib.sha256(data).hexdigest())
        return data

    def verify(self) -> None:
        """The same without keeping its bytes, in a small buffer: three times as fast as reading a large file whole."""
        try:
            with open_regular_file(self.path, BundleError) as file:
                sha256 = hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()
                size = file.tell()
        except OSError as error:
            raise self._unreadable(error) from error
        self._check(size, sha256)

    def _unreadable(self, error: OSError) -> BundleError:
        return BundleError(f"{self.label}: cannot be read ({error.strerror}). Copy the bundle again.")

    def _check(self, size: int, sha256: str) -> None:
        if size != self.size:
            raise BundleError(
                f"{self.label}: is damaged: {size} bytes, {SEAL} lists {self.size}. Copy the bundle again."
            )
        if sha256 != self.sha256:
            raise BundleError(
                f"{self.label}: is damaged or was changed (SHA-256 differs from {SEAL}). "
                "Copy the bundle again; to change a model, save it again."
            )


@dataclass(frozen=True)
class SealedContents:
    """What was read of a sealed folder.

    Attributes:
        files: The listed files by name.
        contents: The bytes of those that were asked for.
        digest: The SHA-256 of the whole list.
    """

    files: dict[str, SealedFile]
    contents: dict[str, bytes]
    digest: str


def check_name(name: str, where: str) -> None:
    """Refuse a name that could lead out of the folder or hide in it.

    Args:
        name: A relative name with "/" between parts.
        where: What messages call the folder.

    Raises:
        BundleError: The name is not allowed.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == SEAL:
        raise BundleError(
            f"{where}: {name!r} is not allowed as the name of a file in a bundle. Names are relative; each part has "
            "letters, digits and ._+- and does not begin with a dot."
        )


def read_sealed(folder: Path, required: tuple[str, ...], *, verify_all: bool = True) -> SealedContents:
    """Verify the files of a folder. Nothing is written.

    If another process is replacing the content meanwhile, it is read again.

    Args:
        folder: The folder.
        required: The files whose contents are kept.
        verify_all: Whether to verify every listed file, and that there is no other; if not, only the required ones.

    Raises:
        BundleError: A file is missing, damaged or not listed (the message names it); the folder was never finished, is
            of another kind or of a newer version; or its list leads out of the folder.
    """
    started = changed = time.monotonic()
    reads = standing = 0
    while True:
        before = write_state(folder)
        try:
            return _read_once(folder, required, verify_all)
        except (BundleError, OSError) as error:
            after, now = write_state(folder), time.monotonic()
            reads, standing = reads + 1, standing + 1
            if after != before:
                changed, standing = now, 0
            writing = after != before or after.pending
            too_long = now - started > _CHANGING_SECONDS and reads >= _CHANGING_READS
            stands = now - changed > _STANDING_SECONDS and standing >= _STANDING_READS
            if not writing or too_long or stands:
                if isinstance(error, OSError):
                    advice = "Check the disk and its permissions."
                    raise BundleError(f"{folder}: cannot be read ({error.strerror}). {advice}") from error
                raise
        time.sleep(_RETRY_SECONDS)


def _read_once(folder: Path, required: tuple[str, ...], verify_all: bool) -> SealedContents:
    entries, digest = read_seal(folder)
    for name in required:
        if name not in entries:
            raise BundleError(
                f"{folder / name}: is missing from {SEAL}; every bundle has this file. Save the model again."
            )
    names = [name for name in entries if verify_all or name in required]
    files = {name: _locate(folder, name, entries[name]["sha256"], entries[name]["size_bytes"]) for name in names}
    if verify_all:
        refuse_unlisted(folder, {*files, *obsolete_names(folder)}, f"{SEAL} does not list it. Move it")
    contents = {}
    for name, file in files.items():
        if name in required:
            if file.size > MAX_CONTENT_BYTES:
                raise BundleError(f"{file.label}: has {file.size:,} bytes; at most {MAX_CONTENT_BYTES:,} are allowed.")
            contents[name] = file.read()
        else:
            file.verify()
    return SealedContents(files, contents, digest)


def read_seal(folder: Path) -> tuple[dict[str, dict[str, Any]], str]:
    """Read the list of files.

    Args:
        folder: The sealed folder.

    Returns:
        ``sha256`` and ``size_bytes`` of each file by name, and the digest of the list.

    Raises:
        BundleError: The list is missing, damaged, or of another kind or version.
    """
    path = folder / SEAL
    try:
        refuse_link(folder, path)
        data = read_regular_bytes(path, MAX_SEAL_BYTES, BundleError)
    except OSError as error:
        raise BundleError(_why_no_seal(folder, error)) from error
    try:
        manifest = parse_json(data, MAX_DEPTH)
        kind, version = manifest["format"], manifest["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            f"{path}: is damaged, or another program wrote it ({_why(error)}). Copy or save the bundle again."
        ) from error
    if kind != FORMAT:
        raise BundleError(f"{path}: has format {kind!r}; {FORMAT!r} is expected. This folder is not a cliplab bundle.")
    if version != VERSION:
        raise BundleError(f"{path}: has version {version!r}; this cliplab reads {VERSION}. Install a newer cliplab.")
    files = manifest.get("files")
    if not isinstance(files, dict) or manifest.get("digest") != list_digest(files):
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


def _why(error: Exception) -> str:
    """Why a list of files was not understood, in words."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    return f"{error!s:.80}" if isinstance(error, ValueError) else "it is not an object"


def _why_no_seal(folder: Path, error: OSError) -> str:
    if not folder.exists():
        return f"{folder}: does not exist. Give the folder that a model was saved to."
    if not folder.is_dir():
        return f"{folder}: is a file; a bundle is a folder. A self-describing .tflite is opened directly."
    if (folder / STAGED).exists():
        return f"{folder}: is incomplete (it has no {SEAL}): saving was interrupted. Save the model again."
    if isinstance(error, FileNotFoundError):
        return f"{folder / SEAL}: is missing, so this folder is not a bundle. Give a folder that cliplab train wrote."
    return f"{folder / SEAL}: cannot be read ({error.strerror}). Check the disk and its permissions."


def list_digest(entries: Mapping[str, Any]) -> str:
    """SHA-256 of the list of files as canonical JSON: what tells one bundle from another."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _locate(folder: Path, name: str, sha256: str, size: int) -> SealedFile:
    """The listed file: in place, or staged where moving it there was interrupted."""
    in_place, staged = folder / name, folder / STAGED / name
    if staged.is_file() and not has_digest(in_place, sha256) and has_digest(staged, sha256):
        in_place = staged
    label = str(folder / name)
    refuse_link(folder, in_place)
    try:
        mode = in_place.stat().st_mode
    except OSError as error:
        raise BundleError(f"{label}: is missing, although {SEAL} lists it. Copy the whole bundle again.") from error
    if not stat.S_ISREG(mode):
        raise BundleError(f"{label}: is not a regular file. Copy the bundle again.")
    return SealedFile(in_place, label, sha256, size)


def has_digest(path: Path, sha256: str) -> bool:
    """Whether a file is there and has these contents."""
    try:
        return path.is_file() and file_digest(path) == sha256
    except FileNotFoundError:  # moved meanwhile
        return False


def refuse_link(folder: Path, path: Path) -> None:
    """BundleError for a path that leads out of the folder through a symbolic link, or in a circle."""
    real = os.path.realpath(path)  # Path.resolve raises RuntimeError for links in a circle
    if os.path.islink(real):
        raise BundleError(f"{path}: is a link that leads to itself. Copy the bundle with its files, not its links.")
    if not Path(real).is_relative_to(os.path.realpath(folder)):
        raise BundleError(
            f"{path}: is a link that leads out of the bundle. Copy the bundle with its files, not its links."
        )


def refuse_unlisted(folder: Path, listed: Collection[str], advice: str) -> None:
    """Hidden files are the file system's and other tools' own business; everything else must be listed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted([*names, *links]):
            relative = Path(parent, name).relative_to(folder).as_posix()
            if not name.startswith(".") and relative != SEAL and relative not in listed:
                raise BundleError(f"{folder / relative}: is not a file of this bundle. {advice} out of {folder}.")


class WriteState(NamedTuple):
    """What changes with each write. version: of the list of files; two writes may leave equal bytes, so its inode and
    time count too. pending: a write is under way or was interrupted."""

    version: tuple[bytes, int, int] | None
    pending: bool


def write_state(folder: Path) -> WriteState:
    """Compared before and after a read, it tells whether the content was replaced meanwhile."""
    try:
        with open_regular_file(folder / SEAL, BundleError) as file:
            status = os.fstat(file.fileno())
            version = (file.read(MAX_SEAL_BYTES), status.st_ino, status.st_mtime_ns)
    except (BundleError, OSError):
        version = None
    return WriteState(version, (folder / STAGED).exists())


def obsolete_names(folder: Path) -> list[str]:
    """Files that an interrupted write had still to remove."""
    try:
        names = json.loads(read_regular_bytes(folder / STAGED / OBSOLETE, MAX_SEAL_BYTES, BundleError))
    except (FileNotFoundError, NotADirectoryError, BundleError, ValueError, RecursionError):
        return []
    names = names if isinstance(names, list) else []
    return [name for name in names if isinstance(name, str) and _NAME.fullmatch(name)]

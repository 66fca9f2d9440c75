"""What a weights file is, by its first bytes: its true fault is said before anything else is.

A download that failed leaves a web page, a pointer of Git LFS or nothing under the name of the weights.
"""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path
from typing import Literal

from adapters.errors import WeightsError

WeightsKind = Literal["torch", "safetensors", "hdf5", "zip", "tflite"]
# The largest weights file that is read, in bytes. The largest network here has weights of 130 MB; a training's
# checkpoint has three times as much, and the copies that it keeps.
MAX_FILE_BYTES = 4 << 30
_HEAD_BYTES = 1024
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")
# The start of a file -> what it is, and what to do.
_OTHERS = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself. Run `git lfs pull` in its repository"),
    (b"/annex/objects/", "is a git-annex pointer, not the file itself. Run `git annex get` in its repository"),
    (b"\x1f\x8b", "is compressed with gzip. Unpack it and give the file inside"),
    (b"BZh", "is compressed with bzip2. Unpack it and give the file inside"),
    (b"\xfd7zXZ", "is compressed with xz. Unpack it and give the file inside"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd. Unpack it and give the file inside"),
    (b"7z\xbc\xaf", "is a 7z archive. Unpack it and give the file inside"),
    (b"Rar!", "is a RAR archive. Unpack it and give the file inside"),
    (b"\x93NUMPY", "is a NumPy array. Save the weights as .safetensors or as a PyTorch state dict"),
    (b"<?xml", "is XML text, such as a storage server's error, not weights. Download the file again"),
)


def read_weights_bytes(path: Path | str) -> bytes:
    """The bytes of a weights file, once it is known that it can hold weights.

    Args:
        path: The file.

    Raises:
        WeightsError: It is missing, not a regular file, empty, too large, or plainly something else; the message says
            which.
    """
    path = Path(path)
    require_regular_file(path)
    try:
        data = path.read_bytes()
    except (OSError, MemoryError) as error:
        raise _unreadable(path, error) from error
    if reason := _what_else(data[:_HEAD_BYTES]):
        raise WeightsError(f"{path} {reason}.")
    return data


def require_regular_file(path: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
    """Refuse what cannot be a weights file, without reading it.

    Args:
        path: The file.
        max_bytes: The largest file that is allowed.

    Raises:
        WeightsError: It is missing, a folder, a pipe or a device, empty, or larger than that.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        raise WeightsError(f"{path} could not be read: it is a folder. Give the weights file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise WeightsError(f"{path} could not be read: it is a pipe, a socket or a device. Give a regular file.")
    if not found.st_size:
        raise WeightsError(f"{path} is empty (0 bytes). Download or copy it again.")
    if found.st_size > max_bytes:
        raise WeightsError(
            f"{path} has {found.st_size} bytes; at most {max_bytes} are allowed. Save only the weights, without the "
            "state of the optimizer."
        )


def weights_kind(data: bytes) -> WeightsKind | None:
    """Which format the bytes of a weights file begin as; None if none that is known.

    Args:
        data: The file, or its first 1024 bytes.
    """
    if data[:4] == b"PK\x03\x04":
        return "zip"  # of PyTorch since 1.6, or of Keras 3
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    if data[4:8] == b"TFL3":
        return "tflite"
    if data[8:9] == b"{" and data[6:8] == b"\0\0":  # a length of 8 bytes, then JSON
        return "safetensors"
    return "torch" if data[:1] == b"\x80" else None


def _what_else(head: bytes) -> str | None:
    """What the first bytes are plainly of, with what to do; None if they may be weights."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:20].lower().startswith(_HTML):
        return "is a web page (HTML), not weights: the link leads to a page. Download the file itself"
    for mark, meaning in _OTHERS:
        if start.startswith(mark):
            return meaning
    if head[257:262] == b"ustar" or (len(head) == _HEAD_BYTES and _is_tar_header(head[:512])):
        return "is a tar archive. Unpack it and give the file inside"
    if start.startswith(b"{") and b'"weight_map"' in head:
        return "is the list of weights that were saved in several files. Save them as one file, and give that"
    if weights_kind(head) is None and _is_text(head):
        return f"is text that begins with {start[:40].decode('ascii', 'replace')!r}, not weights. Download it again"
    return None


def _is_tar_header(block: bytes) -> bool:
    try:
        return bool(tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").name)
    except tarfile.HeaderError:
        return False


def _is_text(head: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)


def _unreadable(path: Path, error: Exception) -> WeightsError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return WeightsError(f"weights file {path} could not be read ({reason}). Give the path of a readable file.")

"""Archives of SavedModels and checkpoints, unpacked within bounds of size and number, and nowhere else."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from adapters.errors import WeightsError
from adapters.models.weights import require_regular_file
from movinet_adapter.weights.checkpoint_graph import first_line

MAX_MEMBERS = 10_000
# Weights hardly compress, graphs by a factor of ten; so a small file that grows to gigabytes is not an archive of them.
MAX_EXPANSION = 20
_FREE_BYTES = 64 << 20  # what any archive may unpack to
_READ_BYTES = 8 << 20  # of a member's header and its extensions
_CHUNK_BYTES = 1 << 20


class ArchiveError(WeightsError):
    """An archive that is damaged, not whole, or holds what no weights need."""


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """The content of an archive in a temporary folder: files and folders only, none outside it.

    Args:
        archive: A .tar or .tar.gz.

    Yields:
        The folder.

    Raises:
        ArchiveError: The archive is damaged, not whole, holds anything else, or unpacks to more than its size allows.
        WeightsError: It is missing or empty.
    """
    require_regular_file(archive)
    with tempfile.TemporaryDirectory(prefix="cliplab_") as folder:
        content = Path(folder) / "content"
        content.mkdir()
        try:
            plain = _decompressed(archive, Path(folder) / "plain.tar")
            with plain.open("rb") as file, tarfile.open(fileobj=_Reader(file), mode="r:") as tar:
                for number, member in enumerate(tar):
                    if number >= MAX_MEMBERS:
                        raise ArchiveError(
                            f"{archive} holds more than {MAX_MEMBERS} files, more than any weights need."
                        )
                    _unpack_member(tar, member, content, archive, _limit(archive))
        except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, zlib.error) as error:
            raise ArchiveError(
                f"{archive} is not a complete .tar or .tar.gz ({first_line(error)}). Download it again, or give the "
                "unpacked folder."
            ) from error
        yield content


def _limit(archive: Path) -> int:
    return MAX_EXPANSION * archive.stat().st_size + _FREE_BYTES


def _decompressed(archive: Path, target: Path) -> Path:
    """The .tar inside a .tar.gz, in a file of its own; an archive that is not compressed as it is."""
    with archive.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return archive
    with gzip.open(archive, "rb") as source, target.open("wb") as file:
        _copy(source, file, _limit(archive), archive)
    return target


def _copy(source: Any, target: IO[bytes], limit: int, archive: Path) -> None:
    size = 0
    while chunk := source.read(_CHUNK_BYTES):
        size += len(chunk)
        if size > limit:
            raise ArchiveError(
                f"{archive} unpacks to more than {limit} bytes, which is {MAX_EXPANSION} times its size; weights "
                "do not compress that much. If the archive is right, unpack it and give the folder."
            )
        target.write(chunk)


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, archive: Path, limit: int) -> None:
    target = folder / member.name
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.isdir()
    if not plain or not target.resolve().is_relative_to(folder.resolve()):
        raise ArchiveError(
            f"{archive} holds {member.name!r:.200}, which is not a regular file or folder. Give an archive "
            "of a SavedModel or checkpoint."
        )
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None  # it is a file
    with source, target.open("xb") as file:
        _copy(source, file, limit, archive)


class _Reader(io.RawIOBase):
    """A file of which no more is read at once than a member's header needs: a header may claim any length."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _READ_BYTES:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

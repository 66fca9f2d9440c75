"""WebDataset: tar files in which the members of one name are one clip, such as ``000001.mp4`` and ``000001.json``."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset, Example, describe
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.text import not_empty, parse_json, type_and_value
from adapters.data.rows import make_dataset, to_row
from adapters.errors import DatasetError, StorageError
from adapters.media import VIDEO_SUFFIXES, is_hidden
from adapters.system import (
    atomic_file,
    cache_dir,
    check_regular_file,
    file_fingerprint,
    json_text,
    storage_error,
    whole_number,
)

_MAX_MEMBERS = 5_000_000
_MAX_LABEL_BYTES = 2**20
_SHARD_CLIPS, _SHARD_BYTES = 1000, 2**30
_LABEL_PARTS = ("json", "cls", "label", "txt")
_KEYS = ("label", "labels", "start_seconds", "end_seconds", "split", "group", "source", "fps")
_MANY_DIGITS = re.compile(rb"[0-9](?<![0-9].)[0-9]{99}", re.DOTALL)
_SAFE = re.compile(r"[^\w.,=+@ -]")


@dataclass
class _Sample:
    """The members of one name."""

    where: str
    parts: dict[str, bytes] = field(default_factory=dict)
    video: Path | None = None


def import_webdataset(
    path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS
) -> Dataset:
    """Read a tar file, or all of a folder. Its videos are written to a folder, since clips are read from files.

    A clip's label is that of its ``.json``, ``.cls``, ``.label`` or ``.txt``. Only regular members are read, and the
    name of the file that a video is written to has no folders in it.

    Args:
        path: A tar file without compression, or a folder of such files.
        labels: The order of the classes; None: as the clips first name them. A number in ``.cls`` is a place in it.
        options: Where the videos are written; None: below the cache folder, by the content of the tar file.

    Raises:
        DatasetError: A file is not a tar file, or a clip is wrong; names the member.
        StorageError: A video cannot be written.
    """
    path = Path(path)
    shards = sorted(path.glob("*.tar")) if path.is_dir() else [path]
    rows: list[tuple[str, dict[str, Any]]] = []
    skipped = 0
    for shard in shards:
        folder = Path(os.path.abspath(options.videos or _own_folder(shard))) / _SAFE.sub("_", shard.stem)
        samples, left = _read(shard, folder, not options.dry_run)
        skipped += left
        for sample in samples:
            if sample.video is None or not sample.parts:
                skipped += 1
                continue
            rows.append((sample.where, _row(sample, labels)))
    made = not_empty(make_dataset(rows, options.videos or path.parent, labels, extra_keys=True), path)
    notes = [f"{path}: {len(shards)} tar files; left out: {skipped} members or clips without a video or a label"]
    if options.dry_run:
        count = len({item.path for item in made.examples})
        notes.append(f"{path}: an import will write {count} videos, such as {made.examples[0].path}")
    return replace(made, notes=(*made.notes, *notes))


class _Member(tarfile.TarInfo):
    """A member of a tar file whose extended header is searched in a time that grows as its length does."""

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:  # a hook for subclasses
        if self.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
            at = tarfile_.fileobj.tell()
            header = tarfile_.fileobj.read(max(self.size, 0))
            tarfile_.fileobj.seek(at)
            # Python before 3.11.10 looks from each digit of a run to its end (CVE-2024-6232); lengths have a few.
            if _MANY_DIGITS.search(header):
                raise tarfile.ReadError("an extended header has a number of a hundred digits")
        found: tarfile.TarInfo = super()._proc_member(tarfile_)  # type: ignore[misc] # stable since Python 2.5
        return found


def _own_folder(shard: Path) -> Path:
    try:
        check_regular_file(shard, DatasetError)
        return cache_dir() / "webdataset" / file_fingerprint(shard)
    except OSError as error:
        raise DatasetError(f"{shard}: could not be read ({error.strerror or error})") from None


def _read(shard: Path, folder: Path, unpack: bool) -> tuple[list[_Sample], int]:
    """The clips of a tar file, their videos written to a folder if asked, and how many members were left out."""
    samples: dict[str, _Sample] = {}
    left = 0
    try:
        check_regular_file(shard, DatasetError)
        with tarfile.open(shard, "r:", tarinfo=_Member) as archive:
            for count, member in enumerate(archive, 1):
                if count > _MAX_MEMBERS:
                    raise DatasetError(f"{shard}: has more than {_MAX_MEMBERS:,} members. Split the archive")
                key, _, part = _key_and_part(member.name)
                kind = part.rpartition(".")[2]  # of "000001.front.mp4" too
                wanted = f".{kind}" in VIDEO_SUFFIXES or kind in _LABEL_PARTS
                if not member.isreg() or member.issparse() or not key or not wanted:
                    left += not member.isdir()
                    continue
                sample = samples.setdefault(key, _Sample(f"{shard}, member {member.name!r:.120}"))
                left += not _take(archive, member, kind, sample, folder, unpack)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:  # the latter of numbers in headers
        raise DatasetError(f"{shard}: is not a readable, uncompressed tar file ({error})") from None
    except OSError as error:
        raise DatasetError(f"{shard}: could not be read ({error.strerror or error})") from None
    return list(samples.values()), left


def _key_and_part(name: str) -> tuple[str, str, str]:
    """The name of a clip and of its part: the first dot after the last slash divides them."""
    folder, _, file = name.rpartition("/")
    key, dot, part = file.partition(".")
    return (f"{folder}/{key}" if folder else key) if key else "", dot, part.lower()


def _take(
    archive: tarfile.TarFile, member: tarfile.TarInfo, part: str, sample: _Sample, folder: Path, unpack: bool
) -> bool:
    """Take a member into its clip. False for a second one of its kind, of which the first counts."""
    content = archive.extractfile(member)
    if content is None or part in sample.parts or (part not in _LABEL_PARTS and sample.video is not None):
        return False
    if part in _LABEL_PARTS:
        if member.size > _MAX_LABEL_BYTES:
            raise DatasetError(f"{sample.where}: has {member.size} bytes; a label has at most {_MAX_LABEL_BYTES}")
        sample.parts[part] = content.read(_MAX_LABEL_BYTES)
        return True
    key, _, _ = _key_and_part(member.name)
    target = folder / f"{_SAFE.sub('_', key)[-150:].lstrip('.') or 'clip'}.{part}"
    sample.video = target
    if not unpack or (target.is_file() and not target.is_symlink() and target.stat().st_size == member.size):
        return True
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as out:
            shutil.copyfileobj(content, out, 2**20)
    except OSError as error:
        raise storage_error(target, error) from error
    return True


def _row(sample: _Sample, labels: Sequence[str] | None) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if (given := sample.parts.get("json")) is not None:
        found = parse_json(_text(given, sample.where), sample.where)
        if not isinstance(found, dict):
            raise DatasetError(f"{sample.where}: must hold a JSON object, got {type_and_value(found)}")
        row = {key: found[key] for key in _KEYS if found.get(key) is not None}
    if "label" not in row and "labels" not in row:
        part = next((name for name in ("cls", "label", "txt") if name in sample.parts), None)
        if part is None:
            raise DatasetError(f"{sample.where}: has no label, neither in its JSON nor in a .cls, .label or .txt file")
        row["label"] = _text(sample.parts[part], sample.where).strip()
        number = whole_number(row["label"])
        if part == "cls" and labels and number is not None and row["label"] not in labels:
            row["label"] = labels[number] if number < len(labels) else row["label"]
    return {**row, "path": str(sample.video)}


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise DatasetError(f"{where}: a label is not UTF-8 text") from None


def export_webdataset(dataset: Dataset, path: str | Path) -> Path:
    """Write ``shard-000000.tar`` and so on into a folder: at most 1000 clips and about 1 GiB each.

    Args:
        dataset: The clips. A video of several clips is written with each.
        path: The folder.

    Returns:
        The folder.

    Raises:
        DatasetError: A video is missing.
        StorageError: A file cannot be written.
    """
    root = Path(path)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for number, items in enumerate(_shards(dataset)):
            with (
                atomic_file(root / f"shard-{number:06d}.tar") as file,
                tarfile.open(fileobj=file, mode="w") as archive,
            ):
                for place, item in items:
                    _put(archive, item, place, dataset.root)
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(root, error) from error
    return root


def _shards(dataset: Dataset) -> Iterator[list[tuple[int, Example]]]:
    shard: list[tuple[int, Example]] = []
    size = 0
    for place, item in enumerate(dataset.examples):
        if not os.path.isfile(item.path):
            raise DatasetError(f"{describe(item)}: no such file, so it cannot be exported. Correct its row.")
        if shard and (len(shard) >= _SHARD_CLIPS or size >= _SHARD_BYTES):
            yield shard
            shard, size = [], 0
        shard.append((place, item))
        size += item.path.stat().st_size
    if shard:
        yield shard


def _put(archive: tarfile.TarFile, item: Example, place: int, folder: Path) -> None:
    row = {key: value for key, value in to_row(item, folder).items() if value is not None and key != "path"}
    facts = json_text({**row, "file_name": item.path.name}).encode()
    key = f"{place:06d}"
    with open(item.path, "rb") as video:
        _member(archive, f"{key}{item.path.suffix.lower()}", os.fstat(video.fileno()).st_size, video)
    _member(archive, f"{key}.json", len(facts), io.BytesIO(facts))


def _member(archive: tarfile.TarFile, name: str, size: int, content: Any) -> None:
    info = tarfile.TarInfo(name)  # without times and owners: the same clips give the same file
    info.size = size
    archive.addfile(info, content)


def _matches(path: Path) -> bool:
    """A folder of tar files, with at most lists and notes beside them, and not a folder of classes with a stray one."""
    if not path.is_dir():
        return True
    names = [entry for entry in path.iterdir() if not is_hidden(entry.name)]
    beside = (".tar", ".json", ".txt", ".md", ".csv")
    return any(entry.suffix == ".tar" for entry in names) and all(entry.suffix in beside for entry in names)


FORMAT = Format(
    import_webdataset,
    export_webdataset,
    suffixes=(".tar",),
    matches=_matches,
    unpacks=True,
    takes_options=True,
    is_folder=True,
)

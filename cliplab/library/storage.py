"""Videos in a storage that fsspec reaches (``s3://``, ``gs://``, ``http://``...): listed, told apart and read in part.

A video is never fetched whole: what the decoder asks for is read in blocks, through a cache on this machine
(cliplab.library.storage_cache). Credentials and endpoints are fsspec's own: the environment, or its config files.
"""

from __future__ import annotations

import datetime
import errno
import functools
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from adapters.errors import ConfigError, MediaError, MissingExtraError
from adapters.media import UnreadablePath, VideoFile, is_hidden, is_video_name
from adapters.system import blocks_fingerprint
from cliplab.library.block_reader import open_blocks
from cliplab.library.storage_cache import BLOCK_BYTES, BlockCache

# Whose tags are digests of the content; others may be equal for different files of one size and second.
_DIGESTS = {"s3": "ETag", "s3a": "ETag", "gs": "md5Hash", "gcs": "md5Hash"}
_TIMES = ("LastModified", "updated", "mtime", "last_modified", "modified", "created")
_TAGS = ("ETag", "etag", "md5Hash", "Content-MD5", "generation")
# A read that fails is tried again after so many seconds each.
_RETRY_SECONDS = (0.2, 1.0, 3.0)
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError)

T = TypeVar("T")


def is_remote(path: object) -> bool:
    """Whether a path is an address that fsspec opens; ``file://`` is a path of this computer (:func:`local`)."""
    return isinstance(path, str) and "://" in path and not path.startswith("file://")


def local(path: str) -> str:
    """A path without ``file://``."""
    return path.removeprefix("file://")


def require_folder(library: str) -> None:
    """Check that the library exists and can be listed.

    Args:
        library: A folder or an address.

    Raises:
        ConfigError: It is not a folder, or cannot be reached.
        MissingExtraError: fsspec is needed and not installed.
    """
    if not is_remote(library):
        if not os.path.isdir(library):
            what = "is a file; cliplab score takes one video" if os.path.exists(library) else "there is no such folder"
            raise ConfigError(f"{library}: {what}. Give the folder that contains the videos")
        return
    fs, path = _open(library)
    try:
        found = _tried(lambda: fs.isdir(path))
    except OSError as error:
        raise ConfigError(
            f"{library}: cannot be reached ({_reason(error)}). Check the address and your access rights"
        ) from error
    if not found:
        raise ConfigError(
            f"{library}: there is no such folder. Check the address, and that you have permission to list it"
        )


def walk(url: str) -> Iterator[VideoFile | UnreadablePath]:
    """The videos below an address, and what cannot be read, as ``videos_below`` gives files."""
    fs, path = _open(url)
    fs.invalidate_cache()
    waiting: list[str | dict[str, Any]] = [path]  # folders to list and entries to judge, the next one last
    while waiting:
        place = waiting.pop()
        if isinstance(place, str):
            try:
                waiting += reversed(_entries(fs, place))
            except OSError as error:
                yield UnreadablePath(fs.unstrip_protocol(place), f"the folder cannot be listed ({_reason(error)}).")
        elif place["type"] == "directory":
            waiting.append(place["name"])
        elif is_video_name(_last(place["name"])):
            address = fs.unstrip_protocol(place["name"])
            try:
                info = place if place.get("size") is not None else _tried(functools.partial(fs.info, place["name"]))
                yield VideoFile(address, int(info["size"] or 0), _stamp(address, info))
            except OSError as error:
                yield UnreadablePath(address, f"cannot be read ({_reason(error)}).")


def _entries(fs: Any, folder: str) -> list[dict[str, Any]]:
    """What is not hidden in a folder, by name."""
    listed = [{**entry, "name": str(entry["name"]).rstrip("/")} for entry in _tried(lambda: fs.ls(folder, detail=True))]
    own = ("", folder.rstrip("/"))  # some storages list the folder itself
    shown = [e for e in listed if e["name"] not in own and _last(e["name"]) and not is_hidden(_last(e["name"]))]
    return sorted(shown, key=lambda entry: str(entry["name"]))


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def fingerprint(url: str, size_bytes: int) -> bytes:
    """What tells a content from another's: the storage's own digest of it, else of its size and three blocks.

    OSError where it cannot be read.
    """
    fs, path = _open(url)
    key = _DIGESTS.get(url.partition("://")[0])
    tag = _tried(lambda: fs.info(path)).get(key) if key else None
    if tag:
        return hashlib.blake2b(f"{size_bytes} {tag}".encode(), digest_size=20).digest()
    return blocks_fingerprint(
        size_bytes, lambda start, end: _tried(functools.partial(fs.cat_file, path, start=start, end=end))
    )


def find(url: str) -> VideoFile:
    """The file at an address as it is now.

    Args:
        url: An address.

    Raises:
        MediaError: It does not exist, or the storage does not answer.
    """
    fs, path = _open(url, fresh=True)
    try:
        info = _tried(lambda: fs.info(path))
    except OSError as error:
        raise MediaError(f"{url}: cannot be read from the storage ({_reason(error)}).") from error
    return VideoFile(url, int(info["size"] or 0), _stamp(url, info))


def openable(path: str) -> str | StoredVideo:
    """What ``adapters.media.open_video`` accepts for a path or an address that a scan has found.

    Args:
        path: A path or an address.

    Raises:
        MediaError: A remote file does not exist, or the storage does not answer.
    """
    return StoredVideo(find(path)) if is_remote(path) else path


def written_at(path: str) -> float:
    """When a file or object was written, in seconds since 1970.

    Args:
        path: A path or an address.

    Raises:
        OSError: A local file cannot be read.
        MediaError: A remote file does not exist, or the storage does not answer.
    """
    return find(path).mtime_ns / 1e9 if is_remote(path) else os.stat(path).st_mtime


def what_changed(file: VideoFile) -> str | None:
    """Why an object is not the one that was found any more; None if it is.

    Args:
        file: The object as it was found.
    """
    fs, path = _open(file.path, fresh=True)
    try:
        info = _tried(lambda: fs.info(path))
    except FileNotFoundError:
        return "was removed during the scan. The next scan looks for it again."
    except OSError as error:
        return f"could not be read from the storage ({_reason(error)}). The next scan tries it again."
    if int(info["size"] or 0) != file.size_bytes:
        return f"changed during the scan, from {file.size_bytes:,} to {info['size'] or 0:,} bytes. Scan again."
    return (
        None if _stamp(file.path, info) == file.mtime_ns else "was modified during the scan. The next scan includes it."
    )


class StoredVideo:
    """An object as ``adapters.media.open_video`` takes it. failure: why it could not be read, once a read has failed.

    str() is its address. bytes_fetched, requests: what reading it took of the storage, over all openings.
    """

    def __init__(self, file: VideoFile, cache: BlockCache | None = None) -> None:
        self.path, self.size_bytes = file.path, file.size_bytes
        self.failure: str | None = None
        self.bytes_fetched = self.requests = 0
        self._fs, self._name = _open(file.path, fresh=True)
        self._blocks = (cache or BlockCache()).of(f"{file.path}\n{file.size_bytes}\n{file.mtime_ns}")

    def __str__(self) -> str:
        return self.path

    def open_binary(self) -> io.BufferedReader:
        """A file to read and seek, of its own position."""
        return open_blocks(self)

    def forget(self) -> None:
        """Take what the cache has of it away: it may be of two versions."""
        self._blocks.remove()

    def fetch(self, first: int, count: int) -> list[bytes]:
        """A number of blocks from a place on, those up to the first that the cache has. OSError."""
        if (known := self._blocks.read(first)) is not None:
            return [known]
        if self.failure is not None:  # one wait is enough
            raise OSError(errno.EIO, self.failure)
        start = first * BLOCK_BYTES
        end = min(start + count * BLOCK_BYTES, self.size_bytes)
        try:
            data = _tried(lambda: self._fs.cat_file(self._name, start=start, end=end))
            if len(data) != end - start:
                raise OSError(errno.EIO, f"only {len(data)} of {end - start} bytes arrived")
        except OSError as error:
            self.failure = f"could not be read from the storage ({_reason(error)}). The next scan tries it again."
            raise
        self.bytes_fetched += len(data)
        self.requests += 1
        blocks = [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]
        for place, block in enumerate(blocks):
            self._blocks.write(first + place, block)
        return blocks


def _open(url: str, fresh: bool = False) -> tuple[Any, str]:
    """The file system of an address, and the address's path in it. fresh: that remembers no listings."""
    fs = _filesystem(url.partition("://")[0], fresh)
    return fs, str(fs._strip_protocol(url))


@functools.cache
def _filesystem(protocol: str, fresh: bool) -> Any:
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError("fsspec", "scale") from None
    try:
        if fresh:
            return fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True)
        return fsspec.filesystem(protocol)
    except ImportError as error:
        packages = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
        package = packages.get(protocol, str(error))
        raise ConfigError(
            f"{protocol}:// needs the package {package}. Install it with: pip install {package}"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{protocol}:// is not a storage type that fsspec supports ({error}). Use s3://, gs:// or a path"
        ) from error


def _tried(read: Callable[[], T]) -> T:
    """What a read gives, tried again where it fails for a reason that may pass. OSError, whatever is raised."""
    for seconds in (*_RETRY_SECONDS, None):
        try:
            return read()
        except _FINAL:
            raise
        except Exception as error:
            if seconds is None:
                raise error if isinstance(error, OSError) else OSError(errno.EIO, _reason(error)) from error
        time.sleep(seconds)
    raise AssertionError


def _reason(error: BaseException) -> str:
    """An error's own words in a line."""
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return " ".join(text.split())[:200]


def _stamp(url: str, info: dict[str, Any]) -> int:
    """When an object was written, in seconds, as a listing may be finer than the object's header; times 10^9.

    The last nine digits are of the content's digest, where the storage has one: two versions may be of one second.
    Where it tells no time, a number that changes with its tag.
    """
    digest = str(info.get(_DIGESTS.get(url.partition("://")[0], ""), ""))
    for key in _TIMES:
        value = info.get(key)
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value)
        if isinstance(value, datetime.datetime):
            value = value.timestamp()
        if isinstance(value, (int, float)):
            return int(value) * 10**9 + (_number(digest) % 10**9 if digest else 0)
    tag = next((str(info[key]) for key in _TAGS if info.get(key)), "")
    return _number(tag) if tag else 0


def _number(text: str) -> int:
    """A number of 63 bits that stands for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1

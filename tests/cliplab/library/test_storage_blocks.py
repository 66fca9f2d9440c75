"""What a storage's client is asked for and what is kept: short reads, retries, reading ahead, order, times."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.errors import ConfigError, MediaError
from adapters.media import UnreadablePath, VideoFile
from cliplab.library import BlockCache, StoredVideo, fingerprint, is_remote, storage, written_at
from cliplab.library.storage import find, local, require_folder, walk, what_changed
from cliplab.library.storage_cache import BLOCK_BYTES

fsspec = pytest.importorskip("fsspec")
CONTENT = np.random.default_rng(2).bytes(60 * BLOCK_BYTES + 77)


class Client:
    """What the storage does: answers short by so many bytes, fails, says more of an object. asked: ranges of bytes."""

    def __init__(self) -> None:
        self.short = 0
        self.failures: list[Exception] = []
        self.closed = ""  # a folder that cannot be listed
        self.asked: list[tuple[int, int]] = []
        self.more: dict[str, Any] = {}

    def with_more(self, info: dict[str, Any]) -> dict[str, Any]:
        if info["type"] == "directory" or not self.more:
            return info
        return {"name": info["name"], "type": info["type"], "size": info["size"], **self.more}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Over fsspec's storage in memory, which holds the video shelf/a.mp4."""
    client, memory = Client(), fsspec.get_filesystem_class("memory")
    cat_file, info, ls = memory.cat_file, memory.info, memory.ls

    def cat(self: Any, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        if client.failures:
            raise client.failures.pop(0)
        client.asked.append((start, end))
        data: bytes = cat_file(self, path, start=start, end=end)
        return data[: len(data) - client.short]

    def listed(self: Any, path: str, detail: bool = True, **options: Any) -> Any:
        if client.closed and path.rstrip("/").endswith(client.closed):
            raise PermissionError("not yours")
        return [client.with_more(found) for found in ls(self, path, detail=True)]

    monkeypatch.setattr(memory, "cat_file", cat)
    monkeypatch.setattr(memory, "ls", listed)
    monkeypatch.setattr(memory, "info", lambda self, path, **options: client.with_more(info(self, path)))
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/shelf/a.mp4", CONTENT)
    yield client
    # Older versions stumble over the folders that the tests only list.
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited before each new try; nothing is waited."""
    found: list[float] = []
    monkeypatch.setattr(storage.time, "sleep", found.append)
    return found


def stored(tmp_path: Path) -> StoredVideo:
    return StoredVideo(find("memory://shelf/a.mp4"), BlockCache(tmp_path / "blocks", 10**9))


# Reading


def test_a_short_read_is_a_failure_and_is_not_kept(client: Client, tmp_path: Path) -> None:
    client.short = 1
    video = stored(tmp_path)
    with video.open_binary() as file, pytest.raises(OSError, match="bytes arrived"):
        file.read(10)
    assert "could not be read from the storage" in str(video.failure)
    assert (video.bytes_fetched, video.requests) == (0, 0)
    client.short = 0
    with video.open_binary() as file, pytest.raises(OSError):
        file.read(10)  # one wait is enough
    assert len(client.asked) == 1
    with stored(tmp_path).open_binary() as file:
        assert file.read() == CONTENT


def test_a_read_that_fails_is_tried_again_after_a_while(client: Client, tmp_path: Path, waits: list[float]) -> None:
    client.failures = [OSError("away"), TimeoutError("slow"), ValueError("odd")]
    video = stored(tmp_path)
    with video.open_binary() as file:
        assert file.read(5) == CONTENT[:5]
    assert waits == [0.2, 1.0, 3.0]
    assert (video.failure, video.requests) == (None, 1)


def test_a_read_that_fails_for_good_says_why(client: Client, tmp_path: Path, waits: list[float]) -> None:
    client.failures = [ValueError("line one\nline  two")] * 4
    video = stored(tmp_path)
    with video.open_binary() as file, pytest.raises(OSError, match="line one line two"):
        file.read(5)
    assert len(waits) == 3
    assert "(line one line two)" in str(video.failure)


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError])
def test_what_will_not_pass_is_not_tried_again(
    client: Client, tmp_path: Path, waits: list[float], error: type[Exception]
) -> None:
    client.failures = [error("no")]
    with stored(tmp_path).open_binary() as file, pytest.raises(error):
        file.read(5)
    assert waits == []


def test_reading_on_asks_for_more_at_a_time_and_a_jump_for_little(client: Client, tmp_path: Path) -> None:
    video = stored(tmp_path)
    with video.open_binary() as file:
        assert file.read() == CONTENT
    blocks = [(first // BLOCK_BYTES, -(-end // BLOCK_BYTES)) for first, end in client.asked]
    assert blocks == [(0, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 48), (48, 61)]
    assert client.asked[-1][1] == len(CONTENT)
    assert (video.bytes_fetched, video.requests) == (len(CONTENT), 7)
    client.asked.clear()
    shutil.rmtree(tmp_path / "blocks")
    with video.open_binary() as file:
        for place in (30, 10, 20):
            file.seek(place * BLOCK_BYTES + 7)
            assert file.read(9) == CONTENT[place * BLOCK_BYTES + 7 :][:9]
    assert [first // BLOCK_BYTES for first, _ in client.asked] == [30, 10, 20]
    assert {end - first for first, end in client.asked} == {2 * BLOCK_BYTES}


def test_places_in_a_file(client: Client, tmp_path: Path) -> None:
    file = stored(tmp_path).open_binary().detach()
    assert (file.readable(), file.seekable(), file.tell()) == (True, True, 0)
    assert file.seek(-5, os.SEEK_END) == len(CONTENT) - 5
    assert file.seek(-5, os.SEEK_CUR) == len(CONTENT) - 10 == file.tell()
    assert file.read(99) == CONTENT[-10:]
    assert file.read(1) == b""
    with pytest.raises(OSError):
        file.seek(-1)
    assert file.seek(0) == 0


# The cache


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("*/*"))


def test_the_least_recently_used_blocks_go_first(tmp_path: Path) -> None:
    """A block that was read counts as new, however long ago it was written."""
    cache = BlockCache(tmp_path / "blocks", 10_000)
    blocks = cache.of("a")
    for number in range(9):
        blocks.write(number, bytes(984))  # 1000 with its digest
        [path] = (tmp_path / "blocks").glob(f"*/{number}")
        os.utime(path, (1e9 + number, 1e9 + number))
    assert kept(tmp_path / "blocks") == list(range(9))
    assert blocks.read(0) == bytes(984)
    blocks.write(9, bytes(984))
    assert kept(tmp_path / "blocks") == list(range(10)), "up to the bound nothing goes"
    blocks.write(10, bytes(984))
    assert kept(tmp_path / "blocks") == [0, *range(3, 11)], "nine tenths of the bound stay"


def test_blocks_of_other_versions_are_others_and_empty_folders_go(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path / "blocks", 10_000)
    one, other = cache.of("a"), cache.of("b")
    one.write(0, b"one")
    assert (one.read(0), other.read(0), one.read(1)) == (b"one", None, None)
    [path] = (tmp_path / "blocks").glob("*/0")
    os.utime(path, (1, 1))
    for number in range(11):
        other.write(number, bytes(984))
    assert one.read(0) is None
    assert len(list((tmp_path / "blocks").iterdir())) == 1
    other.remove()
    assert other.read(10) is None


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda data: b""])
def test_a_damaged_block_is_not_there(tmp_path: Path, damage: Any) -> None:
    blocks = BlockCache(tmp_path / "blocks", 10_000).of("a")
    blocks.write(3, b"content")
    [path] = (tmp_path / "blocks").glob("*/3")
    path.write_bytes(damage(path.read_bytes()))
    assert blocks.read(3) is None
    assert not path.exists()


def test_the_bound_is_in_gigabytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path))
    monkeypatch.delenv("CLIPLAB_STORAGE_GB", raising=False)
    assert (BlockCache().limit_bytes, BlockCache().folder) == (10_000_000_000, tmp_path / "storage")
    for text, limit in (("0", 0), ("1.5", 1_500_000_000), ("", 10_000_000_000)):
        monkeypatch.setenv("CLIPLAB_STORAGE_GB", text)
        assert BlockCache().limit_bytes == limit
    for text in ("-1", "inf", "nan", "x"):
        monkeypatch.setenv("CLIPLAB_STORAGE_GB", text)
        with pytest.raises(ConfigError, match="CLIPLAB_STORAGE_GB"):
            BlockCache()


# What is at an address


def stamp(client: Client, **more: Any) -> int:
    client.more = more
    return find("memory://shelf/a.mp4").mtime_ns


def test_the_time_of_an_object_in_whole_seconds(client: Client) -> None:
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9, 750_000, tzinfo=datetime.UTC)
    seconds = int(moment.timestamp())
    for key in ("LastModified", "updated", "mtime", "last_modified", "modified", "created"):
        for value in (moment, moment.isoformat(), moment.timestamp()):
            assert stamp(client, **{key: value}) == seconds * 10**9
    assert stamp(client, created=5, LastModified=7) == 7 * 10**9, "when it was changed goes before when it was made"
    client.more = {"mtime": 9.5}
    assert written_at("memory://shelf/a.mp4") == 9


def test_an_object_without_time_goes_by_its_tag(client: Client) -> None:
    one, other = stamp(client, ETag="one"), stamp(client, ETag="two")
    assert one != other
    assert 0 < one < 2**63
    assert stamp(client, ETag="one") == one
    assert stamp(client, size=1) == 0
    assert stamp(client, mtime=3, ETag="one") == 3 * 10**9, "a tag that is not a digest does not count beside a time"


def test_what_became_of_an_object(client: Client) -> None:
    client.more = {"mtime": 3}
    found = find("memory://shelf/a.mp4")
    assert (found.path, found.size_bytes, found.mtime_ns) == ("memory://shelf/a.mp4", len(CONTENT), 3 * 10**9)
    assert what_changed(found) is None
    assert "modified" in str(what_changed(VideoFile(found.path, found.size_bytes, 1)))
    assert "changed during the scan, from 5 to" in str(what_changed(VideoFile(found.path, 5, found.mtime_ns)))
    assert "was removed" in str(what_changed(VideoFile("memory://shelf/b.mp4", 5, 1)))
    with pytest.raises(MediaError, match="cannot be read from the storage"):
        find("memory://shelf/b.mp4")


def test_a_walk_is_in_the_order_of_names_and_passes_over_what_is_hidden(client: Client) -> None:
    fs = fsspec.filesystem("memory")
    names = [
        "b/2.mp4",
        "b/10.MOV",
        "b/a/deep.webm",
        "c.mkv",
        ".hidden.mp4",
        ".trash/d.mp4",
        "notes.txt",
        "b/e.mp4/f.mp4",
    ]
    for name in names:
        fs.pipe_file(f"/shelf/{name}", b"x")
    found = list(walk("memory://shelf"))
    assert all(isinstance(item, VideoFile) for item in found)
    assert [item.path.split("/shelf/")[1] for item in found] == [
        "a.mp4",
        "b/10.MOV",
        "b/2.mp4",
        "b/a/deep.webm",
        "b/e.mp4/f.mp4",
        "c.mkv",
    ]
    assert [item.size_bytes for item in found if isinstance(item, VideoFile)] == [len(CONTENT), 1, 1, 1, 1, 1]


def test_a_folder_that_cannot_be_listed_is_told_and_the_rest_goes_on(client: Client) -> None:
    for name in ("b/1.mp4", "c/2.mp4"):
        fsspec.filesystem("memory").pipe_file(f"/shelf/{name}", b"x")
    client.closed = "/b"
    found = list(walk("memory://shelf"))
    assert [type(item) for item in found] == [VideoFile, UnreadablePath, VideoFile]
    assert "cannot be listed (not yours)" in found[1].error  # type: ignore[union-attr]


def test_a_fingerprint_of_an_object_is_that_of_the_file(client: Client, tmp_path: Path) -> None:
    """Without a digest of the storage's own: so a library may move into a storage and keep its scores."""
    for size in (0, 1, BLOCK_BYTES, 3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 1, len(CONTENT)):
        fsspec.filesystem("memory").pipe_file("/shelf/b.mp4", CONTENT[:size])
        (tmp_path / "b.mp4").write_bytes(CONTENT[:size])
        client.asked.clear()
        assert fingerprint("memory://shelf/b.mp4", size) == fingerprint(str(tmp_path / "b.mp4"), size)
        assert sum(end - first for first, end in client.asked) <= 3 * BLOCK_BYTES


def test_what_an_address_is(client: Client, tmp_path: Path) -> None:
    assert [is_remote(path) for path in ("memory://shelf", "file:///a", "/a://b", tmp_path, "a")] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert local("file:///a/b") == "/a/b"
    require_folder("memory://shelf")
    require_folder(str(tmp_path))
    (tmp_path / "file").write_text("")
    refused = {str(tmp_path / "file"): "is a file", str(tmp_path / "no"): "no such folder"}
    refused |= dict.fromkeys(("memory://nowhere", "memory://shelf/a.mp4"), "no such folder")
    for path, words in refused.items():
        with pytest.raises(ConfigError, match=words):
            require_folder(path)

"""Libraries in a storage: an S3 on loopback through the real client, what is read of it, the cache of its blocks."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3_server import Bucket, s3_server
from scan_helpers import render_library, save_model
from tiny_videos import render_video

from adapters.errors import ConfigError
from adapters.media import VideoFile, open_video
from cliplab.library import BlockCache, StoredVideo, is_remote, storage, storage_cache
from cliplab.library.storage_cache import BLOCK_BYTES
from cliplab.reel import reel
from cliplab.scan import scan

pytest.importorskip("s3fs")
LIBRARY = "s3://library/videos"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = render_library(tmp_path_factory.mktemp("videos"), 6)
    (folder / "bad.mp4").write_text("no video")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / ".hidden.mp4").write_text("passed over")
    (folder / "day0" / "notes.txt").write_text("passed over")
    (folder / "day0" / "a b+ü%.MP4").write_bytes((folder / "day1" / "001.mp4").read_bytes() + b"\0")
    return folder


@pytest.fixture
def bucket(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A storage whose library holds these videos."""
    shutil.copytree(videos, tmp_path / "bucket" / "videos")
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "_RETRY_SECONDS", (0.01,))
    with s3_server(tmp_path / "bucket") as bucket:
        bucket.announce(monkeypatch)
        yield bucket
        storage._filesystem.cache_clear()


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def without_folder(found: dict[str, Any], folder: str) -> list[dict[str, Any]]:
    return [{**item, "path": item["path"].removeprefix(folder)} for item in found["highlights"]]


def test_a_library_in_s3_gives_what_its_copy_on_disk_gives(
    bucket: Bucket, videos: Path, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "h.json"
    report = scan(LIBRARY, model, output=output, min_score=0.0)
    assert (report.videos, report.highlights, report.failed) == (9, 7, 2)
    scan(videos, model, output=tmp_path / "local" / "h.json", min_score=0.0)
    local = read(tmp_path / "local" / "h.json")
    assert without_folder(read(output), LIBRARY) == without_folder(local, str(videos))
    failures = {Path(item["path"]).name: item["error"] for item in read(output)["failures"]}
    assert failures == {Path(item["path"]).name: item["error"] for item in local["failures"]}
    assert read(output)["library"] == LIBRARY
    assert scan(LIBRARY, model, output=output).scored == 0


def test_a_reel_of_what_lies_in_a_storage(bucket: Bucket, model: Path, videos: Path, tmp_path: Path) -> None:
    pictures, highlights = {}, tmp_path / "highlights.json"
    for name, library in (("remote", LIBRARY), ("local", str(videos))):
        scan(library, model, output=highlights, store=tmp_path / f"{name}.db", min_score=0)
        report = reel(highlights, tmp_path / f"{name}.mp4", min_score=0, top=3, audio="none")
        assert [source.reason for source in report.skipped if source.failed] == []
        assert len(report.timeline) == 3
        assert all(placed.clip.path.startswith(library) for placed in report.timeline)
        with open_video(tmp_path / f"{name}.mp4") as video:
            pictures[name] = np.stack([picture for _, picture in video.frames(height=32, width=32)])
    np.testing.assert_array_equal(pictures["remote"], pictures["local"])
    (bucket.folder / "videos" / Path(report.timeline[0].clip.path).relative_to(videos)).unlink()
    scanned = read(highlights)
    for row in scanned["highlights"]:
        row["path"] = row["path"].replace(str(videos), LIBRARY)
    highlights.write_text(json.dumps(scanned))
    gone = reel(highlights, tmp_path / "gone.mp4", min_score=0, top=3, audio="none")
    assert [source.path for source in gone.skipped if source.failed] == [scanned["highlights"][0]["path"]]
    assert "cannot be read from the storage" in gone.skipped[0].reason


def test_a_moved_object_is_known_and_a_changed_one_is_not(bucket: Bucket, model: Path, tmp_path: Path) -> None:
    output, folder = tmp_path / "h.json", bucket.folder / "videos"
    scan(LIBRARY, model, output=output)
    bucket.sent.clear()
    (folder / "day0" / "000.mp4").rename(folder / "moved.mp4")
    os.utime(folder / "moved.mp4", (1, 1))
    assert scan(LIBRARY, model, output=output).scored == 0
    assert not bucket.sent, "a digest of the storage's own tells it, with nothing read"
    render_video(folder / "day0" / "003.mp4", "warm", 77)
    assert scan(LIBRARY, model, output=output).scored == 1
    assert set(bucket.sent) == {"videos/day0/003.mp4"}
    other, status = folder / "day1" / "004.mp4", (folder / "day1" / "004.mp4").stat()
    other.write_bytes(other.read_bytes()[:-1] + b"!")  # as long, and of the same second
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert scan(LIBRARY, model, output=output).scored == 1


def test_what_the_storage_does_not_give_is_tried_again_by_the_next_scan(
    bucket: Bucket, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "h.json"
    bucket.failing = {"videos/day1/001.mp4"}
    report = scan(LIBRARY, model, output=output, min_score=0.0)
    [error] = [error for path, error in report.failures if path.endswith("001.mp4")]
    assert error.startswith("could not be read from the storage (")
    assert "The next scan tries it again." in error
    bucket.failing = set()
    assert scan(LIBRARY, model, output=output, min_score=0.0).scored == 1


def test_an_object_that_changes_or_vanishes_during_the_scan(bucket: Bucket, model: Path, tmp_path: Path) -> None:
    folder = bucket.folder / "videos" / "day2"
    before = storage.find(f"{LIBRARY}/day2/005.mp4")

    def meanwhile(progress: Any) -> None:
        if progress.to_score and not progress.done:
            (folder / "002.mp4").unlink()
            os.utime(folder / "005.mp4", (1e9, 1e9))

    report = scan(LIBRARY, model, output=tmp_path / "h.json", workers=1, on_progress=meanwhile)
    failures = {Path(path).name: error for path, error in report.failures}
    assert failures["002.mp4"].startswith("was removed during the scan")
    assert failures["005.mp4"].startswith("was modified during the scan")
    stored = StoredVideo(before)
    stored.fetch(0, 1)
    assert stored.requests == 1, "of what was read meanwhile nothing is kept"
    assert not [path for path, error in scan(LIBRARY, model, output=tmp_path / "h.json").failures if "005" in path]


def test_of_a_large_video_only_what_is_decoded_is_read(bucket: Bucket, model: Path, tmp_path: Path) -> None:
    path = write_noise(bucket.folder / "large" / "noise.mp4", frames=120, group=30)
    size = path.stat().st_size
    assert size > 20 * BLOCK_BYTES
    local, remote = VideoFile(str(path), size, 0), found_in(bucket, "large/noise.mp4")
    shares = {}
    for name, options in {"keyframes": {"keyframes": True}, "fps": {}}.items():
        bucket.sent.clear()
        scan("s3://library/large", model, output=tmp_path / f"{name}.json", store=tmp_path / f"{name}.db", **options)  # type: ignore[arg-type]
        shares[name] = bucket.sent.get("large/noise.mp4", 0) / size
        shutil.rmtree(tmp_path / "cache" / "storage", ignore_errors=True)
    assert shares["keyframes"] < 0.5, shares
    with open_video(local.path) as one, open_video(StoredVideo(remote)) as other:  # type: ignore[arg-type]
        assert one.info.duration_seconds == other.info.duration_seconds
        for (time, picture), (other_time, other_picture) in zip(one.frames(), other.frames(), strict=True):
            assert time == other_time
            assert (picture == other_picture).all()


def found_in(bucket: Bucket, name: str) -> VideoFile:
    [found] = [item for item in storage.walk(f"s3://library/{name.split('/')[0]}") if isinstance(item, VideoFile)]
    assert found.path == f"s3://library/{name}"
    return found


def write_noise(path: Path, frames: int, group: int) -> Path:
    """A video that no encoder makes small, with a key frame each ``group`` frames."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    options = {"crf": "20", "preset": "ultrafast", "g": str(group), "sc_threshold": "0"}
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(frames):
            picture = rng.integers(0, 256, (240, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


# Addresses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://library/nothing", "there is no such folder"),
        ("s3://nobucket/videos", "there is no such folder"),
        ("abacus://beads", "is not a storage type that fsspec supports"),
        ("lakefs://repository/main", "needs the package"),
        ("file:///nowhere", "there is no such folder"),
    ],
)
def test_an_address_that_cannot_be(bucket: Bucket, model: Path, tmp_path: Path, address: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        scan(address, model, output=tmp_path / "h.json")


def test_a_storage_that_does_not_answer_is_named(
    bucket: Bucket, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Bucket(tmp_path, "http://127.0.0.1:1").announce(monkeypatch)
    with pytest.raises(ConfigError, match=r"s3://library/videos: cannot be reached \(.*127\.0\.0\.1:1"):
        scan(LIBRARY, model, output=tmp_path / "h.json")


def test_a_file_address_is_a_path(videos: Path, model: Path, tmp_path: Path) -> None:
    scan(f"file://{videos}", model, output=tmp_path / "h.json", min_score=0.0)
    assert read(tmp_path / "h.json")["library"] == str(videos)
    assert [is_remote(path) for path in ("s3://a/b", "file:///a", "/a/b", "a b", Path("/a"))] == [True, *[False] * 4]


# Blocks ---------------------------------------------------------------------------------------------------------------

CONTENT = np.random.default_rng(1).bytes(5 * BLOCK_BYTES + 1234)


@pytest.fixture(scope="module")
def in_memory() -> Iterator[VideoFile]:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe_file("/storage-test/a.mp4", CONTENT)
    [found] = [item for item in storage.walk("memory://storage-test") if isinstance(item, VideoFile)]
    yield found
    fs.rm("/storage-test", recursive=True)


places = st.integers(0, len(CONTENT) + 10)


@given(reads=st.lists(st.tuples(places, st.integers(0, 2 * BLOCK_BYTES)), max_size=8))
def test_reads_in_any_order_give_the_bytes(
    in_memory: VideoFile, tmp_path_factory: pytest.TempPathFactory, reads: list[tuple[int, int]]
) -> None:
    cache = BlockCache(tmp_path_factory.getbasetemp() / "any-order", 10**9)
    with StoredVideo(in_memory, cache).open_binary() as file:
        for place, count in reads:
            assert file.seek(place) == place
            assert file.read(count) == CONTENT[place : place + count]
        file.seek(-7, os.SEEK_END)
        assert file.read() == CONTENT[-7:]


def whole(found: VideoFile, cache: BlockCache) -> tuple[bytes, int]:
    """A file's bytes, and how many of them came from the storage."""
    video = StoredVideo(found, cache)
    with video.open_binary() as file:
        return file.read(), video.bytes_fetched


def test_blocks_are_read_once_and_damaged_ones_again(in_memory: VideoFile, tmp_path: Path) -> None:
    cache = BlockCache(tmp_path / "blocks", 10**9)
    assert whole(in_memory, cache) == (CONTENT, len(CONTENT))
    assert whole(in_memory, cache) == (CONTENT, 0)
    [one, other, *_] = sorted((tmp_path / "blocks").glob("*/*"))
    one.write_bytes(one.read_bytes()[:-1])
    other.write_bytes(b"\0" * other.stat().st_size)
    assert whole(in_memory, cache)[0] == CONTENT
    StoredVideo(in_memory, cache).forget()
    assert whole(in_memory, cache) == (CONTENT, len(CONTENT))


def test_the_cache_stays_below_its_bound(in_memory: VideoFile, tmp_path: Path) -> None:
    limit = 4 * BLOCK_BYTES
    cache = BlockCache(tmp_path / "blocks", limit)
    for number in range(6):
        file = VideoFile(in_memory.path, in_memory.size_bytes, number)  # another version each
        assert whole(file, cache)[0] == CONTENT
        assert sum(path.stat().st_size for path in (tmp_path / "blocks").rglob("*") if path.is_file()) <= limit
    assert whole(in_memory, BlockCache(tmp_path / "none", 0))[0] == CONTENT
    assert not (tmp_path / "none").exists()


def test_a_cache_that_cannot_be_written_costs_nothing_but_itself(
    in_memory: VideoFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert whole(in_memory, BlockCache(tmp_path / "file" / "blocks", 10**9))[0] == CONTENT
    monkeypatch.setenv("CLIPLAB_STORAGE_GB", "0.5")
    assert BlockCache().limit_bytes == 500_000_000
    monkeypatch.setenv("CLIPLAB_STORAGE_GB", "lots")
    with pytest.raises(ConfigError, match="CLIPLAB_STORAGE_GB is 'lots'"):
        storage_cache.BlockCache()

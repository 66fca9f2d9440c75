"""What a scan knows of a file: whether it has settled, its fingerprint, and what the store keeps from scan to scan."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from adapters.errors import StorageError
from adapters.media import UnreadablePath, VideoFile
from cliplab.library import SettleFilter, fingerprint, printable, walk
from cliplab.library import settle as scan_settle
from cliplab.library.storage_cache import BLOCK_BYTES
from cliplab.scan.score_rows import Scores
from cliplab.scan.store import Store, open_store

# Settling


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time that passes by as much as it is called with. The wall clock begins at 1000 s, the other at 5."""
    passed = [0.0]

    def later(seconds: float) -> None:
        passed[0] += seconds

    times = SimpleNamespace(time=lambda: 1000 + passed[0], monotonic=lambda: 5 + passed[0])
    monkeypatch.setattr(scan_settle, "time", times)
    return later


def file(size: int = 5, at: float = 1000.0, path: str = "a.mp4") -> VideoFile:
    return VideoFile(path, size, int(at * 1e9))


def test_a_file_is_settled_once_it_has_been_unchanged_for_long_enough(clock: Callable[[float], None]) -> None:
    settle_filter = SettleFilter(10)
    assert not settle_filter.ready(file())
    clock(9.9)
    assert not settle_filter.ready(file())
    clock(0.1)
    assert settle_filter.ready(file())
    assert settle_filter.ready(file())


@pytest.mark.parametrize("change", [{"size": 6}, {"at": 1001.0}, {"size": 4, "at": 999.5}])
def test_another_size_or_another_time_begins_anew(clock: Callable[[float], None], change: dict[str, float]) -> None:
    settle_filter = SettleFilter(10)
    assert not settle_filter.ready(file())
    clock(9)
    changed = file(**change)  # type: ignore[arg-type]
    assert not settle_filter.ready(changed)
    clock(9)
    assert not settle_filter.ready(changed), "it is seen so for nine seconds, not for eighteen"
    clock(1)
    assert settle_filter.ready(changed)


def test_a_file_that_was_written_long_ago_is_settled_at_once(clock: Callable[[float], None]) -> None:
    assert SettleFilter(10).ready(file(at=990.0))
    assert not SettleFilter(10).ready(file(at=990.1))
    assert SettleFilter(0).ready(file())
    future = SettleFilter(10)
    assert not future.ready(file(at=5000.0))
    clock(10)
    assert future.ready(file(at=5000.0)), "a camera's clock that is wrong"


def test_a_file_that_was_seen_to_change_must_settle_though_its_time_is_old(clock: Callable[[float], None]) -> None:
    """A copy keeps the time of what it copies."""
    settle_filter = SettleFilter(10)
    assert not settle_filter.ready(file(at=1000.0))
    assert not settle_filter.ready(file(size=9, at=100.0))
    clock(10)
    assert settle_filter.ready(file(size=9, at=100.0))


def test_files_settle_apart(clock: Callable[[float], None]) -> None:
    settle_filter = SettleFilter(10)
    settle_filter.ready(file(path="a.mp4"))
    clock(6)
    settle_filter.ready(file(path="b.mp4"))
    clock(6)
    assert settle_filter.ready(file(path="a.mp4"))
    assert not settle_filter.ready(file(path="b.mp4"))


# Fingerprints


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "3ce7ae2b17addc9bc18491b5756dcc52779153a1"),
        (1000, "b5957df22b6ac1193efd79ea3b358d6920ddab60"),
        (3 * BLOCK_BYTES, "f0f9385b62e46236b18c884fd65e829032f0e277"),
        (3 * BLOCK_BYTES + 1, "b4710e2ac7d462e20a9dcda77d209cd7cf4353b9"),
        (7 * BLOCK_BYTES + 11, "d13b6b67049bc95764fc7d7cfb1696061b59f9ec"),
    ],
)
def test_a_fingerprint_is_fixed(tmp_path: Path, size: int, expected: str) -> None:
    """These were taken once: with others every library would be scored anew."""
    path = tmp_path / "v.mp4"
    path.write_bytes(np.random.default_rng(5).bytes(8 * BLOCK_BYTES)[:size])
    assert fingerprint(str(path), size).hex() == expected


def test_a_fingerprint_is_of_size_and_of_three_blocks(tmp_path: Path) -> None:
    size = 9 * BLOCK_BYTES
    path = tmp_path / "v.mp4"
    data = bytearray(size)
    path.write_bytes(data)
    before = fingerprint(str(path), size)
    middle = (size - BLOCK_BYTES) // 2
    for place, seen in (
        (0, True),
        (BLOCK_BYTES - 1, True),
        (BLOCK_BYTES, False),
        (middle - 1, False),
        (middle, True),
        (middle + BLOCK_BYTES - 1, True),
        (middle + BLOCK_BYTES, False),
        (size - BLOCK_BYTES - 1, False),
        (size - BLOCK_BYTES, True),
        (size - 1, True),
    ):
        with path.open("r+b") as opened:
            opened.seek(place)
            opened.write(b"x")
        assert (fingerprint(str(path), size) != before) is seen, place
        with path.open("r+b") as opened:
            opened.seek(place)
            opened.write(b"\0")
    with pytest.raises(OSError):
        fingerprint(str(tmp_path / "absent"), 5)


# The library


def test_files_come_in_the_order_of_their_paths_name_by_name(tmp_path: Path) -> None:
    for name in ("b/x.mp4", "a/y.mp4", "a/b/z.MP4", "a/a.mp4", "c.mp4", "a.b/k.mov", "d.mp3", "Z.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, (1e9, 1e9 + len(name)))
    found = list(walk(tmp_path))
    names = [Path(item.path).relative_to(tmp_path).as_posix() for item in found]
    assert names == ["Z.mp4", "a/a.mp4", "a/b/z.MP4", "a/y.mp4", "a.b/k.mov", "b/x.mp4", "c.mp4"]
    for item in found:
        assert isinstance(item, VideoFile)
        status = os.stat(item.path)
        assert (item.size_bytes, item.mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert [item.path for item in walk(os.path.relpath(tmp_path))] == [item.path for item in found]


def test_a_link_to_a_folder_beside_one_of_a_longer_name_is_followed(tmp_path: Path) -> None:
    """``/x/library2`` is not inside ``/x/library``."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library2").mkdir()
    (tmp_path / "library2" / "v.mp4").write_bytes(b"x")
    (tmp_path / "library" / "link").symlink_to(tmp_path / "library2")
    (tmp_path / "library" / "again").symlink_to(tmp_path / "library2")
    assert [Path(item.path).relative_to(tmp_path).as_posix() for item in walk(tmp_path / "library")] == [
        "library/again/v.mp4"
    ]
    (absent,) = walk(tmp_path / "absent")
    assert isinstance(absent, UnreadablePath)
    assert "cannot be read" in absent.error


def test_a_path_as_text() -> None:
    assert printable("a\tb\x7f\u2028ü") == "a\\tb\\x7f\\u2028ü"


# The store


def known(store: Store, *files: VideoFile, content: bytes | None = b"c", error: str | None = None) -> int:
    """The files are seen, identified and scored."""
    run, _ = store.run({"model": "m"})
    store.begin_scan()
    store.record_files(files)
    for item in files:
        store.identify(item.path, content)
    if content is not None:
        spans, scores = np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]], np.float32)
        store.keep(content, run, Scores(None, None, None, error) if error else Scores(1.0, spans, scores))
    return run


def test_a_file_of_another_size_or_time_is_unknown_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        run = known(store, file())
        for other, content in ((file(), b"c"), (file(size=6), None), (file(at=999.0), None)):
            known(store, file())
            store.begin_scan()
            store.record_files([other])
            assert store.count(run, False)[1] == (content is None)
            assert [seen for _, seen in store.pending(run, False)] == ([] if content else [None])
        known(store, file())
        store.identify("a.mp4", None)
        assert store.count(run, False) == (1, 1, 5)


def test_runs_are_told_apart_by_their_keys_in_any_order(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        assert store.run({"a": 1, "b": "ü"}) == (1, False)
        assert store.run({"b": "ü", "a": 1}) == (1, False)
        assert store.run({"a": 2, "b": "ü"}) == (2, True)
        assert store.run({"a": 1, "b": "ü"}) == (1, False)
    with open_store(tmp_path / "s.db") as store:
        assert store.run({"a": 2, "b": "ü"}) == (2, False)


def test_what_is_known_is_of_one_run(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        run = known(store, file())
        other, _ = store.run({"model": "n"})
        assert store.knows(b"c", run)
        assert store.knows(b"c", run, retry_failed=True)
        assert not store.knows(b"c", other)
        assert not store.knows(b"d", run)
        assert store.count(other, False) == (1, 1, 5)
        known(store, file(), content=b"e", error="bad")
        assert store.knows(b"e", run)
        assert not store.knows(b"e", run, retry_failed=True)
        assert (store.count(run, False), store.count(run, True)) == ((1, 0, 0), (1, 1, 5))
        [(found, content)] = store.pending(run, True)
        assert (found, content) == (file(), b"e")


def test_a_scan_sees_what_it_saw_and_no_more(tmp_path: Path) -> None:
    one, other = file(path="a.mp4"), file(path="b.mp4")
    with open_store(tmp_path / "s.db") as store:
        run = known(store, one, other)
        store.add_problem("c", "closed")
        store.add_problem("c", "locked")
        assert (list(store.problems()), store.count_vanished()) == ([("c", "locked")], 0)
        assert [path for path, _ in store.results(run)] == ["a.mp4", "b.mp4"]
        assert [path for path, _ in store.results(run, ["b.mp4", "x", "a.mp4"])] == ["b.mp4", "a.mp4"]
        store.begin_scan()
        assert (list(store.problems()), store.count_vanished()) == ([], 2)
        store.record_files([other])
        assert (store.count_vanished(), store.count(run, False)) == (1, (1, 0, 0))
        assert [path for path, _ in store.results(run)] == ["b.mp4"]
        store.begin_scan()
        store.record_files([one, other])
        assert store.count_vanished() == 0
        assert [path for path, _ in store.results(run)] == ["a.mp4", "b.mp4"], "what came back is known"


def test_many_problems_and_results_come_page_by_page(tmp_path: Path) -> None:
    names = [f"{number:04}" for number in range(600)]
    with open_store(tmp_path / "s.db") as store:
        run = known(store, *(file(path=name) for name in names))
        for name in reversed(names):
            store.add_problem(name, "closed")
        assert [path for path, _ in store.problems()] == names
        assert [path for path, _ in store.results(run)] == names
        assert store.count(run, False) == (600, 0, 0)


def test_what_was_kept_is_there_also_after_an_error(tmp_path: Path) -> None:
    def scan() -> None:
        with open_store(tmp_path / "s.db") as store:
            known(store, file())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scan()
    with open_store(tmp_path / "s.db") as store:
        assert store.knows(b"c", 1)
        with pytest.raises(StorageError, match="in use"), open_store(tmp_path / "s.db"):
            pass
        store.commit()
        store.commit()
    assert store.path == str(tmp_path / "s.db")


def test_a_score_of_a_content_is_replaced_by_a_later_one(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        run = known(store, file(), error="bad")
        store.keep(b"c", run, Scores(2.5, np.array([[0.5, 2.5]]), np.array([[0.25, 0.75]], np.float32), None, ("w",)))
        [(_, found)] = store.results(run)
        assert found.spans is not None
        assert found.scores is not None
        assert (found.error, found.duration, found.warnings) == (None, 2.5, ("w",))
        assert (found.spans.tolist(), found.scores.tolist()) == ([[0.5, 2.5]], [[0.25, 0.75]])
        assert (found.spans.dtype, found.scores.dtype) == (np.float64, np.float32)

"""Where a scan keeps its scores: locks, versions, damage, a full disk; and which videos a library holds."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from command_line import python, start_python
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_helpers import render_library, save_model

from adapters.errors import StorageError
from adapters.media import VideoFile
from adapters.system.digest import BLOCK_BYTES
from cliplab.library import fingerprint, printable
from cliplab.scan import scan, store_file
from cliplab.scan.sampling import best_windows
from cliplab.scan.score_rows import Scores
from cliplab.scan.store import open_store


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_library(tmp_path_factory.mktemp("library"), 6)


# The store ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "tolerance"), [(2, 0), (16, 0), (17, 5e-4), (33, 5e-4), (600, 5e-4)])
def test_scores_come_back_as_they_were(tmp_path: Path, classes: int, tolerance: float) -> None:
    random = np.random.default_rng(classes)
    scores, spans = random.random((7, classes), np.float32), np.sort(random.random((7, 2)))
    file = VideoFile("/videos/caf\udce9 \n.mp4", 5, 17)
    with open_store(tmp_path / "scan.db") as store:
        store.begin_scan()
        run, other = store.run({"model": "m"})
        assert not other
        store.record_files([file])
        store.identify(file.path, b"content")
        store.keep(b"content", run, Scores(7.5, spans, scores, None, ("damaged",)))
    with open_store(tmp_path / "scan.db") as store:
        assert store.run({"model": "n"})[1]
        store.begin_scan()
        store.record_files([file])
        assert list(store.pending(run, False)) == []
        [(path, found)] = store.results(run)
    assert (path, found.duration, found.warnings, found.error) == (file.path, 7.5, ("damaged",), None)
    assert found.scores is not None
    np.testing.assert_array_equal(found.spans, spans)
    np.testing.assert_allclose(found.scores, scores, rtol=0, atol=tolerance)


def test_pending_goes_through_many_pages_in_order(tmp_path: Path) -> None:
    files = [VideoFile(f"/v/{number:05}", 1, 1) for number in range(1000)]
    with open_store(tmp_path / "scan.db") as store:
        run, _ = store.run({})
        store.begin_scan()
        store.record_files(reversed(files))
        seen = []
        for file, content in store.pending(run, False):
            assert content is None
            seen.append(file)
            store.identify(file.path, file.path.encode())
            store.keep(file.path.encode(), run, Scores(None, None, None, "bad"))
        assert seen == files
        assert store.count(run, False) == (1000, 0, 0)
        assert store.count(run, True) == (1000, 1000, 1000)


def test_two_scans_on_one_store(library: Path, model: Path, tmp_path: Path) -> None:
    code = "import sys, time; from cliplab.scan.store import open_store\nwith open_store(sys.argv[1]):\n"
    code += "    print('open', flush=True); time.sleep(600)"
    with start_python(code, tmp_path / "scan.db") as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "open\n"
            with pytest.raises(StorageError, match=rf"in use by process {other.pid} on "):
                scan(library, model, output=tmp_path / "h.json")
        finally:
            other.kill()
    assert scan(library, model, output=tmp_path / "h.json").videos == 6, "the lock outlived its process"


def test_a_locked_database(library: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan(library, model, output=tmp_path / "h.json")
    monkeypatch.setattr(store_file, "BUSY_SECONDS", 0.2)
    connection = sqlite3.connect(tmp_path / "scan.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match=r"scan\.db: .*another program keeps it locked.*resumes here"):
        scan(library, model, output=tmp_path / "h.json")
    connection.close()
    assert scan(library, model, output=tmp_path / "h.json").scored == 0


def test_stores_of_others_and_of_the_future_are_refused(library: Path, model: Path, tmp_path: Path) -> None:
    def refused(path: Path, words: str) -> None:
        before = path.read_bytes()
        with pytest.raises(StorageError, match=words):
            scan(library, model, output=tmp_path / "h.json", store=path)
        assert path.read_bytes() == before

    newer = tmp_path / "newer.db"
    scan(library, model, output=tmp_path / "h.json", store=newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    refused(newer, "newer cliplab")
    with sqlite3.connect(tmp_path / "mail.db") as connection:
        connection.execute("CREATE TABLE mail (text)")
    connection.close()
    refused(tmp_path / "mail.db", "another program")
    (tmp_path / "text.db").write_text("no database at all, " * 100)
    refused(tmp_path / "text.db", "damaged or not a database")
    with pytest.raises(StorageError):
        scan(library, model, output=tmp_path / "h.json", store=tmp_path / "text.db" / "scan.db")


def test_a_damaged_store_is_moved_aside_and_a_new_one_begun(library: Path, model: Path, tmp_path: Path) -> None:
    store = tmp_path / "scan.db"
    scan(library, model, output=tmp_path / "h.json", store=store)
    expected = (tmp_path / "h.json").read_bytes()
    for number in (1, 2):
        data = bytearray(store.read_bytes())
        data[4096:] = bytes(reversed(data[4096:]))
        store.write_bytes(data)
        notes: list[str] = []
        report = scan(library, model, output=tmp_path / "h.json", store=store, on_note=notes.append)
        assert report.scored == report.videos
        assert (tmp_path / "h.json").read_bytes() == expected
        assert f"scan.db.damaged-{number}" in notes[0]
        assert (tmp_path / f"scan.db.damaged-{number}").read_bytes() == data
    data[:100] = bytes(100)  # it may be another program's
    store.write_bytes(data)
    with pytest.raises(StorageError, match=r"scan\.db: .*remove it to start again"):
        scan(library, model, output=tmp_path / "h.json", store=store)
    assert store.read_bytes() == data


COLUMNS = ("duration", "classes", "spans", "scores", "error", "warnings", "run", "fingerprint", "crc")


@pytest.mark.parametrize("column", COLUMNS)
def test_a_damaged_row_is_scored_again(library: Path, model: Path, tmp_path: Path, column: str) -> None:
    """Whatever value of a row is another one than was stored."""
    store, output = tmp_path / "scan.db", tmp_path / "h.json"
    scan(library, model, output=output, store=store, min_score=0.0)
    expected = output.read_bytes()
    with sqlite3.connect(store) as connection:
        [(value, content)] = connection.execute(f"SELECT {column}, fingerprint FROM scores LIMIT 1").fetchall()
        if isinstance(value, bytes):
            changed: object = bytes([value[0] ^ 1, *value[1:]])
        else:
            changed = "odd" if value is None or isinstance(value, str) else value + 1
        connection.execute(f"UPDATE scores SET {column} = ? WHERE fingerprint = ?", (changed, content))
    connection.close()
    notes: list[str] = []
    report = scan(library, model, output=output, store=store, min_score=0.0, on_note=notes.append)
    assert report.scored == 1
    assert output.read_bytes() == expected
    assert "damaged" in notes[0]
    notes.clear()
    assert scan(library, model, output=output, store=store, min_score=0.0, on_note=notes.append).scored == 0
    assert notes == []


def test_a_store_of_an_older_version_has_no_crcs_and_keeps_its_scores(
    library: Path, model: Path, tmp_path: Path
) -> None:
    store, output = tmp_path / "scan.db", tmp_path / "h.json"
    scan(library, model, output=output, store=store, min_score=0.0)
    expected = output.read_bytes()
    with sqlite3.connect(store) as connection:
        connection.executescript("ALTER TABLE scores DROP COLUMN crc; PRAGMA user_version = 1;")
    connection.close()
    assert scan(library, model, output=output, store=store, min_score=0.0).scored == 0
    assert output.read_bytes() == expected
    with sqlite3.connect(store) as connection:  # without a CRC, what cannot be a row of scores is still found
        connection.execute("UPDATE scores SET scores = x'00' WHERE fingerprint = (SELECT min(fingerprint) FROM scores)")
    connection.close()
    assert scan(library, model, output=output, store=store, min_score=0.0).scored == 1
    assert output.read_bytes() == expected


def test_an_output_that_is_no_scans_is_not_replaced(library: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"highlights": []}')
    for path, words in (("labels.json", "is not a highlights.json of a scan"), (".", "folder or a device")):
        with pytest.raises(StorageError, match=words):
            scan(library, model, output=tmp_path / path, store=tmp_path / "scan.db")
    assert (tmp_path / "labels.json").read_text() == '{"highlights": []}'


def test_a_full_disk_costs_nothing_that_was_kept(library: Path, model: Path, tmp_path: Path) -> None:
    """A limit on the size of files fails a write in the middle, as a full disk does."""
    big = Path(shutil.copytree(library, tmp_path / "library"))
    for number in range(30):
        with open(shutil.copy(big / "day0" / "000.mp4", big / f"{number}.mp4"), "ab") as file:
            file.write(bytes([number]) * 8)
    code = (
        "import resource, sys; from cliplab.scan import scan; from cliplab.scan.store import open_store\n"
        "with open_store(sys.argv[3] + '/scan.db'): pass\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))\n"
        "scan(sys.argv[1], sys.argv[2], output=sys.argv[3] + '/h.json', min_score=0)"
    )
    done = python(code, big, model, tmp_path / "out")
    assert done.exit_code == 1
    assert "StorageError" in done.stderr.splitlines()[-1]
    assert "the disk is full or failing" in done.stderr.splitlines()[-1]
    report = scan(big, model, output=tmp_path / "out" / "h.json", min_score=0)
    assert 0 < report.scored < report.videos == 36


# The library ----------------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_read_is_told_and_the_rest_goes_on(library: Path, model: Path, tmp_path: Path) -> None:
    """A path longer than the system takes: nobody may read that, whatever the permissions."""
    deep = Path(shutil.copytree(library, tmp_path / "library"))
    here = os.getcwd()
    try:
        os.chdir(deep)
        for _ in range(20):
            os.mkdir("d" * 240)
            os.chdir("d" * 240)
    finally:
        os.chdir(here)
    report = scan(deep, model, output=tmp_path / "h.json", min_score=0)
    assert (report.videos, report.highlights, report.failed) == (6, 6, 1)
    assert "folder cannot be read" in report.failures[0][1]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser reads everything")
def test_a_folder_without_permission(library: Path, model: Path, tmp_path: Path) -> None:
    closed = Path(shutil.copytree(library, tmp_path / "library")) / "day0"
    closed.chmod(0)
    try:
        assert scan(closed.parent, model, output=tmp_path / "h.json").failed == 1
    finally:
        closed.chmod(0o755)


@settings(max_examples=30, deadline=None)
@given(size=st.integers(0, 40), place=st.integers(0, 39), tail=st.integers(1, 5))
def test_a_fingerprint_tells_contents_apart(size: int, place: int, tail: int) -> None:
    """Files of up to three blocks are read whole; any byte, and the length, counts."""
    import tempfile

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr("adapters.system.digest.BLOCK_BYTES", 16)
        one, other = Path(folder, "one"), Path(folder, "other")
        data = bytes(range(size))
        one.write_bytes(data)
        other.write_bytes(data)
        assert fingerprint(str(one), size) == fingerprint(str(other), size)
        other.write_bytes(data + bytes(tail))
        assert fingerprint(str(one), size) != fingerprint(str(other), size + tail)
        if place < size:
            other.write_bytes(data[:place] + b"\xff" + data[place + 1 :])
            assert fingerprint(str(one), size) != fingerprint(str(other), size)


def test_a_large_file_is_read_in_three_places(tmp_path: Path) -> None:
    size = 10 * BLOCK_BYTES
    path = tmp_path / "large.mp4"
    path.write_bytes(bytes(size))
    before = fingerprint(str(path), size)
    for place in (0, size // 2, size - 1):
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"x")
        assert fingerprint(str(path), size) != before
        path.write_bytes(bytes(size))


def test_paths_are_shown_in_one_line() -> None:
    assert printable("/v/ordinary café.mp4") == "/v/ordinary café.mp4"
    assert printable("/v/a\nb\udce9\x1b[31m.mp4") == r"/v/a\nb\udce9\x1b[31m.mp4"


# Best windows ---------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    scores=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
    step=st.floats(0.1, 3),
    overlap=st.floats(1, 3),
    length=st.floats(0.1, 20),
)
def test_no_window_is_better_than_the_best(scores: list[float], step: float, overlap: float, length: float) -> None:
    starts = np.arange(len(scores)) * step
    spans = np.stack([starts, starts + step * overlap], axis=1)
    found = best_windows(spans, np.array(scores, np.float32), length)
    first, last = spans[0, 0], spans[:, 1].max()
    assert 1 <= len(found) <= 3
    middles = spans.mean(axis=1)

    def mean_over(start: float, end: float) -> float:
        moments = start + (np.arange(2000) + 0.5) * (end - start) / 2000
        nearest = np.abs(moments[:, None] - middles[None]).argmin(axis=1)
        return float(np.mean(np.array(scores)[nearest]))

    for start, end, score in found:
        assert first - 1e-9 <= start < end <= last + 1e-9
        assert end - start == pytest.approx(min(length, last - first))
        assert score == pytest.approx(mean_over(start, end), abs=0.02)
    for (start, end, score), (other_start, other_end, other) in itertools.pairwise(found):
        assert score >= other - 1e-6
        assert end <= other_start + 1e-6 or other_end <= start + 1e-6
    span = found[0][1] - found[0][0]
    for start in np.linspace(first, last - span, 15):
        assert mean_over(start, start + span) <= found[0][2] + 0.02


def test_the_best_window_is_where_the_scores_are_high() -> None:
    scores = np.array([0, 0, 0.9, 1, 0.9, 0, 0, 0, 0.8, 0.8], np.float32)
    spans = np.stack([np.arange(10.0), np.arange(10.0) + 1], axis=1)
    first, second = best_windows(spans, scores, 3.0)[:2]
    assert first == pytest.approx((2.0, 5.0, 2.8 / 3), abs=1e-6)
    assert second == pytest.approx((7.0, 10.0, 1.6 / 3), abs=1e-6)

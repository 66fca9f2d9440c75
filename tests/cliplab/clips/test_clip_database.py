"""Files of clips: of the seed's scripts, of later versions, damaged, locked, on a full disk, with a killed writer."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")
pytest.importorskip("alembic", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")

from adapters.errors import StorageError
from cliplab import sql
from cliplab.clips import ClipManager

# As the guide that the database was asked for in shows it.
SEED_SCHEMA = """
CREATE TABLE clips (
    id INTEGER PRIMARY KEY,
    filename TEXT NOT NULL,
    filepath TEXT NOT NULL,
    start_time REAL NOT NULL,
    end_time REAL NOT NULL,
    duration REAL NOT NULL,
    score REAL NOT NULL,
    clip_type TEXT NOT NULL,  -- 'audio' or 'video'
    features TEXT NOT NULL,   -- JSON string
    rating INTEGER,           -- 1-5 or NULL
    created_at TEXT NOT NULL,
    rated_at TEXT,
    source_url TEXT
);
"""


def of_the_seed(path: Path, *ratings: object) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SEED_SCHEMA)
        for number, rating in enumerate(ratings, 1):
            name, made = f"{number}.mp4", "2025-01-01"
            row = (number, name, name, 0, 1, 1, 0.5, "audio", '{"tempo": 1}', rating, made)
            connection.execute(f"INSERT INTO clips VALUES ({','.join('?' * 11)}, NULL, NULL)", row)
        connection.commit()
    return path


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_a_database_of_the_seed_is_brought_up_with_a_backup(tmp_path: Path) -> None:
    path = of_the_seed(tmp_path / "clips.db", 5, None, 2, 9, 3.5)
    before = dump(path)
    with ClipManager(path) as manager:
        assert manager.database.migrated_from == "0001"
        assert manager.database.backup_path is not None
        assert dump(manager.database.backup_path) == before
        assert manager.get_statistics()["rating_distribution"] == {1: 0, 2: 1, 3: 0, 4: 0, 5: 1}
        assert manager.get_statistics()["ratings"] == 2
        assert [clip.id for clip in manager.list_clips(10)] == [5, 4, 3, 2, 1]
        assert manager.get_training_data() == ([{"tempo": 1}] * 2, [5, 2])
        manager.rate_clip(4, 1)
    with ClipManager(path) as again:
        assert again.database.migrated_from is None
        assert again.get_statistics()["rated_clips"] == 3
    assert len(list(tmp_path.glob("clips.db.version-*"))) == 1


def test_a_migration_that_fails_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = of_the_seed(tmp_path / "clips.db", 5)
    from cliplab.clips import triggers

    monkeypatch.setattr(triggers, "SQLITE", (*triggers.SQLITE, "CREATE NONSENSE"))
    with pytest.raises(StorageError, match="syntax error"):
        ClipManager(path)
    with closing(sqlite3.connect(path)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert names == {"clips"}
    assert list(tmp_path.glob("clips.db.version-*")) == [], "a copy of what was not changed"
    monkeypatch.undo()
    with ClipManager(path) as manager:
        assert manager.get_clip(1).rating == 5


def test_what_is_no_clip_database(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but long enough to be taken for one" * 20)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE songs (id INTEGER)")
    with closing(sqlite3.connect(tmp_path / "almost.db")) as connection:
        connection.execute("CREATE TABLE clips (id INTEGER, filename TEXT)")
    (tmp_path / "folder.db").mkdir()
    for name, said in (
        ("text.db", "not a database"),
        ("other.db", "another program .*songs"),
        ("almost.db", "no column filepath, start_time"),
        ("folder.db", "not a file"),
        ("missing/clips.db", "unable to open"),
    ):
        with pytest.raises(StorageError, match=said):
            ClipManager(tmp_path / name)
    with pytest.raises(StorageError, match="not supported"):
        ClipManager("mysql://secret@host/db")
    with pytest.raises(StorageError) as failed:
        ClipManager("postgresql://user:secret@127.0.0.1:1/db")
    assert "secret" not in str(failed.value)


def test_a_database_of_a_later_version_is_refused_and_not_altered(tmp_path: Path) -> None:
    path = tmp_path / "clips.db"
    ClipManager(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(StorageError, match=r"'9999'.*Update cliplab"):
        ClipManager(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE alembic_version SET version_num = '0001'", r"version 0001, but has .*ratings.* of a later version"),
        ("DROP TABLE alembic_version", r"version 0001, but has .*ratings.* of a later version"),
        ("DROP TABLE comparisons", "version 0002, but lacks comparisons"),
        ("DROP TRIGGER clips_rated", "version 0002, but lacks clips_rated"),
    ],
)
def test_a_half_migrated_database_is_named_so_and_left_alone(tmp_path: Path, change: str, said: str) -> None:
    path = tmp_path / "clips.db"
    with ClipManager(path) as manager:
        manager.rate_clip(manager.register_clip("a.mp4", 0, 1, 0.5, "audio", {}), 5)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
        connection.commit()
    before = dump(path)
    for _ in range(3):
        with pytest.raises(StorageError, match=rf"half migrated.*{said}.*a copy of it"):
            ClipManager(path)
    assert dump(path) == before
    assert list(tmp_path.glob("clips.db.version-*")) == [], "each try would leave another copy"
    (tmp_path / "clips.db.version-0001-20260101-000000").write_bytes(b"")
    with pytest.raises(StorageError, match=r"its copy clips\.db\.version-0001-20260101-000000"):
        ClipManager(path)


def test_a_locked_database_says_who_is_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_WAIT_SECONDS", 0.1)
    path = tmp_path / "clips.db"
    with ClipManager(path) as manager, closing(sqlite3.connect(path)) as other:
        number = manager.register_clip("a.mp4", 0, 1, 0.5, "audio", {})
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"clips\.db: database is locked\. Another process"):
            manager.rate_clip(number, 5)
        assert manager.get_clip(number).rating is None, "reading goes on"
        other.rollback()
        manager.rate_clip(number, 5)


def test_a_present_database_is_opened_while_another_process_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_WAIT_SECONDS", 0.1)
    path = tmp_path / "clips.db"
    with ClipManager(path) as manager:
        number = manager.register_clip("a.mp4", 0, 1, 0.5, "audio", {})
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ClipManager(path) as manager:
            assert manager.get_clip(number).id == number
            assert manager.database.migrated_from is None
        other.rollback()


def test_a_database_that_may_not_be_written_says_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clips.db"
    with ClipManager(path) as manager:
        number = manager.register_clip("a.mp4", 0, 1, 0.5, "audio", {})
        manager.rate_clip(number, 5)
    before = dump(path)
    # By the connection, since whoever runs as root may write any file.
    connect = sqlite3.connect

    def read_only(path: str, **options: Any) -> sqlite3.Connection:
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    with monkeypatch.context() as patched:
        patched.setattr("sqlite3.dbapi2.connect", read_only)
        with ClipManager(path) as manager:
            assert manager.get_clip(number).rating == 5, "reading goes on"
            with pytest.raises(StorageError, match=r"clips\.db: .*readonly.*Give this user the right to write"):
                manager.rate_clip(number, 1)
    assert dump(path) == before


def test_a_full_disk_stores_all_of_a_rating_or_nothing(tmp_path: Path) -> None:
    with ClipManager(tmp_path / "clips.db") as manager:
        number = manager.register_clip("a.mp4", 0, 1, 0.5, "audio", {"x": "y" * 2000})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "clips.db-wal").stat().st_size, limits[1]))
        stored = 0
        try:
            while stored < 1000:
                manager.rate_clip(number, 1 + stored % 5, client="a", sequence=stored)
                stored += 1
        except StorageError:
            pass
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, previous)
        assert manager.get_statistics()["ratings"] == stored < 1000
        manager.rate_clip(number, 5)
        assert manager.get_clip(number).rating == 5


def test_a_copy_that_cannot_be_made_stops_a_reset(tmp_path: Path) -> None:
    with ClipManager(tmp_path / "clips.db") as manager:
        number = manager.register_clip("a.mp4", 0, 1, 0.5, "audio", {})
        manager.rate_clip(number, 5)
        with pytest.raises(StorageError, match="already exists"):
            manager.backup(tmp_path / "clips.db")
        copy = manager.reset()
        assert manager.get_statistics()["total_clips"] == 0
    assert copy is not None
    with ClipManager(copy) as old:
        assert old.get_clip(number).rating == 5


RATER = """
import sys
from cliplab.clips import ClipManager
manager = ClipManager(sys.argv[1])
for sequence in range(100000):
    manager.rate_clip(1, 1 + sequence % 5, client=sys.argv[2], sequence=sequence)
    print(sequence, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "clips.db"
    with ClipManager(path) as manager:
        manager.register_clip("a.mp4", 0, 1, 0.5, "audio", {})
    acknowledged = {}
    for run in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", RATER, str(path), str(run)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.05 + 0.07 * run)
        child.kill()
        lines = child.stdout.read().split("\n")
        child.wait()
        acknowledged[str(run)] = max([0, *(int(line) for line in lines[:-1] if line)])
    with closing(sqlite3.connect(path)) as connection:
        for client, last in acknowledged.items():
            query = "SELECT sequence FROM ratings WHERE client = ? ORDER BY sequence"
            found = [row[0] for row in connection.execute(query, (client,))]
            assert found == list(range(len(found)))
            assert len(found) in (last + 1, last + 2), "at most the one that was under way is there as well"
        latest = connection.execute("SELECT stars FROM ratings ORDER BY id DESC LIMIT 1").fetchone()
        assert connection.execute("SELECT rating FROM clips").fetchone() == latest


def read_all(path: Path) -> None:
    with ClipManager(path) as manager:
        manager.list_clips(200)
        manager.get_training_data()
        manager.get_statistics()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clips.db"
    with ClipManager(path) as manager:
        for number in range(200):
            manager.register_clip(f"{number}.mp4", 0, 1, 0.5, "audio", {"x": "y" * 500})
        copy = manager.backup(tmp_path / "copy.db")
    content = bytearray(copy.read_bytes())
    content[8192:-4096] = os.urandom(len(content) - 8192 - 4096)
    broken = tmp_path / "broken.db"
    broken.write_bytes(content)
    with pytest.raises(StorageError, match=r"broken\.db: .*backup"):
        read_all(broken)

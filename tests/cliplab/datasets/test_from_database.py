"""`dataset from-db`: rated clips of a production database as a dataset, and the database is only read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command_line import cli
from postgres_server import NEEDED, postgres, programs

pytest.importorskip("alembic", reason="reading databases needs the clips extra: pip install 'cliplab[clips]'")

from adapters.data import read_dataset
from adapters.errors import ConfigError, DatasetError, StorageError
from cliplab.clips import ClipManager
from cliplab.datasets import dataset_from_db


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Six clips of three sources, rated 5, 4, 3, 2, 1 and not at all."""
    folder = tmp_path / "production"
    folder.mkdir()
    with ClipManager(folder / "clips.db") as manager:
        for n in range(6):
            (folder / f"{n}.mp4").write_bytes(b"clip %d" % n)
            number = manager.register_clip(f"{n}.mp4", n, n + 1, 0.5, "video", {}, source_url=f"stream{n // 2}")
            if n < 5:
                manager.rate_clip(number, 5 - n)
    return folder / "clips.db"


def test_rated_clips_become_two_folders(database: Path, tmp_path: Path) -> None:
    before = database.read_bytes()
    output = tmp_path / "highlight_dataset"
    report = dataset_from_db(database, output)
    assert report.clips == {"trick": 2, "non-trick": 2}
    assert (report.rows, report.neither, report.both, report.missing) == (6, 2, 0, ())
    assert sorted(path.name for path in (output / "trick").iterdir()) == ["0.mp4", "1.mp4"]
    assert (output / "non-trick" / "4.mp4").read_bytes() == b"clip 4"
    found = read_dataset(output)
    assert found.labels == ("trick", "non-trick")
    assert [item.group for item in found.examples] == ["stream0", "stream0", "stream1", "stream2"]
    record = json.loads((output / "from_database.json").read_text())
    assert (record["query"], record["positive"]) == ("SELECT * FROM clips", "rating >= 4")
    assert database.read_bytes() == before
    with pytest.raises(StorageError, match="already exists"):
        dataset_from_db(database, output)


def test_clips_can_stay_where_they_are(database: Path, tmp_path: Path) -> None:
    report = dataset_from_db(database, tmp_path / "out", reference=True, labels=("goal", "other"))
    assert not report.copied
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset.jsonl", "from_database.json"]
    assert {item.path.parent for item in read_dataset(tmp_path / "out").examples} == {database.parent}


def test_a_query_and_conditions_of_ones_own(database: Path, tmp_path: Path) -> None:
    query = tmp_path / "query.sql"
    query.write_text("SELECT filename AS video_path, score, clip_type AS kind, rating AS r, source_url FROM clips;\n")
    report = dataset_from_db(
        database, tmp_path / "out", query=query, positive="kind = 'video' and r > 3", negative="r < 2"
    )
    assert report.clips == {"trick": 2, "non-trick": 1}


def test_missing_and_repeated_files_are_named(database: Path, tmp_path: Path) -> None:
    (database.parent / "1.mp4").unlink()
    with ClipManager(database) as manager:
        manager.rate_clip(manager.register_clip("0.mp4", 50, 51, 0.5, "video", {}), 5)
    report = dataset_from_db(database, tmp_path / "out")
    assert report.clips == {"trick": 1, "non-trick": 2}
    assert sorted(text.split(": ")[1] for text in report.missing) == ["occurs twice", "there is no such file"]


@pytest.mark.parametrize(
    "options, error, said",
    [
        ({"positive": "rating"}, ConfigError, "COLUMN OPERATOR VALUE"),
        ({"positive": "1; DROP TABLE clips"}, ConfigError, "COLUMN OPERATOR VALUE"),
        ({"positive": "stars > 3"}, DatasetError, "no column stars"),
        ({"positive": "rating > 9", "negative": "rating < 0"}, DatasetError, "none of the 6 rows"),
        ({"labels": ("a",)}, ConfigError, "two different names"),
        ({"labels": ("../a", "b")}, ConfigError, "two different names"),
    ],
)
def test_what_is_not_allowed(database: Path, tmp_path: Path, options: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        dataset_from_db(database, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "sql, said",
    [
        ("DELETE FROM clips", "one SELECT"),
        ("SELECT 1; DELETE FROM clips", "one SELECT"),
        ("WITH x AS (SELECT 1) DELETE FROM clips", "query failed"),
        ("SELECT nothing FROM nowhere", "query failed"),
        ("SELECT rating FROM clips", "column with the clip's file"),
    ],
)
def test_a_query_that_is_no_query(database: Path, tmp_path: Path, sql: str, said: str) -> None:
    query = tmp_path / "query.sql"
    query.write_text(sql)
    with pytest.raises((ConfigError, DatasetError), match=said):
        dataset_from_db(database, tmp_path / "out", query=query)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM clips").fetchone() == (6,)


def test_postgresql_is_only_read(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="PostgreSQL needs the clips extra: pip install 'cliplab[clips]'")
    if programs() is None:
        pytest.skip(NEEDED)
    (tmp_path / "a.mp4").write_bytes(b"a")
    (tmp_path / "b.mp4").write_bytes(b"b")
    with postgres() as url:
        with ClipManager(url) as manager:
            manager.rate_clip(manager.register_clip("a.mp4", 0, 1, 0.5, "video", {}), 5)
            manager.rate_clip(manager.register_clip("b.mp4", 0, 1, 0.5, "video", {}), 1)
        report = dataset_from_db(url, tmp_path / "out", root=tmp_path)
        assert report.clips == {"trick": 1, "non-trick": 1}
        query = tmp_path / "query.sql"
        query.write_text("WITH gone AS (DELETE FROM clips RETURNING *) SELECT * FROM gone")
        with pytest.raises(DatasetError, match="read-only"):
            dataset_from_db(url, tmp_path / "again", query=query, root=tmp_path)


def test_the_command_says_what_it_took(database: Path, tmp_path: Path) -> None:
    result = cli("dataset", "from-db", database, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "trick" in result.stdout
    report = json.loads(cli("dataset", "from-db", database, "--output", tmp_path / "json", "--json").stdout)
    assert report["clips"] == {"trick": 2, "non-trick": 2}
    secret = cli("dataset", "from-db", "postgresql://me:secret@127.0.0.1:1/db", "--output", tmp_path / "none")
    assert secret.exit_code != 0
    assert "secret" not in secret.output

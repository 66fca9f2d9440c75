"""Rows and queries of a database that no dataset can be made of."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from adapters.errors import DatasetError, StorageError
from cliplab.datasets import dataset_from_db, from_database


def database(folder: Path) -> Path:
    path = folder / "clips.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table clips (filepath, rating)")
        rows = [("a" * 5000, 5), ("a\0.mp4", 5), (b"\xff", 1), ("good.mp4", 5), ("bad.mp4", 1)]
        connection.executemany("insert into clips values (?, ?)", rows)
    connection.close()
    for name in ("good.mp4", "bad.mp4"):
        (folder / name).write_bytes(name.encode())
    return path


def test_rows_that_name_no_file_are_said_and_the_others_used(tmp_path: Path) -> None:
    report = dataset_from_db(database(tmp_path), tmp_path / "out", reference=True)
    assert report.clips == {"trick": 1, "non-trick": 1}
    assert len(report.missing) == 3
    assert all("there is no such file" in sentence for sentence in report.missing)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select zeroblob(900000000) as filepath, 5 as rating", "too big"),
        ("with recursive c(x) as (select 1 union all select x + 1 from c) select x as filepath, 5 as rating from c",
         "more than 1,000 rows. Add a LIMIT"),
    ],
)  # fmt: skip
def test_a_query_without_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str, message: str
) -> None:
    monkeypatch.setattr(from_database, "_MOST_ROWS", 1000)
    (tmp_path / "query.sql").write_text(query)
    with pytest.raises(DatasetError, match=message):
        dataset_from_db(database(tmp_path), tmp_path / "out", query=tmp_path / "query.sql", reference=True)


def test_what_is_no_file_is_named_for_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    with pytest.raises(StorageError, match="FIFO"):
        dataset_from_db(tmp_path / "pipe.db", tmp_path / "out")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StorageError, match="is a folder"):
        dataset_from_db(tmp_path / "folder.db", tmp_path / "out")
    (tmp_path / "loop.db").symlink_to(tmp_path / "loop.db")
    for name in ("loop.db", "a\0.db", "a" * 300 + ".db"):
        with pytest.raises(StorageError, match="cannot be opened"):
            dataset_from_db(tmp_path / name, tmp_path / "out")


def test_rows_that_name_folders_and_pipes_are_said(tmp_path: Path) -> None:
    path = database(tmp_path)
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    with sqlite3.connect(path) as connection:
        connection.executemany("insert into clips values (?, ?)", [("folder.mp4", 5), ("pipe.mp4", 1)])
    connection.close()
    missing = dataset_from_db(path, tmp_path / "out", reference=True).missing
    assert [text.split(": ")[0] for text in missing if "is a folder, FIFO or device" in text] == [
        "'folder.mp4'",
        "'pipe.mp4'",
    ]

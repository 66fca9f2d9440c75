"""`cliplab clips`, `detect` and `generate` where something is wrong: a clear answer, and nothing is lost."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command_line import cli

pytest.importorskip("alembic", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")
pytest.importorskip("skops", reason="ratings need the clips extra: pip install 'cliplab[clips]'")

from waiting import until

from cliplab.clips import ClipManager, RatingBasedTrainer, rating_training


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Twelve rated clips."""
    path = tmp_path / "clips.db"
    with ClipManager(path) as manager:
        for n in range(12):
            number = manager.register_clip(tmp_path / f"{n}.mp4", n, n + 2.0, 0.5, "audio", {"tempo": float(n)})
            manager.rate_clip(number, 1 + n % 5)
    return path


def refused(*arguments: Any) -> str:
    """What a command says that fails."""
    result = cli(*arguments)
    assert result.exit_code in (1, 2), result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "Update cliplab"),
        ("UPDATE alembic_version SET version_num = '0001'", "half migrated"),
        ("DROP TABLE ratings", "half migrated"),
        ("DROP TRIGGER clips_removed", "half migrated"),
    ],
)
def test_a_database_of_another_version_is_refused_by_each_command(database: Path, change: str, said: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(change)
        connection.commit()
    before = rows(database)
    for command in ("list", "stats", "rate 1 5", "tag 1 goal", "train", "cleanup", "export ratings.csv"):
        assert said in refused("clips", *command.split(), "--database", database)
    assert rows(database) == before


def test_a_locked_database_is_read_and_a_rating_is_refused(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cliplab.sql._WAIT_SECONDS", 0.1)
    before = rows(database)
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "Another process has been writing" in refused("clips", "rate", 1, 5, "--database", database)
        assert cli("clips", "list", "--database", database).exit_code == 0
        other.rollback()
    assert rows(database) == before


def test_a_read_only_database_is_read_and_a_rating_says_what_is_needed(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, connect = rows(database), sqlite3.connect

    def read_only(path: str, **options: Any) -> sqlite3.Connection:
        """By the connection, since whoever runs as root may write any file."""
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    with monkeypatch.context() as patched:
        patched.setattr("sqlite3.dbapi2.connect", read_only)
        assert "Give this user the right to write" in refused("clips", "rate", 1, 5, "--database", database)
        assert cli("clips", "list", "--database", database).exit_code == 0
    assert rows(database) == before


def test_features_of_an_older_version_are_named_with_what_to_do(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("""UPDATE clips SET features = '{"tempo": 1.0, "features_version": 0}' WHERE id = 3""")
        connection.commit()
    before = rows(database)
    said = refused("clips", "train", "--database", database)
    assert "clip 3" in said
    assert "cliplab clips features" in said
    assert rows(database) == before


def test_a_second_training_says_which_process_trains(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, begun = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert goes_on.wait(60)
        return fitted(*arguments)

    fitted = rating_training.fitted
    monkeypatch.setattr(rating_training, "LEARNERS", ("ridge",))
    monkeypatch.setattr(rating_training, "fitted", slow)
    path = database.parent / "models" / "highlight_model.skops"
    with ClipManager(database) as manager:
        trainer = RatingBasedTrainer(manager, path, automatic=False)
        first = threading.Thread(target=trainer.train_from_ratings)
        first.start()
        try:
            until(begun.is_set)
            assert "is training" in refused("clips", "train", "--database", database, "--model", path)
        finally:
            goes_on.set()
            first.join(60)
        assert trainer.get_training_progress()["last"]["audio"]["why"], "the first one has ended"
    with ClipManager(database) as manager:
        assert manager.get_statistics()["ratings"] == 12


@pytest.mark.parametrize("command", ["detect", "generate"])
@pytest.mark.parametrize("address", ["http://127.0.0.1:9/live.m3u8", "http://nowhere.invalid/live.m3u8"])
def test_a_dead_address_is_named(command: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(command, address)
    assert f"{address}: cannot be reached" in said
    assert "Check the address" in said
    assert not list(tmp_path.glob("output_clips/*.mp4"))


def test_titles_that_would_command_the_terminal_are_shown_as_text(database: Path) -> None:
    with ClipManager(database) as manager:
        manager.register_clip("<b>\x1b[31m\u202egoal\n.mp4", 50.0, 52.0, 0.5, "audio", {})
    shown = cli("clips", "list", "--database", database).stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert r"<b>\x1b[31m\u202egoal\n.mp4" in shown

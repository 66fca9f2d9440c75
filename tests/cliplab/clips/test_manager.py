"""The clip database, one suite over SQLite and PostgreSQL: what is stored, listed, counted, removed and refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import NEEDED, postgres, programs

pytest.importorskip("sqlalchemy", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")
pytest.importorskip("alembic", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")

import sqlalchemy as sa

from adapters.errors import StorageError
from cliplab.clips import ClipError, ClipManager, export_ratings, import_ratings


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("psycopg", reason="PostgreSQL needs the clips extra: pip install 'cliplab[clips]'")
    if programs() is None:
        pytest.skip(NEEDED)
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClipManager]:
    if request.param == "sqlite":
        with ClipManager(tmp_path / "clips.db") as made:
            yield made
        return
    with ClipManager(request.getfixturevalue("server")) as made:
        yield made
        made.reset(backup=False)


def add(manager: ClipManager, name: str = "a.mp4", start: float = 0.0, **changes: Any) -> int:
    values: dict[str, Any] = {
        "filepath": f"/clips/{name}",
        "start_time": start,
        "end_time": start + 30.0,
        "score": 0.85,
        "clip_type": "audio",
        "features": {"rms_mean": 0.5, "tempo": 120},
        "source_url": "https://example.com/stream",
    }
    return manager.register_clip(**{**values, **changes})


def execute(manager: ClipManager, statement: str, **values: Any) -> list[Any]:
    """What a script that knows the seed's table alone does."""
    path = manager.database.path
    if path is not None:
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)))
    else:
        engine = manager.database._engine
    try:
        with engine.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return list(result) if result.returns_rows else []
    finally:
        if path is not None:
            engine.dispose()


def test_a_clip_comes_back_as_it_was_registered(manager: ClipManager) -> None:
    number = add(manager, start=120.5)
    clip = manager.get_clip(number)
    assert (clip.id, clip.filename, clip.filepath) == (number, "a.mp4", "/clips/a.mp4")
    assert (clip.start_time, clip.end_time, clip.duration, clip.score) == (120.5, 150.5, 30.0, 0.85)
    assert (clip.clip_type, clip.rating, clip.rated_at) == ("audio", None, None)
    assert clip.source_url == "https://example.com/stream"
    assert clip.features == {"rms_mean": 0.5, "tempo": 120}
    assert "features" not in clip.to_json()


def test_the_same_clip_is_entered_once_and_keeps_its_rating(manager: ClipManager) -> None:
    number = add(manager)
    manager.rate_clip(number, 4)
    assert add(manager, score=0.2, features={"tempo": 90}) == number
    clip = manager.get_clip(number)
    assert (clip.score, clip.features, clip.rating) == (0.2, {"tempo": 90}, 4)
    assert add(manager, start=1.0) != number


def test_the_latest_stars_count_and_all_are_kept(manager: ClipManager) -> None:
    number = add(manager)
    manager.rate_clip(clip_id=number, rating=5)
    manager.rate_clip(number, 2, rater="bob", confidence=0.5)
    assert manager.get_clip(number).rating == 2
    manager.rate_clip(number, 3)
    assert manager.get_clip(number).rating == 3
    manager.rate_clip(number, None)
    assert manager.get_clip(number).rating == 2, "the other rater's stars are left"
    manager.rate_clip(number, None, rater="bob")
    assert (manager.get_clip(number).rating, manager.get_clip(number).rated_at) == (None, None)
    rows = execute(manager, "SELECT rater, stars FROM ratings ORDER BY id")
    assert [tuple(row) for row in rows] == [("local", 5), ("bob", 2), ("local", 3), ("local", None), ("bob", None)]


def test_a_request_that_comes_twice_is_stored_once(manager: ClipManager) -> None:
    number = add(manager)
    assert manager.rate_clip(number, 5, client="tab-1", sequence=1)
    assert not manager.rate_clip(number, 1, client="tab-1", sequence=1)
    assert manager.rate_clip(number, 4, client="tab-2", sequence=1)
    assert manager.get_clip(number).rating == 4
    other = add(manager, "b.mp4")
    assert manager.compare_clips(number, other, client="tab-1", sequence=1)
    assert not manager.compare_clips(other, number, client="tab-1", sequence=1)


@pytest.mark.parametrize("rating", [0, 6, -1, 3.5, "5", True, float("nan"), [4]])
def test_what_is_no_rating(manager: ClipManager, rating: Any) -> None:
    number = add(manager)
    with pytest.raises(ClipError, match=r"from 1 \(Poor\) to 5"):
        manager.rate_clip(number, rating)
    assert manager.get_clip(number).rating is None


def test_ratings_by_nobody_of_nothing_or_unsure(manager: ClipManager) -> None:
    number = add(manager)
    for name in ("", "  ", "two\nlines", "x" * 201, None):
        with pytest.raises(ClipError, match="rater"):
            ClipManager(":memory:", rater=name) if name is None else manager.rate_clip(number, 4, rater=name)  # type: ignore[arg-type]
    with pytest.raises(ClipError, match="clip 999"):
        manager.rate_clip(999, 4)
    with pytest.raises(ClipError, match="confidence"):
        manager.rate_clip(number, 4, confidence=1.5)
    with pytest.raises(ClipError, match="itself"):
        manager.compare_clips(number, number)
    assert manager.get_statistics()["ratings"] == 0


def test_a_rating_that_a_script_writes_becomes_a_row(manager: ClipManager) -> None:
    number = add(manager)
    execute(manager, "UPDATE clips SET rating = 4, rated_at = '2025-01-08T10:00:00' WHERE id = :id", id=number)
    execute(
        manager,
        "INSERT INTO clips (id, filename, filepath, start_time, end_time, duration, score, clip_type, features, "
        "rating, created_at) VALUES (77, 'n.mp4', 'n.mp4', 0, 1, 1, 0.5, 'video', '{}', 1, '2025-01-01T00:00:00')",
    )
    rows = execute(manager, "SELECT clip_id, rater, stars, rated_at FROM ratings ORDER BY id")
    assert [tuple(row)[:3] for row in rows] == [(number, "clips.db", 4), (77, "clips.db", 1)]
    assert rows[0].rated_at == "2025-01-08T10:00:00"
    execute(manager, "UPDATE clips SET rating = 2 WHERE id = :id", id=number)
    last = execute(manager, "SELECT stars, rated_at FROM ratings ORDER BY id DESC LIMIT 1")[0]
    assert last.stars == 2
    assert last.rated_at > "2026", "the time of the earlier rating is not taken for this one"
    with pytest.raises(sa.exc.SQLAlchemyError, match="1 to 5"):
        execute(manager, "UPDATE clips SET rating = 6 WHERE id = :id", id=number)
    assert manager.get_clip(number).rating == 2


def test_what_is_deleted_is_kept_aside_and_its_number_says_nothing_of_the_next(manager: ClipManager) -> None:
    first, second = add(manager), add(manager, "b.mp4")
    manager.rate_clip(second, 5)
    manager.tag(second, "goal")
    manager.compare_clips(second, first)
    execute(manager, "DELETE FROM clips WHERE id = :id", id=second)
    kept = execute(manager, "SELECT content FROM removed_clips")[0].content
    for part in ('"b.mp4"', '"stars"', '"goal"', '"better_id"', "rms_mean"):
        assert part in kept
    third = add(manager, "c.mp4")
    assert manager.get_clip(third).rating is None
    assert manager.tags([third]) == {third: []}
    assert manager.get_statistics()["ratings"] == 0


def test_lists_are_pages_of_what_was_asked_for(manager: ClipManager) -> None:
    numbers = [add(manager, f"{n}.mp4", float(n), clip_type="audio" if n % 2 else "video") for n in range(12)]
    for number, stars in zip(numbers, (1, 2, 3, 4, 5, 4, 3, 2), strict=False):
        manager.rate_clip(number, stars)
    manager.tag(numbers[3], "goal", "crowd")
    pages, before = [], None
    while page := manager.list_clips(5, before=before):
        pages.append([clip.id for clip in page])
        before = page[-1]
    assert [len(page) for page in pages] == [5, 5, 2]
    assert [number for page in pages for number in page] == numbers[::-1]
    assert {clip.rating for clip in manager.list_clips(rating=(">=", 4))} == {4, 5}
    assert [clip.rating for clip in manager.list_clips(rating=("=", 4))] == [4, 4]
    assert [clip.id for clip in manager.list_clips(tag="goal")] == [numbers[3]]
    assert len(manager.list_clips(clip_type="audio")) == 6
    assert [clip.id for clip in manager.get_clips_for_review(limit=50)] == numbers[:7:-1]
    assert len(manager.get_clips_for_review(rater="bob")) == 12
    for bad in ({"limit": 0}, {"rating": (">", 4)}, {"rating": ("=", 6)}):
        with pytest.raises(ClipError):
            manager.list_clips(**bad)  # type: ignore[arg-type]


def test_statistics_count_clips_and_ratings(manager: ClipManager) -> None:
    assert manager.get_statistics()["average_rating"] is None
    numbers = [add(manager, f"{n}.mp4", clip_type="video" if n else "audio") for n in range(4)]
    manager.rate_clip(numbers[0], 5)
    manager.rate_clip(numbers[1], 2)
    manager.rate_clip(numbers[1], 2, rater="bob")
    found = manager.get_statistics()
    assert (found["total_clips"], found["rated_clips"], found["unrated_clips"]) == (4, 2, 2)
    assert found["average_rating"] == 3.5
    assert found["rating_distribution"] == {1: 0, 2: 1, 3: 0, 4: 0, 5: 1}
    assert found["clips_by_type"] == {"audio": 1, "video": 3}
    assert (found["ratings"], found["raters"]) == (3, 2)


def test_what_to_learn_from(manager: ClipManager) -> None:
    for n, stars in enumerate((5, 1, 3)):
        kind = "video" if n == 1 else "audio"
        manager.rate_clip(add(manager, f"{n}.mp4", features={"tempo": n}, clip_type=kind), stars)
    add(manager, "unrated.mp4")
    assert manager.get_training_data() == ([{"tempo": 0}, {"tempo": 1}, {"tempo": 2}], [5, 1, 3])
    assert manager.get_training_data("audio") == ([{"tempo": 0}, {"tempo": 2}], [5, 3])
    execute(manager, "UPDATE clips SET features = 'not json' WHERE filename = '2.mp4'")
    with pytest.raises(ClipError, match=r"clip \d+: the stored features"):
        manager.get_training_data()


def test_entries_of_missing_files_are_removed(manager: ClipManager, tmp_path: Path) -> None:
    present = tmp_path / "there.mp4"
    present.write_bytes(b"")
    kept = add(manager, filepath=str(present))
    gone = add(manager, "gone.mp4")
    manager.rate_clip(gone, 5)
    assert manager.cleanup_missing_files(dry_run=True) == 1
    assert manager.get_statistics()["total_clips"] == 2
    assert manager.cleanup_missing_files() == 1
    assert [clip.id for clip in manager.list_clips()] == [kept]
    assert "gone.mp4" in execute(manager, "SELECT content FROM removed_clips")[0].content
    present.unlink()
    add(manager, "also_gone.mp4")
    with pytest.raises(StorageError, match="none of the 2 files"):
        manager.cleanup_missing_files()


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"start_time": -1}, "begin at 0"),
        ({"start_time": 40.0, "end_time": 40.0}, "end after"),
        ({"score": float("nan")}, "score must be a number"),
        ({"score": "high"}, "score must be a number"),
        ({"clip_type": "smell"}, "one of audio, video"),
        ({"features": [1, 2]}, "values by name"),
        ({"features": {"x": float("inf")}}, "finite"),
        ({"features": {"x": object()}}, "finite numbers"),
        ({"filepath": "bad\udcff.mp4"}, "UTF-8"),
        ({"filepath": "nul\0.mp4"}, "UTF-8"),
    ],
)
def test_what_is_no_clip(manager: ClipManager, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ClipError, match=said):
        add(manager, **changes)
    assert manager.list_clips() == []


def test_hostile_names_are_stored_as_they_are(manager: ClipManager) -> None:
    name = "'; DROP TABLE clips; --<script>\u202e%s.mp4"
    number = add(manager, filename=name)
    manager.tag(number, "100% 'real'")
    assert manager.get_clip(number).filename == name
    assert manager.tags([number]) == {number: ["100% 'real'"]}


def test_threads_rate_at_once(manager: ClipManager) -> None:
    numbers = [add(manager, f"{n}.mp4") for n in range(5)]

    def rate(client: int) -> None:
        for sequence in range(10):
            manager.rate_clip(numbers[sequence % 5], 1 + client, client=str(client), sequence=sequence)

    threads = [threading.Thread(target=rate, args=(client,)) for client in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert manager.get_statistics()["ratings"] == 40


def test_numbers_that_are_not_finite_are_missing_features(manager: ClipManager) -> None:
    clip_id = add(manager)
    manager.rate_clip(clip_id, 4)
    stored = '{"rms_mean": NaN, "peak": -Infinity, "tempo": 120, "nested": {"a": [NaN]}}'
    execute(manager, "UPDATE clips SET features = :stored", stored=stored)
    expected = {"rms_mean": None, "peak": None, "tempo": 120, "nested": {"a": [None]}}
    assert manager.get_training_data() == ([expected], [4])


@pytest.mark.parametrize(
    "name", ["=cmd()|a.mp4", "+1.mp4", "-1.mp4", "@SUM(1).mp4", "'=a.mp4", "'a.mp4", "a\u2028b.mp4"]
)
def test_no_cell_of_exported_ratings_is_a_formula(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ratings.csv"
    with ClipManager(tmp_path / "clips.db") as manager:
        clip_id = add(manager, filepath=name)
        manager.rate_clip(clip_id, 5, rater="=1+1")
        assert export_ratings(manager, path) == 1
        cells = path.read_bytes().decode().split("\r\n")[1].split(",")
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    with ClipManager(tmp_path / "other.db") as manager:
        add(manager, filepath=name)
        report = import_ratings(manager, path)
        assert (report.stored, report.problems) == (1, ())
        assert execute(manager, "SELECT DISTINCT rater FROM ratings") == [("=1+1",)]


def test_a_database_that_lacks_a_table_is_refused_and_left_alone(
    manager: ClipManager, request: pytest.FixtureRequest
) -> None:
    number = add(manager)
    manager.rate_clip(number, 5)
    database = manager.database.path or request.getfixturevalue("server")
    execute(manager, "ALTER TABLE comparisons RENAME TO put_aside")
    try:
        with pytest.raises(StorageError, match=r"half migrated.*version 0002, but lacks comparisons"):
            ClipManager(database)
    finally:
        execute(manager, "ALTER TABLE put_aside RENAME TO comparisons")
    with ClipManager(database) as again:
        assert again.get_clip(number).rating == 5

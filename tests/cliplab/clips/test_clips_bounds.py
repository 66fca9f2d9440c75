"""Every bound and refusal of clips and ratings: the last value that is allowed, and the next one; filters and lists."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import Maker

pytest.importorskip("alembic", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")

from adapters.errors import AdapterError, BundleError, ConfigError, DatasetError, StorageError
from cliplab.clips import (
    ClipError,
    ClipManager,
    clips_ab_start,
    clips_ab_stop,
    clips_backup,
    clips_cleanup,
    clips_export,
    clips_import,
    clips_list,
    clips_rate,
    clips_reset,
    clips_tag,
    clips_train,
)
from cliplab.clips.commands import ClipList
from cliplab.clips.records import (
    Clip,
    checked_clip,
    checked_stars,
    clip_filter,
    features_text,
    is_outdated,
    read_features,
)
from cliplab.sql import named_database, open_engine

CLIP = {"start_time": 0.0, "end_time": 1.0, "score": 0.5, "clip_type": "audio", "features": {}}
VALUES: list[tuple[str, list[Any], list[Any]]] = [
    ("start_time", [0, 0.5, "0.5"], [-0.1, 1.0, math.nan, math.inf, True, "x", None]),
    ("end_time", [0.1, 1e9], [0.0, -1.0, math.nan, True, None]),
    ("score", [-5.0, 0, 7.5], [math.nan, True, "x", None]),
    ("clip_type", ["audio", "video"], ["text", "", None]),
    ("features", [{}, {"a": 1, "b": [1.0], "c": "x", "d": None}],
     [{"a": math.nan}, {1: 1}, [1], None, {"a": object()}]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, allowed, _ in VALUES for value in allowed])
def test_a_clip_is_registered_up_to_its_bounds(name: str, value: Any) -> None:
    found = dict(zip(CLIP, checked_clip(*{**CLIP, name: value}.values()), strict=True))
    expected = json.dumps(value) if name == "features" else value if name == "clip_type" else float(value)
    assert found[name] == expected


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, _, refused in VALUES for value in refused])
def test_a_clip_beyond_a_bound_is_refused(name: str, value: Any) -> None:
    words = f"{name}|begin at 0 s or later"
    with pytest.raises(ClipError, match=words):
        checked_clip(*{**CLIP, name: value}.values())


@pytest.mark.parametrize("stars", [1, 2, 3, 4, 5])
def test_ratings_are_one_to_five_stars(stars: int) -> None:
    assert checked_stars(stars) == stars
    for bad in (0, 6, 2.5, True, "3", None):
        with pytest.raises(ClipError):
            checked_stars(bad)


def test_filters_by_rating() -> None:
    assert [clip_filter(text) for text in ("4", "= 4", ">=4", " <= 2 ")] == [("=", 4), ("=", 4), (">=", 4), ("<=", 2)]
    for bad in ("", ">4", "four", "4.5", "=> 4", ">="):
        with pytest.raises(ClipError, match="a filter by rating"):
            clip_filter(bad)


def test_stored_features_may_be_anything() -> None:
    assert read_features('{"a": NaN, "b": Infinity, "c": 1}') == {"a": None, "b": None, "c": 1}
    for bad in ("[1]", "x", "", None, 5, 0.5):
        with pytest.raises(ClipError, match="are not a JSON object"):
            read_features(bad)  # type: ignore[arg-type]
    with pytest.raises(ClipError, match="values by name"):
        features_text([1])
    assert not is_outdated({"tempo": 1})


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ClipManager]:
    with ClipManager(tmp_path / "clips.db") as found:
        for n in range(6):
            (tmp_path / f"{n}.mp4").touch()
            found.register_clip(tmp_path / f"{n}.mp4", n, n + 30.0, 0.5, ("audio", "video")[n % 2], {"tempo": n})
        for number, stars in enumerate((1, 2, 3, 4, 5), 1):
            found.rate_clip(number, stars)
        clips_tag(2, ["goal"], tmp_path / "clips.db")
        yield found


def listed(manager: ClipManager, **filters: Any) -> list[int]:
    return [clip.id for clip in clips_list(manager.database.name, **filters).clips]


def test_each_filter_of_a_list_leaves_its_clips(manager: ClipManager) -> None:
    assert listed(manager) == [6, 5, 4, 3, 2, 1]
    assert listed(manager, limit=2) == [6, 5]
    for text, found in (
        ("4", [4]),
        (">=4", [5, 4]),
        ("<=2", [2, 1]),
        (">=1", [5, 4, 3, 2, 1]),
        ("<=5", [5, 4, 3, 2, 1]),
    ):
        assert listed(manager, rating=text) == found, text
    assert listed(manager, unrated=True) == [6]
    assert listed(manager, tag="goal") == [2]
    assert listed(manager, clip_type="video") == [6, 4, 2]
    assert listed(manager, clip_type="audio", rating=">=3") == [5, 3]
    found = clips_list(manager.database.name, limit=2)
    assert (found.total, found.tags[6]) == (6, [])
    for limit in (0, -1, True, 1.5):
        with pytest.raises(ClipError, match="limit must be a whole number of at least 1"):
            clips_list(manager.database.name, limit=limit)  # type: ignore[arg-type]


def test_the_statistics_count_each_kind(manager: ClipManager) -> None:
    manager.rate_clip(1, 5, rater="bob")
    found = manager.get_statistics()
    assert (found["total_clips"], found["rated_clips"], found["unrated_clips"]) == (6, 5, 1)
    assert found["clips_by_type"] == {"audio": 3, "video": 3}
    assert (found["ratings"], found["raters"]) == (6, 2)
    assert sum(found["rating_distribution"].values()) == 5
    mean = sum(star * count for star, count in found["rating_distribution"].items()) / 5
    assert found["average_rating"] == pytest.approx(mean)


@pytest.mark.parametrize("clip", [0, 7, -1, 2**63])
def test_a_clip_that_is_not_there_is_named(clip: int, manager: ClipManager) -> None:
    for call in (
        lambda: manager.get_clip(clip), lambda: manager.rate_clip(clip, 3), lambda: manager.compare_clips(1, clip),
        lambda: clips_tag(clip, ["a"], manager.database.name),
    ):  # fmt: skip
        with pytest.raises(ClipError, match=str(clip)):
            call()


@pytest.mark.parametrize(
    ("given", "said"),
    [({"rating": "6"}, "6"), ({"rating": "x"}, "1 to 5, or none"), ({"rating": "4.5"}, "1 to 5, or none"),
     ({"confidence": 0.0}, "confidence"), ({"confidence": 1.1}, "confidence"), ({"rater": ""}, "rater"),
     ({"rater": "r" * 201}, "1 to 200 characters"), ({"rater": "a\nb"}, "on one line")],
)  # fmt: skip
def test_a_rating_is_checked(given: dict[str, Any], said: str, manager: ClipManager) -> None:
    with pytest.raises(ClipError, match=said):
        clips_rate(**{"clip": 1, "rating": "4", "database": manager.database.name, **given})
    assert clips_rate(1, "4", manager.database.name, "r" * 200, 1.0).rating is not None


def test_clips_are_compared_with_others_only(manager: ClipManager) -> None:
    with pytest.raises(ClipError, match="clip 3 cannot be compared with itself"):
        manager.compare_clips(3, 3)


ROW = {"filepath": "0.mp4", "start_time": 0, "end_time": 30, "stars": 4, "rater": "ann"}


@pytest.mark.parametrize(
    ("change", "said"),
    [({"stars": 4.5}, "whole number from 1 to 5"), ({"stars": 6}, "6"), ({"rater": 7}, "rater must be a name"),
     ({"start_time": None}, "must be seconds"), ({"end_time": ""}, "must be seconds"), ({"start_time": "x"}, "x"),
     ({"filepath": "9.mp4"}, "not in the database"), ({"confidence": 2}, "confidence"), ({"stars": None}, "row 2")],
)  # fmt: skip
def test_a_row_that_is_no_rating_is_left_out_and_named(
    change: dict[str, Any], said: str, manager: ClipManager, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{**ROW, "stars": 5}, {**ROW, **change}]))
    report = clips_import(path, manager.database.name)
    assert (report.stored, report.repeated) == (1, 0)
    (problem,) = report.problems
    assert said in problem
    assert "row 2" in problem


def test_a_file_that_has_no_ratings_is_refused(manager: ClipManager, tmp_path: Path) -> None:
    for name, text, said in (
        ("r.txt", "", "X.csv, X.json or X.parquet"), ("r.json", "{}", "JSON list of objects"),
        ("r.json", "[1]", "JSON list of objects"), ("r.json", '[{"stars": 4}]', "has no column"),
        ("r.csv", "stars\n4\n", "has no column"), ("r.json", "{", "cannot be read"),
        ("none.csv", None, "cannot be read"),
    ):  # fmt: skip
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(DatasetError, match=said):
            clips_import(tmp_path / name, manager.database.name)
    with pytest.raises(DatasetError, match=r"X\.csv"):
        clips_export(tmp_path / "s.txt", manager.database.name)


def test_ratings_without_a_rater_are_those_of_whoever_reads_them(manager: ClipManager, tmp_path: Path) -> None:
    path, copy = tmp_path / "r.json", tmp_path / "copy.json"
    path.write_text(json.dumps([{**ROW, "rater": "", "confidence": 0.5}]))
    clips_import(path, manager.database.name, rater="zoe")
    assert clips_export(copy, manager.database.name) == 6
    assert ("zoe", 0.5) in [(row["rater"], row["confidence"]) for row in json.loads(copy.read_text())]


def test_a_backup_replaces_nothing_and_a_reset_keeps_one(manager: ClipManager, tmp_path: Path) -> None:
    name = manager.database.name
    with pytest.raises(StorageError, match="already exists"):
        clips_backup(name, name)
    assert Path(clips_backup(tmp_path / "b.db", name)) == tmp_path / "b.db"
    shown = clips_reset(name)
    assert (shown.removed, shown.backup, shown.statistics["total_clips"]) == (False, None, 6)
    done = clips_reset(name, force=True)
    assert done.removed
    assert done.backup is not None
    assert clips_list(name).total == 0
    assert clips_list(str(done.backup)).total == 6
    assert clips_reset(str(done.backup), force=True, no_backup=True).backup is None


def test_entries_of_missing_files_go_unless_all_are_missing(manager: ClipManager, tmp_path: Path) -> None:
    name = manager.database.name
    (tmp_path / "5.mp4").unlink()
    assert clips_cleanup(name, dry_run=True) == 1
    assert clips_list(name).total == 6
    assert clips_cleanup(name) == 1
    assert clips_list(name).total == 5
    for n in range(5):
        (tmp_path / f"{n}.mp4").unlink()
    assert clips_cleanup(name, dry_run=True) == 5
    with pytest.raises(StorageError, match="none of the 5 files exists"):
        clips_cleanup(name)
    assert clips_list(name).total == 5


@pytest.mark.parametrize("least", [2, 0, True, 3.0])
def test_training_needs_three_clips_at_least(least: Any, manager: ClipManager, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="min_samples must be a whole number of at least 3"):
        clips_train(manager.database.name, tmp_path / "m.skops", least)
    with pytest.raises(BundleError, match="a pickle can run any"):
        clips_train(manager.database.name, tmp_path / "m.pkl", 3)


def test_a_comparison_of_versions_is_checked(tmp_path: Path) -> None:
    model, other = tmp_path / "m.skops", tmp_path / "b.skops"
    for share in (0.0, 1.0, -0.1, True, math.nan):
        with pytest.raises(ConfigError, match="share of B must be above 0 and below 1"):
            clips_ab_start(other, None, model, share)
    with pytest.raises(ConfigError, match=r"m\.skops: no such file"):
        clips_ab_start(other, None, model)
    with pytest.raises(ConfigError, match="keep must be a or b, got 'c'"):
        clips_ab_stop(model, "c")
    assert not clips_ab_stop(model)
    (tmp_path / "m.ab.json").write_text("{}")
    with pytest.raises(ConfigError, match="already running"):
        clips_ab_start(other, None, model)
    with pytest.raises(BundleError, match="is damaged"):
        clips_ab_stop(model, "a")
    clips_ab_stop(model)
    assert not (tmp_path / "m.ab.json").exists()


def test_databases_are_files_or_postgresql(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"mysql://\.\.\.: is not supported"):
        named_database("mysql://user:secret@host/name")
    assert named_database(tmp_path / "x.db") == (str(tmp_path / "x.db"), tmp_path / "x.db")
    name, path = named_database("postgresql://user:secret@host/name")
    assert path is None
    assert "secret" not in name
    with pytest.raises(StorageError, match="is not a file"):
        open_engine("x", tmp_path, tmp_path, "clips")


def test_a_list_of_clips_has_the_tags_of_each() -> None:
    made = Maker()
    clips = tuple(made.make(Clip, _load=lambda number: {}) for _ in range(2))
    tags = {clip.id: [f"tag {number}"] for number, clip in enumerate(clips)}
    shown = ClipList(clips, tags, 9).to_json()
    assert [row["tags"] for row in shown] == [["tag 0"], ["tag 1"]]
    assert [row["id"] for row in shown] == [clip.id for clip in clips]

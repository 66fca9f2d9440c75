"""How far raters agree with one another and with themselves: known figures, the command and the page's answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import cli

pytest.importorskip("sqlalchemy", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")
pytest.importorskip("alembic", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")

from cliplab.clips import ClipManager, rater_agreement
from cliplab.clips.rater_agreement import interval_alpha

# The example of Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability": interval alpha is 0.849.
PUBLISHED = [
    [1, 1, 1],
    [2, 2, 3, 2],
    [3, 3, 3, 3],
    [3, 3, 3, 3],
    [2, 2, 2, 2],
    [1, 2, 3, 4],
    [4, 4, 4, 4],
    [1, 1, 2, 1],
    [2, 2, 2, 2],
    [5, 5, 5],
    [1, 1],
]


def fill(path: Path, clips: int) -> ClipManager:
    manager = ClipManager(path)
    for n in range(clips):
        manager.register_clip(f"{n}.mp4", n, n + 1.0, 0.5, "video", {})
    return manager


def rate(manager: ClipManager, clip: int, stars: int | None, rater: str, minute: int) -> None:
    """A rating of some minute of an evening."""
    manager.rate_clip(clip, stars, rater=rater)
    with manager.database.writing() as connection:
        at = f"2026-01-01T20:{minute:02d}:00.000Z"
        connection.exec_driver_sql(f"UPDATE ratings SET rated_at = '{at}' WHERE id = (SELECT max(id) FROM ratings)")


def test_alpha_is_the_published_one() -> None:
    alpha, interval = interval_alpha(PUBLISHED)
    assert alpha == pytest.approx(0.849, abs=5e-4)
    assert interval is not None
    assert interval[0] < alpha < interval[1] <= 1.0


@pytest.mark.parametrize("units", [[], [[1, 2]], [[3, 3], [3, 3]]], ids=["none", "one", "all alike"])
def test_alpha_is_unknown_where_nothing_can_differ(units: list[list[int]]) -> None:
    assert interval_alpha(units) == (None, None)


def test_perfect_agreement_and_its_opposite() -> None:
    assert interval_alpha([[1, 1], [5, 5], [3, 3]]) == (1.0, (1.0, 1.0))
    alpha, _ = interval_alpha([[1, 5], [5, 1], [1, 5]])
    assert alpha is not None
    assert alpha < 0


def test_raters_beside_one_another(tmp_path: Path) -> None:
    with fill(tmp_path / "clips.db", 5) as manager:
        for clip, ann, ben in ((1, 5, 4), (2, 4, 3), (3, 2, 1)):
            manager.rate_clip(clip, ann, rater="ann")
            manager.rate_clip(clip, ben, rater="ben")
        manager.rate_clip(4, 1, rater="ann")
        manager.rate_clip(5, 2, rater="cem")
        found = rater_agreement(manager)
    assert found.clips == 3
    assert found.alpha is not None
    assert 0.5 < found.alpha < 1
    ann, ben, cem = found.raters
    assert (ann.rater, ann.clips, ann.mean, ann.shared, ann.above_others) == ("ann", 4, 3.0, 3, 1.0)
    assert (ben.rater, ben.shared, ben.above_others) == ("ben", 3, -1.0)
    assert (cem.rater, cem.clips, cem.shared, cem.above_others) == ("cem", 1, 0, None)


def test_a_clip_that_is_rated_again_shows_how_consistent_a_rater_is(tmp_path: Path) -> None:
    with fill(tmp_path / "clips.db", 6) as manager:
        for clip, first, second in ((1, 4, 4), (2, 4, 5), (3, 1, 4)):
            rate(manager, clip, first, "ann", 1)
            rate(manager, clip, second, "ann", 30)
        # A correction at once, one that was taken back first, and two people: none of these is a second judgement.
        rate(manager, 4, 1, "ann", 2)
        rate(manager, 4, 5, "ann", 2)
        rate(manager, 5, 1, "ann", 2)
        rate(manager, 5, None, "ann", 3)
        rate(manager, 5, 5, "ann", 40)
        rate(manager, 6, 1, "ann", 2)
        rate(manager, 6, 5, "ben", 40)
        ann, ben = rater_agreement(manager).raters
    assert (ann.again, ann.again_same, ann.again_near) == (3, 1, 2)
    assert ben.again == 0


def test_a_rater_who_took_everything_back_and_times_that_are_none(tmp_path: Path) -> None:
    with fill(tmp_path / "clips.db", 1) as manager:
        rate(manager, 1, 3, "ann", 1)
        rate(manager, 1, 4, "ann", 9)
        with manager.database.writing() as connection:
            connection.exec_driver_sql("UPDATE ratings SET rated_at = 'yesterday'")
        manager.rate_clip(1, None, rater="ann")
        (ann,) = rater_agreement(manager).raters
    assert (ann.clips, ann.mean, ann.again) == (0, None, 0)


def test_the_command_shows_agreement(tmp_path: Path) -> None:
    database = tmp_path / "clips.db"
    with fill(database, 3) as manager:
        assert rater_agreement(manager).raters == ()
        for clip, stars in ((1, 5), (2, 3), (3, 1)):
            rate(manager, clip, stars, "ann", 1)
    text = cli("clips", "stats", "--database", database).stdout
    assert "agreement" not in text
    assert "above others" not in text, "one person who rated every clip once agrees with nobody yet"
    with ClipManager(database) as manager:
        for clip, stars in ((1, 4), (2, 3), (3, 2)):
            rate(manager, clip, stars, "ben", 2)
        rate(manager, 1, 4, "ann", 30)
    said = cli("clips", "stats", "--database", database).stdout
    assert "agreement of raters: alpha 0." in said
    assert "1 of 1" in said
    found = json.loads(cli("clips", "stats", "--database", database, "--json").stdout)["agreement"]
    assert found["clips"] == 3
    assert [one["rater"] for one in found["raters"]] == ["ann", "ben"]
    assert found["raters"][0]["again_near"] == 1

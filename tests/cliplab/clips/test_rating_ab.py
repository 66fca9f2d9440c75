"""Two versions of a model of ratings: arms, figures, commands, the order of candidates, and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("alembic", reason="needs pip install 'cliplab[clips]'")
pytest.importorskip("skops", reason="needs pip install 'cliplab[clips]'")

from command_line import cli

from adapters.errors import BundleError, ConfigError
from cliplab.clips import ClipManager, measure_ab, read_ab, start_ab, stop_ab
from cliplab.clips.feature_table import feature_table
from cliplab.clips.learners import fitted
from cliplab.clips.rating_model import RatingModel, write_models
from cliplab.detect import Candidate, RatingOrder


def write_model(path: Path, sign: float) -> Path:
    """Models that like a high cue_loud (sign 1) or a low one (-1); they learned from no clip of the tests."""
    rng = np.random.default_rng(0)
    features = [{"cue_loud": value} for value in rng.random(30)]
    table = feature_table(features)
    targets = np.array([0.5 + sign * (row["cue_loud"] - 0.5) for row in features])
    learned = fitted("ridge", table.matrix(features), targets, np.ones(30))
    write_models(path, {"audio": RatingModel(table, "ridge", learned, (), 1 + (sign < 0), "2020-01-01", {})})
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model(tmp_path / "other.skops", -1)
    return write_model(tmp_path / "models" / "highlight_model.skops", 1)


def rate_some(manager: ClipManager, sources: int = 24, taste: float = 1.0) -> None:
    """Two clips per source; people like loud ones."""
    rng = np.random.default_rng(1)
    for n in range(2 * sources):
        loud = float(rng.random())
        stars = int(np.clip(np.rint(3 + taste * 4 * (loud - 0.5) + 0.4 * rng.normal()), 1, 5))
        number = manager.register_clip(f"{n}.mp4", 0, 1, 0.5, "audio", {"cue_loud": loud}, f"source{n // 2}.mp4")
        manager.rate_clip(number, stars)


def test_each_source_has_one_arm_for_good(models: Path) -> None:
    test = start_ab(models, models.parents[1] / "other.skops", share_b=0.3)
    assert read_ab(models) == test
    arms = [test.arm(f"{n}.mp4") for n in range(2000)]
    assert 0.26 < arms.count("b") / 2000 < 0.34
    assert arms == [read_ab(models).arm(f"{n}.mp4") for n in range(2000)]  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="already running"):
        start_ab(models, models.parents[1] / "other.skops")


def test_figures_of_ratings_that_came_after(models: Path, tmp_path: Path) -> None:
    with ClipManager(tmp_path / "clips.db") as manager:
        before = manager.register_clip("before.mp4", 0, 1, 0.5, "audio", {"cue_loud": 0.5}, "before.mp4")
        manager.rate_clip(before, 5)
        with manager.database.writing() as connection:
            connection.exec_driver_sql("UPDATE ratings SET rated_at = '2020-01-01T00:00:00'")
        test = start_ab(models, tmp_path / "other.skops")
        empty = measure_ab(manager, test)
        assert (empty.clips, empty.lead, empty.arms["a"].liked) == (0, None, None)
        assert "too few" in empty.verdict
        rate_some(manager)
        report = measure_ab(manager, test)
        assert sum(arm.clips for arm in report.arms.values()) == 48
        assert report.arms["a"].spearman is not None
        assert report.arms["b"].spearman is not None
        assert report.arms["a"].spearman > 0.7 > -0.7 > report.arms["b"].spearman
        for arm in report.arms.values():
            assert arm.liked_interval is not None
            assert arm.liked is not None
            assert arm.liked_interval[0] <= arm.liked <= arm.liked_interval[1]
        assert report.verdict.startswith("A ranks better than B")
        assert json.loads(json.dumps(report.to_json()))["arms"]["a"]["clips"] == report.arms["a"].clips


def test_equal_versions_are_not_told_apart(models: Path, tmp_path: Path) -> None:
    with ClipManager(tmp_path / "clips.db") as manager:
        test = start_ab(models, tmp_path / "other.skops")
        rate_some(manager, taste=0.0)
        assert measure_ab(manager, test).verdict.startswith("Neither is shown")


def test_the_order_of_candidates_follows_the_arm(models: Path, tmp_path: Path) -> None:
    order = RatingOrder(models)
    one = Candidate(0.0, 5.0, 2.0, "audio", "cheer", 0.5, {"loud": 0.9}, 0.5)
    (alone,), served = order.apply([one], "x.mp4")
    assert served == "audio 1"
    test = start_ab(models, tmp_path / "other.skops")
    for arm, version in (("a", 1), ("b", 2)):
        source = next(f"{n}.mp4" for n in range(100) if test.arm(f"{n}.mp4") == arm)
        (ordered,), served = order.apply([one], source)
        assert served == f"audio {version} (arm {arm.upper()})"
        assert (ordered.rating == alone.rating) == (arm == "a")
    stop_ab(models, "b")
    assert order.apply([one], "x.mp4")[1] == "audio 2"
    assert read_ab(models) is None
    assert sorted(path.name for path in models.parent.iterdir()) == ["highlight_model.skops"]


def test_the_commands(models: Path, tmp_path: Path) -> None:
    model = ("--model", models)
    with ClipManager(tmp_path / "clips.db") as manager:
        assert cli("clips", "ab-status", "--db", tmp_path / "clips.db", *model).exit_code == 1
        assert cli("clips", "ab-start", tmp_path / "other.skops", *model).exit_code == 0
        rate_some(manager)
    shown = cli("clips", "ab-status", "--db", tmp_path / "clips.db", *model)
    assert "A ranks better than B" in shown.output
    assert "share of 4 and 5 stars" in shown.output
    found = json.loads(cli("clips", "ab-status", "--db", tmp_path / "clips.db", *model, "--json").stdout)
    assert found["arms"]["b"]["spearman"] < 0
    assert "version A is in use now" in cli("clips", "ab-stop", "--keep", "a", *model).output
    assert cli("clips", "ab-stop", *model).exit_code == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, b: start_ab(a, a), "same models"),
        (lambda a, b: start_ab(a, b, share_b=1.0), "above 0 and below 1"),
        (lambda a, b: start_ab(a, a.with_name("none.skops")), "no such file"),
        (lambda a, b: stop_ab(a, "c"), "must be a or b"),
    ],
)
def test_what_is_refused(models: Path, change: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        change(models, models.parents[1] / "other.skops")


def test_a_damaged_comparison_is_an_error_and_can_be_ended(models: Path) -> None:
    models.with_suffix(".ab.json").write_text('{"format": "cliplab-rating-ab-1", "share_b": 2}')
    with pytest.raises(BundleError, match="ab-stop"):
        read_ab(models)
    assert stop_ab(models) is None
    assert read_ab(models) is None
    # A file that names others than its own copies opens none of them.
    other = {
        "format": "cliplab-rating-ab-1",
        "name": "x",
        "share_b": 0.5,
        "started_at": "2026",
        "a": "../../etc/x",
        "b": "b",
    }
    models.with_suffix(".ab.json").write_text(json.dumps(other))
    found = read_ab(models)
    assert found is not None
    assert found.path("a").parent == models.parent


def test_the_page_shows_both(models: Path, tmp_path: Path) -> None:
    pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
    pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")
    from starlette.testclient import TestClient

    from cliplab.studio.app import make_app
    from cliplab.studio.options import StudioOptions
    from cliplab.studio.services import open_studio

    with ClipManager(tmp_path / "clips.db") as manager:
        start_ab(models, tmp_path / "other.skops")
        rate_some(manager)
    with open_studio(StudioOptions(tmp_path)) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        page = client.get("/rating-ab").text
        assert "A ranks better than B" in page
        assert page.count('scope="row"') == 2
        stop_ab(models)
        assert "has ended" in client.get("/rating-ab/figures").text

"""Learning from ratings: what is learned, what serves, what is said, and files that cannot be trusted."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skops", reason="ratings need the clips extra: pip install 'cliplab[clips]'")
pytest.importorskip("alembic", reason="ratings need the clips extra: pip install 'cliplab[clips]'")

import skops.io as skops_io

from adapters.errors import AdapterError, BundleError, StorageError
from cliplab.clips import ClipManager, RatingBasedTrainer, next_to_rate, rating_training
from cliplab.clips.consensus import Rating, find_consensus
from cliplab.clips.feature_table import feature_table
from cliplab.clips.learners import ridge
from cliplab.clips.ranking import advantage, divide, rank


@pytest.fixture(autouse=True)
def one_learner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ridge regression alone, which is quick; the first test has all learners."""
    if request.node.name != "test_a_taste_is_learned_and_serves":
        monkeypatch.setattr(rating_training, "LEARNERS", {"ridge": ridge})


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ClipManager]:
    with ClipManager(tmp_path / "clips.db") as made:
        yield made


def fill(manager: ClipManager, clips: int, *, signal: float = 1.0, seed: int = 0, kind: str = "audio") -> list[int]:
    """Rated clips whose stars follow the feature ``tempo`` as far as signal says; stage 1 knows nothing."""
    rng = np.random.default_rng(seed)
    numbers = []
    for n in range(clips):
        tempo, noise = rng.normal(), rng.normal()
        liked = signal * tempo + (1 - signal) * noise
        features = {"tempo": 120 + 10 * tempo, "rms_mean": float(rng.random()), "embedding": rng.normal(size=4)}
        number = manager.register_clip(f"{kind}{seed}-{n}.mp4", n, n + 1.0, float(rng.random()), kind, features)
        manager.rate_clip(number, int(np.clip(round(3 + 1.5 * liked), 1, 5)))
        numbers.append(number)
    return numbers


def trainer_of(manager: ClipManager, tmp_path: Path, **options: Any) -> RatingBasedTrainer:
    return RatingBasedTrainer(manager, tmp_path / "models" / "highlight_model.skops", automatic=False, **options)


def test_a_taste_is_learned_and_serves(manager: ClipManager, tmp_path: Path) -> None:
    fill(manager, 30)
    trainer = trainer_of(manager, tmp_path)
    assert trainer.predict("audio", [{"tempo": 1}]) is None
    assert trainer.train_from_ratings(min_samples=10)
    result = trainer.results["audio"]
    assert result.ranking is not None
    assert result.ranking.share > 0.8
    assert "30 clips" in result.why
    (point,) = trainer.get_training_progress()["history"]
    assert (point["clips"], point["serves"], point["share"]) == (30, True, round(result.ranking.share, 4))
    again = trainer_of(manager, tmp_path)
    low, middle, high = again.predict("audio", [{"tempo": 100}, {}, {"tempo": 140}])  # type: ignore[misc]
    assert 0 <= low < middle < high <= 1
    assert again.predict("video", [{"tempo": 1}]) is None
    effects = again.models()["audio"].explain({"tempo": 140.0})
    assert effects[0][0] == "tempo"
    assert effects[0][1] > 0
    assert sorted(path.name for path in (tmp_path / "models").iterdir())[0] == "highlight_model.skops"


def test_ratings_at_random_do_not_serve(manager: ClipManager, tmp_path: Path) -> None:
    fill(manager, 20, signal=0.0, seed=4)
    trainer = trainer_of(manager, tmp_path)
    assert not trainer.train_from_ratings()
    assert trainer.results["audio"].why.startswith("Not yet better: audio: ")
    assert trainer.models() == {}


def test_a_model_that_ranks_worse_than_stage_1_does_not_serve(manager: ClipManager, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for n in range(30):
        stars = 1 + n % 5
        number = manager.register_clip(f"{n}.mp4", n, n + 1, stars / 5, "audio", {"x": stars + 2.0 * rng.normal()})
        manager.rate_clip(number, stars)
    trainer = trainer_of(manager, tmp_path)
    assert not trainer.train_from_ratings()
    assert "no better than stage 1" in trainer.results["audio"].why or "than chance" in trainer.results["audio"].why


def test_a_worse_model_does_not_replace_one_that_serves(manager: ClipManager, tmp_path: Path) -> None:
    fill(manager, 30)
    trainer = trainer_of(manager, tmp_path)
    assert trainer.train_from_ratings()
    before = (tmp_path / "models" / "highlight_model.skops").read_bytes()
    fill(manager, 40, signal=-1.0, seed=5)  # somebody with the opposite taste
    trainer.train_from_ratings()
    result = trainer.results["audio"]
    assert result.before is not None
    if result.takes_back:
        assert trainer.models() == {}
        assert "taken back" in result.why
        assert trainer.get_training_progress()["history"][-1]["takes_back"]
    elif not result.serves:
        assert (tmp_path / "models" / "highlight_model.skops").read_bytes() == before
    else:
        assert trainer.models()["audio"].version == 2


def test_types_are_learned_apart(manager: ClipManager, tmp_path: Path) -> None:
    fill(manager, 20, kind="audio")
    fill(manager, 20, kind="video", seed=1)
    trainer = trainer_of(manager, tmp_path)
    assert trainer.train_from_ratings()
    assert set(trainer.models()) == {"audio", "video"}
    assert trainer.models()["audio"].clip_ids != trainer.models()["video"].clip_ids


def test_too_few_ratings_say_so(manager: ClipManager, tmp_path: Path) -> None:
    fill(manager, 9)
    trainer = trainer_of(manager, tmp_path)
    assert not trainer.train_from_ratings(min_samples=10)
    assert trainer.results == {}
    progress = trainer.get_training_progress()
    assert (progress["ready_for_training"], progress["rated_clips"], progress["min_samples"]) == (False, 9, 10)
    for bad in (0, True, 2.5, "10"):
        with pytest.raises(AdapterError, match="min_samples"):
            trainer.train_from_ratings(min_samples=bad)  # type: ignore[arg-type]


def test_five_new_ratings_train_in_the_background(manager: ClipManager, tmp_path: Path) -> None:
    numbers = fill(manager, 15)
    trainer = RatingBasedTrainer(manager, tmp_path / "models" / "m.skops")
    assert trainer.get_training_progress()["new_ratings"] == 15
    manager.rate_clip(numbers[0], 5)
    assert trainer.wait(120)
    assert trainer.error is None
    progress = trainer.get_training_progress()
    assert progress["new_ratings"] == 0
    assert set(progress["last"]) == {"audio"}
    for number in numbers[1:5]:
        manager.rate_clip(number, 5)
    assert trainer.wait(0), "four new ratings are too few"
    assert trainer.get_training_progress()["new_ratings"] == 4


def test_two_trainers_at_once(manager: ClipManager, tmp_path: Path) -> None:
    from adapters.system import file_lock

    fill(manager, 12)
    trainer = trainer_of(manager, tmp_path)
    lock = tmp_path / "models" / "highlight_model.skops.lock"
    with file_lock(lock, busy=StorageError), pytest.raises(StorageError, match="is training"):
        trainer.train_from_ratings()


@pytest.mark.parametrize("features", [{}, {"x": 1.0}, {"x": "text"}, {"x": None}])
def test_nothing_to_learn_from(manager: ClipManager, tmp_path: Path, features: dict[str, Any]) -> None:
    for n in range(12):
        manager.rate_clip(manager.register_clip(f"{n}.mp4", n, n + 1, 0.5, "audio", features), 1 + n % 5)
    trainer = trainer_of(manager, tmp_path)
    assert not trainer.train_from_ratings()
    assert "audio" in trainer.results


def test_all_stars_alike(manager: ClipManager, tmp_path: Path) -> None:
    for n in range(12):
        manager.rate_clip(manager.register_clip(f"{n}.mp4", n, n + 1, 0.5, "audio", {"x": float(n)}), 4)
    trainer = trainer_of(manager, tmp_path)
    assert not trainer.train_from_ratings()
    assert "have the same rating" in trainer.results["audio"].why


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def test_a_pickle_is_never_opened(manager: ClipManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "highlight_model.pkl").write_bytes(pickle.dumps(_Runs()))
    trainer = RatingBasedTrainer(manager, tmp_path / "highlight_model.pkl", automatic=False)
    with pytest.raises(BundleError, match="pickle"):
        trainer.predict("audio", [{}])
    with pytest.raises(BundleError, match=r"\.skops"):
        trainer.train_from_ratings()
    (tmp_path / "renamed.skops").write_bytes(pickle.dumps(_Runs()))
    with pytest.raises(BundleError, match="damaged"):
        RatingBasedTrainer(manager, tmp_path / "renamed.skops", automatic=False).models()
    assert not (tmp_path / "ran").exists()


def test_a_model_file_that_was_altered(manager: ClipManager, tmp_path: Path) -> None:
    fill(manager, 30)
    trainer = trainer_of(manager, tmp_path)
    assert trainer.train_from_ratings()
    path = tmp_path / "models" / "highlight_model.skops"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", with_schema(whole, '"format"', '"fromat"')):
        path.write_bytes(content)
        with pytest.raises(BundleError, match=r"highlight_model\.skops"):
            RatingBasedTrainer(manager, path, automatic=False).models()
    skops_io.dump({"format": 1, "models": {}, "runs": os.getcwd}, path)
    with pytest.raises(BundleError, match=r"posix\.getcwd"):
        RatingBasedTrainer(manager, path, automatic=False).models()


def with_schema(content: bytes, old: str, new: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(made, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "schema.json":
                data = data.decode().replace(old, new).encode()
                json.loads(data)
            target.writestr(name, data)
    return made.getvalue()


# Parts ----------------------------------------------------------------------------------------------------------------


def test_raters_have_scales_of_their_own() -> None:
    """A strict and a generous rater who agree on the order; the clips that each rated alone fall into place."""
    strict = [Rating(n, "strict", stars) for n, stars in enumerate((1, 1, 2, 2, 3, 3, 1, 3))]
    generous = [Rating(n, "generous", stars) for n, stars in enumerate((3, 3, 4, 4, 5, 5))]
    found = find_consensus(10, [*strict, *generous, Rating(8, "generous", 4), Rating(9, "strict", 3)], [])
    assert found.offsets["generous"] > 0.1 > found.offsets["strict"]
    assert found.quality[9] > found.quality[8] + 0.05, "three stars of the strict rater are worth more than four"
    assert (np.diff(found.quality[[0, 2, 4]]) > 0.05).all()


def test_comparisons_and_confidence_count() -> None:
    same = [Rating(n, "a", 3) for n in range(3)]
    found = find_consensus(3, same, [(2, 0), (2, 1), (2, 0)])
    assert found.quality[2] > found.quality[1] > found.quality[0]
    assert found.weight[2] > found.weight[1]
    unsure = find_consensus(
        2, [Rating(0, "a", 5, 0.1), Rating(1, "a", 5, 1.0), Rating(0, "b", 1), Rating(1, "b", 1)], []
    )
    assert unsure.quality[0] < unsure.quality[1]


def test_the_gradient_is_that_of_the_loss() -> None:
    from scipy.optimize import check_grad

    from cliplab.clips.consensus import _Problem

    ratings = [Rating(0, "a", 5, 0.5), Rating(1, "a", 2), Rating(1, "b", 3), Rating(2, "b", 1)]
    problem = _Problem(3, ["a", "b"], ratings, [(0, 2), (1, 2)])
    x = np.random.default_rng(0).normal(size=7) * 0.3
    assert check_grad(lambda v: problem.loss(v)[0], lambda v: problem.loss(v)[1], x) < 1e-3


def test_features_become_columns() -> None:
    table = feature_table([{"a": 1, "b": [1, 2]}, {"a": 3.0}, {"a": True, "b": [3, 4], "c": "x"}, {"b": [1, 2, 3]}])
    assert table.names == ("a", "b")
    assert table.widths == (1, 2)
    rows = table.matrix([{"a": 1, "b": [2, 3], "other": 5}, {}, {"b": [1, 2, 3]}])
    assert rows.shape == (3, 3)
    assert (rows[1:] == 0).all(), "what is missing has its usual value"


def test_ranks_by_pairs() -> None:
    targets = np.linspace(0, 1, 30)
    division = divide([str(n) for n in range(30)])
    assert rank(division, targets, targets).share == 1.0
    assert rank(division, -targets, targets).share == 0.0
    assert rank(division, np.zeros(30), targets).share == 0.5
    assert not rank(division, np.zeros(30), targets).better_than_chance
    nothing = rank(division, targets, np.ones(30))
    assert (nothing.share, nothing.pairs, nothing.better_than_chance) == (0.5, 0, False)


def test_scores_at_random_are_rarely_better_than_chance() -> None:
    passed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scores, targets = rng.random((2, 40))
        passed += rank(divide([str(n) for n in range(40)], seed), scores, targets, seed).better_than_chance
    assert passed <= 3


def test_many_clips_of_few_sources_prove_little() -> None:
    # Scores and stars are of the source alone, and have nothing to do with each other.
    passed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scores, targets = (np.repeat(rng.random(8), 10) for _ in range(2))
        sources = [f"s{n // 10}" for n in range(80)]
        passed += rank(divide(sources, seed), scores, targets, seed).better_than_chance
    assert passed <= 3


def test_a_lead_over_stage_1_has_an_interval() -> None:
    rng, targets = np.random.default_rng(0), np.linspace(0, 1, 60)
    division = divide([f"s{n // 3}" for n in range(60)])
    low, high = advantage(division, targets, rng.random(60), targets)
    assert 0 < low < high
    low, high = advantage(division, targets + rng.normal(0, 0.5, 60), targets + rng.normal(0, 0.5, 60), targets)
    assert low < 0 < high
    assert advantage(division, targets, 2 * targets, targets) == (0, 0)
    (interval,) = {rank(division, np.zeros(60), targets).spearman_interval}
    assert interval == (0, 0)


def test_clips_of_one_source_stay_together() -> None:
    sources = [f"s{n // 4}" for n in range(40)]
    for folds in divide(sources).folds:
        for source in set(sources):
            assert len({folds[n] for n in range(40) if sources[n] == source}) == 1
    assert len(np.unique(divide(["one"] * 20).folds[0])) == 5, "with one source the clips themselves are divided"


@pytest.mark.parametrize(
    ("clips", "together"),
    [((10, 10), False), ((10, 5, 5), True), ((11, 5, 5), False), ((4, 4, 4, 4), True), ((40, 1, 1, 1, 1), True)],
)
def test_few_sources_stay_together_where_none_has_most_clips(clips: tuple[int, ...], together: bool) -> None:
    sources = [str(source) for source, count in enumerate(clips) for _ in range(count)]
    division = divide(sources)
    for folds in division.folds:
        split = any(len(set(folds[np.array(sources) == source])) > 1 for source in set(sources))
        assert split is not together
    assert len(set(division.units.tolist())) == (len(clips) if together else len(sources))


def test_what_to_rate_next_teaches_pleases_and_tests(manager: ClipManager, tmp_path: Path) -> None:
    fill(manager, 20)
    rng = np.random.default_rng(1)
    far = manager.register_clip(
        "far.mp4", 0, 1, 0.5, "audio", {"tempo": 500.0, "rms_mean": 0.5, "embedding": [9.0] * 4}
    )
    for n in range(60):
        features = {"tempo": 120 + 10 * rng.normal(), "rms_mean": 0.5, "embedding": rng.normal(size=4)}
        manager.register_clip(f"new{n}.mp4", n, n + 1, 0.5, "audio", features)
    trainer = trainer_of(manager, tmp_path)
    assert all(item.predicted is None for item in next_to_rate(manager, trainer, 8))
    assert trainer.train_from_ratings()
    found = next_to_rate(manager, trainer, 20, seed=1)
    reasons = [item.reason for item in found]
    assert len({item.clip.id for item in found}) == len(found) == 20
    fresh = [reason for reason in reasons if reason != "again"]
    assert fresh.count("likely best") == round(len(fresh) / 4)
    assert fresh.count("random") == round(len(fresh) / 4)
    assert fresh.count("informative") >= len(fresh) // 2
    by_reason = {item.clip.id: item.reason for item in found}
    assert far in by_reason
    scores = [item.predicted for item in found if item.predicted is not None]
    assert max(scores) == max(item.predicted or 0 for item in found if item.reason == "likely best")
    rated = {clip.id for clip in manager.list_clips(100, rated=True)}
    assert all((item.clip.id in rated) == (item.reason == "again") for item in found)
    assert all(item.own_stars == (item.clip.rating if item.reason == "again" else None) for item in found)
    assert len(next_to_rate(manager, trainer, 20, rater="bob")) == 20, "nobody else's ratings count"
    with pytest.raises(AdapterError, match="limit"):
        next_to_rate(manager, trainer, 0)


def test_nothing_is_left_to_rate(manager: ClipManager, tmp_path: Path) -> None:
    trainer = trainer_of(manager, tmp_path)
    assert next_to_rate(manager, trainer) == []
    manager.register_clip("bare.mp4", 0, 1, 0.5, "video", {})
    assert [item.clip.filename for item in next_to_rate(manager, trainer)] == ["bare.mp4"]


def test_of_many_clips_some_that_the_rater_has_not_rated_are_drawn(
    manager: ClipManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cliplab.clips.choosing._POOL", 2)
    ids = [manager.register_clip(f"{n}.mp4", 0, 1, 0.5, "audio", {"x": n}) for n in range(30)]
    for clip_id in ids[:-2]:
        manager.rate_clip(clip_id, 3)
    trainer = RatingBasedTrainer(manager, tmp_path / "model.skops")
    for seed in range(3):
        found = next_to_rate(manager, trainer, 2, seed=seed)
        assert {item.clip.id for item in found if item.reason != "again"} <= set(ids[-2:])
    assert {item.clip.id for item in next_to_rate(manager, trainer, 2, rater="other", seed=1)} <= set(ids)

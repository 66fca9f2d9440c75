"""Ensembles: how members vote, what each of them sees of one decoding, and bundles that hold them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_network import SMALL_NETWORK
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters.base import BaseModelAdapter
from adapters.bundle import read_bundle, write_bundle
from adapters.errors import BundleError, ConfigError, ConversionError, MediaError, TrainingError
from adapters.inference import open_model, predict_videos
from adapters.media import open_video
from adapters.models.ensemble.members import member_clip
from adapters.models.ensemble.voting import vote
from adapters.records import Clip, Prediction

pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")

ENSEMBLE = "adapters.models.ensemble:EnsembleAdapter"
NAMES = ["highlight", "normal"]


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> Path:
    return own_cache


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_video(tmp_path_factory.mktemp("video") / "clip.mp4", "warm", seed=3, seconds=5.5, fps=12, size=96)


class ColorAdapter(TinyAdapter):
    """How much of a clip's light is red, green or blue: a label each, in any order."""

    def _predict_one(self, clip: Clip) -> Prediction:
        light = dict(zip(("red", "green", "blue"), clip.frames.mean(axis=(0, 1, 2)), strict=True))
        scores = np.array([light[label] for label in self.labels], np.float32)
        return Prediction(scores / scores.sum(), self.labels, clip.start, clip.end, clip.source)


def tiny(folder: Path, name: str, **config: Any) -> Path:
    """A bundle of the smallest adapter: how much redder than blue, each with a contrast of its own."""
    adapter = TinyAdapter({"imgz": 32, "labels": NAMES, "positive_label": None, "n_frames": 4, **config})
    adapter.save(folder / name)
    return folder / name


def frames_model(folder: Path, name: str, **config: Any) -> Path:
    """A network that looks at every frame, of random weights."""
    own = {"labels": NAMES, "weights": "random", "imgz": 32, "n_frames": 3, "sampling": "every", "fps": 2, **config}
    open_model(SMALL_NETWORK, own).save(folder / name)
    return folder / name


def ensemble(*members: Path | str, **config: Any) -> Any:
    return open_model({"adapter": ENSEMBLE, "members": [str(member) for member in members], **config})


def predicted(adapter: BaseModelAdapter, video: Path, **windows: float) -> list[Any]:
    result = next(iter(predict_videos(adapter, [video], **windows)))
    assert result.error is None
    return list(result.predictions)


# Votes ----------------------------------------------------------------------------------------------------------------

SCORES = np.array([[[0.9, 0.1]], [[0.6, 0.4]], [[0.2, 0.8]]], np.float32)  # three members, one clip, two labels


@pytest.mark.parametrize(
    "voting, options, expected",
    [
        ("mean", {}, [0.5667, 0.4333]),
        ("weighted", {"weights": [1, 0, 3]}, [0.375, 0.625]),
        ("max", {}, [0.9 / 1.7, 0.8 / 1.7]),
        ("max", {"exclusive": False}, [0.9, 0.8]),
        ("max", {"positive": 1}, [0.2, 0.8]),
        ("majority", {}, [2 / 3, 1 / 3]),
        ("majority", {"positive": 0, "threshold": 0.7}, [1 / 3, 2 / 3]),
        ("majority", {"positive": 1, "threshold": 0.3}, [1 / 3, 2 / 3]),
        ("majority", {"exclusive": False, "threshold": 0.4}, [2 / 3, 2 / 3]),
    ],
)
def test_how_members_vote(voting: Any, options: dict[str, Any], expected: list[float]) -> None:
    found = vote(SCORES, voting, **options)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected], atol=1e-4)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, (4, 3), elements=st.floats(0.0078125, 1, width=32)),
    st.sampled_from(["mean", "weighted", "max", "majority"]),
    st.permutations(range(4)),
)
def test_votes_keep_what_scores_promise(raw: np.ndarray, voting: Any, order: list[int]) -> None:
    """Exclusive scores add up to 1, members' order does not matter, and a unanimous vote is what each says."""
    scores = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    weights = [1.0, 2.0, 3.0, 4.0]
    found = vote(scores, voting, weights=weights)
    assert ((found >= 0) & (found <= 1)).all()
    assert found.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(vote(scores[order], voting, weights=[weights[n] for n in order]), found, atol=1e-6)
    if voting != "majority":
        np.testing.assert_allclose(vote(scores[[0, 0, 0, 0]], voting, weights=weights), scores[0], atol=1e-6)


# What members see -----------------------------------------------------------------------------------------------------


def test_a_video_is_each_members_own_answer_and_then_the_vote(video: Path, tmp_path: Path) -> None:
    """Members whose labels stand in another order are brought into one; every frame of the video is looked at."""
    one = frames_model(tmp_path, "one")
    other = frames_model(tmp_path, "other", seed=2, labels=NAMES[::-1], n_frames=2)
    alone = [predicted(open_model(path), video)[0] for path in (one, other)]
    expected = {label: np.mean([item.score_of(label) for item in alone]) for label in NAMES}
    assert abs(alone[0].score_of("highlight") - alone[1].score_of("highlight")) > 0.01
    found = predicted(ensemble(one, other), video)
    assert len(found) == 1
    assert found[0].labels == tuple(NAMES)
    assert (found[0].start, found[0].end) == (0.0, pytest.approx(5.5))
    for label in NAMES:
        assert found[0].score_of(label) == pytest.approx(expected[label], abs=1e-6)
    assert found[0].frame_scores.shape == (11, 2)
    np.testing.assert_allclose(found[0].frame_scores.mean(axis=0), found[0].scores, atol=1e-6)
    assert [item.labels for item in found[0].members] == [tuple(NAMES), tuple(NAMES[::-1])]
    best = predicted(ensemble(one, other, voting="max", positive_label="normal"), video)[0]
    assert best.score_of("normal") == pytest.approx(max(item.score_of("normal") for item in alone), abs=1e-6)


def test_three_labels_in_any_order_are_brought_into_one(video: Path, tmp_path: Path) -> None:
    orders = [("red", "green", "blue"), ("green", "blue", "red"), ("blue", "red", "green")]
    members = []
    for number, order in enumerate(orders):
        ColorAdapter({"labels": list(order), "positive_label": None, "n_frames": 1 + number}).save(
            tmp_path / str(number)
        )
        members.append(tmp_path / str(number))
    alone = [predicted(open_model(path), video)[0] for path in members]
    for labels in (["red", "green", "blue"], ["blue", "green", "red"]):
        found = predicted(ensemble(*members, labels=labels), video)[0]
        assert found.labels == tuple(labels)
        for label in labels:
            expected = np.mean([item.score_of(label) for item in alone])
            assert found.score_of(label) == pytest.approx(expected, abs=1e-6)
    assert min(np.ptp(item.scores) for item in alone) > 0.01


def test_members_of_one_size_get_the_very_frames_that_they_would_get_alone(video: Path, tmp_path: Path) -> None:
    members = [
        tiny(tmp_path, "spread", n_frames=5),
        tiny(tmp_path, "rate", sampling="rate", fps=4.0, n_frames=3),
        tiny(tmp_path, "wrapped", n_frames=40, short_clip="wrap"),
    ]
    together = ensemble(*members, window_seconds=2.0, stride_seconds=1.5)
    spec = together.input_spec
    with open_video(video) as opened:
        shared = list(opened.clips(spec))
        for member in together.members:
            own = member.adapter.input_spec.with_windows(None if "rate" in member.name else 2.0, 1.5)
            for clip, expected in zip(shared, opened.clips(own), strict=False):
                got = member_clip(clip, member, spec)
                np.testing.assert_array_equal(got.frames, expected.frames)
                np.testing.assert_allclose(got.times, expected.times)
    assert len(shared) == 4


def test_members_of_other_sizes_and_shapes_share_one_decoding(video: Path, tmp_path: Path) -> None:
    members = [tiny(tmp_path, "a", imgz=32, aspect="stretch"), tiny(tmp_path, "b", imgz=64, n_frames=7, aspect="pad")]
    together = ensemble(*members)
    assert (together.input_spec.height, together.input_spec.aspect, len(together.input_spec.parts)) == (64, "crop", 2)
    alone = [predicted(open_model(path), video)[0].scores for path in members]
    found = predicted(together, video)[0]
    np.testing.assert_allclose(found.scores, np.mean(alone, axis=0), atol=0.01)  # scaled in two steps, not one
    assert together.embed([]).shape == (0, 6)


def test_every_frame_beside_a_few_needs_windows(video: Path, tmp_path: Path) -> None:
    members = frames_model(tmp_path, "every"), tiny(tmp_path, "few")
    with pytest.raises(ConfigError, match=r"every'.*uses every frame.*\"window_seconds\""):
        _ = ensemble(*members).input_spec
    together = ensemble(*members, window_seconds=2.0)
    alone = [predicted(open_model(path), video, window_seconds=2.0) for path in members]
    found = predicted(together, video)
    assert [item.end for item in found] == [2.0, 4.0, pytest.approx(5.5)]
    for number, item in enumerate(found):
        np.testing.assert_allclose(item.scores, np.mean([own[number].scores for own in alone], axis=0), atol=1e-5)
    assert found[0].frame_scores is None


def test_windows_must_suit_the_members(tmp_path: Path) -> None:
    whole, windows = tiny(tmp_path, "whole"), tiny(tmp_path, "windows", window_seconds=3.0)
    with pytest.raises(ConfigError, match=r"whole: the whole video.*windows: 3 s.*\"window_seconds\""):
        _ = ensemble(whole, windows).input_spec
    assert ensemble(whole, windows, window_seconds=4.0).input_spec.window_seconds == 4.0
    assert ensemble(windows, tiny(tmp_path, "too", window_seconds=3.0)).input_spec.window_seconds == 3.0
    long = tiny(tmp_path, "long", sampling="rate", fps=1.0, n_frames=8)
    with pytest.raises(ConfigError, match=r"long' uses 8 frames at 1 per second, 8 s, .* ensemble are 4 s"):
        _ = ensemble(whole, long, window_seconds=4.0).input_spec


def test_a_short_video_is_one_files_error(video: Path, tmp_path: Path) -> None:
    """Also where it is a member that refuses it: the others of the batch go on."""
    strict = tiny(tmp_path, "strict", n_frames=8, short_clip="error")
    together = ensemble(strict, tiny(tmp_path, "mild", n_frames=4))
    short = render_video(tmp_path / "short.mp4", "cold", 0, seconds=0.5)
    results = list(predict_videos(together, [short, video]))
    assert "8 are required" in str(results[0].error)
    assert results[1].error is None
    with pytest.raises(MediaError), open_video(short) as opened:
        opened.clip(together.input_spec)


# What goes together ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config, message",
    [
        ({"members": ["one"]}, "at least two models"),
        (
            {"members": ["one", "two"], "voting": "weighted"},
            '"member_weights" and voting "weighted" must be used together',
        ),
        ({"members": ["one", "two"], "member_weights": [1, 2]}, "must be used together"),
        ({"members": ["one", "two"], "voting": "weighted", "member_weights": [1, 2, 3]}, "one number per member"),
        ({"members": ["one", "two"], "voting": "weighted", "member_weights": [0, 0]}, "not all 0"),
        ({"members": ["one", "two"], "imgz": 64}, '"imgz" belongs to the members'),
        ({"members": ["one", "one"]}, '"members"'),
        ({"members": ["one", "two"], "voting": "median"}, '"voting"'),
    ],
)
def test_a_config_that_cannot_be(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_model({"adapter": ENSEMBLE, **config})


def test_members_that_do_not_go_together(tmp_path: Path) -> None:
    one = tiny(tmp_path, "one")
    other = tiny(tmp_path, "other", labels=["highlight", "boring"])
    with pytest.raises(ConfigError, match=r"other' has other labels .*'normal' missing and 'boring' extra"):
        _ = ensemble(one, other).labels
    with pytest.raises(ConfigError, match=r"one' has other labels than \"labels\" of the config"):
        _ = ensemble(one, tiny(tmp_path, "same"), labels=["highlight", "boring"]).input_spec
    first = tiny(tmp_path, "first", positive_label="highlight")
    last = tiny(tmp_path, "last", positive_label="normal")
    with pytest.raises(ConfigError, match=r"differ in \"positive_label\""):
        _ = ensemble(first, last).labels
    assert ensemble(first, last, positive_label="normal").labels == tuple(NAMES)
    both = ensemble(first, one)
    assert (both.labels, both.config["positive_label"]) == (tuple(NAMES), "highlight")
    ensemble(one, first).save(tmp_path / "together")
    with pytest.raises(ConfigError, match="is itself an ensemble"):
        _ = ensemble(tmp_path / "together", one).labels
    with pytest.raises(ConfigError, match=r"'missing' of the ensemble does not exist: looked for .*cliplab train"):
        _ = ensemble(one, "missing").labels


def test_an_ensemble_is_neither_trained_nor_converted(tmp_path: Path) -> None:
    together = ensemble(tiny(tmp_path, "one"), tiny(tmp_path, "two"))
    with pytest.raises(TrainingError, match="Train each of them"):
        together.train(tmp_path / "data.jsonl", tmp_path / "out")
    with pytest.raises(ConversionError, match="Convert its members"):
        together.convert(tmp_path / "x.tflite")
    assert not (tmp_path / "out").exists()


# On disk --------------------------------------------------------------------------------------------------------------


def test_members_by_relative_names(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the config file first, then in the current folder, where a ready config's are."""
    for name, contrast in (("racing", 0.1), ("cinematic", 0.3), ("proximity", 0.6)):
        tiny(tmp_path / "models", name, contrast=contrast)
    path = tmp_path / "models" / "mine.json"
    path.write_text(json.dumps({"adapter": ENSEMBLE, "members": ["racing", "cinematic", "proximity"]}))
    expected = predicted(open_model(path), video)[0].scores
    with pytest.raises(ConfigError, match="'racing' of the ensemble does not exist"):
        _ = open_model("drone_ensemble").input_spec
    monkeypatch.chdir(tmp_path / "models")
    np.testing.assert_allclose(predicted(open_model("drone_ensemble"), video)[0].scores, expected, atol=1e-6)
    np.testing.assert_allclose(predicted(open_model("mine.json"), video)[0].scores, expected, atol=1e-6)


def test_a_bundle_holds_its_members(video: Path, tmp_path: Path) -> None:
    one, two = tiny(tmp_path / "a", "model", contrast=0.1), tiny(tmp_path / "b", "model", contrast=0.5)
    together = ensemble(one, two, voting="weighted", member_weights=[1, 3])
    expected = predicted(together, video)[0].scores
    together.save(tmp_path / "bundle")
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "b")
    moved = tmp_path / "moved"
    (tmp_path / "bundle").rename(moved)
    again = open_model(moved)
    assert again.config["members"] == ["members/model", "members/model_2"]
    np.testing.assert_allclose(predicted(again, video)[0].scores, expected, atol=1e-6)
    again.save(moved)  # over itself
    again.save(tmp_path / "copy")
    for path in (moved, tmp_path / "copy"):
        np.testing.assert_allclose(predicted(open_model(path), video)[0].scores, expected, atol=1e-6)
    mean = predicted(open_model(moved, {"voting": "mean", "member_weights": None}), video)[0]
    assert abs(mean.scores - expected).max() > 1e-3
    with pytest.raises(ConfigError, match='"members"'):
        open_model(moved, {"members": ["x", "y"]})


def test_damage_to_a_member_is_refused_by_name(tmp_path: Path) -> None:
    ensemble(tiny(tmp_path, "one"), tiny(tmp_path, "two")).save(tmp_path / "bundle")
    victim = tmp_path / "bundle" / "members" / "two" / "weights.safetensors"
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    with pytest.raises(BundleError, match=r"members/two/weights\.safetensors"):
        open_model(tmp_path / "bundle")
    victim.unlink()
    with pytest.raises(BundleError, match=r"members/two/weights\.safetensors"):
        open_model(tmp_path / "bundle")


def test_a_bundle_leads_nowhere_else(tmp_path: Path) -> None:
    one, two = tiny(tmp_path, "one"), tiny(tmp_path, "two")
    ensemble(one, two).save(tmp_path / "bundle")
    stored = read_bundle(tmp_path / "bundle")
    config = {**stored.config, "members": [str(one), str(two)]}
    files = {"config": config, "programs": {}, "weights": None, "metrics": {}, "golden": None, "card": ""}
    write_bundle(tmp_path / "foreign", **files)
    with pytest.raises(BundleError, match=r"foreign: member '.*one' is not in the bundle"):
        open_model(tmp_path / "foreign")


def test_a_converted_member_is_kept_as_one_file(video: Path, tmp_path: Path) -> None:
    bundle = frames_model(tmp_path, "network")
    open_model(bundle).convert(tmp_path / "network.tflite", quantize="dynamic")
    together = ensemble(bundle, tmp_path / "network.tflite")
    expected = predicted(together, video)[0].scores
    together.save(tmp_path / "bundle")
    assert (tmp_path / "bundle" / "members" / "network_2.tflite").is_file()
    np.testing.assert_allclose(predicted(open_model(tmp_path / "bundle"), video)[0].scores, expected, atol=1e-6)

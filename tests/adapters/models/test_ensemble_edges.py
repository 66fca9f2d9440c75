"""What an ensemble asks of media for its members, hands on to them, and calls them on disk. No network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_adapter import TinyAdapter

from adapters.bundle import read_bundle
from adapters.errors import BundleError, ConfigError
from adapters.inference import open_model
from adapters.models.ensemble.members import member_clip
from adapters.records import Clip

ENSEMBLE = "adapters.models.ensemble.adapter:EnsembleAdapter"


def tiny(path: Path, **config: Any) -> Path:
    TinyAdapter({"imgz": 32, "n_frames": 4, **config}).save(path)
    return path


def ensemble(*members: Path, **config: Any) -> Any:
    return open_model({"adapter": ENSEMBLE, "members": [str(member) for member in members], **config})


def test_members_that_look_alike_are_given_what_they_ask_for(tmp_path: Path) -> None:
    alike = {"sampling": "rate", "fps": 5.0, "short_clip": "wrap", "aspect": "pad"}
    spec = ensemble(tiny(tmp_path / "a", **alike), tiny(tmp_path / "b", contrast=0.5, **alike)).input_spec
    expected = open_model(tmp_path / "a").input_spec
    assert (spec.height, spec.width, spec.aspect, spec.n_frames) == (32, 32, "pad", 4)
    assert (spec.sampling, spec.fps, spec.short_clip, spec.parts) == ("rate", 5.0, "wrap", ())
    assert spec == expected


@pytest.mark.parametrize(
    "other, parts",
    [({"n_frames": 5}, 2), ({"sampling": "rate", "fps": 2.0}, 2), ({"short_clip": "wrap"}, 2), ({"imgz": 48}, 0)],
)
def test_members_that_differ_in_moments_get_all_of_them(tmp_path: Path, other: dict[str, Any], parts: int) -> None:
    spec = ensemble(tiny(tmp_path / "a"), tiny(tmp_path / "b", **other)).input_spec
    assert len(spec.parts) == parts
    assert spec.n_frames == (4 if not parts else 4 + other.get("n_frames", 4))
    assert (spec.height, spec.width) == ((48, 48) if "imgz" in other else (32, 32))


def test_each_member_finds_its_own_moments_of_a_shared_clip(tmp_path: Path) -> None:
    """Frames whose level is their number; a moment is shown by the last frame that is not after it."""
    members = [tiny(tmp_path / "a", n_frames=2), tiny(tmp_path / "b", n_frames=3), tiny(tmp_path / "c", n_frames=2)]
    together = ensemble(*members)
    times = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    frames = np.stack([np.full((32, 32, 3), number, np.uint8) for number in range(6)])
    clip = Clip(frames, times, "v.mp4", 0.0, 3.0)
    found = [member_clip(clip, member, together.input_spec) for member in together.members]
    assert [item.frames[:, 0, 0, 0].tolist() for item in found] == [[1, 4], [1, 3, 5], [1, 4]]
    assert found[1].times.tolist() == [0.5, 1.5, 2.5]
    assert {(item.start, item.end, item.source) for item in found} == {(0.0, 3.0, "v.mp4")}


def test_windows_of_the_ensemble_go_before_those_of_its_members(tmp_path: Path) -> None:
    a, b = (tiny(tmp_path / name, window_seconds=3.0, stride_seconds=1.5) for name in "ab")
    spec = ensemble(a, b).input_spec
    assert (spec.window_seconds, spec.stride_seconds) == (3.0, 1.5)
    spec = ensemble(a, b, window_seconds=5.0).input_spec
    assert (spec.window_seconds, spec.stride_seconds) == (5.0, None)
    c = tiny(tmp_path / "c", window_seconds=3.0, stride_seconds=2.0)
    with pytest.raises(ConfigError, match="window_seconds"):
        _ = ensemble(a, c).input_spec


def test_a_member_must_fit_into_the_window(tmp_path: Path) -> None:
    few = tiny(tmp_path / "few")
    just = tiny(tmp_path / "just", sampling="rate", fps=2.0, n_frames=8)
    assert ensemble(few, just, window_seconds=4.0).input_spec.window_seconds == 4.0
    with pytest.raises(ConfigError, match="at least 4"):
        _ = ensemble(few, just, window_seconds=3.9).input_spec


def test_what_follows_from_members_is_filled_in_and_runtime_keys_are_handed_on(tmp_path: Path) -> None:
    a = tiny(tmp_path / "a", labels=["calm", "stunt"], positive_label="stunt")
    b = tiny(tmp_path / "b", labels=["stunt", "calm"], positive_label=None)
    together = ensemble(a, b, num_threads=3)
    assert together.labels == ("calm", "stunt")
    assert [member.adapter.config["num_threads"] for member in together.members] == [3, 3]
    assert (together.config["task"], together.config["positive_label"]) == ("single_label", "stunt")
    assert [member.columns.tolist() for member in together.members] == [[0, 1], [1, 0]]
    assert ensemble(a, b).members[0].adapter.config["num_threads"] is None
    assert together.predict([]) == []
    assert not together.scores_frames


@pytest.mark.parametrize("voting, expected", [("mean", 0.5), ("max", 0.75), ("weighted", 0.375)])
def test_a_vote_is_by_the_config_and_keeps_what_members_said(tmp_path: Path, voting: str, expected: float) -> None:
    paths = [tiny(tmp_path / name, labels=["calm", "stunt"], positive_label="stunt") for name in "ab"]
    weights = {"member_weights": [1, 3]} if voting == "weighted" else {}
    together = ensemble(*paths, voting=voting, **weights)
    clip = Clip(np.zeros((4, 32, 32, 3), np.uint8), np.arange(4.0), "v.mp4", 1.0, 5.0)
    for member, score in zip(together.members, (0.75, 0.25), strict=True):
        member.adapter.threshold = np.array([-0.2 * np.log(score / (1 - score))], np.float32)
    [found] = together.predict([clip])
    assert found.score_of("stunt") == pytest.approx(expected, abs=1e-5)
    assert [item.score_of("stunt") for item in found.members] == pytest.approx([0.75, 0.25], abs=1e-5)
    assert (found.start, found.end, found.source, found.frame_scores) == (1.0, 5.0, "v.mp4", None)
    assert together.embed([clip, clip]).shape == (2, 6)


def test_members_are_named_apart_by_what_they_are_called(tmp_path: Path) -> None:
    names = ["a/fast model", "b/Fast_Model", "c/fast_model", "d/###", "e/über"]
    together = ensemble(*(tiny(tmp_path / name, contrast=0.1 + n / 10) for n, name in enumerate(names)))
    together.save(tmp_path / "bundle")
    config = read_bundle(tmp_path / "bundle").config
    stored = ["fast_model", "Fast_Model_2", "fast_model_3", "member", "ber"]
    assert config["members"] == [f"members/{name}" for name in stored]
    again = open_model(tmp_path / "bundle")
    found = [member.adapter.config["contrast"] for member in again.members]  # type: ignore[attr-defined]
    assert found == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_bundle_of_another_adapter_is_refused(tmp_path: Path) -> None:
    members = tiny(tmp_path / "a"), tiny(tmp_path / "b")
    with pytest.raises(BundleError, match="tiny_adapter:TinyAdapter"):
        ensemble(*members).load(members[0])

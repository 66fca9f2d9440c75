"""Features of clips: what is measured, what a broken clip gives, and features of another version."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tiny_videos import render_video

pytest.importorskip("alembic", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")
pytest.importorskip("librosa", reason="features of sound need the clips extra: pip install 'cliplab[clips]'")

from adapters.errors import MediaError
from cliplab.clips import ClipError, ClipManager, RatingBasedTrainer, clip_features, rating_training, ratings, records
from cliplab.clips.commands import clips_features
from cliplab.clips.learners import ridge
from cliplab.clips.picture_features import measure_pictures
from cliplab.clips.sound_features import SAMPLE_RATE, sound_features


def clicks(path: Path, beats_per_minute: float, seconds: float = 8.0) -> Path:
    samples = np.zeros(int(SAMPLE_RATE * seconds), np.float32)
    for beat in np.arange(0, seconds, 60 / beats_per_minute):
        at = int(beat * SAMPLE_RATE)
        samples[at : at + 200] = 0.8
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def manager(tmp_path: Path) -> Any:
    with ClipManager(tmp_path / "clips.db") as made:
        yield made


def test_sound_and_picture_are_measured(tmp_path: Path) -> None:
    heard = clip_features(clicks(tmp_path / "clicks.wav", 120))
    assert heard["tempo"] == pytest.approx(120, rel=0.05)
    assert heard["onset_rate"] == pytest.approx(2, abs=0.5)
    assert (heard["has_sound"], heard["has_picture"]) == (1, 0)
    assert len(heard["mfcc_mean"]) == 13
    seen = clip_features(render_video(tmp_path / "seen.mp4", "warm", 0, seconds=2))
    assert (seen["has_sound"], seen["has_picture"], seen["shots"]) == (0, 1, 1)
    assert seen["motion_mean"] > 0
    assert "rms_mean" not in seen
    for values in (heard, seen):
        flat = np.concatenate([np.ravel(value) for value in values.values()])
        assert np.isfinite(flat).all()


@pytest.mark.parametrize("samples", [np.zeros(30_000), np.ones(30_000), np.full(3000, 1e-30)])
def test_silence_has_finite_features(samples: Any) -> None:
    found = sound_features(samples.astype(np.float32))
    assert all(math.isfinite(number) for value in found.values() for number in np.ravel(value))


def test_cuts_flashes_and_colour() -> None:
    dark, bright, red = (np.full((36, 64, 3), color, np.uint8) for color in (20, 200, (255, 0, 0)))
    assert measure_pictures(iter([dark] * 8 + [red] * 8 + [dark] * 8))["shots"] == 3
    flash = measure_pictures(iter([dark] * 8 + [bright] + [dark] * 8))
    assert flash["flashes"] == 1
    assert measure_pictures(iter([red] * 4))["colorfulness_mean"] > 80 > 1 > flash["colorfulness_mean"]
    assert measure_pictures(iter([dark]))["shots"] == 1
    assert measure_pictures(iter([])) == {}


def test_a_broken_clip_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(MediaError, match=r"bad\.mp4"):
        clip_features(tmp_path / "bad.mp4")


def test_clips_without_features_are_measured(manager: ClipManager, tmp_path: Path) -> None:
    good = render_video(tmp_path / "good.mp4", "cold", 0)
    first = manager.register_clip(good, 0, 1, 0.5, "video", {})
    gone = manager.register_clip(tmp_path / "gone.mp4", 0, 1, 0.5, "video", {})
    other = manager.register_clip(good, 0, 0.5, 0.5, "video", {"taste": 3})
    database = tmp_path / "clips.db"
    assert clips_features(database, dry_run=True).chosen == 2
    report = clips_features(database)
    assert (report.measured, [number for number, _ in report.problems]) == (1, [gone])
    assert manager.get_clip(first).features["shots"] == 1
    assert manager.get_clip(other).features == {"taste": 3}
    assert clips_features(database, all_clips=True).measured == 2
    assert manager.get_clip(other).features["taste"] == 3, "what another program measured stays"


def test_features_of_another_version_are_not_learned_from(
    manager: ClipManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rating_training, "LEARNERS", {"ridge": ridge})
    rng = np.random.default_rng(0)
    for n in range(30):
        liked = rng.normal()
        number = manager.register_clip(f"{n}.mp4", n, n + 1, 0.5, "audio", {"tempo": liked, "features_version": 1})
        manager.rate_clip(number, int(np.clip(round(3 + 1.5 * liked), 1, 5)))
    path = tmp_path / "models" / "m.skops"
    trainer = RatingBasedTrainer(manager, path, automatic=False)
    assert trainer.train_from_ratings()
    assert trainer.models()["audio"].table.names == ("tempo",)
    for module in (records, ratings):
        monkeypatch.setattr(module, "FEATURES_VERSION", 2)
    with pytest.raises(ClipError, match="cliplab clips features"):
        trainer.train_from_ratings()
    caplog.set_level(logging.CRITICAL, "cliplab")
    assert RatingBasedTrainer(manager, path, automatic=False).predict("audio", [{"tempo": 1}]) is None

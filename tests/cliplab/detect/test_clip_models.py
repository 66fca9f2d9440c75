"""Models that score clips, not frames: their windows become scores of seconds, and breaks are as exact as the cuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evening_files import compose
from tiny_adapter import TinyAdapter

from adapters.errors import ConfigError
from adapters.records import Clip, Prediction
from cliplab.detect import find_ads, read_break_profile
from cliplab.detect.observing import observe
from cliplab.detect.recordings import Job, find_in_recording

CONFIG = {
    "schema_version": 2, "adapter": "tiny_adapter:TinyAdapter", "name": "knows the time", "labels": ["content", "ad"],
    "positive_label": "ad", "imgz": 32,
}  # fmt: skip
SCENES = (("programme", 40.0), ("ad", 20.0), ("ad", 15.0), ("programme", 45.0))
FAILS_AT = 100.0


class KnowsTheTime(TinyAdapter):
    """Says of each window how much of it is within the break; fails on one window."""

    scores_frames = False
    truth = (0.0, 0.0)

    def _predict_one(self, clip: Clip) -> Prediction:
        if clip.start <= FAILS_AT < clip.end and clip.frames.std() > 0:  # a plain picture is taken
            raise ValueError("a window that the model does not take")
        start, end = self.truth
        share = max(min(clip.end, end) - max(clip.start, start), 0.0) / (clip.end - clip.start)
        ad = min(max(share, 0.02), 0.98)
        return Prediction(np.array([1 - ad, ad], np.float32), self.labels, clip.start, clip.end, clip.source)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[float, float]]:
    path = tmp_path_factory.mktemp("clips") / "plain.mkv"
    (truth,) = compose(path, SCENES, logo=False, black=False, sound=0)
    return path, truth


@pytest.mark.parametrize(
    "sampling",
    [
        {"sampling": "spread", "n_frames": 4, "window_seconds": 2.0, "stride_seconds": 0.5},
        {"sampling": "rate", "fps": 2.0, "n_frames": 8},
    ],
    ids=["windows of 2 s", "8 frames at a rate of 2"],
)
def test_windows_become_scores_of_seconds(recording: Any, tmp_path: Path, sampling: dict[str, Any]) -> None:
    path, truth = recording
    model = KnowsTheTime({**CONFIG, **sampling})
    model.truth = truth
    job = Job(model, "a digest", None, read_break_profile(), store=tmp_path)
    found = find_in_recording(path, job)
    assert found.observations is not None
    scores, middle = found.observations.ad_scores, found.observations.times + 0.5
    well_inside = (middle > truth[0] + 4) & (middle < truth[1] - 4)
    assert np.nanmin(scores[well_inside]) > 0.9
    assert np.nanmax(scores[(middle < truth[0] - 4) | (middle > truth[1] + 4)]) < 0.1
    # The half of its change is at the edge: windows are taken at their middle.
    half = float(middle[np.flatnonzero(scores > 0.5)[0]])
    assert half == pytest.approx(truth[0], abs=1.5)
    assert [(one.start_seconds, one.end_seconds) for one in found.breaks] == [pytest.approx(truth, abs=0.3)]
    assert find_in_recording(path, job).remembered


def test_a_model_of_clips_is_not_followed(tmp_path: Path) -> None:
    KnowsTheTime({**CONFIG, "n_frames": 4}).save(tmp_path / "model")
    with pytest.raises(ConfigError, match="scores clips"):
        find_ads(tmp_path / "a.ts", model=tmp_path / "model", follow=True)


def test_its_label_must_be_known(recording: Any) -> None:
    with pytest.raises(ConfigError, match="unknown to the model"):
        observe(recording[0], KnowsTheTime({**CONFIG, "n_frames": 4}), label="advert")

"""Results in other tools' shapes."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.errors import MediaError
from adapters.hosts.results import to_pipeline
from adapters.records import Prediction, VideoResult

LABELS = ("cold", "mild", "warm")


def window(start: float, *scores: float) -> Prediction:
    return Prediction(np.array(scores, np.float32), LABELS, start, start + 1)


def test_one_window_keeps_its_scores_best_first() -> None:
    result = VideoResult("a.mp4", (window(0, 0.25, 0.125, 0.625),))
    assert to_pipeline(result, 2) == [{"score": 0.625, "label": "warm"}, {"score": 0.25, "label": "cold"}]
    assert len(to_pipeline(result, 99)) == 3


def test_windows_become_one_list_of_their_mean() -> None:
    result = VideoResult("a.mp4", (window(0, 1.0, 0.0, 0.0), window(1, 0.0, 0.5, 0.5), window(2, 0.5, 0.25, 0.25)))
    assert to_pipeline(result, 1) == [{"score": 0.5, "label": "cold"}]


def test_a_video_that_failed_is_an_error_with_its_reason() -> None:
    with pytest.raises(MediaError, match=r"b\.mp4: is empty"):
        to_pipeline(VideoResult("b.mp4", error="b.mp4: is empty"), 5)
    with pytest.raises(MediaError, match="no prediction"):
        to_pipeline(VideoResult("c.mp4"), 5)

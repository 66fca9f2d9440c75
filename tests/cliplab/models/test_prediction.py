"""Which settings of a model the segments of a prediction follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_adapter import TinyAdapter

from adapters.records import Prediction, VideoResult
from cliplab.models.prediction import find_segments

SCORES = (0.9, 0.9, 0.2, 0.9, 0.2, 0.2, 0.7, 0.2)  # of each second


@pytest.mark.parametrize(
    ("keys", "spans"),
    [
        ({}, [(0, 2), (3, 4), (6, 7)]),
        ({"threshold": 0.8}, [(0, 2), (3, 4)]),
        ({"merge_gap_seconds": 1.0}, [(0, 4), (6, 7)]),
        ({"min_segment_seconds": 1.5}, [(0, 2)]),
        ({"smoothing_seconds": 3.0}, [(0, 3.25)]),
    ],
)
def test_segments_follow_each_setting(keys: dict[str, Any], spans: list[tuple[int, int]]) -> None:
    adapter = TinyAdapter({"labels": ["warm", "cold"], **keys})
    windows = tuple(
        Prediction(np.array([score, 1 - score], np.float32), adapter.labels, float(second), second + 1.0)
        for second, score in enumerate(SCORES)
    )
    found = find_segments(adapter, VideoResult("a.mp4", windows), "warm")
    assert [(item.start, item.end) for item in found] == spans

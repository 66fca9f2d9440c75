"""A clip's frames for a model that takes a fixed number of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adapters.errors import AdapterError
from adapters.models.model_adapter import even_frames
from adapters.records import Clip


@pytest.mark.parametrize(
    ("have", "count", "taken"),
    [(6, 6, range(6)), (6, 3, [1, 3, 5]), (5, 2, [1, 3]), (7, 1, [3]), (4, 3, [0, 2, 3])],
)
def test_frames_are_taken_at_the_middles_of_even_parts(have: int, count: int, taken: Any) -> None:
    frames = np.zeros((have, 2, 2, 3), np.uint8) + np.arange(have, dtype=np.uint8)[:, None, None, None]
    clip = Clip(frames, np.arange(have, dtype=np.float64), "a.mp4", 0.0, float(have))
    assert even_frames(clip, count)[:, 0, 0, 0].tolist() == list(taken)


def test_a_clip_of_too_few_frames_is_refused_with_both_numbers() -> None:
    clip = Clip(np.zeros((5, 2, 2, 3), np.uint8), np.arange(5.0), "a.mp4", 0.0, 5.0)
    with pytest.raises(AdapterError, match=r"a\.mp4: 5 frames were given, but the model takes 6"):
        even_frames(clip, 6)

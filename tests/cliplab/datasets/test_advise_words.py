"""What the picture and the command of `cliplab dataset advise` say at the edges."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.errors import ConfigError
from cliplab.api import dataset_advise
from cliplab.datasets.advise_plot import _tick_labels


def test_numbers_below_the_learning_curve_do_not_touch() -> None:
    assert _tick_labels([8, 19, 48, 59, 200, 500]) == ["8", "19", "", "59", "200", "500"]
    assert _tick_labels([100]) == ["100"]
    assert _tick_labels([7, 8]) == ["7", "8"]


@pytest.mark.parametrize("seed", [-1, 2**31, 10**30])
def test_a_seed_that_a_config_would_refuse_is_refused_before_any_clip_is_read(seed: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="seed"):
        dataset_advise(tmp_path / "absent.jsonl", seed=seed)

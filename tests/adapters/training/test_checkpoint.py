"""What a checkpoint keeps apart: the present variables, the best ones and the optimizer's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adapters.reports import EpochLog
from adapters.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint


def test_present_best_and_optimizer_come_back_each_as_it_was(tmp_path: Path) -> None:
    present, best = [np.full((2, 3), 1.0), np.full(4, 2.0)], [np.full((2, 3), 3.0), np.full(4, 4.0)]
    optimizer = [np.full(5, 5.0)]
    log = EpochLog("head", 0, 0.5, 0.75, 0.25, 1.0, 2.0)
    path = tmp_path / "head.safetensors"
    write_checkpoint(path, "key", Checkpoint(present, best, optimizer, (log,), "early_stopping"))
    found = read_checkpoint(path, "key", [(2, 3), (4,)], [(5,)])
    assert found is not None
    for part, expected in ((found.present, present), (found.best, best), (found.optimizer, optimizer)):
        for value, array in zip(part, expected, strict=True):
            np.testing.assert_array_equal(value, array)
    assert (found.logs, found.stopped) == ((log,), "early_stopping")
    assert read_checkpoint(path, "another", [(2, 3), (4,)], [(5,)]) is None

"""What a training reports: which epoch of which phase was kept."""

from __future__ import annotations

import json

from adapters.reports import EpochLog, Phase, TrainReport


def log(phase: Phase, epoch: int, best: bool) -> EpochLog:
    return EpochLog(phase, epoch, 0.5, 0.5, 0.5, 0.5, 1.0, best)


def report(*epochs: EpochLog) -> TrainReport:
    best = [entry.epoch for entry in epochs if entry.best]
    return TrainReport("model", ("a", "b"), epochs, best[-1] if best else 0, "finished", {"train": 2}, 2, 1.0)


def test_the_best_epoch_is_counted_in_the_phase_that_reached_it() -> None:
    """Both phases number their epochs from 0, so a number alone does not say which epoch was kept."""
    head = (log("head", 0, True), log("head", 1, True))
    kept_head = report(*head, log("fine_tune", 0, False))
    assert (kept_head.best_phase, kept_head.best_epoch) == ("head", 1)
    tuned = report(*head, log("fine_tune", 0, False), log("fine_tune", 1, True))
    assert (tuned.best_phase, tuned.best_epoch) == ("fine_tune", 1)
    written = json.loads(json.dumps(tuned.to_json()))
    assert (written["best_phase"], written["best_epoch"]) == ("fine_tune", 1)
    assert report().best_phase is None

"""Reports of commands with made-up values, and what JSON makes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from made_up import Maker

from adapters.data.examples import Example
from adapters.records import Prediction
from cliplab.detect.adapting import SHORT, ScoreHead
from cliplab.detect.highlights.options import HighlightOptions
from cliplab.rollout.settings import RolloutSettings

# Fields of classes that check what they are given.
GIVEN: dict[type, dict[str, Any]] = {
    ScoreHead: {"kernel": tuple(n / 64 for n in range(SHORT)), "bias": 0.25, "share": 0.5},
    HighlightOptions: {
        "min_score": 0.75,
        "snap_seconds": 2.5,
        "frames": "key",
        "quality": "720p",
        "headers": {},
        "before_shares": {"cheer": 0.5},
    },
    RolloutSettings: {"stages": (20.0, 100.0), "false_halts": 0.125, "worse": 2.5, "worse_latency": 1.75},
    Prediction: {"scores": np.array([0.25, 0.75], np.float32), "labels": ("a", "b"), "frame_scores": None},
}


def maker() -> Maker:
    """Makes reports, each with values that no other has."""
    return Maker(GIVEN, {"Example": Example})


def told(value: Any) -> Any:
    """A value as JSON has it."""
    if hasattr(value, "to_json"):
        return told(value.to_json())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return told(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(name): told(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [told(one) for one in value]
    return str(value) if isinstance(value, Path) else float(value) if isinstance(value, Fraction) else value

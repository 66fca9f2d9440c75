"""The drop in accuracy of a conversion, on labelled clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tiny_adapter import TinyAdapter

from adapters.data import Example
from cliplab.models.accuracy_drop import drop_measure


def example(label: str, number: int, group: str = "") -> Example:
    return Example(Path(f"/{number}.mp4"), (label,), group=group)


def scores(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def measure(examples: list[Example], **keys: Any) -> Any:
    return drop_measure(TinyAdapter({"labels": ["warm", "cold"], **keys}), examples)


def test_right_answers_before_and_after_in_groups() -> None:
    examples = [example("warm", 0, "a"), example("warm", 1, "a"), example("cold", 2), example("cold", 3)]
    before = scores([0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7])
    after = scores([0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.3, 0.7])
    found = measure(examples)(before, after)
    assert (found.source, found.converted, found.clips, found.groups) == (1.0, 0.75, 4, 3)
    assert found.drop == 0.25
    assert found.interval[0] <= 0.25 <= found.interval[1]
    better = measure(examples)(after, before)
    assert better.drop == -0.25


def test_no_changed_answer_says_little_where_clips_are_few() -> None:
    few = measure([example("warm", 0), example("cold", 1)])
    same = scores([0.9, 0.1], [0.2, 0.8])
    found = few(same, same)
    assert found.drop == 0
    assert found.interval[0] < -0.5 < 0.5 < found.interval[1]
    many = measure([example("warm", number) for number in range(400)])
    rows = np.tile(np.float32([0.9, 0.1]), (400, 1))
    assert max(np.abs(many(rows, rows).interval)) < 0.01

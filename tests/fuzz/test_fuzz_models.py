"""Damaged programs, weights, bundles, configs and label files are refused, or read, within bounds."""

from __future__ import annotations

import pytest
from fuzzing.kinds import KINDS
from fuzzing.runner import run_cases


@pytest.mark.parametrize("kind", ["tflite", "pth", "model_files", "labels"])
def test_a_damaged_file_is_read_or_refused(kind: str) -> None:
    report = run_cases(kind, 0, KINDS[kind].cases)
    assert report.cases == KINDS[kind].cases
    assert not report.findings, "\n".join(map(str, report.findings))
    assert {"read", "refused"} <= set(report.results), "all alike: the mutations are too mild or too coarse"

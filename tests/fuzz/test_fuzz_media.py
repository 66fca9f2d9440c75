"""Damaged videos and pictures are refused, or read as far as they go, in this process and through the HTTP host."""

from __future__ import annotations

import pytest
from fuzzing.kinds import KINDS
from fuzzing.runner import run_cases


@pytest.mark.parametrize("kind", ["video", "video_http", "video_studio", "picture"])
def test_a_damaged_video_is_read_or_refused(kind: str) -> None:
    pytest.importorskip("uvicorn", reason="pip install 'cliplab[http]'")
    report = run_cases(kind, 0, KINDS[kind].cases)
    assert report.cases == KINDS[kind].cases
    assert not report.findings, "\n".join(map(str, report.findings))
    assert {"read", "refused"} <= set(report.results), "all alike: the mutations are too mild or too coarse"

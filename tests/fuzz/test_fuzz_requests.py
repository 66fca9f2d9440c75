"""Random requests are answered below 500, and files that name other files and addresses lead nowhere."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from fuzzing.case import UnexpectedAnswerError
from fuzzing.hostile import COUNT, Traps
from fuzzing.kinds import KINDS
from fuzzing.runner import run_cases

pytest.importorskip("uvicorn", reason="pip install 'cliplab[http]'")


@pytest.mark.parametrize("kind", ["requests", "studio_requests", "stream"])
def test_a_random_request_is_answered_below_500(kind: str) -> None:
    report = run_cases(kind, 0, KINDS[kind].cases)
    assert report.cases == KINDS[kind].cases
    assert not report.findings, "\n".join(map(str, report.findings))
    assert {"read", "refused"} <= set(report.results), "all alike: the requests are too mild or too coarse"


@pytest.mark.parametrize("kind", ["hostile", "hostile_http", "hostile_studio"])
def test_a_file_that_names_others_is_refused_and_nothing_else_is_opened(kind: str) -> None:
    report = run_cases(kind, 0, COUNT)
    assert not report.findings, "\n".join(map(str, report.findings))
    assert report.results == {"refused": COUNT}


def test_the_traps_notice_a_connection_and_an_opened_file(tmp_path: Path) -> None:
    traps = Traps(tmp_path / "traps")
    traps.check()
    with socket.create_connection(("127.0.0.1", traps.port)), pytest.raises(UnexpectedAnswerError, match="connected"):
        traps.check()
    traps.canary.read_bytes()
    with pytest.raises(UnexpectedAnswerError, match="opened"):
        traps.check()

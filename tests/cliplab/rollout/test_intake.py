"""Reports that are refused: each sender gets the reason of its own report, also where another has gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="pip install 'cliplab[registry,http]'")
pytest.importorskip("starlette", reason="pip install 'cliplab[registry,http]'")
from adapters.hosts.http_server.errors import RequestError
from cliplab.rollout.report import DeviceReport, ReportError
from cliplab.rollout.serving import intake


def test_the_reason_of_a_sender_that_has_gone_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = [DeviceReport(name, 1, {}) for name in ("gone", "waiting")]

    def refuse(_engine: Any, given: list[DeviceReport]) -> tuple[list[Any], list[ReportError]]:
        return [], [ReportError(f"of {report.device}") for report in given]

    monkeypatch.setattr(intake, "store_reports", refuse)

    async def both() -> str:
        taken = intake.ReportIntake(None)  # type: ignore[arg-type] # nothing is stored
        gone, waiting = (asyncio.ensure_future(taken.store(report)) for report in reports)
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        work = asyncio.ensure_future(taken.run())
        try:
            await asyncio.wait_for(waiting, 120)
        except RequestError as error:
            return error.message
        finally:
            work.cancel()
        return ""

    assert asyncio.run(both()) == "of waiting"

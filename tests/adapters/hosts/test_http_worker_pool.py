"""How much is done at once: a budget of bytes, and the queue of work with its limits on time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

pytest.importorskip("starlette", reason="pip install 'cliplab[http]'")

from adapters.hosts.http_server.errors import ClientDisconnectedError, RequestError
from adapters.hosts.http_server.worker_pool import ByteBudget, WorkerPool


def test_a_budget_is_given_back() -> None:
    budget = ByteBudget(10_000_000, "uploads")
    with budget.share(4_000_000) as one, budget.share(6_000_000) as other:
        assert budget.used_bytes == 0  # what is only announced takes no room from others
        one.grow(4_000_000)
        other.grow(6_000_000)
        assert (budget.used_bytes, one.used_bytes) == (10_000_000, 4_000_000)
        with pytest.raises(RequestError, match="uploads of 10 MB"):
            one.grow(1)
        with pytest.raises(RequestError, match="uploads of 10 MB") as caught, budget.share(1):
            pass
        assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
    assert budget.used_bytes == 0
    with pytest.raises(RequestError), budget.share(5) as one:
        one.grow(20_000_000)
    assert budget.used_bytes == 0


def test_a_full_queue_refuses_and_work_that_is_waited_for_in_vain_is_dropped() -> None:
    async def run() -> None:
        work, held, ran = WorkerPool(1, 1, 0.3), threading.Event(), []
        first = asyncio.ensure_future(work.run(lambda job: held.wait(60)))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(work.run(lambda job: ran.append(1)))
        await asyncio.sleep(0)
        assert (work.unfinished, work.waiting) == (2, 1)
        with pytest.raises(RequestError) as full:
            work.check_capacity()
        assert full.value.status == 429
        assert int(full.value.headers["Retry-After"]) >= 1
        for waiting, status, words in ((first, 504, "took longer than 0.3 s"), (second, 503, "no worker was free")):
            with pytest.raises(RequestError, match=words) as caught:
                await waiting
            assert caught.value.status == status
        held.set()
        while work.unfinished:
            await asyncio.sleep(0.01)
        assert ran == []
        assert await work.run(lambda job: job.stop_reason()) is None
        work.close()

    asyncio.run(run())


def test_a_disconnect_ends_the_waiting() -> None:
    async def run() -> None:
        work, held, stopped = WorkerPool(1, 0, 60), threading.Event(), []

        async def gone() -> Any:
            await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        def long(job: Any) -> None:
            held.wait(60)
            stopped.append(job.stop_reason())

        with pytest.raises(ClientDisconnectedError):
            await work.run(long, gone)
        held.set()
        while work.unfinished:
            await asyncio.sleep(0.01)
        assert "client has disconnected" in stopped[0]
        work.close()

    asyncio.run(run())

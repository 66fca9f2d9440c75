"""Sources are looked at ahead, in threads: each once, and in the order of their scores."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from adapters.errors import MediaError
from cliplab.reel import run
from cliplab.reel.sources import SkippedSource


def candidates(monkeypatch: pytest.MonkeyPatch, count: int, looked: Counter[str]) -> Any:
    def inspect(row: dict[str, Any], *_: Any) -> Any:
        looked[row["path"]] += 1
        if row["path"] == "v1":
            raise MediaError("v1: is damaged")
        return row["path"]

    monkeypatch.setattr(run, "inspect_source", inspect)
    rows = [{"path": f"v{number}", "score": 1.0} for number in range(count)]
    return run._Candidates(rows, None, 0.0, count, lambda stage, done, total: None)


def test_each_source_is_looked_at_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: Counter[str] = Counter()
    ours = candidates(monkeypatch, 30, looked)
    for _ in range(2):  # a second attempt, after a rendering that failed
        found = list(ours.best_first())
        assert [path for path in found if isinstance(path, str)] == [f"v{n}" for n in range(30) if n != 1]
        assert isinstance(found[1], SkippedSource)
        assert found[1].failed
    assert looked == Counter({f"v{number}": 1 for number in range(30)})


def test_a_full_reel_leaves_most_sources_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: Counter[str] = Counter()
    ours = candidates(monkeypatch, 1000, looked)
    first = ours.best_first()
    assert [next(first), next(first).path, next(first)] == ["v0", "v1", "v2"]
    first.close()
    assert len(looked) <= 3 + 2 * run._MOST_TOGETHER

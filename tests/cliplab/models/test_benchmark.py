"""What a benchmark measures: each clip alone for the latency, and each clip once in batches for the throughput."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tiny_adapter import TinyAdapter

from adapters.records import Clip, Prediction
from cliplab.models import bench

CONFIG = {"adapter": "tiny_adapter:TinyAdapter", "labels": ["warm", "cold"], "batch_size": 4}


@pytest.mark.parametrize("clips", [1, 8, 10])
def test_each_clip_is_predicted_once_alone_and_once_in_a_batch(clips: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    predict = TinyAdapter.predict

    def counted(adapter: TinyAdapter, batch: Sequence[Clip]) -> list[Prediction]:
        sizes.append(len(batch))
        return predict(adapter, batch)

    monkeypatch.setattr(TinyAdapter, "predict", counted)
    assert bench(CONFIG, clips=clips).clips == clips
    alone, batches = sizes[: len(sizes) - -(-clips // 4)], sizes[len(sizes) - -(-clips // 4) :]
    assert set(alone) == {1}
    assert len(alone) >= clips
    assert sum(batches) == clips

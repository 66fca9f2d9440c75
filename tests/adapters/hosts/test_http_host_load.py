"""Sixty-four clients at a time: no answer but 200 and 429, each the right one, and no more memory at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from http_load import run_load, tensor_request
from http_server import http_host

from adapters.inference import open_model
from adapters.records import Clip


def test_sixty_four_clients(tmp_path: Path) -> None:
    model = open_model({"adapter": "tiny_adapter:TinyAdapter"})
    model.save(tmp_path / "tiny.bundle")
    batches = [np.random.default_rng(seed).integers(0, 256, (1, 4, 64, 64, 3), np.uint8) for seed in range(3)]
    requests = [tensor_request("tiny", batch) for batch in batches]
    with http_host([tmp_path / "tiny.bundle"], "--queue", 20, "--workers", 2) as host:
        run_load(host.port, requests, 64, 0.7, host.process.pid)  # warm
        load = run_load(host.port, requests, 64, 2.5, host.process.pid)
    assert {200} <= set(load.codes) <= {200, 429}, load.codes
    clips = [Clip(batch[0], np.arange(4) / 5, "clip", 0.0, 1.0) for batch in batches]
    expected = {prediction.scores.tobytes() for prediction in model.predict(clips)}
    assert {body[-8:] for body in load.bodies} == expected
    assert load.resident_mb[-1] - load.resident_mb[0] < 30, load.resident_mb

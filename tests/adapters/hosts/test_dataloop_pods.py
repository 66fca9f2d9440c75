"""Pods that are too small for a model are refused or logged, with the pod to choose."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from adapters.hosts.dataloop import pods
from adapters.hosts.dataloop.pods import is_too_small, size_of, warn_of_memory
from adapters.inference import open_model
from movinet_adapter import MoViNetAdapter

GB = 10**9


@pytest.mark.parametrize(
    "limit, config, warns",
    [
        (None, {"model_id": "a5"}, False),  # no limit
        (2 * GB, {"model_id": "a5"}, False),
        (1 * GB, {"model_id": "a5", "model_mode": "stream"}, True),
        (GB // 2, {"model_id": "a5"}, True),
        (GB // 2, {"model_id": "a0"}, False),
        (GB // 2, {"model_id": "a0", "weights": "kinetics-600"}, True),  # TensorFlow reads them
    ],
)
def test_a_pod_that_is_too_small_is_logged_with_the_pod_to_choose(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit: int | None,
    config: dict[str, Any],
    warns: bool,
) -> None:
    monkeypatch.setattr(pods, "memory_limit", lambda: limit)
    with caplog.at_level(logging.WARNING):
        warn_of_memory(MoViNetAdapter({"weights": "random", **config}), "tricks")
    assert (f'"{pods.PODS[pods.size_of(config)][0]}"' in caplog.text) == warns
    assert warns or caplog.text == ""


def test_models_that_are_not_movinet_fit_every_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods, "memory_limit", lambda: GB // 4)
    warn_of_memory(
        open_model({"adapter": "tiny_adapter:TinyAdapter"}, trust_adapters=("tiny_adapter:TinyAdapter",)), "x"
    )


def test_what_is_written_needs_no_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path))
    for name in ("efficientnet_lite0", "movinet_a5_base"):  # written without TensorFlow
        assert not open_model(name, {"weights": "random"}).needs_conversion


def test_sizes_and_pods() -> None:
    assert [size_of({"model_id": f"a{n}"}) for n in range(6)] == [
        "small",
        "small",
        "medium",
        "medium",
        "large",
        "large",
    ]
    assert size_of({}) == size_of({"model_id": ["a5"]}) == "small"
    assert is_too_small("regular-xs", "small")
    assert is_too_small("regular-l", "large")
    assert not is_too_small("regular-m", "small")
    assert not is_too_small("gpu-t4", "large")

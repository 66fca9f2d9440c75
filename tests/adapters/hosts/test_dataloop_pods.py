"""Pods that are too small for a model are refused or logged, with the pod to choose."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import AdapterError
from adapters.hosts.dataloop import pods
from adapters.hosts.dataloop.pods import is_too_small, require_memory, size_of
from adapters.inference import open_model
from movinet_adapter import MoViNetAdapter

GB = 10**9


def movinet(monkeypatch: pytest.MonkeyPatch, converts: bool = True, **config: Any) -> MoViNetAdapter:
    monkeypatch.setattr(MoViNetAdapter, "needs_conversion", property(lambda self: converts))
    return MoViNetAdapter({"weights": "random", **config})


@pytest.mark.parametrize("mode, limit", [("base", 4), ("stream", 3)])
def test_a5_on_a_small_pod_is_refused_with_the_pod_to_choose(
    monkeypatch: pytest.MonkeyPatch, mode: str, limit: int
) -> None:
    monkeypatch.setattr(pods, "memory_limit", lambda: limit * GB)
    with pytest.raises(AdapterError, match=rf'"model_id" a5 needs .* this pod has {limit}\.0 GB\. .*"highmem-l"'):
        require_memory(movinet(monkeypatch, model_id="a5", model_mode=mode), "tricks")


def test_a_pod_that_is_a_little_too_small_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pods, "memory_limit", lambda: 6 * GB)
    with caplog.at_level(logging.WARNING):
        require_memory(movinet(monkeypatch, model_id="a5"), "tricks")
    assert "highmem-l" in caplog.text


@pytest.mark.parametrize(
    "limit, config, converts",
    [
        (None, {"model_id": "a5"}, True),  # no limit
        (16 * GB, {"model_id": "a5"}, True),
        (4 * GB, {"model_id": "a0"}, True),
        (1 * GB, {"model_id": "a5"}, False),  # converted already
    ],
)
def test_other_pods_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit: int | None,
    config: dict[str, Any],
    converts: bool,
) -> None:
    monkeypatch.setattr(pods, "memory_limit", lambda: limit)
    require_memory(movinet(monkeypatch, converts, **config), "tricks")
    assert caplog.text == ""


def test_models_that_are_not_movinet_fit_every_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods, "memory_limit", lambda: GB // 4)
    require_memory(
        open_model({"adapter": "tiny_adapter:TinyAdapter"}, trust_adapters=("tiny_adapter:TinyAdapter",)), "x"
    )


def test_what_is_cached_needs_no_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path))
    from adapters.litert.program_cache import program_path
    from adapters.models.programs import program_identity

    model = MoViNetAdapter({"weights": "random"})
    assert model.needs_conversion
    path = program_path(program_identity(model))
    path.parent.mkdir(parents=True)
    path.touch()
    assert not model.needs_conversion
    assert not open_model("efficientnet_lite0", {"weights": "random"}).needs_conversion  # written without TensorFlow


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

"""The TensorFlow path that ``device: gpu`` takes, on whatever device there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adapters.bundle import render_clip
from adapters.errors import AdapterError
from adapters.inference import open_model
from adapters.models import ModelAdapter
from adapters.models.tensorflow_program import TensorFlowProgram

tf = pytest.importorskip("tensorflow", reason="needs the train extra: pip install 'cliplab[train]'")

SMALL = {"weights": "random", "imgz": 32, "n_frames": 40}


def small(**changes: object) -> ModelAdapter:
    adapter = open_model("efficientnet_lite0", {**SMALL, **changes})
    assert isinstance(adapter, ModelAdapter)
    return adapter


def test_same_scores_as_the_program(own_cache: Path) -> None:
    adapter = small()
    clips = [render_clip(adapter.input_spec, variant) for variant in range(2)]
    device = tf.config.list_logical_devices()[0].name
    found = adapter.predict_with(TensorFlowProgram(adapter, device), clips)
    for expected, prediction in zip(adapter.predict(clips), found, strict=True):
        np.testing.assert_allclose(prediction.scores, expected.scores, atol=1e-3)


def test_gpu_is_used_or_asked_for() -> None:
    adapter = small(device="gpu")
    clips = [render_clip(adapter.input_spec)]
    if tf.config.list_logical_devices("GPU"):
        np.testing.assert_allclose(adapter.predict(clips)[0].scores, small().predict(clips)[0].scores, atol=1e-3)
    else:
        with pytest.raises(AdapterError, match='set "device" to "cpu"'):
            adapter.predict(clips)

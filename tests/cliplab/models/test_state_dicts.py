"""`cliplab convert --output X.pth`: weights for PyTorch, by the names of the networks that people load them into."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_adapter import TinyAdapter

from adapters.errors import ConfigError, ConversionError, StorageError, WeightsError
from adapters.models import ModelAdapter
from adapters.models.efficientnet_lite.network import BN_EPSILON
from adapters.models.efficientnet_lite.torch_names import backbone_to_torch, package_names, torch_to_variables
from adapters.models.resnet18.network import torch_names
from adapters.models.weights import head_tensors, read_state_dict
from cliplab.api import convert

RNG = np.random.default_rng(0)
HEAD = [{"units": 6, "activation": "relu"}, {"dropout": 0.3}, {"units": 5}, {"dropout": 0.2}]


def head_variables(features: int, units: int, head: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    sizes = [features, *(layer["units"] for layer in head if "units" in layer), units]
    names = [*(f"scores_dense{number}" for number in range(len(sizes) - 2)), "scores_output"]
    found = {}
    for name, before, after in zip(names, sizes, sizes[1:], strict=False):
        found[f"{name}/kernel"] = RNG.normal(size=(before, after)).astype(np.float32)
        found[f"{name}/bias"] = RNG.normal(size=after).astype(np.float32)
    return found


@pytest.fixture
def known_variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Weights that stand in for those of the adapters, so that no network is built."""
    values: dict[str, np.ndarray] = {}
    monkeypatch.setattr(ModelAdapter, "variables", lambda adapter, network=None: values)
    return values


def lite_state() -> dict[str, np.ndarray]:
    """Tensors of a Lite0, in the shapes that its package has."""
    from adapters.models.efficientnet_lite.network import FEATURES, STEM_CHANNELS, blocks

    def layer(conv: str, norm: str, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        kinds = ("weight", "bias", "running_mean", "running_var")
        norms = {f"{norm}.{kind}": RNG.uniform(0.5, 1.5, shape[0]).astype(np.float32) for kind in kinds}
        return {f"{conv}.weight": RNG.normal(size=shape).astype(np.float32)} | norms

    state = layer("_conv_stem", "_bn0", (STEM_CHANNELS, 3, 3, 3))
    for number, block in enumerate(blocks("lite0")):
        at, wide = f"_blocks.{number}", block.channels_in * block.expand
        if block.expand != 1:
            state |= layer(f"{at}._expand_conv", f"{at}._bn0", (wide, block.channels_in, 1, 1))
        state |= layer(f"{at}._depthwise_conv", f"{at}._bn1", (wide, 1, block.kernel, block.kernel))
        state |= layer(f"{at}._project_conv", f"{at}._bn2", (block.channels_out, wide, 1, 1))
    return state | layer("_conv_head", "_bn1", (FEATURES, blocks("lite0")[-1].channels_out, 1, 1))


def test_a_lite0_goes_to_pytorch_and_back(known_variables: dict[str, np.ndarray], tmp_path: Path) -> None:
    state = lite_state()
    known_variables |= torch_to_variables(state).backbone | head_variables(1280, 1, [])
    own = {"weights": "random", "labels": ["content", "ad"], "positive_label": "ad", "head": []}
    config = {"adapter": "adapters.models.efficientnet_lite:EfficientNetLiteAdapter", **own}
    report = convert(config, tmp_path / "lite0.pth")
    found = read_state_dict((tmp_path / "lite0.pth").read_bytes())
    counters = [name for name in found if name.endswith("num_batches_tracked")]
    assert len(found) == report.tensors == 296 == len(package_names("lite0")) + len(counters) + 2
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert found["_fc.weight"].shape == (1, 1280)
    assert report.head == {"_fc.weight": (1, 1280), "_fc.bias": (1,)}
    assert report.labels == ("content", "ad")
    back = torch_to_variables(found)
    for name, value in known_variables.items():
        np.testing.assert_array_equal({**back.backbone, **back.classifier}[name], value, err_msg=name)
    assert BN_EPSILON == 1e-3  # what the packages' network has, and torchvision's does not


def test_hidden_layers_are_a_sequential_whose_numbers_count_activations_and_dropout() -> None:
    variables = head_variables(8, 2, HEAD)
    tensors = head_tensors(variables, HEAD, "fc")
    # Sequential(Linear, ReLU, Dropout, Linear, Dropout, Linear)
    assert {name: value.shape for name, value in tensors.items()} == {
        "fc.0.weight": (6, 8),
        "fc.0.bias": (6,),
        "fc.3.weight": (5, 6),
        "fc.3.bias": (5,),
        "fc.5.weight": (2, 5),
        "fc.5.bias": (2,),
    }
    np.testing.assert_array_equal(tensors["fc.3.weight"], variables["scores_dense1/kernel"].T)
    plain = head_tensors(head_variables(8, 2, []), [{"dropout": 0.5}], "fc")
    assert list(plain) == ["fc.weight", "fc.bias"], "dropout alone is not a reason for a Sequential"


class Unpickler(pickle.Unpickler):
    """Allows the names that ``torch.load(weights_only=True)`` allows, and gives what it would be asked for."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {("collections", "OrderedDict"): OrderedDict, ("torch._utils", "_rebuild_tensor_v2"): lambda *a: a}
        return name if module == "torch" and name.endswith("Storage") else allowed[module, name]

    def persistent_load(self, pid: Any) -> Any:
        return pid


def test_resnet18_has_torchvisions_names_in_the_layout_of_torch_save(
    known_variables: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """PyTorch itself is not needed: the archive's entries, its pickle and where the numbers lie are compared."""
    for name, ours in torch_names().items():
        if not name.startswith("fc."):
            shape = (3, 3, 4, 5) if ours.endswith("kernel") else (7,)
            known_variables[ours] = RNG.normal(size=shape).astype(np.float32)
    known_variables |= head_variables(512, 2, HEAD)
    config = {"adapter": "adapters.models.resnet18:ResNet18Adapter", "labels": ["highlight", "normal"], "head": HEAD}
    report = convert({**config, "weights": "random", "positive_label": None}, tmp_path / "drone.pt")
    assert report.head["fc.5.weight"] == (2, 5)
    data = (tmp_path / "drone.pt").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        assert {name.partition("/")[0] for name in names} == {"archive"}
        assert {"archive/data.pkl", "archive/byteorder", "archive/version", "archive/data/0"} <= set(names)
        assert archive.read("archive/version") == b"3\n"
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        state = Unpickler(io.BytesIO(archive.read("archive/data.pkl"))).load()
        assert list(state)[:5] == ["conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"]
        (kind, storage, key, device, size), offset, shape, strides, gradient, _ = state["layer2.0.downsample.0.weight"]
        assert (kind, storage, device, size, offset, gradient) == ("storage", "FloatStorage", "cpu", 180, 0, False)
        assert (shape, strides) == ((5, 4, 3, 3), (36, 9, 3, 1))
        stored = np.frombuffer(archive.read(f"archive/data/{key}"), "<f4").reshape(shape)
    np.testing.assert_array_equal(stored, known_variables["layer2.0.downsample.0/kernel"].transpose(3, 2, 0, 1))
    assert state["bn1.num_batches_tracked"][0][1] == "LongStorage"


def test_other_families_keep_their_own_names(known_variables: dict[str, np.ndarray], tmp_path: Path) -> None:
    known_variables |= {"stem/conv3d/kernel": np.ones((1, 3, 3, 3, 8), np.float32)} | head_variables(8, 2, [])
    config = {"adapter": "movinet_adapter:MoViNetAdapter", "weights": "random", "labels": ["a", "b"]}
    convert(config, tmp_path / "movinet.pth")
    found = read_state_dict((tmp_path / "movinet.pth").read_bytes())
    assert list(found) == list(known_variables)
    np.testing.assert_array_equal(found["stem/conv3d/kernel"], known_variables["stem/conv3d/kernel"])


def test_what_cannot_become_a_state_dict_is_refused(tmp_path: Path, known_variables: dict[str, np.ndarray]) -> None:
    config = {"adapter": "movinet_adapter:MoViNetAdapter", "weights": "random", "labels": ["a", "b"]}
    with pytest.raises(ConfigError, match=r"ends in \.tflite, or in \.pth or \.pt"):
        convert(config, tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match='holds float32 weights, got "quantize"'):
        convert(config, tmp_path / "x.pth", quantize="int8")
    (tmp_path / "x.pth").write_bytes(b"mine")
    with pytest.raises(StorageError, match="--force"):
        convert(config, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="no arrays"):
        convert(config, tmp_path / "x.pth", force=True)
    assert (tmp_path / "x.pth").read_bytes() == b"mine", "the file is replaced only by a whole one"
    for name in ("a", "b"):
        TinyAdapter({"imgz": 32, "n_frames": 4}).save(tmp_path / name)
    ensemble = {
        "adapter": "adapters.models.ensemble:EnsembleAdapter",
        "members": [str(tmp_path / "a"), str(tmp_path / "b")],
    }
    with pytest.raises(ConversionError, match="no weights that a PyTorch state dict could hold"):
        convert(ensemble, tmp_path / "y.pth")


def test_every_tensor_of_the_packages_is_written() -> None:
    for variant in ("lite0", "lite1", "lite2"):
        variables = {
            ours: np.zeros((1, 1, 1, 1) if "kernel" in ours else 1) for ours in package_names(variant).values()
        }
        assert set(package_names(variant)) <= set(backbone_to_torch(variables, variant))

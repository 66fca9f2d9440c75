"""ResNet18 in tf_keras, the same function as torchvision's, and the names that its PyTorch weights go by.

He et al. 2016, arXiv:1512.03385; layout, padding and epsilon: torchvision/models/resnet.py (``resnet18``, BasicBlock).
PyTorch pads both sides alike where TensorFlow's SAME puts the odd pixel behind: so strided convolutions and the pooling
are padded here by layers of their own. The pooling pads with zeros where PyTorch has minus infinity: it follows a ReLU,
so the largest value is the same.

Layers have the names of torchvision's modules, so that its tensor "layer1.0.conv1.weight" is our variable
"layer1.0.conv1/kernel".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import WeightsError
from adapters.models.network import Pretrained
from adapters.models.weights import linear_classifier, match_names
from adapters.records import Float32Array
from adapters.system import import_keras
from adapters.training import VARIABLE_PREFIX

BN_EPSILON = 1e-5
STEM_CHANNELS = 64
# Channels of the four stages of two blocks each; each but the first halves the picture.
STAGES = (64, 128, 256, 512)
FEATURES = STAGES[-1]

# PyTorch's kind of tensor -> ours, of a batch normalisation.
BATCH_NORM_KINDS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_COUNTER = "num_batches_tracked"
CLASSIFIER, OUTPUT = "fc", f"{VARIABLE_PREFIX}output"


def build_backbone(height: int, width: int) -> Any:
    """ResNet18 without its classifier, with freshly initialised variables.

    Batch normalisation runs in training mode only if the caller passes ``training=True``.

    Args:
        height: The height of the input in pixels.
        width: The width of the input in pixels.

    Returns:
        A tf_keras.Model. Input: float32 [B, height, width, 3] RGB, normalised as torchvision's. Output: float32 [B,
        512], the mean over positions of the last feature map.
    """
    keras = import_keras()
    inputs = keras.Input((height, width, 3), name="images")
    x = _conv(inputs, "conv1", STEM_CHANNELS, kernel=7, stride=2)
    x = keras.layers.ReLU(name="relu")(_norm(x, "bn1"))
    x = keras.layers.ZeroPadding2D(1, name="maxpool_pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="maxpool")(x)
    for stage, channels in enumerate(STAGES, 1):
        for block in range(2):
            x = _block(x, f"layer{stage}.{block}", channels, stride=2 if stage > 1 and block == 0 else 1)
    features = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
    return keras.Model(inputs, features, name="resnet18")


def _block(x: Any, name: str, channels: int, stride: int) -> Any:
    """Two 3x3 convolutions around which the input is added, through a 1x1 one where its shape changes."""
    layers = import_keras().layers
    y = _norm(_conv(x, f"{name}.conv1", channels, kernel=3, stride=stride), f"{name}.bn1")
    y = layers.ReLU(name=f"{name}.relu1")(y)
    y = _norm(_conv(y, f"{name}.conv2", channels, kernel=3, stride=1), f"{name}.bn2")
    if stride != 1:
        x = _norm(_conv(x, f"{name}.downsample.0", channels, kernel=1, stride=stride), f"{name}.downsample.1")
    return layers.ReLU(name=f"{name}.relu2")(layers.Add(name=f"{name}.add")([y, x]))


def _conv(x: Any, name: str, channels: int, kernel: int, stride: int) -> Any:
    """A convolution without bias that pads kernel // 2 on every side."""
    layers = import_keras().layers
    padding = "same" if stride == 1 else "valid"  # at stride 1 SAME is symmetric for odd kernels
    if stride != 1 and kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}.pad")(x)
    return layers.Conv2D(channels, kernel, stride, padding=padding, use_bias=False, name=name)(x)


def _norm(x: Any, name: str) -> Any:
    return import_keras().layers.BatchNormalization(epsilon=BN_EPSILON, name=name)(x)


# Names --------------------------------------------------------------------------------------------------------------


def torch_names() -> dict[str, str]:
    """Every tensor of torchvision's resnet18 in its order, but the counters: its name -> our variable's."""
    names: dict[str, str] = {}

    def add(conv: str, norm: str) -> None:
        names[f"{conv}.weight"] = f"{conv}/kernel"
        names.update({f"{norm}.{kind}": f"{norm}/{ours}" for kind, ours in BATCH_NORM_KINDS.items()})

    add("conv1", "bn1")
    for stage in range(1, len(STAGES) + 1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            add(f"{name}.conv1", f"{name}.bn1")
            add(f"{name}.conv2", f"{name}.bn2")
            if stage > 1 and block == 0:
                add(f"{name}.downsample.0", f"{name}.downsample.1")
    return names | {f"{CLASSIFIER}.weight": f"{OUTPUT}/kernel", f"{CLASSIFIER}.bias": f"{OUTPUT}/bias"}


def torch_to_variables(state: Mapping[str, npt.NDArray[Any]]) -> Pretrained:
    """Map a state dict of torchvision's or timm's resnet18 to our variables.

    Prefixes of wrappers are removed, counters are dropped, and a head of other layers than one linear one is left out;
    see ``match_names``.

    Args:
        state: Convolutions [out, in, h, w], the classifier ``fc`` [classes, 512] and [classes].

    Returns:
        float32 convolutions [h, w, in, out] and the classifier [512, classes], by name.

    Raises:
        WeightsError: A tensor is unknown, missing or of another rank; the message names it.
    """
    names = {name: ours for name, ours in torch_names().items() if not name.startswith(f"{CLASSIFIER}.")}
    found = match_names(state, names, "a ResNet18", "Give the whole state dict of a ResNet18.")
    backbone = {names[name]: _transposed(name, tensor) for name, tensor in found.backbone.items()}
    return Pretrained(backbone, linear_classifier(found.head, FEATURES))


def variables_to_torch(variables: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Map our variables to a state dict that torchvision's resnet18 loads, in its order; counters are 0.

    Args:
        variables: All variables, the classifier's among them, by name.

    Returns:
        Arrays by tensor name.

    Raises:
        WeightsError: There are other layers between features and classes, which torchvision's network lacks.
    """
    names = torch_names()
    extra = sorted(set(variables) - set(names.values()))
    if extra:
        raise WeightsError(
            f"variable {extra[0]!r} is not part of torchvision's resnet18, whose head is one linear layer. Train with "
            '"head": [] to move a model to PyTorch.'
        )
    state = backbone_to_torch(variables)
    for name, ours in names.items():
        if name not in state:
            state[name] = np.ascontiguousarray(np.asarray(variables[ours], np.float32).T)
    return state


def backbone_to_torch(variables: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Map the variables before the head to torchvision's tensors, in its order; counters are 0.

    Args:
        variables: The backbone's variables by name, among others.

    Returns:
        Arrays by tensor name.
    """
    state: dict[str, npt.NDArray[Any]] = {}
    for name, ours in torch_names().items():
        if name.startswith(f"{CLASSIFIER}."):
            continue
        value = np.asarray(variables[ours], np.float32)
        state[name] = np.ascontiguousarray(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T)
        if name.endswith(".running_var"):
            state[name.replace("running_var", _COUNTER)] = np.array(0, np.int64)
    return state


def _transposed(name: str, tensor: npt.NDArray[Any]) -> Float32Array:
    wanted = 4 if name.endswith("weight") and ("conv" in name or "downsample.0" in name) else 1
    if tensor.ndim != wanted:
        raise WeightsError(
            f"tensor {name!r} is {list(tensor.shape)}; it must have {wanted} dimensions. Give the state dict of "
            "torchvision's resnet18."
        )
    value = tensor.transpose(2, 3, 1, 0) if wanted == 4 else tensor.T
    return np.ascontiguousarray(value, np.float32)

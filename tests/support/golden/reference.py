"""EfficientNet-Lite0 in plain numpy, straight from the PyTorch tensors: the independent side of the golden values.

It shares no code and no names with ``adapters``: strides are written out here and TensorFlow's SAME padding is
done by hand. float64 throughout. Run it to write ``lite0.json`` anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
# The stride of each of Lite0's sixteen blocks (1 + 2 + 2 + 3 + 3 + 4 + 1 of them).
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
State = Mapping[str, np.ndarray]


def features(images: np.ndarray, state: State) -> np.ndarray:
    """Normalised images [B, H, W, 3] to features float64 [B, 1280]."""
    x = images.astype(np.float64).transpose(0, 3, 1, 2)
    x = _relu6(_norm(_conv(x, state["_conv_stem.weight"], 2), state, "_bn0"))
    for index, stride in enumerate(STRIDES):
        x = _block(x, state, f"_blocks.{index}.", stride)
    x = _relu6(_norm(_conv(x, state["_conv_head.weight"], 1), state, "_bn1"))
    return x.mean(axis=(2, 3))


def logits(images: np.ndarray, state: State) -> np.ndarray:
    """Normalised images [B, H, W, 3] to ImageNet logits float64 [B, 1000]."""
    return features(images, state) @ state["_fc.weight"].astype(np.float64).T + state["_fc.bias"]


def _block(x: np.ndarray, state: State, prefix: str, stride: int) -> np.ndarray:
    y = x
    if prefix + "_expand_conv.weight" in state:
        y = _relu6(_norm(_conv(y, state[prefix + "_expand_conv.weight"], 1), state, prefix + "_bn0"))
    y = _relu6(_norm(_conv(y, state[prefix + "_depthwise_conv.weight"], stride), state, prefix + "_bn1"))
    y = _norm(_conv(y, state[prefix + "_project_conv.weight"], 1), state, prefix + "_bn2")
    return x + y if x.shape == y.shape else y


def _conv(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """SAME convolution of [B, C, H, W]; a kernel [C, 1, h, w] is depthwise."""
    kernel = kernel.astype(np.float64)
    size = kernel.shape[-1]
    pads = [_same(length, size, stride) for length in x.shape[2:]]
    x = np.pad(x, ((0, 0), (0, 0), *pads))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
    if kernel.shape[1] == 1 and x.shape[1] == len(kernel):
        return np.einsum("bchwij,cij->bchw", windows, kernel[:, 0])
    return np.tensordot(windows, kernel, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)


def _same(length: int, size: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding: the odd pixel goes behind."""
    total = max(0, (-(-length // stride) - 1) * stride + size - length)
    return total // 2, total - total // 2


def _norm(x: np.ndarray, state: State, name: str) -> np.ndarray:
    weight, bias, mean, variance = (
        state[f"{name}.{kind}"].astype(np.float64)[:, None, None]
        for kind in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * weight + bias


def _relu6(x: np.ndarray) -> np.ndarray:
    return np.clip(x, 0, 6)


def normalised(picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] RGB to float32 [1, H, W, 3]."""
    return ((picture.astype(np.float32) - 127) / 128)[None]


if __name__ == "__main__":
    import cv2

    from adapters.models.weights import find_package_weights
    from adapters.models.weights.torch_pickle import read_state_dict

    names = (HERE.parents[2] / "adapters" / "models" / "labels" / "imagenet1000.txt").read_text().splitlines()
    picture = cv2.cvtColor(cv2.imread(str(HERE / "wall_clock.png")), cv2.COLOR_BGR2RGB)
    found = logits(normalised(picture), read_state_dict(find_package_weights("efficientnet_lite0")))[0]
    best = np.argsort(-found)[:5]
    golden = {
        "picture": "wall_clock.png, drawn by draw_picture.py",
        "made_by": "reference.py, numpy float64, from efficientnet-lite0-57934424.pth",
        "logits": {names[i]: round(float(found[i]), 5) for i in best},
        "mean_logit": round(float(found.mean()), 5),
    }
    (HERE / "lite0.json").write_text(json.dumps(golden, indent=2) + "\n")

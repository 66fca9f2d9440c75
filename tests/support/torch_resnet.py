"""torchvision's resnet18 in plain numpy, straight from PyTorch tensors, and random state dicts to try it on.

Written from the published algorithm; it shares no code and no names with ``adapters``. float64 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
State = Mapping[str, np.ndarray]


def logits(pictures: np.ndarray, state: State) -> np.ndarray:
    """uint8 pictures [B, H, W, 3] RGB, of the size that the network sees, to logits float64 [B, classes]."""
    x = ((pictures / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2)
    x = np.maximum(norm(convolve(x, state["conv1.weight"], 2, 3), state, "bn1"), 0)
    x = pool(x)
    for stage in (1, 2, 3, 4):
        for number in (0, 1):
            x = block(x, state, f"layer{stage}.{number}.", 2 if stage > 1 and number == 0 else 1)
    return x.mean(axis=(2, 3)) @ state["fc.weight"].astype(np.float64).T + state["fc.bias"]


def block(x: np.ndarray, state: State, at: str, stride: int) -> np.ndarray:
    y = np.maximum(norm(convolve(x, state[at + "conv1.weight"], stride, 1), state, at + "bn1"), 0)
    y = norm(convolve(y, state[at + "conv2.weight"], 1, 1), state, at + "bn2")
    if at + "downsample.0.weight" in state:
        x = norm(convolve(x, state[at + "downsample.0.weight"], stride, 0), state, at + "downsample.1")
    return np.maximum(y + x, 0)


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """[B, C, H, W] with a kernel [out, in, h, w], ``padding`` zeros on every side."""
    side = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, side), kernel.shape[2:], axis=(2, 3))
    picked = windows[:, :, ::stride, ::stride]
    return np.tensordot(picked, kernel.astype(np.float64), axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)


def pool(x: np.ndarray) -> np.ndarray:
    """The maximum of 3x3 at stride 2; what is padded never is the maximum."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max(axis=(4, 5))


def norm(x: np.ndarray, state: State, at: str) -> np.ndarray:
    weight, bias, mean, variance = (
        state[f"{at}.{kind}"].astype(np.float64)[:, None, None]
        for kind in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def random_state(seed: int, classes: int = 10) -> dict[str, np.ndarray]:
    """A state dict in torchvision's names, order and shapes. Statistics are wide: variances from about 1e-4 to 100,
    where an epsilon of another size shows, and each kernel fits its input's scale so that values stay near 1."""
    rng = np.random.default_rng(seed)
    state: dict[str, np.ndarray] = {}

    def conv(name: str, norm_name: str, inputs: int, outputs: int, size: int) -> None:
        variance = np.exp(rng.normal(0, 2.5, outputs)).clip(1e-4, 100)
        kernel = rng.normal(0, 1, (outputs, inputs, size, size)) / np.sqrt(inputs * size * size / 2)
        state[f"{name}.weight"] = (kernel * np.sqrt(variance)[:, None, None, None]).astype(np.float32)
        state[f"{norm_name}.weight"] = rng.uniform(0.4, 1.0, outputs).astype(np.float32)
        state[f"{norm_name}.bias"] = rng.normal(0, 0.2, outputs).astype(np.float32)
        state[f"{norm_name}.running_mean"] = (rng.normal(0, 0.5, outputs) * np.sqrt(variance)).astype(np.float32)
        state[f"{norm_name}.running_var"] = variance.astype(np.float32)
        state[f"{norm_name}.num_batches_tracked"] = np.array(7, np.int64)

    conv("conv1", "bn1", 3, 64, 7)
    for stage, (inputs, outputs) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
        for number in (0, 1):
            at = f"layer{stage}.{number}"
            conv(f"{at}.conv1", f"{at}.bn1", outputs if number else inputs, outputs, 3)
            conv(f"{at}.conv2", f"{at}.bn2", outputs, outputs, 3)
            if number == 0 and stage > 1:
                conv(f"{at}.downsample.0", f"{at}.downsample.1", inputs, outputs, 1)
    state["fc.weight"] = (rng.normal(0, 1, (classes, 512)) / np.sqrt(512)).astype(np.float32)
    state["fc.bias"] = rng.normal(0, 1, classes).astype(np.float32)
    return state

"""Weights files of frame models: a path to backbone and classifier, and whether that is for the config's labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.config import Config
from adapters.errors import WeightsError
from adapters.models.network import Pretrained, Variables
from adapters.models.weights.files import read_safetensors
from adapters.models.weights.torch_pickle import read_state_dict
from adapters.training import VARIABLE_PREFIX, output_units

TORCH_SUFFIXES = (".pth", ".pt")
OUTPUT_KERNEL, OUTPUT_BIAS = f"{VARIABLE_PREFIX}output/kernel", f"{VARIABLE_PREFIX}output/bias"


def read_weights_file(
    path: Path, from_torch: Callable[[Mapping[str, npt.NDArray[Any]]], Variables] | None = None
) -> Pretrained:
    """Read a weights file of a frame model.

    Args:
        path: A .safetensors with our variables, as in a bundle, or a PyTorch state dict.
        from_torch: Maps a state dict's tensors to our variables; None if the family has no PyTorch weights. The
            published classifier is "classifier" or already has the head's name.

    Raises:
        WeightsError: The file is of another kind or cannot be read.
    """
    if path.suffix == ".safetensors":
        found: Variables = read_safetensors(path)
    elif path.suffix in TORCH_SUFFIXES and from_torch is not None:
        found = from_torch(read_state_dict(path))
    else:
        kinds = ".pth or .safetensors" if from_torch else ".h5 or .safetensors"
        raise WeightsError(f'{path}: "weights" must be "imagenet", "random" or the path of a {kinds} file')
    found = {name.replace("classifier/", f"{VARIABLE_PREFIX}output/"): value for name, value in found.items()}
    head = {name: value for name, value in found.items() if name.startswith(VARIABLE_PREFIX)}
    return Pretrained({name: value for name, value in found.items() if name not in head}, head)


def fitting_classifier(classifier: Variables, config: Config, labels: tuple[str, ...]) -> Variables | None:
    """The classifier of a weights file for a model of these labels.

    It fits if it has an output for each label, assumed to be in their order, and the config's head has no other layers.
    Two softmax outputs stand for the one sigmoid of ``positive_label`` by their difference: the same function.

    Args:
        classifier: The classifier's variables, by their names in the head.
        config: A complete config.
        labels: The classes in order.

    Returns:
        float32 arrays by name; None if it is for other labels.
    """
    if set(classifier) != {OUTPUT_KERNEL, OUTPUT_BIAS} or any("units" in layer for layer in config["head"]):
        return None
    kernel, bias = classifier[OUTPUT_KERNEL], classifier[OUTPUT_BIAS]
    units = output_units(config, labels)
    if kernel.shape[-1] == units:
        return classifier
    if units == 1 and kernel.shape[-1] == 2:
        positive = labels.index(config["positive_label"])
        return {
            OUTPUT_KERNEL: np.ascontiguousarray(kernel[:, positive : positive + 1] - kernel[:, 1 - positive, None]),
            OUTPUT_BIAS: bias[positive : positive + 1] - bias[1 - positive, None],
        }
    return None

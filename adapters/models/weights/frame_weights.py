"""Weights files of frame models: a path to backbone and classifier, and whether that is for the config's labels."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.config import Config
from adapters.errors import WeightsError
from adapters.models.network import Pretrained, Variables
from adapters.models.weights.file_kinds import WeightsKind, read_weights_bytes, weights_kind
from adapters.models.weights.files import read_safetensors
from adapters.models.weights.keras_h5 import KERAS_WEIGHTS_ENTRY
from adapters.models.weights.state_names import OUTPUT_BIAS, OUTPUT_KERNEL
from adapters.models.weights.torch_pickle import read_state_dict
from adapters.training import VARIABLE_PREFIX, output_units

TORCH_SUFFIXES = (".pth", ".pt", ".pth.tar", ".bin", ".ckpt")
_KINDS: dict[str, WeightsKind] = {
    **dict.fromkeys(TORCH_SUFFIXES, "torch"),
    ".tar": "torch",
    ".safetensors": "safetensors",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".keras": "hdf5",
}
_log = logging.getLogger("cliplab.weights")


def is_torch_path(path: str | Path) -> bool:
    """Whether a path is named as PyTorch's weights are."""
    return str(path).lower().endswith(TORCH_SUFFIXES)


def read_weights_file(
    path: Path,
    from_torch: Callable[[Mapping[str, npt.NDArray[Any]]], Pretrained] | None = None,
    from_keras: Callable[[bytes, str], Pretrained] | None = None,
) -> Pretrained:
    """Read a weights file of a frame model. Its format is detected from its content, whatever its name ends in.

    Args:
        path: A .safetensors with our variables, as in a bundle, or with a PyTorch state dict's tensors; a PyTorch
            checkpoint; a file of Keras' weights.
        from_torch: Maps a state dict's tensors to our variables; None if the family has no PyTorch weights.
        from_keras: Maps the bytes of a Keras file, and what messages call it, to our variables; None likewise.

    Raises:
        WeightsError: The file is missing, damaged, of another kind or of another network; the message says which.
    """
    data = read_weights_bytes(path)
    kind = weights_kind(data) or _KINDS.get(path.suffix.lower())
    if kind == "zip":
        kind = "hdf5" if _holds_keras_weights(data) else "torch"
    if kind == "safetensors":
        found = _from_safetensors(path, data, from_torch)
    elif kind == "torch" and from_torch is not None:
        found = _named(path, lambda: from_torch(read_state_dict(data, str(path), _note(path))))
    elif kind == "hdf5" and from_keras is not None:
        found = from_keras(data, str(path))
    else:
        raise WeightsError(f"{path}: {_refused(kind)}. {_allowed(from_torch, from_keras)}")
    require_finite(found.backbone, path)
    return found


def require_finite(variables: Mapping[str, npt.NDArray[Any]], path: Path | str) -> None:
    """Refuse weights that are not finite.

    Args:
        variables: Arrays by name.
        path: The file that they came from.

    Raises:
        WeightsError: One holds NaN or an infinity; the message names it and the file.
    """
    for name, value in variables.items():
        if not np.isfinite(value).all():
            count = int(np.size(value) - np.count_nonzero(np.isfinite(value)))
            raise WeightsError(
                f"{path}: {name!r} holds {count} values that are not finite numbers (NaN or infinity). Use the "
                "weights of a training that did not diverge."
            )


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
    # Without labels of its own the model is the classifier of the weights, whatever head it would train.
    hidden = config["labels"] is not None and any("units" in layer for layer in config["head"])
    if set(classifier) != {OUTPUT_KERNEL, OUTPUT_BIAS} or hidden:
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


def _from_safetensors(
    path: Path, data: bytes, from_torch: Callable[[Mapping[str, npt.NDArray[Any]]], Pretrained] | None
) -> Pretrained:
    arrays = read_safetensors(data, str(path))
    if from_torch is not None and not any("/" in name for name in arrays):  # our variables' names have a slash
        return _named(path, lambda: from_torch(arrays))
    for name in arrays:
        if "/" not in name:
            raise WeightsError(
                f"{path}: tensor {name!r} is not a variable of this network; its names are such as "
                '"stem_conv/kernel". Give the weights.safetensors of a bundle of it.'
            )
    ours = {name.replace("classifier/", f"{VARIABLE_PREFIX}output/"): value for name, value in arrays.items()}
    head = {name: value for name, value in ours.items() if name.startswith(VARIABLE_PREFIX)}
    return Pretrained({name: value for name, value in ours.items() if name not in head}, head)


def _named(path: Path, read: Callable[[], Pretrained]) -> Pretrained:
    """What is read; an error names the file."""
    try:
        return read()
    except WeightsError as error:
        text = str(error)
        raise WeightsError(text if str(path) in text else f"{path}: {text}") from error.__cause__


def _note(path: Path) -> Callable[[str], object]:
    return lambda text: _log.warning("%s %s", path, text)


def _holds_keras_weights(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return KERAS_WEIGHTS_ENTRY in archive.NameToInfo
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _refused(kind: str | None) -> str:
    names = {
        "torch": "is a PyTorch file; PyTorch's networks of this family compute differently",
        "hdf5": "is a Keras file; Keras has no weights for this family",
        "tflite": "is a program (.tflite), which can predict but has no weights to start from; `cliplab adopt` makes a "
        "model of it",
    }
    return names.get(kind or "", "is not a known type of weights file")


def _allowed(from_torch: object, from_keras: object) -> str:
    kinds = [".pth (or .pt, .bin, .ckpt)"] if from_torch else []
    kinds += [".h5 (or .keras)"] if from_keras else []
    return f'"weights" must be "imagenet", "random" or the path of a {", ".join(kinds)} or .safetensors file'

"""A Keras file's network in tf_keras, with its weights, and as a LiteRT program."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from adapters.errors import WeightsError
from adapters.models.keras_model.description import IDENTITIES, Graph, Layer, read_graph
from adapters.models.weights import (
    ARCHIVE_ERRORS,
    LayerArrays,
    match_layers,
    read_keras_file,
    read_weights_bytes,
    weights_kind,
)
from adapters.records import Float32Array, Precision
from adapters.system import import_keras, parse_json

_CONFIG_ENTRY = "config.json"  # inside a .keras file
_MAX_CONFIG_BYTES = 16_000_000


class KerasNetwork:
    """A network with its weights.

    Attributes:
        model: float32 [B, H, W, 3] or [B, T, H, W, 3] to [B, outputs], a tf_keras model.
        where: The file, for messages.
        input_shape: Without the batch.
        outputs: Numbers per input.
    """

    def __init__(self, model: Any, where: str) -> None:
        self.model, self.where = model, where
        self.input_shape = tuple(int(size) for size in model.input_shape[1:])
        self.outputs = int(model.output_shape[-1])

    def program(self, quantize: Precision = "float32", samples: Iterable[Float32Array] | None = None) -> bytes:
        """A LiteRT program of the network, with the output "scores".

        Args:
            quantize: The precision.
            samples: For int8, float32 arrays [1, *input_shape] that look like real input.

        Returns:
            The bytes of the .tflite.

        Raises:
            ConversionError: An operator cannot be converted, or int8 has no samples.
        """
        from adapters.litert import to_litert

        return to_litert(self.model, (1, *self.input_shape), quantize, samples)


def read_keras_model(path: Path, size: int | None = None) -> KerasNetwork:
    """Read a whole network - its layers and weights - from a .h5 or .keras file.

    Args:
        path: The file.
        size: Height and width of an input whose size the file leaves open.

    Raises:
        WeightsError: The file is missing, damaged, holds weights alone, or has layers that are unknown here; the
            message names them.
        MissingExtraError: TensorFlow or h5py is not installed.
    """
    data, where = read_weights_bytes(path), str(path)
    if weights_kind(data) not in ("hdf5", "zip"):
        raise WeightsError(f"{where}: is not a Keras file (.h5 or .keras). Give one that model.save wrote")
    found = read_keras_file(data, where)
    graph = read_graph(_description(data, where), where)
    leaves: list[Any] = []
    numbers = sum(value.size for value in _arrays(found))
    model = _build(graph, where, leaves, _with_size(graph, size, where), numbers)
    if len(model.input_shape) not in (4, 5) or model.input_shape[-1] != 3 or len(model.output_shape) != 2:
        raise WeightsError(
            f"{where}: takes {list(model.input_shape)} and returns {list(model.output_shape)}; a classifier of "
            "pictures takes [batch, height, width, 3] and returns [batch, classes]"
        )
    _assign(leaves, found, where)
    return KerasNetwork(model, where)


def _description(data: bytes, where: str) -> Any:
    """The JSON of the network in a file."""
    try:
        text = _description_text(data)
    except (*ARCHIVE_ERRORS, TypeError) as error:
        raise WeightsError(
            f"{where}: the description of its network cannot be read ({error!s:.200}). Save or download it again"
        ) from error
    if not text:
        raise WeightsError(
            f"{where}: holds only weights, not the layers of the network. Save the whole model (model.save), or "
            'name the file as "weights" of a config of its network, e.g. --set weights=model.h5 with mobilenet_v2 or '
            "efficientnet_lite0"
        )
    try:
        return parse_json(text[:_MAX_CONFIG_BYTES].decode("utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise WeightsError(f"{where}: the description of its network is damaged ({error}). Save it again") from error


def _description_text(data: bytes) -> bytes:
    """The bytes of the JSON; none where the file has no description, or one of another type or size."""
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = archive.NameToInfo.get(_CONFIG_ENTRY)
            return b"" if info is None or info.file_size > _MAX_CONFIG_BYTES else archive.read(info)
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        found = file.attrs.get("model_config", b"")
    if isinstance(found, str):
        return found.encode()
    return bytes(found) if isinstance(found, bytes) else b""


def _with_size(graph: Graph, size: int | None, where: str) -> tuple[int, ...]:
    shape = graph.input_shape
    if len(shape) >= 3 and shape[-3] is None and shape[-2] is None and size is not None:
        shape = (*shape[:-3], size, size, shape[-1])
    sizes = [number for number in shape if number is not None]
    if len(sizes) < len(shape):
        raise WeightsError(f"{where}: does not fix the size of its input, {list(shape)}. Give it: --set imgz=224")
    return tuple(sizes)


def _arrays(found: LayerArrays) -> Iterable[Any]:
    if found.ordered:
        return [value for _, value in found.ordered]
    return [value for values in found.by_class.values() for value in values]


def _build(graph: Graph, where: str, leaves: list[Any], shape: tuple[int, ...] | None, numbers: int) -> Any:
    """The model of a graph; the layers that have weights of their own are added to leaves."""
    keras = import_keras()
    inputs = keras.Input(shape or graph.input_shape, name=graph.layers[0].name)
    values: dict[str, Any] = {graph.layers[0].name: inputs}
    waiting = list(graph.layers[1:])
    while waiting:
        ready = [layer for layer in waiting if layer.inputs and all(name in values for name in layer.inputs)]
        if not ready:
            raise WeightsError(f"{where}: its layer {waiting[0].name!r} takes an input that no other layer produces")
        for layer in ready:
            values[layer.name] = _apply(layer, [values[name] for name in layer.inputs], where, leaves, numbers)
        waiting = [layer for layer in waiting if layer.name not in values]
    return keras.Model(inputs, values[graph.output], name=graph.name.replace("/", "_").replace(" ", "_"))


def _apply(layer: Layer, inputs: list[Any], where: str, leaves: list[Any], numbers: int) -> Any:
    value: Any = inputs[0] if len(inputs) == 1 else inputs
    if layer.kind in IDENTITIES:
        return value
    try:
        if layer.inner is not None:
            made = _build(layer.inner, where, leaves, tuple(int(size) for size in value.shape[1:]), numbers)
            return made(value)
        # A description of more weights than the file has would only fill the memory.
        if _largest_kernel(layer, value) > numbers:
            raise _too_many(layer, where, numbers)
        made = _layer(layer)
        result = made(value)
    except WeightsError:
        raise
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{where}: its layer {layer.name!r} ({layer.kind}) cannot be built: {reason:.200}"
        ) from error
    if made.weights:
        leaves.append(made)
    if sum(int(leaf.count_params()) for leaf in leaves) > numbers:
        raise _too_many(layer, where, numbers)
    return result


def _too_many(layer: Layer, where: str, numbers: int) -> WeightsError:
    return WeightsError(f"{where}: its layers up to {layer.name!r} need more weights than the {numbers} of the file")


def _largest_kernel(layer: Layer, inputs: Any) -> int:
    """The numbers of a layer's largest kernel, before it is built; 0 of a layer without one."""
    if layer.kind not in ("Dense", "Conv2D", "DepthwiseConv2D", "SeparableConv2D") or isinstance(inputs, list):
        return 0
    channels = int(inputs.shape[-1])
    window = math.prod(_whole_numbers(layer, "kernel_size"))
    outputs = _whole_numbers(layer, "units" if layer.kind == "Dense" else "filters")[0]
    if layer.kind in ("DepthwiseConv2D", "SeparableConv2D"):
        channels *= _whole_numbers(layer, "depth_multiplier")[0]
        return max(window * channels, channels * outputs if layer.kind == "SeparableConv2D" else 0)
    return window * channels * outputs // max(1, _whole_numbers(layer, "groups")[0])


def _whole_numbers(layer: Layer, key: str) -> tuple[int, int]:
    """A setting of one or two whole numbers as two; 1 where it is another, which Keras then refuses."""
    value = layer.settings.get(key)
    found = value if isinstance(value, list) and len(value) == 2 else [value, value if key == "kernel_size" else 1]
    first, second = (number if type(number) is int else 1 for number in found)
    return first, second


def _layer(layer: Layer) -> Any:
    keras = import_keras()
    settings = dict(layer.settings)
    if settings.get("activation") == "relu6":
        settings["activation"] = keras.layers.ReLU(6.0)
    elif settings.get("activation") == "silu":
        settings["activation"] = "swish"
    return getattr(keras.layers, layer.kind)(**settings, name=layer.name.replace(" ", "_"))


def _assign(leaves: list[Any], found: LayerArrays, where: str) -> None:
    """Set every weight from the file. WeightsError names the first that is missing or of another shape."""
    names = [leaf.name for leaf in leaves]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise WeightsError(f"{where}: two layers are named {twice!r}, so their weights are ambiguous")
    values = match_layers(found, leaves)
    for leaf in leaves:  # Keras 3 calls a depthwise kernel "kernel"
        if (own := found.by_name.get(f"{leaf.name}/kernel")) is not None:
            values.setdefault(f"{leaf.name}/depthwise_kernel", own)
    variables = {variable.name.removesuffix(":0"): variable for leaf in leaves for variable in leaf.weights}
    missing = [name for name in variables if name not in values]
    if missing:
        raise WeightsError(
            f"{where}: has no weights for {missing[0]!r} ({len(missing)} of {len(variables)} are missing). Save the "
            "whole model again (model.save, .h5)"
        )
    for name, variable in variables.items():
        value = np.asarray(values[name])
        if value.shape != tuple(variable.shape) or not np.isfinite(value).all():
            problem = (
                "values that are not finite" if value.shape == tuple(variable.shape) else f"shape {list(value.shape)}"
            )
            raise WeightsError(f"{where}: {name!r} has {problem}, but the network needs {list(variable.shape)}")
        variable.assign(value.astype(np.float32 if value.dtype.kind == "f" else value.dtype))

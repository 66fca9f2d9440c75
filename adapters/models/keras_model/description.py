"""The network that a Keras file describes: layers, their settings, and what leads where. Nothing of it is run.

Keras' own loader imports what the file names and runs the code of Lambda layers. Here the JSON is data: only layers of
``SETTINGS`` are known, and of a layer only the settings that are listed, each a number, a text or a list of these.
Both forms are read: of Keras 2 and tf_keras (``inbound_nodes`` are lists), and of Keras 3 (objects).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from adapters.errors import WeightsError

_PADDED = ("strides", "padding")
_CONVOLVED = ("kernel_size", *_PADDED, "dilation_rate", "use_bias", "activation")
_POOLED = ("pool_size", *_PADDED)
# Layers that are known, and the settings that change what they compute.
SETTINGS: dict[str, tuple[str, ...]] = {
    "Conv2D": ("filters", "groups", *_CONVOLVED),
    "DepthwiseConv2D": ("depth_multiplier", *_CONVOLVED),
    "SeparableConv2D": ("filters", "depth_multiplier", *_CONVOLVED),
    "Dense": ("units", "use_bias", "activation"),
    "BatchNormalization": ("epsilon", "center", "scale"),
    "Normalization": (),
    "Rescaling": ("scale", "offset"),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Softmax": (),
    "Activation": ("activation",),
    "MaxPooling2D": _POOLED,
    "AveragePooling2D": _POOLED,
    "GlobalAveragePooling2D": ("keepdims",),
    "GlobalMaxPooling2D": ("keepdims",),
    "ZeroPadding2D": ("padding",),
    "Flatten": (),
    "Reshape": ("target_shape",),
    "Add": (),
    "Multiply": (),
    "Concatenate": (),
    "Dropout": (),
    "SpatialDropout2D": (),
    "InputLayer": (),
}
ACTIVATIONS = (
    *("linear", "relu", "relu6", "sigmoid", "softmax", "tanh", "swish", "silu", "hard_sigmoid", "gelu", "elu", "selu"),
    "softplus",
)
IDENTITIES = ("Dropout", "SpatialDropout2D")  # in inference
MODELS = ("Functional", "Model", "Sequential")
MAX_LAYERS = 5_000
MAX_NUMBER = 65_536  # of units, filters, pixels: more than any network here has
_MAX_DEPTH = 8
_NAME = re.compile(r"[\w.\-/ ]{1,200}")


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes:
        name: Unique in its network.
        kind: A key of SETTINGS, or "Model" for a network as a layer.
        settings: What it is made with.
        inputs: The layers that it takes, in order.
        inner: The network, where the kind is "Model".
    """

    name: str
    kind: str
    settings: dict[str, Any]
    inputs: tuple[str, ...]
    inner: Graph | None = None


@dataclass(frozen=True)
class Graph:
    """A network of one input and one output.

    Attributes:
        name: Its name.
        layers: In the file's order; the input layer is the first.
        output: The layer whose output is the network's.
        input_shape: Without the batch, such as (224, 224, 3); None where the file leaves a size open.
    """

    name: str
    layers: tuple[Layer, ...]
    output: str
    input_shape: tuple[int | None, ...]


def read_graph(model: Any, where: str) -> Graph:
    """The network of a Keras file's configuration.

    Args:
        model: The parsed JSON: {"class_name": ..., "config": ...}.
        where: The file, for messages.

    Raises:
        WeightsError: A layer or setting is unknown, or the network has several inputs or outputs; the message names it.
    """
    unknown = sorted({kind for kind in _kinds(model, 0) if kind not in SETTINGS and kind not in MODELS})
    if unknown:
        raise WeightsError(
            f"{where}: has unsupported layers: {', '.join(unknown[:8])}. Supported: {', '.join(SETTINGS)}. "
            "Convert the file with TensorFlow where the code of these layers is available (tf.lite.TFLiteConverter), "
            "and make a model of the .tflite with cliplab adopt"
        )
    graph = _graph(model, where, 0)
    if sum(1 for _ in _all_layers(graph)) > MAX_LAYERS:
        raise WeightsError(f"{where}: has more than {MAX_LAYERS} layers. Give a smaller network")
    return graph


def _all_layers(graph: Graph) -> Iterator[Layer]:
    for layer in graph.layers:
        yield layer
        if layer.inner is not None:
            yield from _all_layers(layer.inner)


def _kinds(model: Any, depth: int) -> Iterator[str]:
    """The classes of all layers."""
    if depth > _MAX_DEPTH + 1 or not isinstance(model, dict):  # also the layers of the deepest network
        return
    kind, layers = model.get("class_name"), _layer_list(model)
    yield str(kind)[:80]
    for layer in layers if kind in MODELS else ():
        yield from _kinds(layer, depth + 1)


def _layer_list(model: dict[str, Any]) -> list[Any]:
    config = model.get("config")
    found = config.get("layers") if isinstance(config, dict) else config  # a list in the oldest form of Sequential
    return found if isinstance(found, list) else []


def _graph(model: Any, where: str, depth: int) -> Graph:
    if depth > _MAX_DEPTH or not isinstance(model, dict) or model.get("class_name") not in MODELS:
        raise _unfit(where, "its network is not described as a Functional or Sequential model")
    config = model["config"] if isinstance(model.get("config"), dict) else {}
    name = _name(config.get("name", "model"), where)
    entries = _layer_list(model)
    if not entries:
        raise _unfit(where, f"its network {name!r} has no layers")
    if model["class_name"] == "Sequential":
        return _chain(name, entries, where, depth)
    layers = [_layer(entry, _inputs(entry, where), where, depth) for entry in entries]
    firsts, lasts = (list(_references(config.get(key))) for key in ("input_layers", "output_layers"))
    if len(firsts) != 1 or len(lasts) != 1:
        raise _unfit(
            where, f"its network {name!r} has {len(firsts)} inputs and {len(lasts)} outputs; one of each is supported"
        )
    known = {layer.name for layer in layers}
    if len(known) != len(layers):
        raise _unfit(where, f"two layers of its network {name!r} have the same name")
    missing = {other for layer in layers for other in layer.inputs} | {firsts[0], lasts[0]}
    if missing - known:
        raise _unfit(where, f"its layer {min(missing - known)!r} does not exist")
    first = next(entry for entry, layer in zip(entries, layers, strict=True) if layer.name == firsts[0])
    ordered = sorted(layers, key=lambda layer: layer.name != firsts[0])
    return Graph(name, tuple(ordered), lasts[0], _shape(first, where))


def _chain(name: str, entries: list[Any], where: str, depth: int) -> Graph:
    """A Sequential model; the first layer has the shape where there is no input layer."""
    layers: list[Layer] = []
    kind = entries[0].get("class_name") if isinstance(entries[0], dict) else None
    shape = _shape(entries[0], where)
    if kind != "InputLayer":
        layers.append(Layer(f"{name}_input", "InputLayer", {}, ()))
    for entry in entries:
        layers.append(_layer(entry, (layers[-1].name,) if layers else (), where, depth))
    if len({layer.name for layer in layers}) != len(layers):
        raise _unfit(where, f"two layers of its network {name!r} have the same name")
    return Graph(name, tuple(layers), layers[-1].name, shape)


def _layer(entry: Any, inputs: tuple[str, ...], where: str, depth: int) -> Layer:
    config = entry.get("config") if isinstance(entry, dict) else None
    if not isinstance(config, dict):
        raise _unfit(where, "a layer has no settings")
    kind = entry["class_name"]
    name = _name(entry.get("name") or config.get("name"), where)
    if kind in MODELS:
        return Layer(name, "Model", {}, inputs, _graph(entry, where, depth + 1))
    if config.get("data_format", "channels_last") not in ("channels_last", None):
        raise _unfit(where, f"its layer {name!r} is channels first; only channels last is supported")
    if kind in ("BatchNormalization", "Concatenate", "Softmax", "Normalization") and _axis(config) not in (-1, 3):
        raise _unfit(
            where, f"its layer {name!r} works on axis {_axis(config)!r:.40}; only the channels (-1) are supported"
        )
    settings = {
        key: _value(config[key], f"{name}.{key}", where) for key in SETTINGS[kind] if config.get(key) is not None
    }
    if "activation" in settings:
        settings["activation"] = _activation(config["activation"], name, where)
    return Layer(name, kind, settings, inputs)


def _axis(config: dict[str, Any]) -> Any:
    axis = config.get("axis", -1)
    return axis[0] if isinstance(axis, list) and len(axis) == 1 else axis


def _activation(value: Any, layer: str, where: str) -> str:
    name = value.get("config") if isinstance(value, dict) else value
    if isinstance(name, dict):
        name = name.get("name")
    if name not in ACTIVATIONS:
        raise WeightsError(
            f"{where}: its layer {layer!r} has the unsupported activation {name!r:.60}. Supported: "
            f"{', '.join(ACTIVATIONS)}"
        )
    return str(name)


def _value(value: Any, what: str, where: str, depth: int = 0) -> Any:
    if isinstance(value, (bool, str)) or (isinstance(value, float) and abs(value) < 1e9):
        return value
    if isinstance(value, int) and abs(value) <= MAX_NUMBER:
        return value
    if isinstance(value, (list, tuple)) and depth < 3 and len(value) <= MAX_NUMBER:
        return [_value(item, what, where, depth + 1) for item in value]
    if what.endswith(".activation"):
        return value  # an object in Keras 3; see _activation
    raise _unfit(where, f"its setting {what!r} is {value!r:.60}")


def _inputs(entry: Any, where: str) -> tuple[str, ...]:
    """The layers that a layer of a Functional model is called on."""
    nodes = entry.get("inbound_nodes") if isinstance(entry, dict) else None
    if not nodes:
        return ()
    # One call: a list of references, or an object with "args".
    if not isinstance(nodes, list) or (len(nodes) > 1 and not isinstance(nodes[0], str)):
        name = entry.get("name") if isinstance(entry, dict) else None
        raise _unfit(where, f"its layer {name!r:.60} is used more than once")
    return tuple(_references(nodes))


def _references(value: Any, depth: int = 0) -> Iterator[str]:
    """Names of layers, wherever in a value: ["name", 0, 0, ...] or {"keras_history": ["name", 0, 0]}."""
    if depth > 2 * _MAX_DEPTH:
        return
    if isinstance(value, dict):
        history = value.get("keras_history")
        if isinstance(history, list):
            yield from _references(history, depth + 1)
        else:
            for item in value.values():
                yield from _references(item, depth + 1)
    elif isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0]
        else:
            for item in value:
                yield from _references(item, depth + 1)


def _shape(entry: Any, where: str) -> tuple[int | None, ...]:
    """The shape that an input layer, or the first layer of a Sequential model, declares."""
    config = entry.get("config") if isinstance(entry, dict) else None
    if isinstance(config, dict) and entry.get("class_name") in MODELS:
        inner = _layer_list(entry)
        return _shape(inner[0], where) if inner else ()
    found = None
    if isinstance(config, dict):
        found = config.get("batch_shape") or config.get("batch_input_shape")
    if not isinstance(found, list) or not all(size is None or isinstance(size, int) for size in found):
        raise _unfit(where, "it does not say the shape of its input. Save it after it was built")
    if any(size is not None and not 1 <= size <= MAX_NUMBER for size in found[1:]):
        raise _unfit(where, f"its input is {found!r:.60}")
    return tuple(found[1:])


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _unfit(where, f"a layer is named {value!r:.60}")
    return value


def _unfit(where: str, reason: str) -> WeightsError:
    return WeightsError(f"{where}: is not a Keras network that can be read: {reason}")

"""Programs of networks that are written layer by layer: without TensorFlow, and in far less time than a conversion.

An adapter whose ``backbone_shapes`` lists its variables has its programs made here; any other is converted by
TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from adapters.config import Config
from adapters.litert import GraphWriter, trust_program, with_8_bit_weights, with_16_bit_weights
from adapters.models.network import Variables
from adapters.records import Precision
from adapters.training import VARIABLE_PREFIX, head_layers, output_activation, output_units, require_variables

if TYPE_CHECKING:
    from adapters.models.protocols import DescribesNetwork, HasPrograms

Shapes = dict[str, tuple[int, ...]]

_FUSED: dict[str, Literal["NONE", "RELU", "RELU6"]] = {"linear": "NONE", "relu": "RELU", "relu6": "RELU6"}
_UNARY: dict[str, Literal["GELU", "TANH", "HARD_SWISH"]] = {
    "gelu": "GELU",
    "tanh": "TANH",
    "hard_swish": "HARD_SWISH",
}


def variable_shapes(adapter: DescribesNetwork) -> Shapes | None:
    """The shapes of all variables of a network that can be written; None if TensorFlow must convert it.

    Args:
        adapter: The model.
    """
    backbone = adapter.backbone_shapes()
    if backbone is None or not adapter.scores_items:  # heads over several items are converted
        return None
    return {**backbone.variables, **_head_shapes(adapter, backbone.feature_size)}


def written_program(adapter: HasPrograms, batch: int, quantize: Precision = "float32") -> bytes:
    """Write a model's program, {"scores": [batch, units], "features": [batch, D]}.

    Args:
        adapter: A model whose ``variable_shapes`` is not None.
        batch: Items that it takes at once.
        quantize: "float32", "float16" or "dynamic".

    Returns:
        The bytes of the .tflite.

    Raises:
        WeightsError: A variable is missing, unknown, of another shape or not finite; the message names it.
    """
    values = checked_variables(adapter)
    writer = GraphWriter((batch, *adapter.item_shape))
    features = adapter.write_backbone(writer, values)
    scores = write_head(writer, adapter.network_config, features, values)
    program = writer.packed({"scores": scores, "features": features})
    narrow = {"float16": with_16_bit_weights, "dynamic": with_8_bit_weights}.get(quantize)
    return trust_program(program if narrow is None else narrow(program))


def checked_variables(adapter: HasPrograms) -> Variables:
    """The variables of a model whose ``variable_shapes`` is not None, every one of its shape and finite.

    Args:
        adapter: The model.

    Raises:
        WeightsError: A variable is missing, unknown, of another shape or not finite; the message names it.
    """
    shapes, values = variable_shapes(adapter), adapter.variables()
    assert shapes is not None
    require_variables(shapes, values, f"model {adapter.family_name()!r}")
    return values


def written_backbone(adapter: HasPrograms, values: Variables, batch: int) -> bytes:
    """Write the float32 program of a model's backbone alone, {"features": [batch, D]}.

    Args:
        adapter: A model whose ``backbone_shapes`` is not None.
        values: The backbone's variables.
        batch: Items that it takes at once.

    Returns:
        The bytes of the .tflite.

    Raises:
        WeightsError: A variable is missing, unknown, of another shape or not finite; the message names it.
    """
    shapes = adapter.backbone_shapes()
    assert shapes is not None
    require_variables(shapes.variables, values, f"model {adapter.family_name()!r}")
    writer = GraphWriter((batch, *adapter.item_shape))
    return trust_program(writer.packed({"features": adapter.write_backbone(writer, values)}))


def _head_shapes(adapter: DescribesNetwork, features: int) -> Shapes:
    config, shapes, inputs = adapter.network_config, Shapes(), features
    for name, layer in head_layers(config, output_units(config, adapter.labels)):
        shapes[f"{name}/kernel"], shapes[f"{name}/bias"] = (inputs, layer["units"]), (layer["units"],)
        inputs = layer["units"]
    return shapes


def write_head(writer: GraphWriter, config: Config, features: int, values: Variables) -> int:
    """Write the layers of ``adapters.training.build_head``, in inference.

    Args:
        writer: The program.
        config: A complete config.
        features: float32 [B, D], as the writer knows them.
        values: The head's variables, and maybe others.

    Returns:
        The scores, float32 [B, units].
    """
    value, units = features, len(values[f"{VARIABLE_PREFIX}output/bias"])
    for name, layer in head_layers(config, units):
        kernel, bias = (np.asarray(values[f"{name}/{kind}"], np.float32) for kind in ("kernel", "bias"))
        kind = layer.get("activation", "linear")
        value = writer.dense(value, kernel, bias, activation=_FUSED.get(kind, "NONE"), name=name)
        if kind == "swish":
            value = writer.swish(value, name=f"{name}/swish")
        if kind in _UNARY:
            value = writer.unary(_UNARY[kind], value, f"{name}/{kind}")
    return writer.unary("SOFTMAX" if output_activation(config) == "softmax" else "LOGISTIC", value, "scores")

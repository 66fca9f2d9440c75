"""A published program's raw outputs turned into those that our programs have: ``scores`` and ``features``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from adapters.errors import BundleError
from adapters.litert.edit import Editor, Graph

_CLASSIFIER_KINDS = ("CONV_2D", "FULLY_CONNECTED")


def with_scores(
    model: bytes,
    logits: str,
    activation: Literal["softmax", "sigmoid"],
    classifies: Callable[[str], bool],
    name: str = "the program",
) -> bytes:
    """The program with two outputs in place of its logits: ``scores``, and the ``features`` that they follow from.

    Args:
        model: The bytes of a .tflite whose first signature is of its first graph.
        logits: The name of the output float32 [1, units], before its activation.
        activation: What makes scores of them.
        classifies: Whether a layer is the first after the features, from the name of its kernel.
        name: What messages call the program.

    Returns:
        The bytes of the .tflite. Whatever it computed before, it computes as before.

    Raises:
        BundleError: The bytes are not a LiteRT program, or it has no such output or layer.
    """
    editor = Editor(model, name)
    graph, signatures = editor.graphs()[0], editor.model.signatureDefs or []
    entries = [entry for entry in (signatures[0].outputs if signatures else ()) if _text(entry.name) == logits]
    layers = [
        operator
        for operator in graph.operators()
        if graph.kind(operator) in _CLASSIFIER_KINDS and classifies(graph.name(int(operator.inputs[1])))
    ]
    if len(entries) != 1 or len(layers) != 1 or not graph.is_float(int(entries[0].tensorIndex)):
        raise BundleError(
            f"{name} is damaged: it has no output {logits!r}, or no layer that computes it from features."
        )
    before = int(entries[0].tensorIndex)
    scores = _activated(graph, before, activation)
    entries[0].name, entries[0].tensorIndex = "scores", scores
    graph.graph.outputs = [scores if int(index) == before else int(index) for index in graph.graph.outputs]
    features = editor.schema.TensorMapT()
    features.name, features.tensorIndex = "features", _flat(graph, int(layers[0].inputs[0]))
    graph.graph.outputs = [*graph.graph.outputs, features.tensorIndex]
    signatures[0].outputs = [*signatures[0].outputs, features]
    return editor.packed()


def _activated(graph: Graph, logits: int, activation: str) -> int:
    scores = graph.add_tensor("scores", "float32", graph.shape(logits))
    operator = graph.operator("SOFTMAX" if activation == "softmax" else "LOGISTIC", [logits], [scores])
    if activation == "softmax":
        schema = graph.editor.schema
        operator.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
        operator.builtinOptions = schema.SoftmaxOptionsT()
        operator.builtinOptions.beta = 1.0
    _append(graph, operator)
    return scores


def _flat(graph: Graph, tensor: int) -> int:
    """The tensor as float32 [1, values]."""
    if not graph.is_float(tensor):
        widened = graph.add_tensor("features_float32", "float32", graph.shape(tensor))
        _append(graph, graph.operator("DEQUANTIZE", [tensor], [widened], version=2))  # 2: of int8
        tensor = widened
    shape = np.array([1, graph.size(tensor)], np.int32)
    features = graph.add_tensor("features", "float32", shape.tolist())
    _append(graph, graph.operator("RESHAPE", [tensor, graph.add_constant("features_shape", shape)], [features]))
    return features


def _append(graph: Graph, operator: Any) -> None:
    graph.graph.operators = [*graph.graph.operators, operator]


def _text(name: Any) -> str:
    return str(name.decode(errors="replace") if isinstance(name, bytes) else name)

"""The published int8 stream models as float weights: a .tflite's constants, dequantised, under our variables' names.

Those programs are a causal MoViNet without squeeze-excitation, with RELU6, batch normalisation folded into kernels and
biases, kernels quantised a channel and rezero factors as constants of their own. Here each int8 or int32 constant q
becomes (q - zero_point) * scale, each folded bias a ``beta`` beside an identity normalisation. So the network that
trains computes what the int8 program does, but for the rounding of its activations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.errors import WeightsError
from adapters.litert import operator_name, read_graph
from adapters.models.weights import read_weights_bytes
from adapters.records import Float32Array
from adapters.system import nearest_hint
from movinet_adapter.architecture import BATCH_NORM_EPSILON, VariableSpec, architecture, variable_specs

# Where a constant belongs, by the name that tf-models gave the layer it came from.
_LAYER = re.compile(
    r"movinet_classifier/(?:movinet/)?(?:(?P<block>block\d+_layer\d+)/bneck/)?"
    r"(?P<part>expansion|feature/conv2d_temporal|feature|projection|skip/skip_project|rezero"
    r"|stem/stem|head/project|head/global_average_pool3d|classifier_head/head|classifier_head/classifier)/"
)
_NAMES = {
    "feature/conv2d_temporal": "feature/temporal",
    "skip/skip_project": "skip",
    "stem/stem": "stem",
    "head/project": "head",
    "classifier_head/head": "classifier/hidden",
    "classifier_head/classifier": "classifier/output",
}
_ACTIVATED = ("expansion", "feature", "feature/temporal", "stem", "head", "classifier/hidden")
# What these operators take beside data are shapes, axes and steps, which the architecture says too.
_STRUCTURAL = ("RESHAPE", "STRIDED_SLICE", "SUM", "CONCATENATION")


@dataclass(frozen=True)
class _Operator:
    """kind: its builtin name. inputs: indices of tensors, -1 for one left out."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: Any


@dataclass(frozen=True)
class _Graph:
    path: Path
    tensors: list[Any]
    buffers: list[Any]
    operators: list[_Operator]

    def name(self, index: int) -> str:
        """The first of the names that were joined when layers were fused."""
        raw = self.tensors[index].name
        return str(raw.decode(errors="replace") if isinstance(raw, bytes) else raw).split(";")[0]

    def is_constant(self, index: int) -> bool:
        data = self.buffers[self.tensors[index].buffer].data
        return data is not None and len(data) > 0

    def values(self, index: int) -> Float32Array:
        """A constant, dequantised. WeightsError naming it where it is neither int8 nor int32 with a scale."""
        schema, tensor = _schema(), self.tensors[index]
        types = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}
        quantization = tensor.quantization
        if tensor.type not in types or quantization is None or quantization.scale is None:
            raise self.error(f"{self.name(index)!r} is not quantised, but every weight of the published models is")
        shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
        raw = np.frombuffer(bytes(self.buffers[tensor.buffer].data), types[tensor.type])
        if raw.size != int(np.prod(shape)):
            raise self.error(f"{self.name(index)!r} holds {raw.size} values, but its shape is {shape}")
        along = [1] * len(shape)
        if len(quantization.scale) > 1:
            along[quantization.quantizedDimension] = -1
        scale = np.asarray(quantization.scale, np.float64).reshape(along)
        zero = np.asarray(quantization.zeroPoint, np.float64).reshape(along)
        return ((raw.reshape(shape) - zero) * scale).astype(np.float32)

    def error(self, reason: str) -> WeightsError:
        return WeightsError(
            f"{self.path}: {reason}. Give a complete published MoViNet stream int8 .tflite (such as "
            "movinet_a0_stream_int8.tflite) of the configured model_id."
        )


def read_tflite_weights(path: Path | str, model_id: str = "a0") -> dict[str, Float32Array]:
    """Read the variables of a published int8 stream model. Reads the file only: no interpreter, no TensorFlow.

    Args:
        path: The .tflite.
        model_id: The size that it is expected to be.

    Returns:
        float32 arrays by name: every variable of ``architecture(model_id, "stream", variant="int8")``. The number of
        classes is that of its last bias.

    Raises:
        WeightsError: A tensor is unknown, unused, missing, of another shape or not quantised, or a layer differs from
            the architecture; the message names the file and the tensor.
    """
    of = architecture(model_id, "stream", variant="int8")
    graph = _read(Path(path))
    used: set[int] = set()
    found: dict[str, Float32Array] = {}
    for operator in graph.operators:
        try:
            variables = list(_variables_of(graph, operator, used))
        except (ValueError, TypeError, IndexError, AttributeError, MemoryError) as error:
            # An operator with other inputs or options than its kind has, or a constant of another rank.
            raise graph.error(f"its {operator.kind} {graph.name(operator.output)!r} is damaged ({error})") from error
        for name, value in variables:
            if name in found:
                raise graph.error(f"{name!r} occurs twice, the second time in {graph.name(operator.output)!r}")
            found[name] = value
    for index in range(len(graph.tensors)):
        if graph.is_constant(index) and index not in used:
            raise graph.error(f"it has an unknown constant {graph.name(index)!r}")
    classes = found["classifier/output/bias"].size if "classifier/output/bias" in found else 0
    return _complete(graph, found, variable_specs(of, max(1, classes)))


def _variables_of(graph: _Graph, operator: _Operator, used: set[int]) -> Iterator[tuple[str, Float32Array]]:
    """What one operator's constants are, by variable name; marks them used."""
    constants = [index for index in operator.inputs if index >= 0 and graph.is_constant(index)]
    used.update(constants)
    if not constants or operator.kind in _STRUCTURAL:
        return
    if operator.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        yield from _convolution(graph, operator)
    elif operator.kind == "MUL":
        yield from _factor(graph, constants[0])
    elif operator.kind != "ADD" or graph.tensors[constants[0]].type != _schema().TensorType.INT32:
        # The one addition of a constant counts frames.
        raise graph.error(f"it has an unknown constant {graph.name(constants[0])!r}, used by {operator.kind}")


def _convolution(graph: _Graph, operator: _Operator) -> Iterator[tuple[str, Float32Array]]:
    kernel_index, bias_index = operator.inputs[1:3]
    name, part = _place(graph, kernel_index)
    relu6 = operator.options.fusedActivationFunction == _schema().ActivationFunctionType.RELU6
    if relu6 != (part in _ACTIVATED):
        raise graph.error(f"{graph.name(kernel_index)!r} is {'' if relu6 else 'not '}followed by RELU6")
    # [out, h, w, in] to [h, w, in, out], and depthwise [1, h, w, channels] to [h, w, channels, 1].
    kernel = np.ascontiguousarray(graph.values(kernel_index).transpose(1, 2, 3, 0))
    bias = graph.values(bias_index)
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    yield f"{name}/{'depthwise_kernel' if depthwise else 'kernel'}", kernel
    if name.startswith("classifier/"):
        yield f"{name}/bias", bias
        return
    yield f"{name}/bn/gamma", np.ones_like(bias)
    yield f"{name}/bn/beta", bias
    yield f"{name}/bn/moving_mean", np.zeros_like(bias)
    yield f"{name}/bn/moving_variance", np.full_like(bias, 1 - BATCH_NORM_EPSILON)


def _factor(graph: _Graph, index: int) -> Iterator[tuple[str, Float32Array]]:
    """A constant that something is multiplied by: a layer's rezero factor, or the head's 1 / pixels."""
    name, part = _place(graph, index)
    values = graph.values(index)
    if values.min() != values.max():
        raise graph.error(
            f"{graph.name(index)!r} must be one repeated factor, as in the published models, but it varies"
        )
    factor = values.flat[0]
    if part == "rezero":
        yield name, np.asarray(factor, np.float32)
    elif part != "head/global_average_pool3d" or not np.isclose(round(1 / factor) * factor, 1, atol=1e-2):
        raise graph.error(f"{graph.name(index)!r} multiplies by {factor:g}, which no layer of the architecture does")


def _place(graph: _Graph, index: int) -> tuple[str, str]:
    """(the variables' common name, the part of the layer) of a constant."""
    match = _LAYER.match(graph.name(index))
    if match is None:
        raise graph.error(f"it has an unknown constant {graph.name(index)!r}")
    part = _NAMES.get(match["part"], match["part"])
    return (f"{match['block']}/{part}" if match["block"] else part), part


def _complete(graph: _Graph, found: dict[str, Float32Array], specs: list[VariableSpec]) -> dict[str, Float32Array]:
    """The variables in the network's order, each there, of its shape and finite, and no other."""
    names = [spec.name for spec in specs]
    for name in found:
        if name not in names:
            raise graph.error(f"the network has no variable {name!r}{nearest_hint(name, names)}")
    for spec in specs:
        if spec.name not in found:
            raise graph.error(f"it has no {spec.name!r}{nearest_hint(spec.name, list(found))}")
        if found[spec.name].shape != spec.shape:
            raise graph.error(
                f"{spec.name!r} is {list(found[spec.name].shape)} in the file but {list(spec.shape)} in the network"
            )
        if not np.isfinite(found[spec.name]).all():
            raise graph.error(f"{spec.name!r} holds values that are not finite")
    return {name: found[name] for name in names}


def _read(path: Path) -> _Graph:
    data = read_weights_bytes(path)
    if data[4:8] != b"TFL3":  # the FlatBuffers file identifier of tensorflow/lite/schema/schema.fbs
        raise WeightsError(f"{path} is not a LiteRT program (.tflite). Give a published MoViNet stream int8 model.")
    try:
        model = read_graph(data, str(path))
        codes = [operator_name(code) for code in model.operatorCodes]
        if unknown := [code for code in codes if code.startswith("unknown:")]:
            raise ValueError(f"operator {unknown[0]}")
        graph = model.subgraphs[0]
        operators = [
            _Operator(codes[op.opcodeIndex], tuple(int(i) for i in op.inputs), int(op.outputs[0]), op.builtinOptions)
            for op in graph.operators
            if len(op.outputs)
        ]
        return _Graph(path, graph.tensors, model.buffers, operators)
    except Exception as error:  # the generated reader indexes blindly: a damaged file raises anything
        raise WeightsError(f"{path} is damaged ({error}). Download it again.") from error


def _schema() -> Any:
    from ai_edge_litert import schema_py_generated

    return schema_py_generated

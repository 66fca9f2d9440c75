"""Classifiers as others make them: .tflite files without a description, written with TFLite's schema.

Each answers with the mean of the red, green and blue channel, perhaps through a last activation. No TensorFlow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

LABELS = ["red", "green", "blue"]
_TYPES = {"float32": 0, "uint8": 3, "int8": 9}  # TensorType of schema.fbs
_SCALES = {"float32": None, "uint8": (1 / 255, 0), "int8": (1 / 255, -128)}
_AFTER = {"uint8": (1 / 256, 0), "int8": (1 / 256, -128)}  # what SOFTMAX and LOGISTIC ask of an 8-bit output


def color_program(
    shape: tuple[int, ...] = (1, 32, 40, 3),
    *,
    dtype: str = "float32",
    last: str | None = None,
    open_axes: tuple[int, ...] = (),
    one_output: bool = False,
    custom: str | None = None,
) -> bytes:
    """A program whose input has this shape, with three channels where the shape is first 3 behind the batch.

    last: an operator of one input after the mean: SOFTMAX, LOGISTIC. one_output: the mean of all channels. open_axes:
    sizes that the program leaves open. custom: the name of an operator that LiteRT does not have, in the mean's place.
    """
    channel = len(shape) - 1 if shape[-1] == 3 else shape.index(3, 1)
    axes = [axis for axis in range(1, len(shape)) if one_output or axis != channel]
    model = _Model()
    image = model.tensor("image_input", shape, dtype, _SCALES[dtype], open_axes)
    which = model.constant("axes", np.array(axes, np.int32))
    classes = (1,) if one_output else (1, 3)
    mean = model.tensor("logits_out", classes, dtype, _SCALES[dtype])
    model.operator("CUSTOM" if custom else "MEAN", [image, which], [mean], custom)
    output = mean
    if last is not None:
        output = model.tensor("probabilities", classes, dtype, _AFTER.get(dtype))
        model.operator(last, [mean], [output])
    return model.bytes([image], [output])


class _Model:
    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.operatorCodes, self.model.buffers = 3, [], [schema.BufferT()]
        self.graph.tensors, self.graph.operators = [], []

    def tensor(
        self, name: str, shape: tuple[int, ...], dtype: str, scale: Any = None, open_axes: tuple[int, ...] = ()
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name, _TYPES[dtype], 0
        tensor.shape = [1 if axis in open_axes else size for axis, size in enumerate(shape)]
        if open_axes:
            tensor.shapeSignature = [-1 if axis in open_axes else size for axis, size in enumerate(shape)]
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale[0]], [scale[1]]
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, value: np.ndarray) -> int:
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.name, tensor.type, tensor.shape = name, schema.TensorType.INT32, list(value.shape)
        tensor.buffer, buffer.data = len(self.model.buffers), np.frombuffer(value.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: list[int], outputs: list[int], custom: str | None = None) -> None:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version, code.customCode = (2 if kind in ("SOFTMAX", "LOGISTIC", "MEAN") else 1), custom
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes), inputs, outputs
        if kind == "MEAN":
            operator.builtinOptionsType = schema.BuiltinOptions.ReducerOptions
            operator.builtinOptions = schema.ReducerOptionsT()
        if kind == "SOFTMAX":
            operator.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
            operator.builtinOptions = schema.SoftmaxOptionsT()
            operator.builtinOptions.beta = 1.0
        self.model.operatorCodes.append(code)
        self.graph.operators.append(operator)

    def bytes(self, inputs: list[int], outputs: list[int]) -> bytes:
        import flatbuffers

        self.graph.inputs, self.graph.outputs = inputs, outputs
        self.model.subgraphs = [self.graph]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

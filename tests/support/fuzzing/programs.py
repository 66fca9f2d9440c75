"""Small LiteRT programs, written with the classes of LiteRT's schema: no TensorFlow, a millisecond each."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
SIZE, FRAMES, CLASSES = 32, 4, 3
HALF, QUARTER = SIZE // 2, SIZE // 4


class _Writer:
    """One program under construction."""

    def __init__(self, seed: int) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.random = schema, np.random.default_rng(seed)
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.operatorCodes, self.model.subgraphs = 3, [], [self.graph]
        self.model.buffers = [schema.BufferT()]
        self.graph.name, self.graph.tensors, self.graph.operators = b"main", [], []

    def tensor(self, name: str, shape: Sequence[int], values: Array | None = None, kind: str = "FLOAT32") -> int:
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), list(shape), 0
        tensor.type = getattr(self.schema.TensorType, kind)
        if values is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def weights(self, name: str, *shape: int) -> int:
        return self.tensor(name, shape, self.random.normal(0, 0.4, shape).astype(np.float32))

    def numbers(self, name: str, *values: int) -> int:
        return self.tensor(name, [len(values)], np.array(values, np.int32), "INT32")

    def operator(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], options: str = "", **keys: Any
    ) -> None:
        schema, operator, code = self.schema, self.schema.OperatorT(), self.schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self.model.operatorCodes.append(code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, options + "T")()
            for key, value in keys.items():
                setattr(operator.builtinOptions, key, value)
        self.graph.operators.append(operator)

    def finished(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        schema, signature = self.schema, self.schema.SignatureDefT()
        self.graph.inputs, self.graph.outputs = list(inputs.values()), list(outputs.values())
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = self._maps(inputs), self._maps(outputs)
        self.model.signatureDefs = [signature]
        builder = schema.flatbuffers.Builder(1 << 14)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _maps(self, tensors: dict[str, int]) -> list[Any]:
        maps = []
        for name, index in tensors.items():
            maps.append(self.schema.TensorMapT())
            maps[-1].name, maps[-1].tensorIndex = name.encode(), index
        return maps


@functools.cache
def frame_program(size: int = SIZE, layers: int = 0, width: int = 6) -> bytes:
    """float32 [1, 32, 32, 3] -> "scores" [1, 3] and "features" [1, 6]: convolutions, pooling and a dense layer.

    Args:
        size: In place of 32. A program of a few kB asks for any amount of memory.
        layers: Of further convolutions, with the same few weights. It computes for any time.
        width: Channels of all convolutions, in place of 6.
    """
    w, shape = _Writer(0), (1, size // 2, size // 2, width)
    image = w.tensor("image", (1, size, size, 3))
    conv, depth = w.tensor("conv", shape), w.tensor("depth", shape)
    w.operator("CONV_2D", [image, w.weights("k", width, 3, 3, 3), w.weights("b", width)], [conv], "Conv2DOptions",
               strideH=2, strideW=2)  # fmt: skip
    if layers:
        kernel, bias = w.weights("again", width, 3, 3, width), w.weights("again_bias", width)
    for _ in range(layers):
        before, conv = conv, w.tensor("conv", shape)
        w.operator("CONV_2D", [before, kernel, bias], [conv], "Conv2DOptions", strideH=1, strideW=1)
    w.operator("DEPTHWISE_CONV_2D", [conv, w.weights("dk", 1, 3, 3, width), w.weights("db", width)], [depth],
               "DepthwiseConv2DOptions", strideH=1, strideW=1, depthMultiplier=1,
               fusedActivationFunction=3)  # fmt: skip
    features = w.tensor("features", (1, width))
    w.operator("MEAN", [depth, w.numbers("axes", 1, 2)], [features], "ReducerOptions", keepDims=False)
    return _classified(w, {"image": image}, features, width)


@functools.cache
def clip_program() -> bytes:
    """float32 [1, 4, 32, 32, 3] -> "scores" [1, 3] and "features" [1, 24]: shapes, slices, padding, a gather."""
    w = _Writer(1)
    clip = w.tensor("clip", (1, FRAMES, SIZE, SIZE, 3))
    flat = w.tensor("flat", (FRAMES, SIZE, SIZE, 3))
    w.operator("RESHAPE", [clip, w.numbers("shape", FRAMES, SIZE, SIZE, 3)], [flat], "ReshapeOptions",
               newShape=[FRAMES, SIZE, SIZE, 3])  # fmt: skip
    padded, conv = w.tensor("padded", (FRAMES, SIZE + 2, SIZE + 2, 3)), w.tensor("conv", (FRAMES, HALF, HALF, 6))
    pads = w.tensor("pads", (4, 2), np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32), "INT32")
    w.operator("PAD", [flat, pads], [padded], "PadOptions")
    w.operator("CONV_2D", [padded, w.weights("k", 6, 3, 3, 3), w.weights("b", 6)], [conv], "Conv2DOptions",
               padding=1, strideH=2, strideW=2, fusedActivationFunction=1)  # fmt: skip
    pooled, one = w.tensor("pooled", (FRAMES, QUARTER, QUARTER, 6)), w.tensor("one", (FRAMES, 6))
    w.operator("MAX_POOL_2D", [conv], [pooled], "Pool2DOptions", strideH=2, strideW=2, filterHeight=2, filterWidth=2)
    w.operator("MEAN", [pooled, w.numbers("axes", 1, 2)], [one], "ReducerOptions", keepDims=False)
    order, gathered = w.numbers("order", 3, 2, 1, 0), w.tensor("gathered", (FRAMES, 6))
    w.operator("GATHER", [one, order], [gathered], "GatherOptions")
    features = w.tensor("features", (1, 24))
    w.operator("RESHAPE", [gathered, w.numbers("line", 1, 24)], [features], "ReshapeOptions", newShape=[1, 24])
    return _classified(w, {"clip": clip}, features, 24)


@functools.cache
def stream_program(changing: bool = False) -> bytes:
    """One frame "image" [1, 1, 32, 32, 3] and a state [1, 6] -> "scores" [1, 3], "features" [1, 12], the new state.

    Args:
        changing: Whether the shape of a reshaped frame follows from a second state, so that sizes are not fixed.
    """
    w = _Writer(2)
    image, state = w.tensor("image", (1, 1, SIZE, SIZE, 3)), w.tensor("state_in", (1, 6))
    flat, conv, mean = (
        w.tensor("flat", (1, SIZE, SIZE, 3)),
        w.tensor("conv", (1, HALF, HALF, 6)),
        w.tensor("mean", (1, 6)),
    )
    shape = w.numbers("shape", 1, SIZE, SIZE, 3)
    inputs, outputs = {"image": image, "state": state}, {}
    if changing:
        inputs["size"], outputs["size"] = (w.tensor(name, (4,), kind="INT32") for name in ("size_in", "size_out"))
        w.operator("ADD", [inputs["size"], w.numbers("none", 0, 0, 0, 0)], [outputs["size"]], "AddOptions")
        sum_of_both = w.tensor("sum", (4,), kind="INT32")
        w.operator("ADD", [inputs["size"], shape], [sum_of_both], "AddOptions")
        shape = sum_of_both
    w.operator("RESHAPE", [image, shape], [flat], "ReshapeOptions")
    w.operator("CONV_2D", [flat, w.weights("k", 6, 3, 3, 3), w.weights("b", 6)], [conv], "Conv2DOptions",
               strideH=2, strideW=2)  # fmt: skip
    w.operator("MEAN", [conv, w.numbers("axes", 1, 2)], [mean], "ReducerOptions", keepDims=False)
    features = w.tensor("state_out", (1, 6))
    w.operator("ADD", [mean, state], [features], "AddOptions")
    both = w.tensor("joined", (1, 12))
    w.operator("CONCATENATION", [mean, features], [both], "ConcatenationOptions", axis=1)
    return _classified(w, inputs, both, 12, {"state": features, **outputs})


def _classified(
    w: _Writer, inputs: dict[str, int], features: int, width: int, others: dict[str, int] | None = None
) -> bytes:
    logits, scores = w.tensor("logits", (1, CLASSES)), w.tensor("scores", (1, CLASSES))
    w.operator("FULLY_CONNECTED", [features, w.weights("dense", CLASSES, width), w.weights("bias", CLASSES)], [logits],
               "FullyConnectedOptions")  # fmt: skip
    w.operator("SOFTMAX", [logits], [scores], "SoftmaxOptions", beta=1.0)
    return w.finished(inputs, {"scores": scores, "features": features, **(others or {})})

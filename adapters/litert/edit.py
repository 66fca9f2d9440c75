"""Changing a LiteRT program: its constants, tensors and operators, between reading its bytes and writing them again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from adapters.errors import BundleError
from adapters.litert.graph import operator_name, read_graph, schema

Array = np.ndarray[Any, np.dtype[Any]]
TYPES = {"float32": np.float32, "int8": np.int8, "int32": np.int32}


class Editor:
    """A program taken apart. ``packed`` puts it together again, without the constants that nothing uses any more."""

    def __init__(self, model: bytes, name: str = "the program") -> None:
        """BundleError naming the program where the bytes are none."""
        self.name, self.schema, self.model, self.size = name, schema(), read_graph(model, name), len(model)
        self.kinds = [operator_name(code) for code in self.model.operatorCodes]

    def graphs(self) -> list[Graph]:
        """The program's graphs, to read and change."""
        return [Graph(self, graph) for graph in self.model.subgraphs]

    def code(self, kind: str) -> int:
        """The index of an operator's code, added where the program has none."""
        if kind in self.kinds:
            return self.kinds.index(kind)
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        self.model.operatorCodes.append(code)
        self.kinds.append(kind)
        return len(self.kinds) - 1

    def add_buffer(self, values: Array) -> int:
        """Add a constant's bytes; returns the buffer's index."""
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def packed(self) -> bytes:
        """The program's bytes."""
        used = {metadata.buffer for metadata in self.model.metadata or ()}
        for graph in self.model.subgraphs:
            # A tensor that no operator reads stays where it is, since others are known by their places, but empty.
            read = {int(index) for operator in graph.operators or () for index in operator.inputs}
            read |= {int(index) for index in graph.outputs}
            used |= {tensor.buffer for index, tensor in enumerate(graph.tensors) if index in read}
            for index, tensor in enumerate(graph.tensors):
                tensor.buffer = tensor.buffer if index in read else 0
        for index, buffer in enumerate(self.model.buffers):
            if index not in used:
                buffer.data = None
        builder = self.schema.flatbuffers.Builder(self.size + (1 << 20))  # the one that LiteRT's schema was made for
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class Graph:
    """One graph of a program. Tensors are named by their index, operators are the schema's objects."""

    def __init__(self, editor: Editor, graph: Any) -> None:
        self.editor, self.graph = editor, graph

    def operators(self) -> Iterator[Any]:
        """The operators in the order in which they run; the list may be changed meanwhile."""
        return iter(list(self.graph.operators or ()))

    def kind(self, operator: Any) -> str:
        """An operator's builtin name, such as "CONV_2D"."""
        return self.editor.kinds[int(operator.opcodeIndex)]

    def name(self, index: int) -> str:
        """A tensor's name."""
        raw = self.graph.tensors[index].name
        return str(raw.decode(errors="replace") if isinstance(raw, bytes) else raw or "")

    def shape(self, index: int) -> tuple[int, ...]:
        """A tensor's shape; () for a scalar."""
        shape = self.graph.tensors[index].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def size(self, index: int) -> int:
        """How many values a tensor has."""
        return math.prod(self.shape(index))

    def is_float(self, index: int) -> bool:
        """Whether a tensor is float32."""
        return bool(self.graph.tensors[index].type == self.editor.schema.TensorType.FLOAT32)

    def is_constant(self, index: int) -> bool:
        """Whether a tensor's values are in the file."""
        data = self.editor.model.buffers[self.graph.tensors[index].buffer].data
        return data is not None and len(data) > 0

    def is_float_constant(self, index: int) -> bool:
        """Whether a tensor is a float32 constant."""
        return self.is_float(index) and self.is_constant(index)

    def constant(self, index: int) -> Array:
        """A float32 constant's values."""
        data, shape = self.editor.model.buffers[self.graph.tensors[index].buffer].data, self.shape(index)
        if len(data) != 4 * math.prod(shape):
            raise BundleError(
                f"{self.editor.name} is damaged (constant {self.name(index)!r} of shape {list(shape)} has {len(data)} "
                "bytes). Download it again, or write it again with cliplab convert."
            )
        return np.frombuffer(bytes(data), np.float32).reshape(shape)

    def add_tensor(self, name: str, dtype: str, shape: Sequence[int], scale: Any = None, zero: int = 0) -> int:
        """An activation; with a scale, one number, quantised."""
        return self._add(name, dtype, shape, 0, scale, zero, 0)

    def add_constant(self, name: str, values: Array, scale: Any = None, axis: int = 0) -> int:
        """A constant; with scales, quantised symmetrically along an axis."""
        return self._add(name, values.dtype.name, values.shape, self.editor.add_buffer(values), scale, 0, axis)

    def _add(self, name: str, dtype: str, shape: Sequence[int], buffer: int, scale: Any, zero: int, axis: int) -> int:
        tensor = self.editor.schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer  # buffer 0 is the empty one
        tensor.type = getattr(self.editor.schema.TensorType, dtype.upper())
        if scale is not None:
            quantization = self.editor.schema.QuantizationParametersT()
            quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
            quantization.zeroPoint = np.full(quantization.scale.shape, zero, np.int64)
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], version: int = 1) -> Any:
        """An operator without options, not placed yet; version: the kind's first that can do this."""
        operator = self.editor.schema.OperatorT()
        operator.opcodeIndex = self.editor.code(kind)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        self.needs(operator, version)
        return operator

    def needs(self, operator: Any, version: int) -> None:
        """Raise the version of an operator's kind to at least this."""
        code = self.editor.model.operatorCodes[operator.opcodeIndex]
        code.version = max(code.version, version)

    def dequantized(self, source: int, target: int, version: int = 5) -> Any:
        """An operator that makes ``target``, a constant until now, from the constant ``source``."""
        self.graph.tensors[target].buffer = 0
        # Version 5 is the first to know scales by channel (tflite/tools/versioning/op_version.cc).
        return self.operator("DEQUANTIZE", [source], [target], version)

    def takes_constant(self, operator: Any, position: int, constant: int, version: int) -> None:
        """Give an operator another constant in place of the one at a position of its inputs."""
        inputs = [int(index) for index in operator.inputs]
        inputs[position] = constant
        operator.inputs = inputs
        self.needs(operator, version)

    def put_first(self, operators: Iterable[Any]) -> None:
        """Put operators before all others."""
        self.graph.operators = [*operators, *(self.graph.operators or ())]


def counts_first(model: bytes) -> bytes:
    """The program with all operators that follow from whole numbers alone at the start of its first graph.

    XNNPACK computes no whole numbers. An operator on whole numbers between others, such as the counting of a stream's
    frames, cuts the program in two; in front of them all it does not.

    Args:
        model: The bytes of a .tflite.

    Returns:
        The bytes of the reordered .tflite.

    Raises:
        BundleError: The bytes are not a LiteRT program.
    """
    editor = Editor(model)
    graph = editor.graphs()[0]
    counted = {index for index in map(int, graph.graph.inputs) if not graph.is_float(index)}
    first: list[Any] = []
    rest: list[Any] = []
    for operator in graph.operators():
        inputs = [int(index) for index in operator.inputs if index >= 0]
        variables = [index for index in inputs if not graph.is_constant(index)]
        follows = bool(variables) and counted.issuperset(variables)
        (first if follows else rest).append(operator)
        counted.update(map(int, operator.outputs) if follows else ())
    graph.graph.operators = [*first, *rest]
    return editor.packed()

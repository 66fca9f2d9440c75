"""The parts of a LiteRT program that is written operator by operator: inputs, constants, shapes, and how it ends.

Operators and options: tensorflow/lite/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from adapters.litert.edit import Array, Editor
from adapters.litert.graph import schema

INPUT, SIGNATURE = "images", "serving_default"
_VERSION = 3  # of the schema, as the converter writes it


class GraphParts:
    """Writes one graph. A tensor is known by its index, which each method returns.

    Attributes:
        images: The first input's index.
        in_order_of_need: Whether operators run in the order in which the outputs need them, and not in that in which
            they were added. What one operator makes is then mostly read by the next, while it is in a core's own cache:
            7% of the time of MoViNet A0 base, whose layers compute frames by themselves.
    """

    def __init__(self, input_shape: Sequence[int], input_name: str = INPUT) -> None:
        """Begin a program.

        Args:
            input_shape: The shape of the float32 input, batch first.
            input_name: What the signature calls it.
        """
        self._editor = Editor(_empty_program())
        self._graph = self._editor.graphs()[0]
        self._schema = self._editor.schema
        self._constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self._inputs: dict[str, int] = {}
        self.in_order_of_need = False
        self.images = self.add_input(input_name, "float32", input_shape)

    def add_input(self, name: str, dtype: Literal["float32", "int32"], shape: Sequence[int]) -> int:
        """Another input of the program.

        Args:
            name: What the signature calls it.
            dtype: Its type.
            shape: Its shape.
        """
        self._inputs[name] = self._graph.add_tensor(name, dtype, shape)
        self._graph.graph.inputs = list(self._inputs.values())
        return self._inputs[name]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self._graph.shape(tensor)

    def constant(self, name: str, values: Array) -> int:
        """A constant; one that is already there is used again, as the converter does.

        Args:
            name: The tensor's name.
            values: float32 or int32.
        """
        values = np.ascontiguousarray(values).reshape(np.shape(values))  # a scalar stays one
        key = (values.dtype.name, values.shape, values.tobytes())
        if key not in self._constants:
            self._constants[key] = self._graph.add_constant(name, values)
        return self._constants[key]

    # Shapes ---------------------------------------------------------------------------------------------------------

    def reshape(self, source: int, shape: Sequence[int], *, name: str) -> int:
        """The same values in another shape.

        Args:
            source: Any tensor.
            shape: Its new shape, every size known.
            name: The name of the output.
        """
        sizes = self.constant(f"{name}/shape", np.array(shape, np.int32))
        return self.operator(
            "RESHAPE", [source, sizes], shape, name, ("ReshapeOptions", self._schema.ReshapeOptionsT())
        )

    def part(self, source: int, axis: int, begin: int, end: int, *, name: str) -> int:
        """The entries ``begin`` to ``end``, which is left out, along one axis."""
        sizes = self.shape(source)
        starts, ends = [0] * len(sizes), list(sizes)
        starts[axis], ends[axis] = begin, end
        limits = [
            self.constant(f"{name}/{kind}", np.array(value, np.int32))
            for kind, value in (("begin", starts), ("end", ends), ("strides", [1] * len(sizes)))
        ]
        options = self._schema.StridedSliceOptionsT()
        options.beginMask = options.endMask = 2 ** len(sizes) - 1 - 2**axis
        shape = [end - begin if place == axis else size for place, size in enumerate(sizes)]
        of = ("StridedSliceOptions", options)
        # Version 4 is the first of five dimensions (tflite/tools/versioning/op_version.cc).
        return self.operator("STRIDED_SLICE", [source, *limits], shape, name, of, 4 if len(sizes) > 4 else 1)

    def concat(self, sources: Sequence[int], axis: int, *, name: str) -> int:
        """Tensors of one shape, but for this axis, one after the other along it."""
        options = self._schema.ConcatenationOptionsT()
        options.axis = axis
        shape = list(self.shape(sources[0]))
        shape[axis] = sum(self.shape(source)[axis] for source in sources)
        return self.operator("CONCATENATION", sources, shape, name, ("ConcatenationOptions", options))

    def split(self, source: int, parts: int, *, name: str) -> list[int]:
        """Equal parts along the first axis."""
        options = self._schema.SplitOptionsT()
        options.numSplits = parts
        first, *rest = self.shape(source)
        outputs = [
            self._graph.add_tensor(f"{name}{number}", "float32", (first // parts, *rest)) for number in range(parts)
        ]
        axis = self.constant(f"{name}/axis", np.array(0, np.int32))
        self._append("SPLIT", [axis, source], outputs, ("SplitOptions", options), 1)
        return outputs

    def transpose(self, source: int, *, name: str) -> int:
        """[N, M] to [M, N]."""
        axes = self.constant(f"{name}/axes", np.array([1, 0], np.int32))
        of = ("TransposeOptions", self._schema.TransposeOptionsT())
        return self.operator("TRANSPOSE", [source, axes], self.shape(source)[::-1], name, of)

    def padded(self, source: int, sizes: Sequence[tuple[int, int]], *, name: str) -> int:
        """Zeros before and after, as many along each axis as ``sizes`` says."""
        shape = [before + size + after for (before, after), size in zip(sizes, self.shape(source), strict=True)]
        amounts = self.constant(f"{name}/sizes", np.array(sizes, np.int32))
        return self.operator("PAD", [source, amounts], shape, name, ("PadOptions", self._schema.PadOptionsT()))

    # The program ----------------------------------------------------------------------------------------------------

    def packed(self, outputs: Mapping[str, int]) -> bytes:
        """End the program.

        Args:
            outputs: Tensors by the names that the signature gives them.

        Returns:
            The bytes of the .tflite.
        """
        graph, model = self._graph.graph, self._editor.model
        graph.outputs = list(outputs.values())
        if self.in_order_of_need:
            graph.operators = _as_needed(graph.operators, graph.outputs)
        signature = self._schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = [self._entry(name, tensor) for name, tensor in sorted(self._inputs.items())]
        signature.outputs = [self._entry(name, tensor) for name, tensor in sorted(outputs.items())]
        model.signatureDefs = [signature]
        self._editor.size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
        return self._editor.packed()

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        name: str,
        options: tuple[str, Any] | None = None,
        version: int = 1,
        dtype: Literal["float32", "int32"] = "float32",
    ) -> int:
        """Add an operator with one output.

        Args:
            kind: Its builtin name.
            inputs: What it takes, in the order of the schema.
            shape: The output's shape.
            name: The output's name.
            options: The options' table in the schema, and its values.
            version: The kind's first version that can do this.
            dtype: The output's type.
        """
        output = self._graph.add_tensor(name, dtype, shape)
        self._append(kind, inputs, [output], options, version)
        return output

    def _append(
        self, kind: str, inputs: Sequence[int], outputs: list[int], options: tuple[str, Any] | None, version: int
    ) -> None:
        operator = self._graph.operator(kind, inputs, outputs, version)
        if options is not None:
            operator.builtinOptionsType = vars(self._schema.BuiltinOptions)[options[0]]
            operator.builtinOptions = options[1]
        self._graph.graph.operators.append(operator)

    def _entry(self, name: str, tensor: int) -> Any:
        entry = self._schema.TensorMapT()
        entry.name, entry.tensorIndex = name, tensor
        return entry


def _as_needed(operators: Sequence[Any], outputs: Sequence[int]) -> list[Any]:
    """Operators in the order in which the outputs need them, an operator's last input first."""
    made_by = {tensor: operator for operator in operators for tensor in operator.outputs}
    order: list[Any] = []
    placed: set[int] = set()
    for output in outputs:
        waiting = [(made_by[output], False)] if output in made_by else []
        while waiting:
            operator, ready = waiting.pop()
            if id(operator) in placed:
                continue
            if ready:
                placed.add(id(operator))
                order.append(operator)
                continue
            waiting.append((operator, True))
            waiting += [(made_by[tensor], False) for tensor in operator.inputs if tensor in made_by]
    return order


def _empty_program() -> bytes:
    parts = schema()
    model, graph = parts.ModelT(), parts.SubGraphT()
    model.version, model.operatorCodes = _VERSION, []
    graph.name, graph.tensors, graph.operators, graph.inputs, graph.outputs = "main", [], [], [], []
    model.subgraphs, model.buffers = [graph], [parts.BufferT()]
    builder = parts.flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())

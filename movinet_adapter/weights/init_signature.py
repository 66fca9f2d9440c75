"""The ``init`` signature of a stream program: the states of a new stream, with no TensorFlow on the device.

The converter would fold zeros into constants as large as the states themselves, and puts signatures in the order of
their names; so the graph is added to the file here: one FILL for each state, behind the step's graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from adapters.litert import INIT, builtin_code
from movinet_adapter.architecture import StateSpec


def add_init(model: bytes, states: Mapping[str, StateSpec]) -> bytes:
    """The program with a second signature, "init", without inputs, that returns zeros for each state by name.

    Args:
        model: The bytes of a stream program.
        states: The states by name.

    Returns:
        The bytes of the .tflite.
    """
    from ai_edge_litert import schema_py_generated as schema

    program = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = schema.SubGraphT()
    graph.name, graph.inputs, graph.outputs, graph.tensors, graph.operators = INIT, [], [], [], []
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.inputs, signature.outputs = INIT, [], []
    signature.subgraphIndex = len(program.subgraphs)
    add = _Adder(schema, program, graph)
    fill = add.operator_code(schema.BuiltinOperator.FILL)
    for name, spec in states.items():
        kind = {"float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32}[spec.dtype]
        size = add.tensor(f"{name}_shape", schema.TensorType.INT32, np.array(spec.shape, np.int32))
        zero = add.tensor(f"{name}_zero", kind, np.zeros((), spec.dtype))
        output = add.tensor(f"{INIT}_{name}", kind, shape=spec.shape)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = fill, [size, zero], [output]
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.FillOptions, schema.FillOptionsT()
        graph.operators.append(operator)
        graph.outputs.append(output)
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, output
        signature.outputs.append(entry)
    program.subgraphs.append(graph)
    program.signatureDefs.append(signature)
    builder = schema.flatbuffers.Builder(len(model) + (1 << 20))
    builder.Finish(program.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Adder:
    """Puts operators' codes, constants and tensors into a model."""

    def __init__(self, schema: Any, program: Any, graph: Any) -> None:
        self.schema, self.program, self.graph = schema, program, graph

    def operator_code(self, number: int) -> int:
        for index, code in enumerate(self.program.operatorCodes):
            if builtin_code(code) == number:
                return index
        code = self.schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = number
        code.version = 1
        self.program.operatorCodes.append(code)
        return len(self.program.operatorCodes) - 1

    def tensor(
        self, name: str, kind: int, value: np.ndarray[Any, Any] | None = None, shape: tuple[int, ...] = ()
    ) -> int:
        """A constant where a value is given, else an activation of that shape."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.type = name, kind
        tensor.shape = list(shape if value is None else value.shape)
        tensor.buffer = 0  # the empty one, by TFLite's convention
        if value is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(value.tobytes(), np.uint8)
            tensor.buffer = len(self.program.buffers)
            self.program.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

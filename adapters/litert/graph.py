"""What a LiteRT program consists of, read from its bytes without running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from adapters.errors import BundleError
from adapters.litert.graph_limits import check_parts
from adapters.records import Precision

ABSENT = -1  # the index of an input that an operator does without


def operators(model: bytes, name: str = "the program") -> dict[str, int]:
    """How often each operator occurs in a .tflite.

    Args:
        model: The bytes of the .tflite.
        name: What messages call it.

    Returns:
        Counts by operator, most frequent first: {"CONV_2D": 33, ...}. An operator that is not built in appears as
        "custom:NAME" (Flex operators as "custom:FlexNAME").

    Raises:
        BundleError: The bytes are not a LiteRT program.
    """
    graph = read_graph(model, name)
    codes = [operator_name(code) for code in graph.operatorCodes]
    found = Counter(codes[op.opcodeIndex] for sub in graph.subgraphs for op in sub.operators or ())
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def precision(model: bytes, name: str = "the program") -> Precision:
    """How a .tflite was quantised, read from the types of its tensors.

    Args:
        model: The bytes of the .tflite.
        name: What messages call it.

    Returns:
        ``int8`` if activations are int8, ``dynamic`` if only weights are, ``float16`` if weights are stored as float16,
        otherwise ``float32``.

    Raises:
        BundleError: The bytes are not a LiteRT program.
    """
    types, graph = schema().TensorType, read_graph(model, name)
    integer = {types.INT8, types.UINT8}
    tensors = [tensor for sub in graph.subgraphs for tensor in sub.tensors or ()]
    constants = [tensor for tensor in tensors if _is_constant(graph, tensor)]
    kinds = {tensor.type for tensor in constants}
    # Shape constants and the like are int32, so 8-bit activations can only come from full quantisation.
    if any(tensor.type in integer for tensor in tensors if not _is_constant(graph, tensor)):
        return "int8"
    if kinds & integer:
        return "dynamic"
    return "float16" if types.FLOAT16 in kinds else "float32"


def schema() -> Any:
    """The classes of a .tflite's parts."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def read_graph(model: bytes, name: str) -> Any:
    """The parts of a .tflite, as ``schema().ModelT``.

    Args:
        model: The bytes of the .tflite.
        name: What messages call it.

    Raises:
        BundleError: The bytes are not a LiteRT program.
    """
    if model[4:8] != b"TFL3":  # the FlatBuffers file identifier of tensorflow/lite/schema/schema.fbs
        raise BundleError(f"{name} is not a LiteRT program (.tflite). Use a file that cliplab convert wrote.")
    try:
        check_parts(model)
        return _checked(schema().ModelT.InitFromPackedBuf(model, 0))
    except Exception as error:  # the generated reader indexes blindly: a damaged file raises anything
        raise BundleError(
            f"{name} is damaged ({error}). Download it again, or write it again with cliplab convert."
        ) from error


def _checked(model: Any) -> Any:
    """The parts, with empty lists for absent ones, after every reference from one to another was checked."""
    model.operatorCodes, model.subgraphs = model.operatorCodes or [], model.subgraphs or []
    model.buffers, model.metadata = model.buffers or [], model.metadata or []
    if not model.subgraphs:
        raise ValueError("it has no graph")
    for graph in model.subgraphs:
        graph.tensors, graph.operators = graph.tensors or [], graph.operators or []
        graph.inputs, graph.outputs = _indices(graph.inputs), _indices(graph.outputs)
        _check_references([*graph.inputs, *graph.outputs], len(graph.tensors), "tensor")
        _check_references([tensor.buffer for tensor in graph.tensors], len(model.buffers), "buffer")
        _check_references([operator.opcodeIndex for operator in graph.operators], len(model.operatorCodes), "code")
        for operator in graph.operators:
            operator.inputs, operator.outputs = _indices(operator.inputs), _indices(operator.outputs)
            _check_references(operator.outputs, len(graph.tensors), "tensor")
            _check_references([index for index in operator.inputs if index != ABSENT], len(graph.tensors), "tensor")
    return model


def _indices(values: Any) -> Any:
    return [] if values is None else values


def _check_references(indices: Sequence[int], count: int, what: str) -> None:
    for index in indices:
        if not 0 <= index < count:
            raise ValueError(f"it refers to {what} {index} of {count}")


def _is_constant(graph: Any, tensor: Any) -> bool:
    buffer = graph.buffers[tensor.buffer]
    return (buffer.data is not None and len(buffer.data) > 0) or bool(buffer.offset)


def operator_name(code: Any) -> str:
    """The name of an operator's code: "CONV_2D", "custom:NAME", or "unknown:999".

    Args:
        code: An ``OperatorCodeT`` of the schema.
    """
    operator = schema().BuiltinOperator
    number = builtin_code(code)
    if number == operator.CUSTOM:
        custom = code.customCode
        return "custom:" + (custom.decode(errors="replace") if isinstance(custom, bytes) else str(custom))
    names: dict[int, str] = {value: key for key, value in vars(operator).items() if isinstance(value, int)}
    return names.get(number, f"unknown:{number}")


def builtin_code(code: Any) -> int:
    """The number of an operator: old files keep it in the deprecated field, new ones the larger of both (schema v3a).

    Args:
        code: An ``OperatorCodeT`` of the schema.
    """
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))

"""Check that each operator of a .tflite reads only computed tensors: otherwise it reads uninitialised memory."""

from __future__ import annotations

from adapters.litert.flatbuffer import DamagedFlatBufferError, field_at, follow, items_of, unpack

MAX_NAMED = 1_000_000  # numbers in all shapes and lists of tensors; MoViNet A5 has some 50,000
# Fields in tflite/schema.fbs.
_SUBGRAPHS, _BUFFERS = 2, 4
_TENSORS, _GRAPH_INPUTS, _GRAPH_OUTPUTS, _OPERATORS = 0, 1, 2, 3
_INPUTS, _OUTPUTS = 1, 2
_SHAPE, _BUFFER, _IS_VARIABLE, _EXTERNAL = 0, 2, 5, 10
_DATA, _OFFSET = 0, 1


def check_order(data: bytes) -> None:
    """Return if each tensor that is read was written: an input, a constant, a state or an earlier operator's output.

    Args:
        data: The bytes of a .tflite that ``check_parts`` accepts.

    Raises:
        DamagedFlatBufferError: An operator or the graph's output reads a tensor before it is written.
    """
    root, left = follow(data, 0), [MAX_NAMED]
    filled = [_is_filled(data, buffer) for buffer in items_of(data, field_at(data, root, _BUFFERS))]
    for graph in items_of(data, field_at(data, root, _SUBGRAPHS)):
        tensors = items_of(data, field_at(data, graph, _TENSORS))
        written = {number for number, tensor in enumerate(tensors) if _holds_values(data, tensor, filled, left)}
        written.update(_numbers(data, graph, _GRAPH_INPUTS, left))
        for number, operator in enumerate(items_of(data, field_at(data, graph, _OPERATORS))):
            _require(_numbers(data, operator, _INPUTS, left), written, f"operator {number}")
            written.update(_numbers(data, operator, _OUTPUTS, left))
        _require(_numbers(data, graph, _GRAPH_OUTPUTS, left), written, "the graph's output")


def _require(named: list[int], written: set[int], reader: str) -> None:
    for number in named:
        if number not in written and number != -1:  # -1 is an input that is left out
            raise DamagedFlatBufferError(f"{reader} reads tensor {number} before it is computed")


def _is_filled(data: bytes, buffer: int) -> bool:
    """Whether a buffer has bytes, in its place or at the end of a large file."""
    field = field_at(data, buffer, _DATA)
    offset = field_at(data, buffer, _OFFSET)
    return (bool(field) and unpack("<I", data, follow(data, field)) > 0) or (
        bool(offset) and unpack("<Q", data, offset) > 1
    )


def _holds_values(data: bytes, tensor: int, filled: list[bool], left: list[int]) -> bool:
    """Whether a tensor has values without an operator: a constant, also one of no elements, or a state."""
    place = field_at(data, tensor, _BUFFER)
    number = unpack("<I", data, place) if place else 0
    if number < len(filled) and filled[number]:
        return True
    variable = field_at(data, tensor, _IS_VARIABLE)
    if (variable and unpack("<B", data, variable)) or field_at(data, tensor, _EXTERNAL):
        return True
    return 0 in _numbers(data, tensor, _SHAPE, left)


def _numbers(data: bytes, table: int, field: int, left: list[int]) -> list[int]:
    """An int32 list of a table; empty where it is absent. left: how many numbers may still be read."""
    place = field_at(data, table, field)
    if not place:
        return []
    vector = follow(data, place)
    count = unpack("<I", data, vector)
    left[0] -= count
    if left[0] < 0:
        raise DamagedFlatBufferError(f"its shapes and operators have more than {MAX_NAMED} numbers")
    return [unpack("<i", data, vector + 4 + 4 * number) for number in range(count)]

"""How many parts a .tflite names, counted before any is read: a small file may name one part a million times."""

from __future__ import annotations

from adapters.litert.flatbuffer import DamagedFlatBufferError, bytes_at, field_at, follow, items_of, unpack

# MoViNet A5 has some 6,000 tensors and operators. The classes of LiteRT's schema take 1 kB for each.
MAX_PARTS = 100_000
MAX_NAME_BYTES = 16_000_000  # of all names together
# Fields in tflite/schema.fbs. Model: lists of tables, and of subgraphs and signatures, whose parts count too.
_MODEL_LISTS = {"operator codes": 1, "buffers": 4, "metadata": 6}
_SUBGRAPHS, _SIGNATURES = 2, 7
_TENSORS, _OPERATORS = 0, 3
_SIGNATURE_GRAPH, _MAP_TENSOR = 4, 1
_TENSOR_NAME, _TENSOR_SPARSITY, _SPARSITY_DIMENSIONS, _TENSOR_VARIANTS = 3, 6, 2, 9


def check_parts(data: bytes) -> None:
    """Return if the classes of LiteRT's schema can read a program in bounded time and memory.

    Args:
        data: The bytes of a .tflite.

    Raises:
        DamagedFlatBufferError: An offset leads out of the file, a signature names what does not exist, or there are
            too many parts.
    """
    root, left = follow(data, 0), _Budget()
    for number in _MODEL_LISTS.values():
        left.take_items(len(items_of(data, field_at(data, root, number))))
    tensor_counts = []
    for graph in items_of(data, field_at(data, root, _SUBGRAPHS)):
        tensors = items_of(data, field_at(data, graph, _TENSORS))
        tensor_counts.append(len(tensors))
        left.take_items(1 + len(items_of(data, field_at(data, graph, _OPERATORS))))
        for tensor in tensors:
            left.take_tensor(data, tensor)
    for signature in items_of(data, field_at(data, root, _SIGNATURES)):
        left.take_items(_check_signature(data, signature, tensor_counts))


def _check_signature(data: bytes, signature: int, tensor_counts: list[int]) -> int:
    """How many tensors a signature names; LiteRT reads them without asking whether they exist."""
    graph = _number(data, signature, _SIGNATURE_GRAPH)
    if graph >= len(tensor_counts):
        raise DamagedFlatBufferError(f"a signature refers to graph {graph} of {len(tensor_counts)}")
    named = [item for number in (0, 1) for item in items_of(data, field_at(data, signature, number))]
    for item in named:
        if (index := _number(data, item, _MAP_TENSOR)) >= tensor_counts[graph]:
            raise DamagedFlatBufferError(f"a signature refers to tensor {index} of {tensor_counts[graph]}")
    return len(named)


def _number(data: bytes, table: int, field: int) -> int:
    """An unsigned number of a table; 0, the schema's default, for an absent field."""
    place = field_at(data, table, field)
    return unpack("<I", data, place) if place else 0


class _Budget:
    """What may still be counted."""

    def __init__(self) -> None:
        self.items, self.name_bytes = MAX_PARTS, MAX_NAME_BYTES

    def take_items(self, count: int) -> None:
        self.items -= count
        if self.items < 0:
            raise DamagedFlatBufferError(f"it names more than {MAX_PARTS} parts")

    def take_tensor(self, data: bytes, tensor: int) -> None:
        self.take_items(1)
        if name := field_at(data, tensor, _TENSOR_NAME):
            start, end = bytes_at(data, name)
            self.name_bytes -= end - start
            if self.name_bytes < 0:
                raise DamagedFlatBufferError(f"the names of its tensors have more than {MAX_NAME_BYTES} bytes")
        if sparsity := field_at(data, tensor, _TENSOR_SPARSITY):
            table = follow(data, sparsity)
            self.take_items(_length(data, field_at(data, table, _SPARSITY_DIMENSIONS)))
        self.take_items(_length(data, field_at(data, tensor, _TENSOR_VARIANTS)))


def _length(data: bytes, field: int) -> int:
    """The number of items in the list of a field; 0 for an absent field."""
    return unpack("<I", data, follow(data, field)) if field else 0

"""The little of FlatBuffers that reading a .tflite needs: tables, their fields, lists and byte vectors.

Every access is checked, because any byte of a file may be wrong. A table is an int32 distance back to its vtable, which
lists the places of its fields; a field of another size than a number holds a distance forward to what it refers to.
Source: https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import struct


class DamagedFlatBufferError(Exception):
    """An offset that leads out of the file, or more parts than a program has."""


# A small file may name one table any number of times. Programs have some thousand tensors and buffers.
MAX_ITEMS = 100_000


def unpack(code: str, data: bytes, at: int) -> int:
    """The number at a place, as ``struct`` spells its type. Raises DamagedFlatBufferError outside the data."""
    if not 0 <= at <= len(data) - struct.calcsize(code):
        raise DamagedFlatBufferError(f"an offset points to byte {at} of {len(data)}")
    return int(struct.unpack_from(code, data, at)[0])


def follow(data: bytes, at: int) -> int:
    """Where the offset at a place leads."""
    return at + unpack("<I", data, at)


def fields_of(data: bytes, table: int) -> list[int]:
    """The position of each field of a table, 0 where it is absent."""
    vtable = table - unpack("<i", data, table)
    count = (unpack("<H", data, vtable) - 4) // 2
    offsets = [unpack("<H", data, vtable + 4 + 2 * i) for i in range(count)]
    return [table + offset if offset else 0 for offset in offsets]


def field_at(data: bytes, table: int, number: int) -> int:
    """The position of a field of a table, 0 if it is absent."""
    vtable = table - unpack("<i", data, table)
    if 4 + 2 * number >= unpack("<H", data, vtable):
        return 0
    offset = unpack("<H", data, vtable + 4 + 2 * number)
    return table + offset if offset else 0


def items_of(data: bytes, field: int) -> list[int]:
    """The tables of a vector of tables; none for an absent field."""
    if not field:
        return []
    vector = follow(data, field)
    count = unpack("<I", data, vector)
    if vector + 4 + 4 * count > len(data):
        raise DamagedFlatBufferError(f"a list of {count} items extends past byte {len(data)}")
    if count > MAX_ITEMS:
        raise DamagedFlatBufferError(f"a list has {count} items; at most {MAX_ITEMS} are allowed")
    return [follow(data, vector + 4 + 4 * i) for i in range(count)]


def bytes_at(data: bytes, field: int) -> tuple[int, int]:
    """Start and end of the byte vector (or string) that a field refers to."""
    vector = follow(data, field)
    end = vector + 4 + unpack("<I", data, vector)
    if end > len(data):
        raise DamagedFlatBufferError(f"{end - vector - 4} bytes at {vector} extend past byte {len(data)}")
    return vector + 4, end

"""Files of arrays from anywhere: each type comes back as it was written, and each fault of a header is named."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from adapters.system import safetensors_format
from adapters.system.safetensors_format import MAX_HEADER_BYTES, parse_safetensors, safetensors_metadata


def file_of(header: Any, values: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + values


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape, "data_offsets": list(offsets)}


KINDS = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")


def test_arrays_of_each_type_come_back_as_another_writer_wrote_them() -> None:
    arrays = {kind: np.array([[0, 1], [1, 1], [1, 0]]).astype(kind) for kind in KINDS}
    arrays |= {"empty": np.zeros((0, 4), np.float32), "one": np.array(0.5, np.float32)}
    data = save(arrays, metadata={"made by": "a test"})
    found = parse_safetensors(data)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.owndata or found[name].base is None or not array.size
    assert safetensors_metadata(data) == {"made by": "a test"}
    assert safetensors_metadata(save({"a": np.zeros(1)})) == {}


def test_bfloat16_is_the_upper_half_of_a_float32() -> None:
    numbers = np.array([1.0, -2.5, 0.15625], np.float32)
    halves = (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
    found = parse_safetensors(file_of({"a": entry("BF16", (3,), (0, 6))}, halves))["a"]
    assert found.dtype == np.float32
    assert found.tolist() == numbers.tolist()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it has 0 bytes, too few for the length of its header"),
        (bytes(7), "it has 7 bytes, too few"),
        (bytes(8), "its header is not JSON"),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1), f"claims {MAX_HEADER_BYTES + 1} bytes; at most"),
        (struct.pack("<Q", MAX_HEADER_BYTES), "it is cut short: its header has"),
        (file_of({}, length=3), "it is cut short: its header has 3 bytes and the file 10"),
        (file_of(b"["), "its header is not JSON"),
        (file_of([]), "is not a JSON object"),
        (file_of({"a": 3}), "the entry of 'a' is damaged"),
        (file_of({"a": entry(offsets=(0, 8, 9))}, bytes(8)), "the entry of 'a' is damaged"),
        (file_of({"a": entry(offsets=(0.0, 8))}, bytes(8)), "the entry of 'a' is damaged"),
        (file_of({"a": entry(offsets=(False, 8))}, bytes(8)), "the entry of 'a' is damaged"),
        (file_of({"a": entry(offsets=(8, 0))}, bytes(8)), "the data offsets of 'a' are damaged"),
        (file_of({"a": entry(offsets=(-8, 0))}, bytes(8)), "the data offsets of 'a' are damaged"),
        (file_of({"a": entry(offsets=(8, 16))}, bytes(16)), "overlap or leave gaps"),
        (file_of({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)), "overlap or leave gaps"),
        (file_of({"a": entry()}, bytes(7)), "it is cut short: its tensors take 8 bytes, but 7 follow"),
        (file_of({"a": entry()}, bytes(9)), "^its tensors take 8 bytes, but 9 follow"),
        (file_of({"a": entry("F8")}, bytes(8)), "'a' has dtype 'F8'; supported: F64, F32, F16, BF16"),
        (file_of({"a": entry(["F32"])}, bytes(8)), "'a' has dtype"),
        (file_of({"a": entry(shape=2)}, bytes(8)), "'a' has a damaged shape"),
        (file_of({"a": entry(shape=(-2,))}, bytes(8)), "'a' has a damaged shape"),
        (file_of({"a": entry(shape=(True, 2))}, bytes(8)), "'a' has a damaged shape"),
        (file_of({"a": entry(shape=(2, *[1] * 32))}, bytes(8)), "'a' has a damaged shape"),
        (file_of({"a": entry(shape=(3,))}, bytes(8)), r"'a' is F32 \[3\] but has 8 bytes"),
        (file_of({"a": entry("BOOL", (8,))}, b"\0\1\2" + bytes(5)), "booleans that are neither 0 nor 1"),
    ],
)
def test_a_fault_of_a_file_is_named(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_safetensors(data)


def test_sizes_up_to_their_bounds_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_safetensors(file_of({"a": entry(shape=(2, *[1] * 31))}, bytes(8)))["a"].ndim == 32
    assert parse_safetensors(file_of({"a": entry("BOOL", (8,))}, b"\0\1" * 4))["a"].tolist() == [False, True] * 4
    monkeypatch.setattr(safetensors_format, "MAX_TENSORS", 2)
    two = {name: entry(shape=(0,), offsets=(0, 0)) for name in "ab"}
    assert set(parse_safetensors(file_of(two))) == {"a", "b"}
    with pytest.raises(ValueError, match="lists 3 tensors; at most 2 are allowed"):
        parse_safetensors(file_of({**two, "c": two["a"]}))

"""How a description is put in front of a .tflite, on FlatBuffers of any layout that are made in a millisecond."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import BundleError
from adapters.litert import read_description, with_description
from adapters.litert.tflite_file import without_description


def packed(**fields: Any) -> bytes:
    """A .tflite of two buffers and no operators, with other fields of the schema's ModelT."""
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs, model.description = 3, [], [], "two buffers"
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.arange(100, dtype=np.uint8)
    for name, value in fields.items():
        setattr(model, name, value)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def metadata(name: str, buffer: int) -> Any:
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, buffer
    return entry


def opened(data: bytes) -> Any:
    return schema.ModelT.InitFromPackedBuf(data, 0)


@given(st.text(max_size=200), st.integers(0, 3))
def test_the_description_is_aligned_and_the_program_too(text: str, entries: int) -> None:
    program = packed(metadata=[metadata(f"other {n}", 1) for n in range(entries)] or None)
    whole = with_description(program, {"text": text})
    assert read_description(whole)["text"] == text
    assert without_description(whole) == program
    body = len(whole) - len(program)
    assert body % 64 == 0
    assert whole[body:] == program
    assert whole[body - 32 : body] == hashlib.sha256(whole[: body - 32]).digest()
    start = whole.index(b'{"text"')
    assert start % 16 == 0
    end = start + struct.unpack_from("<I", whole, start - 4)[0]
    assert json.loads(whole[start:end])["text"] == text
    assert not any(whole[end : body - 32])
    again = opened(whole)
    assert [entry.name for entry in again.metadata] == [*(b"other %d" % n for n in range(entries)), b"cliplab"]
    assert again.metadata[-1].buffer == 2
    assert (again.version, again.description, len(again.buffers)) == (3, b"two buffers", 3)
    assert bytes(again.buffers[1].data) == bytes(range(100))
    assert json.loads(bytes(again.buffers[2].data))["program_size_bytes"] == len(program)


def test_what_is_told_of_the_program_is_never_the_givers() -> None:
    program = packed()
    wrong = {"format": 9, "program_sha256": "0" * 64, "program_size_bytes": 1, "labels": ["ä"]}
    found = read_description(with_description(program, wrong))
    assert found == {
        "labels": ["ä"],
        "format": 1,
        "program_sha256": hashlib.sha256(program).hexdigest(),
        "program_size_bytes": len(program),
    }


def test_entries_of_other_tools_stay_and_an_old_one_of_ours_goes() -> None:
    program = packed(metadata=[metadata("cliplab", 1), metadata("min_runtime_version", 1)])
    names = [entry.name for entry in opened(with_description(program, {})).metadata]
    assert names == [b"min_runtime_version", b"cliplab"]


def test_a_program_without_weights_is_refused() -> None:
    with pytest.raises(BundleError, match="weights"):
        with_description(packed(buffers=[]), {})


@pytest.mark.skipif(
    not hasattr(schema, "ExternalBufferGroupT"),
    reason="the schema of LiteRT before 2.1 cannot write a program whose weights lie in other files",
)
def test_a_program_whose_weights_lie_in_other_files_is_refused() -> None:
    with pytest.raises(BundleError, match="other files"):
        with_description(packed(externalBufferGroups=[schema.ExternalBufferGroupT()]), {})


@pytest.mark.parametrize("offset, stands_alone", [(0, True), (1, True), (2, False), (4096, False)])
def test_weights_behind_the_flatbuffer_are_refused(offset: int, stands_alone: bool) -> None:
    """Buffer.offset above 1 is a place in the file, which the description would move (schema.fbs)."""
    buffer = schema.BufferT()
    buffer.offset, buffer.size = offset, 8
    program = packed(buffers=[schema.BufferT(), buffer])
    if stands_alone:
        assert without_description(with_description(program, {})) == program
    else:
        with pytest.raises(BundleError, match="FlatBuffer"):
            with_description(program, {})


@pytest.mark.parametrize("change, word", [(lambda data: data[:-1], "truncated"), (lambda data: data + b"x", "longer")])
def test_another_length_is_said(change: Any, word: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(change(with_description(packed(), {})))
    with pytest.raises(BundleError, match=rf"m\.tflite: is .*{word}"):
        read_description(path)


def resealed(data: bytes, program: bytes, old: bytes, new: bytes) -> bytes:
    """A description edited by someone who knows how its digest is made."""
    block = data[: len(data) - len(program)].replace(old, new)
    return block[:-32] + hashlib.sha256(block[:-32]).digest() + program


@pytest.mark.parametrize(
    "old, new, word",
    [
        (b'"format": 1', b'"format": 2', "newer cliplab"),
        (b'"format": 1', b'"format": 0', "format"),
        (b'"format"', b'"former"', "not written by cliplab"),
        (b'"program_size_bytes"', b'"program_size_bits_"', "not written by cliplab"),
        (b'"a": 1, ', b'"a": 2, ', None),
    ],
)
def test_a_description_of_another_form_is_refused(old: bytes, new: bytes, word: str | None) -> None:
    program = packed()
    data = resealed(with_description(program, {"a": 1, "b": 2}), program, old, new)
    if word is None:
        assert read_description(data)["a"] == 2
    else:
        with pytest.raises(BundleError, match=word):
            read_description(data)


def test_a_program_of_the_same_length_under_a_description_is_refused() -> None:
    program = packed()
    data = with_description(program, {})
    changed = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(BundleError, match="does not match its description"):
        read_description(changed)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\0\0\0TFL", b"\x1c\0\0\0TFL4" + bytes(60)])
def test_what_is_no_tflite_is_said(data: bytes, tmp_path: Path) -> None:
    for call in (read_description, without_description, lambda data: with_description(data, {})):
        with pytest.raises(BundleError, match="not a TFLite model"):
            call(data)
    with pytest.raises(BundleError, match="is a folder"):
        read_description(tmp_path)
    with pytest.raises(BundleError, match=r"missing\.tflite: cannot be read"):
        read_description(tmp_path / "missing.tflite")
    with pytest.raises(BundleError, match="does not describe itself"):
        read_description(packed())


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object(), b"bytes"])
def test_a_description_that_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(BundleError, match="JSON"):
        with_description(packed(), {"value": value})

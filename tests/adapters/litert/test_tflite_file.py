"""The .tflite that describes itself: it stands alone, runs anywhere, and is refused when a byte of it is wrong."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import python
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_programs import LABELS, SPEC, run_program, tiny_program

from adapters.errors import BundleError
from adapters.litert import read_description, with_description
from adapters.litert.tflite_file import without_description

DESCRIPTION: dict[str, Any] = {
    "config": {"adapter": "adapters.x:Y", "imgz": 32, "mean": [0.5, 0.25, 0.125], "positive_label": None},
    "labels": list(LABELS),
    "golden_sha256": "0" * 64,
}
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def program() -> bytes:
    return tiny_program("float32")


@pytest.fixture(scope="module")
def described(program: bytes) -> bytes:
    return with_description(program, DESCRIPTION)


def random_clip() -> np.ndarray:
    return np.random.default_rng(3).random((SPEC.n_frames, SPEC.height, SPEC.width, 3), dtype=np.float32)


def test_one_file_alone_under_another_name_gives_its_description(described: bytes, tmp_path: Path) -> None:
    first = tmp_path / "bundle" / "model.tflite"
    first.parent.mkdir()
    first.write_bytes(described)
    alone = tmp_path / "elsewhere" / "renamed.bin"
    alone.parent.mkdir()
    shutil.move(first, alone)
    description = read_description(alone)
    assert {key: description[key] for key in DESCRIPTION} == DESCRIPTION
    assert description["program_sha256"] == hashlib.sha256(tiny_program("float32")).hexdigest()


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8"])
def test_it_runs_in_a_plain_interpreter_with_the_same_scores(precision: str) -> None:
    plain = tiny_program(precision)
    np.testing.assert_array_equal(
        run_program(with_description(plain, DESCRIPTION), random_clip()), run_program(plain, random_clip())
    )


def test_weights_keep_their_alignment(program: bytes, described: bytes) -> None:
    assert described.endswith(program)
    assert (len(described) - len(program)) % 64 == 0


@pytest.mark.parametrize("name", ["movinet_a0_stream_int8.tflite", "mobilenet_v2_1.0_224_quant.tflite"])
def test_published_models_can_be_described(shared: Path, name: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    original = (shared / "weights" / name).read_bytes()
    with_entry = with_description(original, DESCRIPTION)
    assert read_description(with_entry)["labels"] == list(LABELS)
    assert without_description(with_entry) == original
    one, other = (Interpreter(model_content=data) for data in (original, with_entry))
    assert [d["name"] for d in one.get_input_details()] == [d["name"] for d in other.get_input_details()]
    assert one.get_signature_list() == other.get_signature_list()
    other.allocate_tensors()
    other.invoke()


def test_other_tools_see_the_entry_and_the_entries_that_were_there(program: bytes, described: bytes) -> None:
    from ai_edge_litert import schema_py_generated as schema

    before = schema.ModelT.InitFromObj(schema.Model.GetRootAs(program))
    after = schema.ModelT.InitFromObj(schema.Model.GetRootAs(described))
    assert [m.name for m in after.metadata] == [*(m.name for m in before.metadata), b"cliplab"]
    assert len(after.buffers) == len(before.buffers) + 1
    assert bytes(after.buffers[-1].data).startswith(b'{"config": {"adapter": "adapters.x:Y"')
    assert (after.version, after.description) == (before.version, before.description)


def test_describing_again_replaces(program: bytes, described: bytes) -> None:
    again = with_description(described, {"labels": ["other"]})
    assert "config" not in read_description(again)
    assert again == with_description(program, {"labels": ["other"]})
    assert without_description(again) == program
    assert without_description(program) == program


def test_a_file_that_another_tool_rewrote_is_refused_and_can_be_described_again(described: bytes) -> None:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    builder = flatbuffers.Builder(0)
    builder.Finish(schema.ModelT.InitFromObj(schema.Model.GetRootAs(described)).Pack(builder), b"TFL3")
    rewritten = bytes(builder.Output())
    with pytest.raises(BundleError, match="was changed"):
        read_description(rewritten)
    again = with_description(rewritten, DESCRIPTION)
    assert read_description(again)["labels"] == list(LABELS)
    names = [m.name for m in schema.ModelT.InitFromObj(schema.Model.GetRootAs(again)).metadata]
    assert names.count(b"cliplab") == 1
    np.testing.assert_array_equal(run_program(again, random_clip()), run_program(described, random_clip()))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    whole = with_description(tiny_program("float32"), DESCRIPTION)
    block = len(whole) - len(tiny_program("float32"))
    at = data.draw(st.one_of(st.integers(0, block - 1), st.integers(0, len(whole) - 1)), label="byte")
    change = data.draw(st.integers(1, 255), label="xor")
    mutated = bytearray(whole)
    mutated[at] ^= change
    with pytest.raises(BundleError):
        read_description(bytes(mutated))


@settings(max_examples=100, deadline=None)
@given(length=st.integers(0, 10**9))
def test_a_truncated_file_is_refused(length: int) -> None:
    whole = with_description(tiny_program("float32"), DESCRIPTION)
    with pytest.raises(BundleError):
        read_description(whole[: length % len(whole)])


@settings(max_examples=100, deadline=None)
@given(junk=st.binary(max_size=300))
def test_junk_behind_the_right_mark_is_refused_without_another_error(junk: bytes) -> None:
    for function in (read_description, without_description, lambda data: with_description(data, {})):
        try:
            function(junk[:4].ljust(4, b"\0") + b"TFL3" + junk[4:])
        except BundleError:
            continue
        assert function is without_description  # a model without metadata has nothing to strip


@settings(max_examples=60, deadline=None)
@given(description=st.dictionaries(st.text(), JSON_VALUES, max_size=5))
def test_every_json_description_comes_back(description: dict[str, Any]) -> None:
    read = read_description(with_description(tiny_program("float32"), description))
    reserved = ("format", "program_sha256", "program_size_bytes")
    assert {k: v for k, v in read.items() if k not in reserved} == {
        k: v for k, v in description.items() if k not in reserved
    }


def test_errors_name_the_file_and_the_way_out(program: bytes, described: bytes, tmp_path: Path) -> None:
    foreign, cut, text = tmp_path / "foreign.tflite", tmp_path / "cut.tflite", tmp_path / "text.tflite"
    foreign.write_bytes(program)
    cut.write_bytes(described[:-100])
    text.write_text("version https://git-lfs.github.com/spec/v1\n")
    cases = {
        foreign: r"foreign\.tflite: is a \.tflite that does not describe itself.*cliplab convert",
        cut: rf"cut\.tflite: is truncated: its program has {len(program) - 100} bytes; {len(program)} were written",
        text: r"text\.tflite: is not a TFLite model",
        tmp_path / "none.tflite": r"none\.tflite: cannot be read \(No such file",
        tmp_path: "is a folder",
    }
    for path, message in cases.items():
        with pytest.raises(BundleError, match=message):
            read_description(path)


def test_a_program_put_under_another_description_is_refused(described: bytes, program: bytes) -> None:
    other = tiny_program("float32", seed=1)
    assert len(other) == len(program)
    with pytest.raises(BundleError, match="does not match its description"):
        read_description(described[: -len(program)] + other)


def test_a_description_that_is_not_json_is_refused(program: bytes) -> None:
    for value in (float("nan"), object(), np.float32(1)):
        with pytest.raises(BundleError, match="cannot be written as JSON"):
            with_description(program, {"value": value})


def test_reading_imports_nothing_heavy(described: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(described)
    code = (
        "import sys; from adapters.litert.tflite_file import read_description; read_description(sys.argv[1]);"
        "print([m for m in ('tensorflow', 'ai_edge_litert', 'flatbuffers', 'cv2', 'av') if m in sys.modules])"
    )
    result = python(code, path)
    assert result.stdout.strip() == "[]"

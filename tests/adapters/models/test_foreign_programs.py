"""A file that describes itself and whose program is another's: what does not fit is an error that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing.model_kinds import CONFIG, STREAM_CONFIG
from fuzzing.programs import SIZE, clip_program, frame_program, stream_program

from adapters.config import check_config
from adapters.errors import BundleError
from adapters.inference import open_model
from adapters.litert import with_description
from adapters.records import Clip

CLIP = Clip(np.zeros((2, SIZE, SIZE, 3), np.uint8), np.array([0.0, 0.2]), "clip", 0.0, 0.4)


def described(path: Path, program: bytes, config: dict[str, Any]) -> Path:
    name = f"float32_{'stream_1x1x' if 'model_mode' in config else '1x'}{SIZE}x{SIZE}x3"
    description = {"config": check_config(config), "labels": config["labels"], "program": name}
    path.write_bytes(with_description(program, description))
    return path


def edited(program: bytes, edit: Callable[[Any], None]) -> bytes:
    """The program after its parts were changed, as a whole FlatBuffer."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(program, 0)
    edit(model)
    builder = schema.flatbuffers.Builder(1 << 14)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def renamed(model: Any) -> None:
    for item in model.signatureDefs[0].outputs:
        item.name = b"other_" + item.name


@pytest.mark.parametrize("config", [CONFIG, STREAM_CONFIG])
def test_a_program_that_fits_predicts(tmp_path: Path, config: dict[str, Any]) -> None:
    program = frame_program() if config is CONFIG else stream_program()
    (prediction,) = open_model(described(tmp_path / "sound.tflite", program, config)).predict([CLIP])
    assert prediction.scores.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "program, config, key",
    [
        (frame_program(), {**CONFIG, "labels": ["a", "b", "c", "d"]}, "scores"),
        (stream_program(), {**STREAM_CONFIG, "labels": ["a", "b", "c", "d"]}, "scores"),
        (edited(frame_program(), renamed), CONFIG, "scores"),
        (clip_program(), CONFIG, "float32"),
        (stream_program(), CONFIG, "float32"),
        (frame_program(), STREAM_CONFIG, "image"),
        (edited(stream_program(), renamed), STREAM_CONFIG, "stream program"),
    ],
)
def test_a_program_that_does_not_fit_is_an_error_that_names_it(
    program: bytes, config: dict[str, Any], key: str, tmp_path: Path
) -> None:
    model = open_model(described(tmp_path / "foreign.tflite", program, config))
    with pytest.raises(BundleError, match=rf"foreign\.tflite.*{key}"):
        model.predict([CLIP])


def test_scores_of_whole_numbers_are_refused(tmp_path: Path) -> None:
    def cast(model: Any) -> None:
        """The scores of type int32, by a CAST behind the softmax."""
        from ai_edge_litert import schema_py_generated as schema

        graph, code, operator, tensor = model.subgraphs[0], schema.OperatorCodeT(), schema.OperatorT(), schema.TensorT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = schema.BuiltinOperator.CAST, 53, 1
        model.operatorCodes.append(code)
        tensor.name, tensor.shape, tensor.buffer, tensor.type = b"whole", [1, 3], 0, schema.TensorType.INT32
        graph.tensors.append(tensor)
        scores = model.signatureDefs[0].outputs[0].tensorIndex
        operator.opcodeIndex, operator.inputs = len(model.operatorCodes) - 1, [scores]
        operator.outputs = [len(graph.tensors) - 1]
        graph.operators.append(operator)
        graph.outputs = [len(graph.tensors) - 1 if index == scores else index for index in graph.outputs]
        model.signatureDefs[0].outputs[0].tensorIndex = len(graph.tensors) - 1

    model = open_model(described(tmp_path / "whole.tflite", edited(frame_program(), cast), CONFIG))
    with pytest.raises(BundleError, match=r"whole\.tflite.*int32"):
        model.predict([CLIP])

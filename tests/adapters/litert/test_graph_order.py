"""A program whose operators read what nobody wrote: its scores would be whatever was in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fuzzing.programs import frame_program, stream_program

from adapters.errors import BundleError
from adapters.litert import Program, StreamProgram, trial
from adapters.litert.edit import Editor
from adapters.litert.flatbuffer import DamagedFlatBufferError
from adapters.litert.graph_order import check_order


def changed(change: Callable[[Any], None], program: bytes | None = None) -> bytes:
    """A program of frames with its graph changed."""
    editor = Editor(frame_program() if program is None else program)
    graph = editor.model.subgraphs[0]
    for operator in graph.operators:
        operator.inputs, operator.outputs = list(operator.inputs), list(operator.outputs)
    change(graph)
    return editor.packed()


def cycle(graph: Any) -> None:
    first, last = graph.operators[0], graph.operators[-1]
    first.inputs[0] = last.outputs[0]


def swap(graph: Any) -> None:
    graph.operators[0], graph.operators[1] = graph.operators[1], graph.operators[0]


def itself(graph: Any) -> None:
    graph.operators[0].inputs[0] = graph.operators[0].outputs[0]


def without_maker(graph: Any) -> None:
    del graph.operators[-1]


def lost_weights(graph: Any) -> None:
    graph.tensors[int(graph.operators[0].inputs[1])].buffer = 0


@pytest.mark.parametrize("change", [cycle, swap, itself, without_maker, lost_weights])
def test_what_reads_memory_that_nobody_wrote_is_refused(
    change: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "_known", set())
    path = tmp_path / "model.tflite"
    path.write_bytes(changed(change))
    with pytest.raises(BundleError, match=r"model\.tflite.*reads tensor \d+ before it is computed"):
        Program(path, num_threads=1)


def test_programs_at_hand_are_in_order(shared: Path) -> None:
    check_order(frame_program())
    check_order(stream_program())
    for path in sorted((shared / "weights").glob("*.tflite")):
        check_order(path.read_bytes())


def test_states_left_out_inputs_and_constants_of_no_elements_are_read_without_an_operator() -> None:
    def state(graph: Any) -> None:
        index = int(graph.operators[0].inputs[1])
        graph.tensors[index].buffer, graph.tensors[index].isVariable = 0, True

    def no_elements(graph: Any) -> None:
        index = int(graph.operators[0].inputs[1])
        graph.tensors[index].buffer, graph.tensors[index].shape = 0, [0]

    def left_out(graph: Any) -> None:
        graph.operators[0].inputs[-1] = -1

    for change in (state, no_elements, left_out):
        check_order(changed(change))


def test_a_list_that_is_named_again_and_again_costs_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.litert.graph_order.MAX_NAMED", 20)
    with pytest.raises(DamagedFlatBufferError, match="more than 20 numbers"):
        check_order(stream_program())


def test_stream_programs_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "_known", set())
    with pytest.raises(BundleError, match="before it is computed"):
        StreamProgram(changed(itself, stream_program()), num_threads=1)

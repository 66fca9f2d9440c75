"""A program from elsewhere runs in another process first: what crashes, grows or never ends is an error here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fuzzing.programs import SIZE, frame_program, stream_program

from adapters.errors import BundleError, ConfigError
from adapters.litert import Program, StreamProgram, trial, trust_program
from adapters.litert.graph import operators


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "_known", set())


def test_a_program_that_asks_for_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.tflite"
    path.write_bytes(frame_program(size=7000))  # 3 kB; its first two tensors take 0.9 GB
    with pytest.raises(BundleError, match=r"large\.tflite.*memory"):
        Program(path, num_threads=1)


def test_a_program_that_computes_for_minutes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_PROGRAM_SECONDS", "1")
    monkeypatch.setenv("CLIPLAB_PROGRAM_MEMORY_MB", "3000")  # LiteRT 1.2 takes 1.1 GB for it
    begin = time.monotonic()
    with pytest.raises(BundleError, match="CLIPLAB_PROGRAM_SECONDS"):
        Program(frame_program(size=128, layers=300, width=128), num_threads=1)
    assert time.monotonic() - begin < 60


def test_a_program_that_ends_its_process_is_an_error_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crash = tmp_path / "crash.py"
    ready = """print('{"ready": true}', flush=True)"""
    crash.write_text(
        f"import os, signal, sys\n{ready}\nsys.stdin.buffer.read()\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    monkeypatch.setattr(trial, "CHILD", crash)
    with pytest.raises(BundleError, match="SIGSEGV"):
        Program(frame_program(), num_threads=1)


@pytest.mark.parametrize("program", ["false", "true", "there is no such program"])
def test_where_no_python_can_be_started_programs_run_with_a_warning(
    program: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a program that embeds Python, whose executable is not Python."""
    monkeypatch.setattr(trial.sys, "executable", program)
    assert Program(frame_program(), num_threads=1).size_bytes
    assert "without a trial" in caplog.text


def test_what_passed_is_tried_once_and_what_failed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    run = trial.subprocess.run
    monkeypatch.setattr(trial.subprocess, "run", lambda *a, **k: tried.append(1) or run(*a, **k))
    for _ in range(2):
        assert Program(frame_program(), num_threads=1).input_shape == (1, SIZE, SIZE, 3)
        trial._known.clear()  # as in another process
    assert len(tried) == 1
    for _ in range(2):
        with pytest.raises(BundleError):
            Program(frame_program(size=7000), num_threads=1)
    assert len(tried) == 3


def test_a_program_is_tried_with_the_size_that_it_is_resized_to() -> None:
    program = frame_program()
    trial.require_tried(program, "small", 1)
    trial.require_tried(program, "larger", 1, (2, SIZE, SIZE, 3))
    with pytest.raises(BundleError, match="huge"):
        trial.require_tried(program, "huge", 1, (1, 20_000, 20_000, 3))


def test_a_program_of_this_process_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial.subprocess, "run", lambda *a, **k: pytest.fail("it was tried"))
    assert StreamProgram(trust_program(stream_program()), num_threads=1).states


def test_a_cache_that_cannot_be_written_costs_trials_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "file" / "cache"))
    assert Program(frame_program(), num_threads=1).size_bytes


@pytest.mark.parametrize("variable", ["CLIPLAB_PROGRAM_SECONDS", "CLIPLAB_PROGRAM_MEMORY_MB"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_limit_must_be_a_whole_number(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=variable):
        Program(frame_program(), num_threads=1)


def test_a_file_that_names_one_part_a_million_times_is_refused_at_once() -> None:
    """A list of a million offsets to the same graph is 4 MB, and its parts would take gigabytes."""
    from ai_edge_litert import schema_py_generated as schema

    program = bytearray(frame_program())
    root = schema.Model.GetRootAs(program)
    field = root._tab.Offset(8)  # subgraphs
    at = root._tab.Vector(field)
    graph = root._tab.Indirect(at)
    count, start = 1_000_000, len(program)
    program += b"\0" * (4 + 4 * count)
    # Offsets lead forward, so the list is put behind and the graph's place is reached by a wrap of 32 bits.
    program[start : start + 4] = count.to_bytes(4, "little")
    for index in range(count):
        place = start + 4 + 4 * index
        program[place : place + 4] = ((graph - place) % (1 << 32)).to_bytes(4, "little")
    position = root._tab.Pos + field
    program[position : position + 4] = (start - position).to_bytes(4, "little")
    with pytest.raises(BundleError):
        operators(bytes(program))


def test_a_stream_program_of_changing_sizes_is_refused() -> None:
    """The memory of its tensors moves while it runs, and a stream's states are read there."""
    assert StreamProgram(stream_program(), num_threads=1).states
    with pytest.raises(BundleError, match="change while it runs"):
        StreamProgram(stream_program(changing=True), num_threads=1)

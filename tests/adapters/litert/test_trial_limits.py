"""The process that tries a program: what reaches it, and what each of its answers means. No program is run."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import BundleError, ConfigError
from adapters.litert import trial
from adapters.litert.trial import TrialRuntime, require_tried, trust_program

_READY = b'{"ready": true}\n'


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls of the process; ``answer`` is what it gives."""
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(trial.MEMORY_VARIABLE, raising=False)
    monkeypatch.delenv(trial.SECONDS_VARIABLE, raising=False)
    monkeypatch.setattr(trial, "_known", set())

    class Asked(list[Any]):
        answer: Any = (0, _READY + b'{"error": null}\n', b"")

    calls = Asked()

    def run(command: list[str], **options: Any) -> Any:
        calls.append((command, options))
        if isinstance(calls.answer, Exception):
            raise calls.answer
        code, out, err = calls.answer
        return subprocess.CompletedProcess(command, code, out, err)

    monkeypatch.setattr(trial.subprocess, "run", run)
    return calls


def _runtime(**other: Any) -> TrialRuntime:
    values: dict[str, Any] = {
        "package": "some-runtime",
        "kind": "a small program",
        "child": Path("/c/child.py"),
        "unsound": lambda model: None,
        "remedy": "Fetch it again.",
    }
    return TrialRuntime(**{**values, **other})


def _try(model: bytes = b"12345", threads: int = 3, shape: Any = None, **other: Any) -> None:
    require_tried(model, "the model", threads, shape, _runtime(**other))


def test_what_reaches_the_process(asked: Any) -> None:
    _try(b"x" * 2_000_000, 3, (2, 5))
    ((command, options),) = asked
    assert command[1:] == ["/c/child.py", "3", str(600_000_000 + 20 * 2_000_000), str(6 + 2 * 2), "2", "5"]
    assert options["input"] == b"x" * 2_000_000
    assert options["timeout"] == 10 * 10
    assert options["env"]["PYTHONSAFEPATH"] == "1"


def test_variables_set_the_limits(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trial.MEMORY_VARIABLE, "7")
    monkeypatch.setenv(trial.SECONDS_VARIABLE, "9")
    _try()
    ((command, options),) = asked
    assert command[2:] == ["3", "7000000", "9"]
    assert options["timeout"] == 90


@pytest.mark.parametrize("variable", [trial.MEMORY_VARIABLE, trial.SECONDS_VARIABLE])
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "much", " "])
def test_a_limit_is_a_whole_number_above_0(
    asked: Any, monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError, match=f"{variable} is '{text}' and must be a whole number above 0"):
        _try()
    assert not asked


def test_what_passed_is_known_by_its_bytes_its_size_and_its_runtime(asked: Any) -> None:
    def count(**other: Any) -> int:
        _try(**other)
        return len(asked)

    assert count() == 1
    assert count() == 1
    assert count(model=b"12346") == 2
    assert count(shape=(2, 5)) == 3
    assert count(shape=(25,)) == 4
    assert count(shape=(2, 5)) == 4
    assert count(package="other-runtime") == 5
    assert count(threads=1) == 5
    trial._known.clear()  # as in another process
    assert count() == 5


def test_what_was_made_here_is_not_tried(asked: Any) -> None:
    assert trust_program(b"made here") == b"made here"
    require_tried(b"made here", "m", 1)
    assert not asked


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((0, _READY + b'{"error": "no such operator\\nmore"}', b""), "(no such operator). Fetch it again."),
        ((0, _READY + b'{"error": "out of memory"}', b""), "it needs more than 600 MB of memory; if you trust"),
        ((0, _READY + b'{"error": "std::bad_alloc"}', b""), "set CLIPLAB_PROGRAM_MEMORY_MB to a larger number"),
        (
            (0, _READY + b'{"error": "XNNPack failed"}', b""),
            "(XNNPack failed; or it needs more than 600 MB of memory: CLIPLAB_PROGRAM_MEMORY_MB)",
        ),
        ((0, _READY + b'{"error": "' + b"e" * 300 + b'"}', b""), "(" + "e" * 200 + ")"),
        ((-11, _READY, b""), "it crashes the process that runs it (by SIGSEGV); it may also need more than 600 MB"),
        ((3, _READY, b""), "it crashes the process that runs it (with code 3)"),
        ((-24, _READY, b""), "it needs more than 6 seconds of computing for one batch"),
        ((-9, _READY, b""), "set CLIPLAB_PROGRAM_SECONDS to a larger number"),
        ((-6, _READY, b"std::bad_alloc"), "it needs more than 600 MB of memory"),
        ((-6, _READY, b"std::length_error"), "it needs more than 600 MB of memory"),
        ((-6, _READY + b"no json\n[1]\n", b""), "by SIGABRT"),
        (subprocess.TimeoutExpired("c", 60, _READY, b""), "it needs more than 6 seconds of computing"),
    ],
)
def test_what_a_program_is_refused_for(asked: Any, answer: Any, message: str) -> None:
    asked.answer = answer
    for _ in range(2):  # what failed is tried again
        with pytest.raises(BundleError) as caught:
            _try()
        assert "the model is damaged or is not a small program that can run here (" in str(caught.value)
        assert message in str(caught.value)
    assert len(asked) == 2


@pytest.mark.parametrize(
    "answer", [(0, b"", b"words"), (1, b'{"error": null}', b"words"), OSError("words"), ValueError("words")]
)
def test_where_no_process_starts_a_program_runs_with_a_warning(
    asked: Any, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked.answer = answer
    _try()
    assert "runs without a trial" in caplog.text
    assert "words" in caplog.text


def test_what_is_unsound_is_not_run(asked: Any) -> None:
    with pytest.raises(BundleError, match=r"\(its table is torn\)"):
        _try(unsound=lambda model: "its table is torn")
    assert not asked


def test_a_cache_that_cannot_be_written_costs_another_trial(
    asked: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "file"))
    _try()
    _try()
    assert len(asked) == 1

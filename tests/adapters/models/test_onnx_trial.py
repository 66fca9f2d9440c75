"""The process that tries an unknown ONNX file: what it feeds and what it answers, with a runtime made up here."""

from __future__ import annotations

import io
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adapters.models.prompt_pair.onnx_trial_process import main, zeros_for


def taken(name: str, kind: str, *shape: Any) -> Any:
    return SimpleNamespace(name=name, type=kind, shape=list(shape))


@pytest.mark.parametrize(
    ("shape", "sizes", "made"),
    [
        ((2, 3), [], (2, 3)),
        (("batch", "length"), [77], (1, 77)),
        ((None, 3, "h", "w"), [9, 224, 200], (1, 3, 224, 200)),
        ((0, -1, 5), [4], (1, 4, 5)),
        (("a", "b", "c"), [], (1, 1, 1)),
    ],
)
def test_open_dimensions_take_the_sizes_that_are_given(shape: Any, sizes: list[int], made: tuple[int, ...]) -> None:
    assert zeros_for([taken("x", "tensor(float)", *shape)], sizes)["x"].shape == made


def test_each_kind_of_input_has_its_type_and_others_are_named() -> None:
    kinds = {"float": np.float32, "int64": np.int64, "int32": np.int32, "bool": np.bool_}
    found = zeros_for([taken(kind, f"tensor({kind})", 1) for kind in kinds], [])
    assert {name: value.dtype.type for name, value in found.items()} == kinds
    with pytest.raises(ValueError, match=r"its input text is tensor\(string\); float, int64, int32 and bool"):
        zeros_for([taken("text", "tensor(string)", 1)], [])


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (None, None),
        (RuntimeError(" node 3 is wrong\n"), "node 3 is wrong"),
        (RuntimeError(""), "RuntimeError"),
        (MemoryError("std::bad_alloc"), "it needs more memory than the limit allows"),
    ],
)
def test_the_answer_says_why_a_network_does_not_run(
    error: Exception | None, answer: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, Any] = {}

    class Session:
        def __init__(self, model: bytes, options: Any, providers: list[str]) -> None:
            seen.update(model=model, threads=options.intra_op_num_threads, providers=providers)

        def get_inputs(self) -> list[Any]:
            return [taken("pixels", "tensor(float)", "batch", 3, "height")]

        def run(self, _: None, feeds: dict[str, Any]) -> None:
            seen["shape"] = feeds["pixels"].shape
            if error is not None:
                raise error

    runtime = ModuleType("onnxruntime")
    runtime.SessionOptions, runtime.InferenceSession = SimpleNamespace, Session  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.setattr("adapters.litert.limit_process", lambda memory, seconds: seen.update(limits=(memory, seconds)))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"network")))
    main(["2", "1000", "30", "9", "224"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [{"ready": True}, {"error": answer}]
    assert seen == {
        "model": b"network",
        "threads": 2,
        "providers": ["CPUExecutionProvider"],
        "limits": (1000, 30),
        "shape": (1, 3, 224),
    }

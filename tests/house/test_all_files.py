"""The script that sends all files through all commands: what it calls a fault, and what it does not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from places import ROOT


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("all_files", ROOT / "scripts" / "all_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["all_files"] = module
    spec.loader.exec_module(module)
    return module


def test_files_are_read_or_refused_one_by_one(script: Any, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("good.csv", "bad.csv", "last.csv")]
    for path in files:
        path.write_text("path,label\na.mp4,warm\nb.mp4,cold\n" if path.stem != "bad" else "path,label,start_sec\n1,2\n")
    outcome = script.Outcome("import")
    script.each_file(script.Run(files, [tmp_path], tmp_path), outcome, "import", files)
    assert (outcome.done, outcome.refused, outcome.faults) == (2, 1, [])


def test_a_lost_process_and_an_unnamed_file_are_faults(script: Any, tmp_path: Path) -> None:
    answers = iter([[("a", None), ("b", "!the process ended with SIGSEGV")], [("c", "another file: is damaged")]])
    outcome = script.Outcome("stream")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "_answers", lambda *rest: next(answers))
        script.each_file(script.Run([], [], tmp_path), outcome, "stream", [Path("a"), Path("b"), Path("c")])
    assert (outcome.done, outcome.refused) == (1, 2)
    assert [text[:1] for text in outcome.faults] == ["b", "c"]
    script.check_named(outcome, {Path("x/bad.mp4"), Path("x/torn.mp4")}, "bad.mp4: is damaged")
    assert "torn.mp4" in outcome.faults[-1]


def test_every_kind_of_file_comes_to_each_class_and_split(script: Any, tmp_path: Path) -> None:
    rows = script.labelled([tmp_path / f"{number}{suffix}" for number in range(10) for suffix in (".mp4", ".csv")])
    for suffix in (".mp4", ".csv"):
        of_kind = [row for row in rows if row["path"].endswith(suffix)]
        assert {row["label"] for row in of_kind} == {"even", "odd"}
        assert {row["split"] for row in of_kind} == {"train", "validation", "test"}

"""The fuzzing itself: a crash, a hang, a fault and too much memory are each found, by seed, and the rest goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing import runner
from places import ROOT, SUPPORT

CRASHING = """
import os, signal, time
from contextlib import contextmanager
import fuzzing.kinds
from fuzzing.case import Kind

@contextmanager
def opened(folder):
    def run(seed):
        (folder / "case.txt").write_text(str(seed))
        if seed == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        if seed == 4:
            time.sleep(600)
        if seed == 5:
            raise KeyError("lost")
        if seed == 6:
            bytearray(300 << 20)
        return "read"
    yield run

fuzzing.kinds.KINDS["faulty"] = Kind(8, opened)
"""


def test_each_fault_is_found_by_its_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    source = runner.CHILD.read_text().replace("HERE = Path(__file__).resolve()", f"HERE = Path({str(runner.CHILD)!r})")
    child.write_text(source.replace("    with KINDS[kind]", "    exec(CRASHING)\n    with KINDS[kind]")
                     .replace("def main(", f"CRASHING = {CRASHING!r}\n\n\ndef main("))  # fmt: skip
    monkeypatch.setattr(runner, "CHILD", child)
    monkeypatch.setattr(runner, "MAX_MB", 250)
    monkeypatch.setattr(runner, "HANG_SECONDS", 2.0)
    report = runner.run_cases("faulty", 0, 8, tmp_path / "kept")
    assert report.cases == 8
    assert [finding.seed for finding in report.findings] == [2, 4, 5, 6]
    assert [
        word in str(finding) for word, finding in zip(("SIGSEGV", "end", "lost", "MB"), report.findings, strict=True)
    ]
    kept = {path.parent.name: path.read_text() for path in (tmp_path / "kept").glob("*/case.txt")}
    assert kept == {f"faulty-{seed}": str(seed) for seed in (2, 4, 5, 6)}
    assert report.results["read"] == 5  # what takes too much memory is read, and found


def test_a_case_is_the_same_each_time() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "fuzz.py"), "labels", "--count", "20", "--lines"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{SUPPORT}"}
    first, second = (
        subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.splitlines()[1:]
        for _ in range(2)
    )
    assert len(first) == 20
    # Up to the first path, which is of a temporary folder.
    assert [line.partition("/")[0] for line in first] == [line.partition("/")[0] for line in second]

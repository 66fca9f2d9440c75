"""Runs a range of cases in processes that may crash, hang or grow, and names the seed of each finding."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.case import case_files

CHILD = Path(__file__).with_name("child.py")
MAX_SECONDS, MAX_MB = 10.0, 1000
HANG_SECONDS = 15.0  # after which a case is ended
# A process starts, imports and renders its seeds in this time also where the machine is busy.
START_SECONDS = 120.0


@dataclass(frozen=True)
class Finding:
    """A case that went wrong.

    Attributes:
        kind: The kind of fuzzing.
        seed: The case.
        what: What happened.
        files: Where the files of the case are.
    """

    kind: str
    seed: int
    what: str
    files: Path | None = None

    def __str__(self) -> str:
        kept = f"\n    files: {self.files}" if self.files else ""
        again = f"python scripts/fuzz.py {self.kind} --seed {self.seed}"
        return f"{self.kind} {self.seed}: {self.what}{kept}\n    again: {again}"


@dataclass
class Report:
    """What a run found.

    Attributes:
        findings: The cases that went wrong.
        results: How often each outcome occurred, by its first word.
        cases: How many cases ran.
        longest_seconds: Of one case.
        peak_mb: Of one case.
        lines: The outcome of each case, in order.
    """

    findings: list[Finding] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)
    cases: int = 0
    longest_seconds: float = 0.0
    peak_mb: int = 0
    lines: list[str] = field(default_factory=list)


def run_cases(kind: str, first: int, count: int, keep: Path | None = None) -> Report:
    """Run the cases of a kind whose seeds are ``first`` to ``first + count - 1``.

    Args:
        kind: A key of ``fuzzing.kinds.KINDS``.
        first: The first seed.
        count: How many.
        keep: Where the files of findings are copied; None: nowhere.
    """
    report, at = Report(), first
    while at < first + count:
        at = _run_process(kind, at, first + count - at, report, keep)
    return report


def _run_process(kind: str, first: int, count: int, report: Report, keep: Path | None) -> int:
    """Run cases in one process until it ends or is ended; returns the next seed."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, open(Path(name) / "stderr", "w+b") as log:
        folder = Path(name) / "cases"
        folder.mkdir()
        command = [sys.executable, str(CHILD), kind, str(first), str(count), str(folder)]
        environment = {**os.environ, "CLIPLAB_CACHE": str(Path(name) / "cache"), "PYTHONHASHSEED": "0"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
        try:
            return _Watch(process, kind, first, report, folder, keep, log).until_end()
        finally:
            _end(process)


class _Watch:
    """Follows the lines of one process."""

    def __init__(
        self, process: subprocess.Popen[bytes], kind: str, first: int, report: Report, folder: Path, keep: Path | None,
        log: Any,
    ) -> None:  # fmt: skip
        self.process, self.kind, self.report, self.folder, self.keep, self.log = (
            process,
            kind,
            report,
            folder,
            keep,
            log,
        )
        self.seed: int | None = None  # of the case that runs
        self.next = first
        self.ready = False
        self.logged_bytes = 0  # before the case

    def until_end(self) -> int:
        """The next seed to run, after the process has ended or was killed for what its case did."""
        for line in _lines(self.process, lambda: HANG_SECONDS * crowding() if self.ready else START_SECONDS):
            if line is None:
                self.find(f"does not end within {HANG_SECONDS:g} s")
                return self.next
            self.take(line)
            if "done" in line:
                return self.next
        code = self.process.wait()
        self.find(f"the process ended with {signal.Signals(-code).name if code < 0 else code}")
        return self.next

    def take(self, line: dict[str, Any]) -> None:
        self.ready = True
        if "begin" in line:
            self.seed, self.next = line["begin"], line["begin"] + 1
            self.report.cases += 1
            self.logged_bytes = self.log.seek(0, os.SEEK_END)
        if "end" in line:
            self.report.longest_seconds = max(self.report.longest_seconds, line["seconds"])
            self.report.peak_mb = max(self.report.peak_mb, line["mb"])
            self.report.lines.append(f"{line['end']}: {line['result']}")
            self.report.results[line["result"].partition(":")[0] if not line["error"] else "error"] += 1
            if line["error"]:
                self.find(line["error"].strip())
            elif line["seconds"] > MAX_SECONDS * crowding():
                self.find(f"takes {line['seconds']:.0f} s")
            elif line["mb"] > MAX_MB:
                self.find(f"takes {line['mb']} MB")
            self.seed = None
            self._go_on()

    def _go_on(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()

    def find(self, what: str) -> None:
        if self.seed is None:
            self.log.seek(0)
            text = self.log.read().decode(errors="replace")
            raise RuntimeError(f"{self.kind}: {what}, and no case runs. Its messages:\n{text[-4000:]}")
        what += self._logged()
        self.report.findings.append(Finding(self.kind, self.seed, what, self._kept()))
        self.seed = None

    def _logged(self) -> str:
        """The end of what the process wrote to stderr during the case: a server's traceback, a crash's last words."""
        text, end = "", time.monotonic() + 0.5
        while not text and time.monotonic() < end:  # a server answers before it writes its log
            self.log.seek(self.logged_bytes)
            text = self.log.read().decode(errors="replace").strip()
        return f"\n{text[-2000:]}" if text else ""

    def _kept(self) -> Path | None:
        """A copy of the case's files, which are named "case..." or lie in the folders of the kind."""
        if self.keep is None:
            return None
        target = self.keep / f"{self.kind}-{self.seed}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in case_files(self.folder):
            shutil.copy(path, target / path.name)
        return target


def crowding() -> float:
    """How many times as long a case may take, since other processes want the same cores; 1 on a machine of our own."""
    wanted = os.getloadavg()[0] if hasattr(os, "getloadavg") else 1.0
    return min(20.0, max(1.0, wanted / (os.cpu_count() or 1)))


def _lines(process: subprocess.Popen[bytes], patience: Any) -> Iterator[dict[str, Any] | None]:
    """The process's lines; None where none came in time."""
    assert process.stdout is not None
    descriptor, rest = process.stdout.fileno(), b""
    while True:
        end = time.monotonic() + patience()
        while b"\n" not in rest:
            if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
                yield None
                return
            data = os.read(descriptor, 65536)
            if not data:
                return
            rest += data
        line, _, rest = rest.partition(b"\n")
        yield json.loads(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it started, which are of its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

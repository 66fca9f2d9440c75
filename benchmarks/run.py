"""Run every benchmarks/bench_*.py and write what they print to benchmarks/results.md.

    python benchmarks/run.py [NAME...]

Each prints Markdown tables, or JSON lines, which become one. Names (predict, runtime, ...) choose some; the others keep
the section that results.md has of them.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results.md"
# What a benchmark is given; the others take nothing.
ARGUMENTS = {"media": [str(ROOT / "samples" / "broadcast.mp4")]}


def processor() -> str:
    """The processor's name and how many cores this process may use."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.is_file() else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{found.group(1) if found else platform.processor() or platform.machine()}, {cores} cores"


def load() -> str:
    """How busy the machine is before a measurement: figures taken beside other work are not to be believed."""
    return f", load average {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""


def as_table(output: str) -> str:
    """JSON lines as one Markdown table of two columns or of one row a line; other text as it is."""
    lines = [line for line in output.splitlines() if line.strip()]
    if not all(line.startswith("{") for line in lines):
        return output.strip()
    rows = [json.loads(line) for line in lines]
    if len(rows) == 1:
        return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows[0].items())])
    head = list(rows[0])
    body = ["| " + " | ".join(str(row[key]) for key in head) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body])


def sections() -> dict[str, str]:
    """What results.md says now, by name."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else ""
    return {name: body.strip() for name, body in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.S | re.M)}


def main(chosen: list[str]) -> int:
    found, failed = sections(), 0
    for path in sorted(HERE.glob("bench_*.py")):
        name = path.stem.removeprefix("bench_")
        if chosen and name not in chosen:
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        where = f"{date.today()}, {processor()}, Python {platform.python_version()}{load()}"
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, str(path), *ARGUMENTS.get(name, [])], capture_output=True, text=True, env=environment
        )
        if done.returncode:
            failed += 1
            print(f"{name} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
            continue
        found[name] = f"{where}.\n\n{as_table(done.stdout)}"
    head = "# Benchmark results\n\nWritten by `make bench`. What is measured stands in `benchmarks/bench_NAME.py`.\n"
    body = "".join(f"\n## {name}\n\n{text}\n" for name, text in sorted(found.items()))
    RESULTS.write_text(head + body, encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

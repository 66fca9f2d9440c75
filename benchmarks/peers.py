"""Our commands beside the scripts that a user would write by hand, straightforward and tuned, in one run.

    python benchmarks/peers.py [--only scan,reel] [--rounds 5] [--json FILE] [--docs] [--peer-python PYTHON]

Groups: scan, start, reel, stream, training. The entrants of a contest take turns in each round, each in a process of
its own, timed from its start to its end. The scripts are in benchmarks/peer_scripts/; what is not installed is named
with the command that installs it. A peer that takes more than three times as long as ours runs once. --json keeps the
results, and the groups that were not chosen stay in that file; --docs also writes their table to docs/benchmarks.md.

ratio: the peer's seconds over ours in the same round, above 1 where ours is faster: median (least to most). memory: the
peak of the proportional set size (PSS) of all its processes, read every 0.2 s in a run of its own before the first
round, because reading it takes up to a third of a core. The machine must have nothing else to do; the table says its
load average before the run.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

from peer_contests import GROUPS, SCRIPTS, Answer, Contest, Entrant
from peer_inputs import environment
from peer_table import write_table
from run import load, processor

ROOT = Path(__file__).resolve().parent.parent

MOST_SECONDS = 600.0
SLOW = 3.0  # a peer that takes as many times ours runs once
SAMPLING_SECONDS = 0.2


def children(pid: int) -> list[int]:
    """A process and all below it; Linux."""
    found = [pid]
    for parent in found:
        for listing in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in listing.read_text().split()]
            except OSError:  # ended meanwhile
                continue
    return found


def memory_mb(pid: int) -> float:
    """Proportional set size of a process and all below it, in MB of 10**6 bytes."""
    total = 0
    for process in children(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total * 1024 / 1e6


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started and all below it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def timed(command: list[str], variables: dict[str, str], folder: Path, watched: bool) -> tuple[float, float, str]:
    """Run a command: its seconds, its peak memory in MB, and its standard output.

    Args:
        command: Program and arguments.
        variables: Its environment.
        folder: It runs in.
        watched: Whether its memory is read, which slows it; otherwise that is 0.

    Raises:
        RuntimeError: It failed, or took more than MOST_SECONDS.
    """
    peak, ended = [0.0], threading.Event()
    with (folder / "stdout").open("wb") as output, (folder / "stderr").open("wb") as errors:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=errors, env=variables, cwd=folder, start_new_session=True
        )

        def watch() -> None:
            while not ended.wait(SAMPLING_SECONDS):
                peak[0] = max(peak[0], memory_mb(process.pid))

        watcher = threading.Thread(target=watch, daemon=True)
        if watched:
            watcher.start()
        # Popen.wait with a timeout looks every 50 ms only.
        limit = threading.Timer(MOST_SECONDS, end_group, [process])
        limit.start()
        try:
            status = process.wait()
            seconds = time.perf_counter() - begun
        finally:
            limit.cancel()
            ended.set()
            end_group(process)
            if watched:
                watcher.join()
    if seconds >= MOST_SECONDS:
        raise RuntimeError(f"took more than {MOST_SECONDS:g} s")
    if status:
        lines = (folder / "stderr").read_text(errors="replace").strip().splitlines()
        raise RuntimeError(f"exit code {status}: {lines[-1] if lines else 'no message'}"[:300])
    return seconds, peak[0], (folder / "stdout").read_text()


def missing(entrant: Entrant, python: str) -> str:
    """The command that installs what a peer lacks; empty where it can run."""
    lacking = [
        package
        for name, package in entrant.packages.items()
        if subprocess.run(
            [python, "-c", f"import importlib.util as u, sys; sys.exit(u.find_spec({name!r}) is None)"]
        ).returncode
    ]
    programs = [program for program in entrant.programs if shutil.which(program) is None]
    if programs:  # a package brings it
        probe = [python, "-c", "import imageio_ffmpeg"]
        lacking += ["imageio-ffmpeg"] if subprocess.run(probe, capture_output=True).returncode else []
    return f"{Path(python).name} -m pip install {' '.join(lacking)}" if lacking else ""


def measure(contest: Contest, rounds: int, data: Path, python: str) -> dict[str, Any]:
    """All rounds of a contest: what each entrant took, and what it answered."""
    empty = {"seconds": [], "memory_mb": 0.0, "answer": {}, "note": ""}
    rows: list[dict[str, Any]] = [{"name": entrant.name, **copy.deepcopy(empty)} for entrant in contest.entrants]
    for entrant, row in zip(contest.entrants[1:], rows[1:], strict=True):
        if lacking := missing(entrant, python):
            row["note"] = f"not installed: {lacking}"
    for turn in range(rounds + 1):  # the first for memory
        for number, (entrant, row) in enumerate(zip(contest.entrants, rows, strict=True)):
            if row["note"] or too_slow(row, rows[0]):
                continue
            title = f"round {turn}" if turn else "memory"
            print(f"  {contest.key}, {title}: {entrant.name} ...", file=sys.stderr, end=" ", flush=True)
            run_once(entrant, row, data, python if number else "", watched=not turn)
    for row in rows[1:]:
        row |= compared(row, rows[0])
        row.pop("answer")
    ours: Answer = rows[0].pop("answer")
    about = {name: ours[name] for name in ("frames", "accuracy", "seconds") if name in ours}
    return {
        "key": contest.key, "title": contest.title, "unit": contest.unit, "amount": contest.amount,
        "target": contest.target, "same_model": contest.same_model, "ours": about, "entrants": rows,
    }  # fmt: skip


def run_once(entrant: Entrant, row: dict[str, Any], data: Path, python: str, watched: bool) -> None:
    """Run an entrant and put into its row what it took; one that fails is a row that says so.

    Args:
        entrant: The one to run.
        row: Of the results.
        data: The folder of the inputs.
        python: That runs a peer's script; empty for ours.
        watched: Whether this run is for memory, not for time.
    """
    command = [python, str(SCRIPTS / entrant.command[0]), *entrant.command[1:]] if python else entrant.command
    try:
        entrant.before()
        seconds, peak, output = timed(command, environment(entrant.cache or data / "cache"), data / "work", watched)
        row["answer"] = entrant.answer(output)
    except Exception as error:
        row["note"] = f"failed: {error}" if str(error) else f"failed: {type(error).__name__}"
        print(row["note"], file=sys.stderr, flush=True)
        return
    print(f"{peak:.0f} MB" if watched else f"{seconds:.2f} s", file=sys.stderr, flush=True)
    if watched:
        row["memory_mb"] = round(peak, 1)
    else:
        row["seconds"].append(round(seconds, 3))


def too_slow(row: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether a peer has run once and need not run again."""
    return bool(row["seconds"] and ours["seconds"] and row["seconds"][0] > SLOW * ours["seconds"][0])


def compared(row: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """A peer beside ours: ratios by round, and how far the answers are apart."""
    found: dict[str, Any] = {}
    pairs = list(zip(row["seconds"], ours["seconds"], strict=False))
    if pairs:
        found["ratios"] = [round(peer / own, 3) for peer, own in pairs]
        found["ratio"] = round(statistics.median(found["ratios"]), 3)
    theirs, own_scores = row["answer"].get("scores", {}), ours["answer"].get("scores", {})
    common = sorted(theirs.keys() & own_scores.keys())
    if common:
        differences = [abs(theirs[name] - own_scores[name]) for name in common]
        found["score_difference"] = {
            "mean": round(statistics.fmean(differences), 4),
            "largest": round(max(differences), 4),
            "compared": len(common),
            "missing": len(theirs.keys() ^ own_scores.keys()),
        }
    for name in ("frames", "accuracy", "seconds"):
        if name in row["answer"]:
            found[f"answer_{name}"] = row["answer"][name]
    return found


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(GROUPS), metavar="GROUPS", help="some of: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument("--videos", type=int, default=40, metavar="N", help="in the scans; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results; default: standard output")
    parser.add_argument("--docs", action="store_true", help="write the table to docs/benchmarks.md")
    parser.add_argument("--docs-only", action="store_true", help="as --docs, from --json FILE as it is; run nothing")
    python = {"default": sys.executable, "type": os.path.abspath, "metavar": "PYTHON"}
    parser.add_argument("--peer-python", **python, help="that has the peers' packages")  # type: ignore[arg-type]
    kept = Path(tempfile.gettempdir()) / "cliplab-peers"
    parser.add_argument("--data", type=Path, default=kept, metavar="FOLDER", help="for inputs; default: %(default)s")
    options = parser.parse_args()
    unknown = [name for name in options.only.split(",") if name not in GROUPS]
    if unknown:
        parser.error(f"--only: {', '.join(unknown)} unknown; allowed: {', '.join(GROUPS)}")
    if options.rounds < 1 or options.videos < 1:
        parser.error("--rounds and --videos must be at least 1")
    if options.docs_only and options.json is None:
        parser.error("--docs-only needs --json FILE")
    return options


def main() -> int:
    options = parse_options()
    sys.path.insert(0, str(ROOT))
    groups: dict[str, Any] = {}
    if options.json is not None and options.json.is_file():
        groups = json.loads(options.json.read_text())
    failed = 0
    for name in [] if options.docs_only else options.only.split(","):
        print(f"{name}:", file=sys.stderr, flush=True)
        data = options.data.resolve()
        (data / "work").mkdir(parents=True, exist_ok=True)
        where = f"{date.today()}, {processor()}, Python {sys.version.split()[0]}{load()}, {options.rounds} rounds"
        try:
            contests = GROUPS[name](data, options.videos)
        except Exception as error:  # the other groups go on
            print(f"  {name}: its inputs could not be made: {error}", file=sys.stderr)
            failed += 1
            continue
        measured = [measure(contest, options.rounds, data, options.peer_python) for contest in contests]
        failed += sum(not contest["entrants"][0]["seconds"] for contest in measured)
        groups[name] = {"where": where, "contests": measured}
        if options.json is not None:
            options.json.write_text(json.dumps(groups, indent=1) + "\n")
    if options.json is None:
        print(json.dumps(groups, indent=1))
    if options.docs or options.docs_only:
        write_table(groups, ROOT / "docs" / "benchmarks.md")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

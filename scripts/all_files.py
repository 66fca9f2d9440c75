"""Send every file of folders through every command that takes media or labels, and name what goes wrong.

    python scripts/all_files.py FOLDER...
    python scripts/all_files.py FOLDER --commands predict,scan --limit 50

A small model is trained on all the files, whatever they are, and then used. A file may be refused; it must be named
then, and the rest must be done. Faults are a traceback, an unexpected error, a crash, a command that does not end, and
a bad file that is not named. The exit code is 1 where there is a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SUPPORT = ROOT / "tests" / "support"
LABELS, SPLITS = ("even", "odd"), ("train", "train", "train", "validation", "test")
CONFIG = {"adapter": "adapters.models.mobilenet:MobileNetAdapter", "weights": "random", "imgz": 32, "n_frames": 2}
LABEL_SUFFIXES = {".csv", ".json", ".jsonl", ".xml", ".eaf", ".tsv", ".segments", ".txt"}
SECONDS = 900.0  # for a command on all files
FILE_SECONDS = 60.0  # for one file
STREAM_ROWS = 20


@dataclass
class Outcome:
    """What became of the files of one command.

    Attributes:
        command: Its name.
        done: Files that it read.
        refused: Files that it named and left out.
        seconds: How long it took.
        faults: Sentences; empty where all is well.
    """

    command: str
    done: int = 0
    refused: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


@dataclass
class Run:
    """What the commands share.

    Attributes:
        files: All files, in order.
        folders: The folders that were given.
        work: A folder for what the commands write.
        bad: Files that predict refuses, which every other command has to name.
    """

    files: list[Path]
    folders: list[Path]
    work: Path
    bad: set[Path] = field(default_factory=set)

    @property
    def data(self) -> Path:
        """All files as labelled clips."""
        return self.work / "all.jsonl"

    @property
    def model(self) -> Path:
        """The model that was trained on them."""
        return self.work / "model"


# Commands on all files at once --------------------------------------------------------------------------------------


def call(outcome: Outcome, *words: object, codes: Sequence[int] = (0, 1)) -> tuple[str, str]:
    """Run a command to its end; what is wrong with the way in which it ended is noted as a fault."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}", "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, "-m", "cliplab", *map(str, words)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        outcome.faults.append(f"does not end within {SECONDS:g} s: {' '.join(command)[:300]}")
        return "", ""
    output = done.stdout + done.stderr
    for word in ("Traceback", "unexpected ", "fault of cliplab"):
        if word in output:
            at = output.index(word)
            outcome.faults.append(f"{word.strip()!r}: {output[max(0, at - 300) : at + 300]}")
    if done.returncode not in codes:
        outcome.faults.append(f"ended with {ended(done.returncode)}: {done.stderr[-500:]}")
    return done.stdout, done.stderr


def ended(code: int) -> str:
    """An exit code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def check_named(outcome: Outcome, files: set[Path], output: str) -> None:
    """Each of the files must be named in the output."""
    missing = sorted(str(path) for path in files if path.name not in output)
    outcome.refused += len(files) - len(missing)
    if missing:
        outcome.faults.append(f"{len(missing)} bad files are not named, such as {missing[:5]}")


def train(run: Run, outcome: Outcome) -> None:
    config = run.work / "config.json"
    config.write_text(json.dumps(CONFIG))
    text, notes = call(outcome, "train", config, run.data, run.model, "--epochs", 3, "--json", codes=(0, 1))
    outcome.refused = len(json.loads(text).get("skipped", ())) if text else 0
    outcome.done = len(run.files) - outcome.refused
    if not run.model.is_dir():
        outcome.faults.append(f"made no model: {notes[-500:]}")


def predict(run: Run, outcome: Outcome) -> None:
    text, _ = call(outcome, "predict", run.model, *run.files, "--json")
    rows = json.loads(text) if text else []
    seen = {row["path"]: row.get("error") for row in rows}
    missing = [str(path) for path in run.files if str(path) not in seen]
    if missing:
        outcome.faults.append(f"{len(missing)} files have no row, such as {missing[:5]}")
    run.bad = {path for path in run.files if seen.get(str(path))}
    outcome.refused = len(run.bad)
    outcome.done = len(rows) - outcome.refused
    unnamed = [path.name for path in run.bad if path.name not in str(seen[str(path)])]
    if unnamed:
        outcome.faults.append(f"errors do not name their file: {unnamed[:5]}")


def scan(run: Run, outcome: Outcome) -> None:
    from adapters.media import is_video_name

    for number, folder in enumerate(run.folders):
        output = run.work / f"highlights{number}.json"
        text, notes = call(
            outcome, "scan", folder, run.model, "--output", output, "--min-score", 0, "--label", "odd", "--json"
        )
        scanned = [path for path in run.files if path.is_relative_to(folder) and is_video_name(path.name)]
        check_named(outcome, run.bad & set(scanned), text + notes)
        outcome.done += len(set(scanned) - run.bad)


def reel(run: Run, outcome: Outcome) -> None:
    for number in range(len(run.folders)):
        highlights, target = run.work / f"highlights{number}.json", run.work / f"reel{number}.mp4"
        options = ("--top", 500, "--min-score", 0, "--per-clip-seconds", 0.5, "--json")
        text, _ = call(outcome, "reel", highlights, target, *options)
        report = json.loads(text) if text else {}
        outcome.done += len(report.get("clips", ()))
        outcome.refused += len(report.get("skipped", ()))
        if not target.exists():
            outcome.faults.append("made no reel")


def prepare(run: Run, outcome: Outcome) -> None:
    text, notes = call(outcome, "dataset", "prepare", run.data, run.work / "frames", "--fps", 0.5, "--json")
    check_named(outcome, run.bad, text + notes)
    outcome.done = len(run.files) - outcome.refused


def stats(run: Run, outcome: Outcome) -> None:
    call(outcome, "dataset", "stats", run.data, "--json")  # opens no video
    outcome.done = len(run.files)


def evaluate(run: Run, outcome: Outcome) -> None:
    text, notes = call(outcome, "evaluate", run.model, run.data, "--split", "all", "--json")
    check_named(outcome, run.bad, text + notes)
    outcome.done = len(run.files) - outcome.refused


def convert(run: Run, outcome: Outcome) -> None:
    options = ("--quantize", "int8", "--data", run.data, "--set", "min_agreement=0", "--json")
    call(outcome, "convert", run.model, "--output", run.work / "model.tflite", *options)
    outcome.done = len(run.files)


def verify(run: Run, outcome: Outcome) -> None:
    call(outcome, "verify", run.model, run.work / "model.tflite", "--data", run.data, "--min-agreement", 0, "--json")
    outcome.done = len(run.files)


def imports(run: Run, outcome: Outcome) -> None:
    """Files that may hold labels, and the folders themselves."""
    places = [*run.folders, *(path for path in run.files if path.suffix.lower() in LABEL_SUFFIXES)]
    each_file(run, outcome, "import", places)


# One file after another ---------------------------------------------------------------------------------------------


def each_file(run: Run, outcome: Outcome, command: str, files: Sequence[Path]) -> None:
    """Run a command for each file, in a process that may be lost; after a crash another goes on behind the file."""
    left = list(files)
    while left:
        answers = dict(_answers(run, command, left, outcome))
        for path, error in answers.items():
            outcome.done += error is None
            outcome.refused += error is not None
            if error is not None and error.startswith("!"):
                outcome.faults.append(f"{path}: {error[1:]}")
            elif error is not None and Path(path).name not in error:
                outcome.faults.append(f"{path}: the error does not name it: {error[:300]}")
        left = left[len(answers) :]


def _answers(run: Run, command: str, files: Sequence[Path], outcome: Outcome) -> Iterator[tuple[str, str | None]]:
    """Each file that was reached, with its error; the one at which the process was lost has one too."""
    words = [sys.executable, str(Path(__file__).resolve()), "--each", command, str(run.work)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for path in files:
            watch = threading.Timer(FILE_SECONDS, child.kill)
            watch.start()
            try:
                child.stdin.write(f"{path}\n")
                child.stdin.flush()
                line = child.stdout.readline()
            except BrokenPipeError:
                line = ""
            watch.cancel()
            if not line:
                child.kill()
                yield str(path), f"!the process ended with {ended(child.wait())}, or the file took {FILE_SECONDS:g} s"
                return
            yield str(path), json.loads(line)["error"]
        child.stdin.close()


def serve_each(command: str, work: Path) -> None:
    """Read paths from stdin, run the command for each, and write how it ended."""
    from adapters.errors import AdapterError

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    function = EACH[command](work)
    for line in sys.stdin:
        error = None
        try:
            function(Path(line.rstrip("\n")))
        except AdapterError as failed:
            error = str(failed)
            error = f"!{error}" if "fault of cliplab" in error else error
        except Exception as failed:
            error = f"!{type(failed).__name__}: {failed}"
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()


def _stream_each(work: Path) -> Callable[[Path], object]:
    from itertools import islice

    from fuzzing.model_kinds import described_stream
    from fuzzing.programs import stream_program

    from cliplab.api import stream

    model = work / "stream.tflite"
    model.write_bytes(described_stream(stream_program()))
    return lambda path: list(islice(stream(model, path), STREAM_ROWS))


def _score_each(work: Path) -> Callable[[Path], object]:
    from cliplab.api import score

    return lambda path: score(path, work / "model", label="odd")


def _key_frames_each(work: Path) -> Callable[[Path], object]:
    from cliplab.api import score

    return lambda path: score(path, work / "model", label="odd", keyframes=True)


def _import_each(work: Path) -> Callable[[Path], object]:
    from cliplab.api import dataset_import

    return lambda path: dataset_import(path, work / "imported.jsonl", force=True)


EACH: dict[str, Callable[[Path], Callable[[Path], object]]] = {
    "stream": _stream_each,
    "score": _score_each,
    "score --keyframes": _key_frames_each,
    "import": _import_each,
}


def each(command: str) -> Callable[[Run, Outcome], None]:
    """A command of ``EACH`` on all files."""
    return lambda run, outcome: each_file(run, outcome, command, run.files)


COMMANDS: dict[str, Callable[[Run, Outcome], None]] = {
    "train": train,
    "predict": predict,
    "scan": scan,
    "reel": reel,
    "stats": stats,
    "prepare": prepare,
    "evaluate": evaluate,
    "convert": convert,
    "verify": verify,
    "import": imports,
    "stream": each("stream"),
    "score": each("score"),
    "score --keyframes": each("score --keyframes"),
}
NEEDED = ("train", "predict")  # what the others build on


def main() -> int:
    """Run what the arguments ask for."""
    if sys.argv[1:2] == ["--each"]:
        serve_each(sys.argv[2], Path(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="all files below them are sent")
    parser.add_argument("--commands", default=",".join(COMMANDS), help="which commands, with commas (default: all)")
    parser.add_argument("--limit", type=int, help="at most this many files of each folder, evenly chosen")
    parser.add_argument("--json", action="store_true", help="write the outcomes as JSON")
    options = parser.parse_args()
    folders = [folder.resolve() for folder in options.folders]
    files = [path for folder in folders for path in chosen(folder, options.limit)]
    with tempfile.TemporaryDirectory(prefix="all-files-") as name:
        run = Run(files, folders, Path(name))
        run.data.write_text("".join(json.dumps(row) + "\n" for row in labelled(files)))
        wanted = [*NEEDED, *(name for name in options.commands.split(",") if name not in NEEDED)]
        outcomes = [timed(run, name, options.json) for name in wanted]
    if options.json:
        print(json.dumps([vars(outcome) for outcome in outcomes], indent=2))
    return 1 if any(outcome.faults for outcome in outcomes) else 0


def chosen(folder: Path, limit: int | None) -> list[Path]:
    """Regular files below a folder, in order."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return found if limit is None else found[:: max(1, -(-len(found) // limit))]


def labelled(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of a dataset of all files; each class and each split gets files of every kind."""
    kinds: dict[str, int] = {}
    rows = []
    for path in files:
        number = kinds[path.suffix] = kinds.get(path.suffix, -1) + 1
        rows.append({"path": str(path), "label": LABELS[number % 2], "split": SPLITS[number // 2 % len(SPLITS)]})
    return rows


def timed(run: Run, name: str, quiet: bool) -> Outcome:
    """Run one command and show how it went."""
    outcome, begin = Outcome(name), time.monotonic()
    COMMANDS[name](run, outcome)
    outcome.seconds = round(time.monotonic() - begin, 1)
    if not quiet:
        print(
            f"{name:18} {outcome.done:5} done, {outcome.refused:4} refused, {len(outcome.faults):3} faults, "
            f"{outcome.seconds:.0f} s",
            flush=True,
        )
        for fault in outcome.faults:
            print(f"    {fault}", flush=True)
    return outcome


if __name__ == "__main__":
    sys.path[:1] = [str(ROOT), str(SUPPORT)]
    sys.exit(main())

"""Long work of the studio. A job has a stage, a log, a result or an error, and can be stopped."""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from adapters.errors import AdapterError, ConfigError
from adapters.system import MAX_DEPTH, json_text, parse_json, read_regular_text, write_json_atomic

State = Literal["running", "done", "failed", "stopped", "lost"]
Publish = Callable[[str, dict[str, Any]], object]
# Kinds of work of which one runs at a time: each would slow the other down and fill the memory.
ALONE = ("train",)
MOST_LINES, MOST_LINE_CHARACTERS, MOST_EPOCHS, MOST_JOBS = 500, 2000, 10_000, 100
MOST_RUNNING = 8
MAX_HISTORY_BYTES = 20_000_000
# Of a larger result, such as the scores of a video, the last few are kept, and none over a restart.
_SMALL_RESULT_BYTES, _MOST_LARGE_RESULTS = 20_000, 5
# Progress is published at most this often for each job; changes of state and epochs always are.
_PUBLISH_SECONDS = 0.2
_LOST = "the studio was closed while this was running. Start it again; a training resumes where it stopped"


class JobStoppedError(Exception):
    """Raised inside a job's function by ``Job.check`` after a person asked to stop it."""


@dataclass
class Job:
    """One piece of work. The function that does it calls ``progress``, ``line``, ``epoch`` and ``check``.

    Attributes:
        id: 16 characters of 0..9 and a..f.
        kind: What it does, in one word: "train", "prelabel", "try", "explain".
        title: What a person reads, such as "Train ads_v2 on labels".
        state: "running", "done", "failed", "stopped", or "lost" where the studio was closed while it ran.
        started_at: Seconds since 1970.
        finished_at: Seconds since 1970; None while it runs.
        stage: What it does now, in words.
        done: Steps of the stage that are done.
        total: Steps of the stage; None where that is unknown.
        epochs: Each epoch of a training as a JSON object, see ``EpochLog``.
        lines: The last lines of its log, without control characters.
        result: What the function returned, a JSON object; None until it is done.
        error: What went wrong, in full words; None otherwise.
        again: The address of a page where it can be started again; empty without one.
    """

    id: str
    kind: str
    title: str
    state: State = "running"
    started_at: float = 0.0
    finished_at: float | None = None
    stage: str = ""
    done: int = 0
    total: int | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: str | None = None
    again: str = ""
    _stop: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    _changed: Callable[[Job, str], object] | None = field(default=None, repr=False, compare=False)
    _large: bool = field(default=False, repr=False, compare=False)
    _published: float = field(default=0.0, repr=False, compare=False)

    @property
    def stopping(self) -> bool:
        """Whether a person asked to stop it; the function ends soon after, with ``check`` or by returning."""
        return self._stop.is_set()

    def request_stop(self) -> None:
        """Ask it to stop. ``Jobs.stop`` is what pages call."""
        self._stop.set()

    def wait_for_stop(self, seconds: float) -> bool:
        """Wait until it is asked to stop, at most this long; whether it was."""
        return self._stop.wait(seconds)

    def check(self) -> None:
        """End the job's function if a person asked to stop it.

        Raises:
            JobStoppedError: It was asked to stop.
        """
        if self.stopping:
            raise JobStoppedError

    def progress(self, stage: str, done: int = 0, total: int | None = None) -> None:
        """Say what the job does now.

        Args:
            stage: In words, such as "reading clips".
            done: Steps of the stage that are done.
            total: Steps of the stage; None where that is unknown.
        """
        changed = stage != self.stage
        self.stage, self.done, self.total = _clean(stage), done, total
        if changed or time.monotonic() - self._published > _PUBLISH_SECONDS or done == total:
            self._tell("progress")

    def line(self, text: str) -> None:
        """Add a line to the job's log; control characters are replaced, and only the last lines are kept."""
        self.lines.append(_clean(text))
        del self.lines[:-MOST_LINES]
        self._tell("line")

    def epoch(self, log: Mapping[str, Any]) -> None:
        """Add an epoch of a training.

        Args:
            log: The fields of an ``EpochLog``.
        """
        # A loss that is not a number has no place in JSON.
        self.epochs.append({k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in log.items()})
        del self.epochs[:-MOST_EPOCHS]
        self._tell("epoch")

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")} | {
            "epochs": list(self.epochs),
            "lines": list(self.lines),
            "stopping": self.stopping and self.state == "running",
        }

    def _tell(self, what: str) -> None:
        self._published = time.monotonic()
        if self._changed is not None:
            self._changed(self, what)


JobFunction = Callable[[Job], Mapping[str, Any] | None]


class Jobs:
    """The jobs of one studio. They run in threads, and one that computes for long in a child process.

    A job does not survive the end of the studio, and the next start says so: its state is then "lost".
    """

    def __init__(self, folder: str | Path, publish: Publish | None = None, words: Callable[[str], str] = str) -> None:
        """
        Args:
            folder: Where the list of jobs is kept, ``jobs.json``; made when first needed.
            publish: Called with the topic "job" and what changed, from the job's own thread.
            words: Returns an error's sentence as pages may show it.
        """
        self._path = Path(folder) / "jobs.json"
        self._publish, self._words = publish, words
        self._lock = threading.RLock()
        self._threads: dict[str, threading.Thread] = {}
        self._jobs = self._read()

    def start(self, kind: str, title: str, function: JobFunction, again: str = "") -> Job:
        """Start work in a thread.

        Args:
            kind: What it does, in one word. Of the kinds in ``ALONE``, one job runs at a time.
            title: What a person reads.
            function: Does the work. It receives the job, asks ``job.check()`` or ``job.stopping`` from time to time,
                and returns a JSON object or None.
            again: The address of a page where it can be started again.

        Raises:
            ConfigError: A job of a kind of which only one may run is running.
        """
        with self._lock:
            busy = next((job for job in self._jobs.values() if kind in ALONE and self._runs(job, kind)), None)
            if busy is not None:
                raise ConfigError(f'"{busy.title}" is running, and only one {kind} job runs at a time. Wait or stop it')
            if sum(job.state == "running" for job in self._jobs.values()) >= MOST_RUNNING:
                raise ConfigError(f"{MOST_RUNNING} jobs are running, the maximum. Wait, or stop one")
            job = Job(secrets.token_hex(8), kind, _clean(title)[:200], started_at=time.time(), again=again)
            job._changed = self._changed
            self._jobs[job.id] = job
            for old in [job for job in self._jobs.values() if job.state != "running"][: -MOST_JOBS or None]:
                del self._jobs[old.id]
            self._write()
            thread = threading.Thread(target=self._run, args=(job, function), name=f"job {job.id}", daemon=True)
            self._threads[job.id] = thread
        self._changed(job, "state")
        thread.start()
        return job

    def get(self, job_id: str) -> Job | None:
        """The job of this id; None where there is none."""
        return self._jobs.get(job_id)

    def all(self, kind: str | None = None) -> list[Job]:
        """Every job that is remembered, the newest first.

        Args:
            kind: Only those of this kind.
        """
        with self._lock:
            return [job for job in reversed(self._jobs.values()) if kind in (None, job.kind)]

    def stop(self, job_id: str) -> bool:
        """Ask a job to stop; it ends at its next check.

        Returns:
            Whether such a job was running.
        """
        job = self.get(job_id)
        if job is None or job.state != "running":
            return False
        job.request_stop()
        self._changed(job, "state")
        return True

    def close(self, seconds: float = 10.0) -> None:
        """Stop every job and wait for their ends.

        Args:
            seconds: How long to wait for all of them together.
        """
        for job in self.all():
            self.stop(job.id)
        end = time.monotonic() + seconds
        for thread in list(self._threads.values()):
            thread.join(max(0.0, end - time.monotonic()))

    def _runs(self, job: Job, kind: str) -> bool:
        return job.kind == kind and job.state == "running"

    def _run(self, job: Job, function: JobFunction) -> None:
        state: State = "done"
        try:
            result = function(job)
            job.result = None if result is None else dict(result)
        except JobStoppedError:
            state = "stopped"
        except AdapterError as error:
            state, job.error = "failed", _clean(self._words(str(error)), keep_lines=True)
        except Exception as error:  # whatever it is, the person who started the job reads it
            state, job.error = "failed", f"{type(error).__name__}: {_clean(self._words(str(error)), keep_lines=True)}"
        with self._lock:
            job.finished_at = time.time()
            job._large = job.result is not None and len(json_text(job.result)) > _SMALL_RESULT_BYTES
            job.state = state
            for old in [old for old in self._jobs.values() if old._large][:-_MOST_LARGE_RESULTS]:
                old.result, old._large = None, False
            self._threads.pop(job.id, None)
            self._write()
        self._changed(job, "state")

    def _changed(self, job: Job, what: str) -> None:
        if self._publish is None:
            return
        event: dict[str, Any] = {"id": job.id, "kind": job.kind, "title": job.title, "state": job.state, "what": what}
        event |= {"stage": job.stage, "done": job.done, "total": job.total, "stopping": job.stopping}
        if what == "epoch":
            event["epoch"] = job.epochs[-1]
        if what == "line":
            event["line"] = job.lines[-1]
        if what == "state":
            event |= {"error": job.error, "result": None if job._large else job.result}
        self._publish("job", event)

    def _read(self) -> dict[str, Job]:
        """The jobs of the last run; a list that cannot be read is left out, since it is only a history."""
        found: dict[str, Job] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError, AdapterError):
            for entry in parse_json(read_regular_text(self._path, MAX_HISTORY_BYTES), MAX_DEPTH)["jobs"]:
                job = Job(**entry, _changed=self._changed)
                if job.state == "running":
                    job.state, job.error = "lost", _LOST
                found[str(job.id)] = job
        return found

    def _write(self) -> None:
        names = [name for name in Job.__dataclass_fields__ if not name.startswith("_")]
        entries = [{name: getattr(job, name) for name in names} for job in self._jobs.values()]
        for entry, job in zip(entries, self._jobs.values(), strict=True):
            entry["result"] = None if job._large else job.result
        with contextlib.suppress(OSError, AdapterError):  # a full disk must not end the work itself
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomic(self._path, {"jobs": entries}, None)


def _clean(text: str, keep_lines: bool = False) -> str:
    """Text without control characters, of bounded length."""
    kept = "".join(c if c.isprintable() or (keep_lines and c == "\n") else " " for c in text)
    return kept if len(kept) <= MOST_LINE_CHARACTERS else kept[: MOST_LINE_CHARACTERS - 1] + "…"

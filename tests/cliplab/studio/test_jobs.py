"""Jobs of the studio: progress, results, errors, stops, child processes, and what a restart says of them."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from adapters.errors import AdapterError, ConfigError
from cliplab.studio import Job, Jobs
from cliplab.studio.child_job import run_child


def finished(jobs: Jobs, job: Job) -> Job:
    until(lambda: job.state != "running")
    return job


def count_to(job: Job, arguments: dict[str, Any]) -> dict[str, Any]:
    """Runs in the child process."""
    print("what libraries print does not disturb the messages", flush=True)
    os.write(1, b'{"what": "end", "state": "failed", "error": "nor does what native code writes"}\n')
    for number in range(arguments["to"]):
        job.progress("counting", number + 1, arguments["to"])
        job.epoch({"epoch": number, "loss": 1 / (number + 1)})
    job.line("counted\x1b[31m")
    return {"sum": sum(range(arguments["to"]))}


def fail(job: Job, arguments: dict[str, Any]) -> None:
    raise AdapterError("clips.csv: row 3 has no label. Add one")


def break_down(job: Job, arguments: dict[str, Any]) -> None:
    os.kill(os.getpid(), 9)


def wait_for_stop(job: Job, arguments: dict[str, Any]) -> None:
    job.line("waiting")
    while True:
        time.sleep(0.02)
        if not arguments.get("deaf"):
            job.check()


def test_a_job_reports_progress_and_its_result(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    jobs = Jobs(tmp_path, lambda topic, event: events.append({"topic": topic, **event}))

    def work(job: Job) -> dict[str, Any]:
        job.progress("reading", 1, 2)
        job.line("one\nline \x07")
        return {"clips": 2}

    job = finished(jobs, jobs.start("prelabel", "Pre-label <b>", work))
    assert (job.state, job.result, job.error) == ("done", {"clips": 2}, None)
    assert job.lines == ["one line  "]
    assert jobs.get(job.id) is job
    until(lambda: events[-1]["what"] == "state" and events[-1]["state"] == "done")
    assert [event["what"] for event in events if event["what"] != "progress"] == ["state", "line", "state"]
    assert events[-1]["result"] == {"clips": 2}
    json.dumps(job.to_json())


@pytest.mark.parametrize(
    "error, words",
    [(AdapterError("row 3 has no label"), "row 3"), (KeyError("x"), "KeyError"), (OSError(28), "OSError")],
)
def test_a_failed_job_keeps_the_words_of_its_error(tmp_path: Path, error: Exception, words: str) -> None:
    def work(job: Job) -> None:
        raise error

    jobs = Jobs(tmp_path)
    job = finished(jobs, jobs.start("try", "Try", work))
    assert job.state == "failed"
    assert words in (job.error or "")


def test_a_stopped_job_ends_at_its_next_check(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    job = jobs.start("prelabel", "Wait", lambda job: wait_for_stop(job, {}))
    assert jobs.stop(job.id)
    assert finished(jobs, job).state == "stopped"
    assert not jobs.stop(job.id)
    assert not jobs.stop("unknown")


def test_one_training_runs_at_a_time(tmp_path: Path) -> None:
    jobs, go = Jobs(tmp_path), threading.Event()
    first = jobs.start("train", "Train a", lambda job: {"ok": go.wait(120)})
    with pytest.raises(ConfigError, match="Train a"):
        jobs.start("train", "Train b", lambda job: None)
    other = jobs.start("try", "Try", lambda job: None)
    go.set()
    finished(jobs, other)
    finished(jobs, first)
    assert finished(jobs, jobs.start("train", "Train b", lambda job: None)).state == "done"
    assert [job.title for job in jobs.all("train")] == ["Train b", "Train a"]


def test_a_restart_says_which_jobs_were_lost(tmp_path: Path) -> None:
    go = threading.Event()
    jobs = Jobs(tmp_path)
    finished(jobs, jobs.start("try", "Done", lambda job: {"a": 1}))
    running = jobs.start("train", "Train", lambda job: {"ok": go.wait(120)})
    again = Jobs(tmp_path)
    assert [(job.title, job.state) for job in again.all()] == [("Train", "lost"), ("Done", "done")]
    assert "closed" in (again.all()[0].error or "")
    go.set()
    finished(jobs, running)


@pytest.mark.parametrize("text", ["", "{", '{"jobs": [{"id": 3}]}', '{"jobs": 4}', "[]"])
def test_a_damaged_history_is_left_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "jobs.json").write_text(text)
    assert Jobs(tmp_path).all() == []


def test_the_history_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cliplab.studio.jobs.MOST_JOBS", 3)
    jobs = Jobs(tmp_path)
    for number in range(6):
        finished(jobs, jobs.start("try", str(number), lambda job: None))
    assert [job.title for job in jobs.all()] == ["5", "4", "3", "2"]


def test_a_child_process_works_for_its_job(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    job = finished(jobs, jobs.start("train", "T", lambda job: run_child(job, "test_jobs:count_to", {"to": 5})))
    assert (job.state, job.error, job.result) == ("done", None, {"sum": 10})
    assert [epoch["epoch"] for epoch in job.epochs] == [0, 1, 2, 3, 4]
    assert job.lines == ["counted [31m"]


@pytest.mark.parametrize(
    "target, words", [("fail", "row 3"), ("break_down", "signal 9"), ("missing", "AttributeError")]
)
def test_a_childs_failure_is_its_jobs(tmp_path: Path, target: str, words: str) -> None:
    jobs = Jobs(tmp_path)
    job = finished(jobs, jobs.start("train", "T", lambda job: run_child(job, f"test_jobs:{target}", {})))
    assert job.state == "failed"
    assert words in (job.error or "")


@pytest.mark.parametrize("deaf", [False, True])
def test_a_child_ends_when_its_job_is_stopped(tmp_path: Path, deaf: bool) -> None:
    jobs = Jobs(tmp_path)
    job = jobs.start(
        "train", "T", lambda job: run_child(job, "test_jobs:wait_for_stop", {"deaf": deaf}, stop_seconds=0.3)
    )
    until(lambda: job.lines)
    jobs.stop(job.id)
    assert finished(jobs, job).state == "stopped"

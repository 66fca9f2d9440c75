"""The studio's jobs, kept scores, names of versions and comparisons of models: each bound, and what each case says."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import until

from adapters.errors import AdapterError, ConfigError
from cliplab.studio import jobs as jobs_module
from cliplab.studio.form_sections import FIRST, section_of, unit_of
from cliplab.studio.jobs import MOST_JOBS, MOST_LINES, MOST_RUNNING, Job, Jobs
from cliplab.studio.model_comparison import comparison_notes, figure_differences
from cliplab.studio.model_versions import check_version_name, next_version_name, worst_effect
from cliplab.studio.score_journal import ScoreJournal


def item(**changed: Any) -> Any:
    return SimpleNamespace(
        **{"fingerprint": "f", "start_seconds": None, "end_seconds": None, "path": "a.mp4", **changed}
    )


def test_scores_are_kept_by_content_and_stretch(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.jsonl"
    others = [item(fingerprint="g"), item(start_seconds=1.0), item(end_seconds=2.0), item(path="a.mov")]
    with ScoreJournal(path, 2) as journal:
        assert journal.get(item()) is None
        journal.add(item(), [0.25, 0.75])
        for number, other in enumerate(others):
            journal.add(other, [number / 10, 0.5])
    with ScoreJournal(path, 2) as journal:
        assert journal.get(item(path="/elsewhere/B.MP4")) == [0.25, 0.75]
        assert [journal.get(other) for other in others] == [[number / 10, 0.5] for number in range(4)]
    with ScoreJournal(path, 3) as journal:
        assert journal.get(item()) is None, "of another number of classes"


KEY = '"k": "f:None:None:.mp4"'


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"k": 1, "s": [0, 1]}', f'{{{KEY}, "s": [0]}}', f'{{{KEY}, "s": [0, 1.1]}}',
     f'{{{KEY}, "s": [-0.1, 1]}}', f'{{{KEY}, "s": "x"}}', f"{{{KEY}}}"],
)  # fmt: skip
def test_a_line_that_is_damaged_is_left_out(line: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text(line)
    with ScoreJournal(path, 2) as journal:
        assert journal.get(item()) is None
        journal.add(item(), [0.0, 1.0])
    with ScoreJournal(path, 2) as journal:
        assert journal.get(item()) == [0.0, 1.0]


def wait(job: Job) -> None:
    job.wait_for_stop(60.0)
    job.check()


def test_jobs_that_run_are_bounded_and_trainings_are_alone(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    try:
        first = jobs.start("train", "Train one", wait)
        with pytest.raises(ConfigError, match='"Train one" is running, and only one train job'):
            jobs.start("train", "Train two", wait)
        for number in range(MOST_RUNNING - 1):
            jobs.start("try", f"Try {number}", wait)
        with pytest.raises(ConfigError, match=f"{MOST_RUNNING} jobs are running, the maximum"):
            jobs.start("try", "One more", wait)
        assert [job.title for job in jobs.all("train")] == ["Train one"]
        assert len(jobs.all()) == MOST_RUNNING
        assert jobs.all()[0].title == f"Try {MOST_RUNNING - 2}", "the newest first"
        assert jobs.stop(first.id)
        until(lambda: first.state == "stopped")
        assert not jobs.stop(first.id)
        assert not jobs.stop("none")
        jobs.start("train", "Train two", wait)
    finally:
        jobs.close(60.0)
    assert {job.state for job in jobs.all()} == {"stopped"}


def test_the_last_hundred_jobs_and_five_large_results_are_remembered(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    for number in range(MOST_JOBS + 5):
        job = jobs.start("try", str(number), lambda job: {"x": "y" * 30_000} if int(job.title) % 10 == 0 else {"n": 1})
        until(lambda job=job: job.state == "done")
    kept = jobs.all()
    assert len(kept) in (MOST_JOBS, MOST_JOBS + 1)
    large = [job for job in kept if int(job.title) % 10 == 0]
    assert [job.result is not None for job in large] == [True] * 5 + [False] * (len(large) - 5)
    again = Jobs(tmp_path)
    assert [job.id for job in again.all()] == [job.id for job in kept]
    assert {str(job.result) for job in again.all()} == {"None", "{'n': 1}"}, "no large result over a restart"


def test_a_job_says_what_it_does_and_how_it_ends(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    jobs = Jobs(tmp_path, lambda topic, event: events.append({"topic": topic, **event}), str.upper)
    release = threading.Event()

    def work(job: Job) -> None:
        for number in range(MOST_LINES + 2):
            job.line(f"line {number}")
        job.epoch({"loss": float("nan"), "epoch": 1})
        job.progress("reading", 1, 2)
        release.wait(60.0)
        raise AdapterError("it broke")

    job = jobs.start("try", "A title\x07" + "t" * 300, work, "/again")
    until(lambda: job.stage == "reading")
    shown = job.to_json()
    assert (shown["kind"], shown["state"], shown["again"], shown["stopping"]) == ("try", "running", "/again", False)
    assert (shown["stage"], shown["done"], shown["total"]) == ("reading", 1, 2)
    assert len(shown["title"]) == 200
    assert "\x07" not in shown["title"]
    assert (len(shown["lines"]), shown["lines"][0]) == (MOST_LINES, "line 2")
    assert shown["epochs"] == [{"loss": None, "epoch": 1}]
    assert not [name for name in shown if name.startswith("_")]
    release.set()
    until(lambda: job.state == "failed")
    until(lambda: events[-1]["state"] == "failed")
    assert (job.error, job.result) == ("IT BROKE", None)
    assert job.finished_at is not None
    assert job.finished_at >= job.started_at > 0
    assert {event["what"] for event in events} == {"state", "line", "epoch", "progress"}
    last = events[-1]
    assert (last["topic"], last["id"], last["kind"], last["title"]) == ("job", job.id, "try", job.title)
    assert (last["error"], last["result"], last["stage"], last["done"], last["total"]) == (
        "IT BROKE",
        None,
        "reading",
        1,
        2,
    )
    assert next(event["epoch"] for event in events if event["what"] == "epoch") == {"loss": None, "epoch": 1}
    assert next(event["line"] for event in events if event["what"] == "line") == "line 0"


def test_a_job_that_ran_when_the_studio_ended_is_lost(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    job = jobs.start("train", "Train", wait, "/models")
    found = Jobs(tmp_path).get(job.id)
    assert found is not None
    assert (found.state, found.title, found.kind, found.again) == ("lost", "Train", "train", "/models")
    assert "Start it again" in str(found.error)
    jobs.close(60.0)
    (tmp_path / "jobs.json").write_text("{")
    assert Jobs(tmp_path).all() == []


def test_progress_is_published_now_and_then_and_at_the_end_of_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}
    monkeypatch.setattr(jobs_module.time, "monotonic", lambda: clock["now"])
    seen: list[tuple[str, int]] = []
    job = Job("id", "try", "title")
    job._changed = lambda job, what: seen.append((job.stage, job.done))
    for now, stage, done in (
        (0.0, "a", 0),
        (0.1, "a", 1),
        (0.2, "a", 2),
        (0.21, "a", 3),
        (0.22, "b", 0),
        (0.23, "b", 9),
    ):
        clock["now"] = now
        job.progress(stage, done, 9)
    assert seen == [("a", 0), ("a", 3), ("b", 0), ("b", 9)]


@pytest.mark.parametrize("name", ["a", "A_1.b-c", "9" * 100, "_x"])
def test_names_of_versions(name: str) -> None:
    assert check_version_name(name) == name
    for bad in ("", "9" * 101, ".x", "-x", "a b", "a/b", "x.json", "x.TFLITE", "ä", "a\n"):
        with pytest.raises(ConfigError, match="the name of a version must have"):
            check_version_name(bad)


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [("ads.json", "config", "ads-v2"), ("ads-v7.json", "config", "ads-v8"), ("ads_V3.json", "config", "ads-v4"),
     ("x.y", "bundle", "x.y-v2"), ("taken.json", "config", "taken-v12"), ("TAKEN.json", "config", "TAKEN-v12"),
     ("a b!.json", "config", "a_b-v2"), ("!.json", "config", "model-v2"),
     ("n" * 90 + ".json", "config", "n" * 80 + "-v2")],
)  # fmt: skip
def test_the_next_version_follows_those_that_are_there(path: str, kind: str, name: str, tmp_path: Path) -> None:
    for taken in ("taken-v2.json", "Taken_v11.tflite", "taken-vx.json"):
        (tmp_path / taken).touch()
    found = next_version_name(SimpleNamespace(folder=tmp_path), SimpleNamespace(path=tmp_path / path, kind=kind))  # type: ignore[arg-type]
    assert found == name
    assert check_version_name(found) == found


def test_a_change_costs_what_its_worst_key_does() -> None:
    for effects, worst in (([], "runtime"), (["runtime"], "runtime"), (["runtime", "program"], "program"),
                           (["program", "retrain"], "retrain")):  # fmt: skip
        assert worst_effect([SimpleNamespace(effect=effect) for effect in effects]) == worst  # type: ignore[misc]


def test_keys_of_a_form_have_a_section_and_a_unit() -> None:
    assert [section_of(key) for key in ("gates", "fps", "task", "head", "device", "of_a_plugin")] == [
        "Gates", "Frames", "Scores and segments", "Training", "Program and device", "Model",
    ]  # fmt: skip
    assert [unit_of(key) for key in ("imgz", "fps", "window_seconds", "latency_ms", "size_bytes", "max_degrees")] == [
        "pixels", "frames per second", "seconds", "ms", "bytes", "degrees",
    ]  # fmt: skip
    assert unit_of("task") == ""
    assert len(set(FIRST)) == len(FIRST)


def detail(size: int = 1_000_000, labels: tuple[str, ...] = ("a", "b"), **validation: Any) -> Any:
    kind = SimpleNamespace(kind="bundle")
    return SimpleNamespace(ref=kind, validation=validation, files=["x"], size_bytes=size, labels=labels)


def differences(one: Any, two: Any) -> dict[str, tuple[str, ...]]:
    return {row.title: (row.first, row.second, row.difference, row.verdict) for row in figure_differences(one, two)}


def test_figures_of_two_models_are_compared_in_words() -> None:
    sure = {"intervals": {"accuracy": [0.88, 0.92]}}
    found = differences(
        detail(accuracy=0.5, f1=0.5, log_loss=0.5, recall=0.25, intervals={"accuracy": [0.48, 0.52]}),
        detail(2_000_000, accuracy=0.9, f1=0.25, log_loss=0.25, recall=0.25, precision=0.5, **sure),
    )
    assert found["Accuracy"][2].startswith("+0.40 (95% +")
    assert found["Accuracy"][3] == "the second is better"
    assert found["F1"][2:] == ("-0.25", "the first is better; no interval is known")
    assert found["Log loss"][2:] == ("-0.25", "the second is better; no interval is known")
    assert found["Recall"][2:] == ("+0.00", "equal")
    assert (found["Precision"][0], found["Precision"][2:]) == ("-", ("-", "only one was measured"))
    assert found["Size"][2].startswith("+1")
    assert found["Size"][3] == "the first is smaller"
    unsure = {"intervals": {"accuracy": [0.4, 0.6]}}
    found = differences(detail(accuracy=0.5, **unsure), detail(accuracy=0.55, intervals={"accuracy": [0.45, 0.65]}))
    assert found["Accuracy"][3] == "may be chance"
    assert found["Size"][3] == "equal"
    found = differences(
        detail(accuracy=0.9, **sure), detail(500_000, accuracy=0.5, intervals={"accuracy": [0.48, 0.52]})
    )
    assert (found["Accuracy"][3], found["Size"][3]) == ("the first is better", "the second is smaller")


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        (detail(), detail(clips=5), ["One of them has no stored figures. To get them, measure it"]),
        (detail(clips=5, groups=2), detail(clips=6, groups=2), ["different clips: 5 and 6"]),
        (detail(clips=5, groups=2), detail(clips=5, groups=3), ["different clips: 5 and 5"]),
        (detail(clips=5, groups=2), detail(clips=5, groups=2), ["as independent"]),
        (detail(clips=5), detail(clips=5, labels=("b", "a")), ["as independent", "order of the classes differ"]),
        (detail(clips=5), detail(clips=5, labels=()), ["as independent"]),
    ],
)
def test_what_to_know_of_a_comparison(one: Any, two: Any, said: list[str]) -> None:
    notes = comparison_notes(one, two)
    assert len(notes) == len(said)
    assert all(words in note for words, note in zip(said, notes, strict=True))

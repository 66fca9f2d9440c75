"""What an inference loop counts: predictions in their bins, sums and differences, and what comes back from its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.records import Prediction
from cliplab.rollout.device.loop_counts import LATENCY_EDGES_MS, Counts, LoopFile, read_loops, remove_loop

VERSION = "a" * 64


def prediction(*scores: float, labels: tuple[str, ...] = ("ad", "show")) -> Prediction:
    return Prediction(np.array(scores, np.float32), labels, 0.0, 1.0, "x.mp4")


def counted() -> Counts:
    """Counts in which every number differs."""
    counts = Counts(7, 3, labelled=5, correct=4)
    counts.latency[2], counts.latency[-1] = 6, 1
    counts.scores = {"ad": [2, *[0] * 18, 5]}
    return counts


@pytest.mark.parametrize(
    ("milliseconds", "place"),
    [(0.0, 0), (1.0, 0), (1.01, 1), (1.25, 1), (LATENCY_EDGES_MS[-1], 40), (LATENCY_EDGES_MS[-1] + 1, 41)],
)
def test_a_latency_is_counted_below_the_edge_that_it_reaches(milliseconds: float, place: int) -> None:
    counts = Counts()
    counts.add([prediction(0.5, 0.5), prediction(0.5, 0.5)], milliseconds)
    assert counts.predictions == 2
    assert counts.latency[place] == 2
    assert sum(counts.latency) == 2


@pytest.mark.parametrize(("score", "place"), [(0.0, 0), (0.049, 0), (0.05, 1), (0.5, 10), (0.999, 19), (1.0, 19)])
def test_a_score_is_counted_in_one_of_twenty_bins(score: float, place: int) -> None:
    counts = Counts()
    counts.add([prediction(score, 0.3)], 1.0)
    assert counts.scores["ad"][place] == 1
    assert [sum(bins) for bins in counts.scores.values()] == [1, 1]
    assert counts.scores["show"][6] == 1


def test_scores_of_sixty_four_labels_are_counted() -> None:
    counts = Counts()
    counts.add([prediction(*[0.5] * 70, labels=tuple(f"l{n}" for n in range(70)))], 1.0)
    assert list(counts.scores) == [f"l{n}" for n in range(64)]


def test_counts_come_back_from_json_and_what_is_no_count_is_nothing() -> None:
    counts = counted()
    assert Counts.from_json(counts.to_json()) == counts
    assert Counts.from_json("text") == Counts()
    damaged = {"predictions": -1, "errors": True, "labelled": 1.5, "correct": "2", "latency": [1], "scores": {"ad": 3}}
    assert Counts.from_json(damaged) == Counts(scores={"ad": [0] * 20})
    many = {f"l{n}": [1] * 20 for n in range(70)}
    assert len(Counts.from_json({"scores": many}).scores) == 64
    assert Counts.from_json({"scores": {"ad": [1] * 19}}).scores == {"ad": [0] * 20}


def test_sums_and_differences_are_taken_of_every_number() -> None:
    one, twice = counted(), counted().plus(counted())
    assert (twice.predictions, twice.errors, twice.labelled, twice.correct) == (14, 6, 10, 8)
    assert (twice.latency[2], twice.latency[-1]) == (12, 2)
    assert (twice.scores["ad"][0], twice.scores["ad"][19]) == (4, 10)
    assert twice.minus(one) == one
    assert one.minus(twice) == Counts(scores={"ad": [0] * 20}), "never below 0"
    other = Counts(scores={"show": [1] * 20})
    assert set(one.plus(other).scores) == {"ad", "show"}
    assert one.plus(other).scores["show"] == [1] * 20
    assert one.minus(other).scores == one.scores


@pytest.mark.parametrize("name", ["predictions", "errors", "labelled"])
def test_any_count_makes_it_worth_a_report(name: str) -> None:
    assert Counts().empty
    assert not Counts(**{name: 1}).empty


def test_a_loops_file_says_what_ran_and_whether_it_still_does(tmp_path: Path) -> None:
    loop = LoopFile(tmp_path, "base-ads")
    loop.counts(VERSION).predictions = 3
    loop.counts("b" * 64).errors = 2
    loop.write()
    (found,) = read_loops(tmp_path)
    assert (found.model, found.version, found.running, found.ended) == ("base-ads", "b" * 64, True, False)
    assert (found.versions[VERSION].predictions, found.versions["b" * 64].errors) == (3, 2)
    loop.close()
    (found,) = read_loops(tmp_path)
    assert (found.running, found.ended) == (False, True)
    remove_loop(tmp_path, found.name)
    assert list(tmp_path.iterdir()) == []


def test_a_loop_that_ends_without_saying_so_has_crashed(tmp_path: Path) -> None:
    loop = LoopFile(tmp_path, "base-ads")
    loop.close(ended=False)
    (found,) = read_loops(tmp_path)
    assert (found.running, found.ended) == (False, False)


def test_a_change_of_version_is_written_at_once(tmp_path: Path) -> None:
    loop = LoopFile(tmp_path, "base-ads")
    loop.counts(VERSION).predictions = 1
    assert next(read_loops(tmp_path)).version == VERSION
    loop.counts(VERSION).predictions = 2
    assert next(read_loops(tmp_path)).versions[VERSION].predictions == 0, "not at each prediction"
    loop.close()
    assert next(read_loops(tmp_path)).versions[VERSION].predictions == 2


def test_counts_are_written_every_five_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock: dict[str, float] = {"now": 100.0}
    monkeypatch.setattr("cliplab.rollout.device.loop_counts.time.monotonic", lambda: clock["now"])
    loop = LoopFile(tmp_path, "base-ads")
    loop.counts(VERSION)
    loop.counts(VERSION).predictions = 1

    def stored() -> Any:
        return next(read_loops(tmp_path)).versions[VERSION].predictions

    clock["now"] += 4.99
    loop.write_if_due()
    assert stored() == 0
    clock["now"] += 0.01
    loop.write_if_due()
    assert stored() == 1
    loop.close()


def test_files_of_others_are_left_out(tmp_path: Path) -> None:
    LoopFile(tmp_path, "base-ads").close()
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"model": "m"}'), ("d", " " * 1_000_001)):
        (tmp_path / f"{name}.json").write_text(text)
    assert [found.model for found in read_loops(tmp_path)] == ["base-ads"]

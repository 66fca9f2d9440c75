"""Which frames a stream consumes, to the frame, and what a session counts; with a program that needs no network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adapters.errors import ConfigError
from adapters.inference.stream_session import StreamSession
from adapters.inference.stream_ticks import FrameDecision, Ticks
from adapters.records import InputSpec

LABELS = ("a", "b")
COUNT = "a_pool_frame_count"

TAKEN, DROPPED = FrameDecision(True), FrameDecision(False)


def offers(times: list[float], fps: float = 5.0, max_gap: float = 2.0) -> list[FrameDecision]:
    ticks = Ticks(fps, max_gap)
    return [ticks.offer(seconds) for seconds in times]


@pytest.mark.parametrize(
    "times, expected",
    [
        ([3, 3.2, 3.4], [TAKEN] * 3),
        ([0, 0.1, 0.2, 0.3, 0.4], [TAKEN, DROPPED, TAKEN, DROPPED, TAKEN]),
        ([0, 0.2, 0.2, 0.4], [TAKEN, TAKEN, DROPPED, TAKEN]),  # the same moment twice
        ([0, 0.2, 0.1, 0.4], [TAKEN, TAKEN, DROPPED, TAKEN]),  # late
        ([0, 0.6, 0.8], [TAKEN, FrameDecision(True, 2), TAKEN]),
        ([0, 0.39, 0.6], [TAKEN, TAKEN, FrameDecision(True, 1)]),
        ([0, 0.4, 0.6], [TAKEN, FrameDecision(True, 1), TAKEN]),
        ([0, 0.3999999, 0.6], [TAKEN, FrameDecision(True, 1), TAKEN]),  # as timestamps are rounded
        ([0, 0.15, 0.3], [TAKEN, TAKEN, DROPPED]),  # nearer to its tick than the next one would be
    ],
)
def test_what_becomes_of_each_frame(times: list[float], expected: list[FrameDecision]) -> None:
    assert offers(times) == expected


def test_a_gap_of_just_the_limit_is_filled_and_a_longer_one_begins_anew() -> None:
    assert offers([1, 3])[1] == FrameDecision(True, 9)
    found = offers([1, 3.05, 3.25])
    assert found[1] == FrameDecision(True, 0, "no frame for 2.0 s")
    assert found[2] == TAKEN


def test_time_may_go_back_by_a_period_and_no_more() -> None:
    assert offers([1, 1.2, 1.4, 1.2])[3] == DROPPED
    found = offers([1, 1.2, 1.4, 1.15, 1.35])
    assert found[3] == FrameDecision(True, 0, "time went back by 0.2 s")
    assert found[4] == TAKEN


def test_a_late_frame_does_not_set_the_clock_back() -> None:
    """The gap is counted from the latest frame."""
    assert offers([0, 0.2, 0.15, 2.2])[3] == FrameDecision(True, 9)
    assert offers([0, 0.2, 0.15, 2.21])[3].reset is not None


def test_the_beginning_is_that_of_the_first_frame_since_the_last_reset() -> None:
    ticks = Ticks(5, 2)
    assert ticks.begun_seconds == 0
    begun = []
    for seconds in (4, 4.2, 9, 9.2, 1):
        ticks.offer(seconds)
        begun.append(ticks.begun_seconds)
    assert begun == [4, 4, 9, 9, 1]
    ticks.restart()
    assert ticks.begun_seconds == 0
    assert ticks.offer(100) == TAKEN


# Sessions -------------------------------------------------------------------------------------------------------------


class Program:
    """Scores are the brightness of each frame and how many were seen."""

    def __init__(self) -> None:
        self.states = {COUNT: SimpleNamespace(shape=(1,))}
        self.batches: list[int] = []

    def open(self) -> Any:
        program, states = self, {COUNT: np.zeros(1, np.int32)}

        class State:
            def reset(self) -> None:
                states[COUNT][:] = 0

            def advance(self, images: Any, before_step: Any = None) -> dict[str, Any]:
                program.batches.append(len(images))
                rows = []
                for image in images:
                    if before_step is not None:
                        before_step(states)
                    states[COUNT] += 1
                    rows.append([image.mean(), states[COUNT][0]])
                return {"scores": np.array(rows, np.float32)}

        return State()


def session(program: Program | None = None, **options: Any) -> StreamSession:
    spec = InputSpec(height=4, width=6, n_frames=1, aspect="stretch")
    values = {"fps": 5.0, **options}
    fps = values.pop("fps")
    return StreamSession(program or Program(), LABELS, spec, fps, **values)  # type: ignore[arg-type]


def frame(level: int, height: int = 4, width: int = 6) -> Any:
    return np.full((height, width, 3), level, np.uint8)


def test_frames_are_scaled_as_the_model_asks() -> None:
    found = session(mean=100.0, scale=50.0).push(frame(200), 0.0)
    assert found.scores.tolist() == [2.0, 1.0]
    assert session().push(frame(51), 0.0).scores[0] == pytest.approx(0.2)


def test_counts_tell_what_became_of_frames() -> None:
    stream = session()
    for level, seconds in ((1, 0.0), (2, 0.1), (3, 0.2), (4, 0.8), (5, 0.75), (6, 9.0), (7, 9.2)):
        found = stream.push(frame(level), seconds)
    assert vars(stream.counts) == {"given": 7, "consumed": 7, "repeated": 2, "dropped": 2, "resets": 1}
    assert found.scores[1] == 2  # since it began anew
    assert (found.start, found.end) == (9.0, 9.2)


def test_a_gap_shows_the_frame_before_it_again() -> None:
    stream = session()
    stream.push(frame(255), 0.0)
    found = stream.push(frame(0), 0.8)
    np.testing.assert_allclose(found.frame_scores, [[1, 2], [1, 3], [1, 4], [0, 5]])


def test_a_gap_within_a_segment_begins_anew_after_what_came_before_it() -> None:
    stream = session()
    found = stream.push(np.stack([frame(level) for level in (51, 102, 153, 204)]), [0.0, 0.2, 9.0, 9.2])
    np.testing.assert_allclose(found.frame_scores, [[0.2, 1], [0.4, 2], [0.6, 1], [0.8, 2]], rtol=1e-6)
    assert (found.start, stream.counts.resets, stream.counts.consumed) == (9.0, 1, 4)


def test_a_long_segment_is_prepared_in_parts() -> None:
    program = Program()
    found = session(program).push(np.stack([frame(level) for level in range(40)]), 0.0)
    assert program.batches == [16, 16, 8]
    assert found.frame_scores is not None
    np.testing.assert_allclose(found.frame_scores[:, 0] * 255, range(40), rtol=1e-5)


@pytest.mark.parametrize(
    "memory, starts", [(None, [0, 0, 0]), (0.5, [0, 0, 0.3]), (0.3, [0, 0.1, 0.5]), (9, [0, 0, 0])]
)
def test_a_prediction_says_how_much_of_the_past_it_rests_on(memory: float | None, starts: list[float]) -> None:
    stream = session(memory_seconds=memory)
    found = [stream.push(frame(1), seconds).start for seconds in (0.0, 0.2, 0.4, 0.6, 0.8)]
    assert [found[0], found[2], found[4]] == pytest.approx(starts)


@pytest.mark.parametrize("memory, frames", [(0.01, 1), (0.25, 1), (0.35, 2), (0.75, 4), (1.0, 5), (None, 9)])
def test_a_memory_is_the_nearest_number_of_frames(memory: float | None, frames: int) -> None:
    found = session(memory_seconds=memory).push(np.stack([frame(1)] * 9), 0.0)
    assert found.scores[1] == frames


def test_a_gap_of_two_periods_is_never_a_new_beginning() -> None:
    stream = session(fps=0.5, max_gap_seconds=1.0)
    for seconds in (0.0, 2.0, 6.0):
        stream.push(frame(1), seconds)
    assert (stream.counts.resets, stream.counts.repeated) == (0, 1)
    stream.push(frame(1), 10.1)
    assert stream.counts.resets == 1


def test_another_size_is_told_once_and_a_reset_changes_no_size() -> None:
    notes: list[str] = []
    stream = session(on_note=notes.append)
    for number, size in enumerate(((4, 6), (4, 6), (8, 5), (8, 5), (4, 6))):
        stream.push(frame(1, *size), number / 5)
    assert [note.partition(" from ")[2] for note in notes] == ["6x4 to 5x8", "5x8 to 6x4"]


def test_class_scores_source_and_labels_are_passed_on() -> None:
    found = session(to_scores=lambda scores: scores[:, ::-1].copy(), source="camera").push(frame(255), 3.0)
    assert (found.scores.tolist(), found.labels, found.source) == ([1.0, 1.0], LABELS, "camera")
    stream = session(to_scores=lambda scores: scores[:, ::-1].copy())
    stream.push(frame(255), 0.0)
    assert stream.push(frame(255), 0.2).scores.tolist() == [2.0, 1.0]


def test_frames_with_one_time_follow_at_the_sessions_rate_and_with_several_at_theirs() -> None:
    stream = session(fps=4.0)
    assert stream.push(np.stack([frame(1)] * 3), 2.0).end == 2.5
    assert stream.push(np.stack([frame(1)] * 2), [2.75, 3.05]).end == 3.05
    for seconds in ([1.0], [1.0, 2.0, 3.0], [1.0, -1.0], float("inf")):
        with pytest.raises(ValueError, match="2 frames"):
            stream.push(np.stack([frame(1)] * 2), seconds)


@pytest.mark.parametrize("name", ["fps", "memory_seconds", "max_gap_seconds"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_rates_and_spans_that_are_none(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f'"{name}"'):
        session(**{name: value})

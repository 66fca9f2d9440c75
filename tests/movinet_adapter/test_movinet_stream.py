"""Stream sessions: which frames are consumed, what they give, and what an endless stream remembers."""

from __future__ import annotations

import csv
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import ROOT

from adapters.errors import ConfigError
from adapters.inference.stream_memory import PoolWindow
from adapters.inference.stream_session import StreamSession
from adapters.inference.stream_ticks import Ticks
from adapters.litert import StreamProgram
from adapters.media import open_video
from adapters.records import InputSpec

pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")

from stream_programs import LABELS, SIZE, clip, expected, small_program

FPS = 5.0
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def program() -> StreamProgram:
    return StreamProgram(small_program(), num_threads=2)


def open_session(program: StreamProgram, fps: float = FPS, **options: Any) -> StreamSession:
    spec = InputSpec(height=SIZE, width=SIZE, n_frames=1, aspect="stretch")
    return StreamSession(program, LABELS, spec, fps, **options)


def assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= TOLERANCE


# Frames to predictions ------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(cuts=st.sets(st.integers(1, 9)))
def test_frame_by_frame_equals_the_whole_clip_in_any_chunks(program: StreamProgram, cuts: set[int]) -> None:
    frames = clip(10)
    scores, _ = expected(frames)
    session, rows = open_session(program), []
    for start, end in itertools.pairwise([0, *sorted(cuts), 10]):
        found = session.push(frames[start:end], [index / FPS for index in range(start, end)])
        assert_close(found.scores, scores[end - 1])
        assert (found.start, found.end) == (0, (end - 1) / FPS)
        rows.append(found.frame_scores)
    assert_close(np.concatenate(rows), scores)


def test_one_frame_and_a_segment_are_both_taken(program: StreamProgram) -> None:
    frames = clip(40)  # more than are prepared at once
    scores, _ = expected(frames)
    single, segment = open_session(program), open_session(program)
    for index, frame in enumerate(frames):
        found = single.push(frame, index / FPS)
        assert_close(found.scores, scores[index])
    assert_close(segment.push(frames, 0.0).frame_scores, scores)
    assert segment.counts.consumed == single.counts.consumed == 40


def test_frames_of_a_faster_source_are_taken_at_the_ticks_and_not_made_in_between(program: StreamProgram) -> None:
    frames, made = clip(61), []
    session = open_session(program)

    def make(index: int) -> Any:
        return lambda: made.append(index) or frames[index]

    for index in range(61):
        last = session.push(make(index), index / 30)
    assert made == list(range(0, 61, 6))
    assert_close(last.scores, expected(frames[::6])[0][-1])
    assert (session.counts.given, session.counts.consumed, session.counts.dropped) == (61, 11, 50)


def test_a_push_between_ticks_gives_the_prediction_that_stands(program: StreamProgram) -> None:
    session, frames = open_session(program), clip(2)
    first = session.push(frames[0], 0.0)
    assert session.push(frames[1], 0.05) is first


def test_a_stall_repeats_the_last_frame(program: StreamProgram) -> None:
    frames, notes = clip(4), []
    session = open_session(program, on_note=notes.append)
    for frame, seconds in zip(frames, (0, 0.2, 1.2, 1.4), strict=True):
        found = session.push(frame, seconds)
    seen = frames[[0, 1, 1, 1, 1, 1, 2, 3]]
    assert_close(found.scores, expected(seen)[0][-1])
    assert session.counts.repeated == 4
    assert notes == []


@pytest.mark.parametrize(
    "times, why", [((0, 0.2, 9.0, 9.2), "no frame for 8.8 s"), ((7, 7.2, 1.0, 1.2), "time went back by 6.2 s")]
)
def test_a_long_gap_and_time_that_goes_back_begin_anew(
    program: StreamProgram, times: tuple[float, ...], why: str
) -> None:
    frames, notes = clip(4), []
    session = open_session(program, memory_seconds=3, on_note=notes.append)
    found = session.push(frames, times)
    assert_close(found.scores, expected(frames[2:])[0][-1])
    assert_close(found.frame_scores, np.concatenate([expected(frames[:2])[0], expected(frames[2:])[0]]))
    assert (found.start, found.end) == (times[2], times[3])
    assert len(notes) == session.counts.resets == 1
    assert why in notes[0]


def test_reset_forgets_frames_and_time(program: StreamProgram) -> None:
    frames = clip(5)
    session = open_session(program, memory_seconds=0.6)
    before = session.push(frames, 3.0)
    session.reset()
    after = session.push(frames, 0.0)
    assert np.array_equal(before.frame_scores, after.frame_scores)
    assert after.end == pytest.approx(0.8)


def test_frames_of_any_size_are_fitted_and_a_change_is_told(program: StreamProgram) -> None:
    notes: list[str] = []
    session = open_session(program, on_note=notes.append)
    tall = np.full((90, 40, 3), 200, np.uint8)
    wide = np.full((SIZE, SIZE, 3), 200, np.uint8)  # the same picture, once both are fitted
    found = session.push(tall, 0.0)
    assert session.push(wide, 0.2).scores.shape == found.scores.shape
    assert notes == [f"the frame size changed at 0.20 s from 40x90 to {SIZE}x{SIZE}"]
    assert_close(session.push(wide, 0.4).scores, expected(np.stack([wide] * 3))[0][-1])


def test_class_scores_may_differ_from_the_outputs(program: StreamProgram) -> None:
    session = open_session(program, to_scores=lambda outputs: outputs[:, ::-1], source="camera")
    plain, turned = open_session(program).push(clip(1)[0], 0), session.push(clip(1)[0], 0)
    assert np.array_equal(plain.scores[::-1], turned.scores)
    assert (turned.source, turned.labels) == ("camera", LABELS)


def test_a_frame_that_fails_resets_the_session(program: StreamProgram) -> None:
    session, frames = open_session(program), clip(3)
    session.push(frames[:2], 0.0)

    def fail() -> Any:
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        session.push(fail, 0.4)
    assert_close(session.push(frames[2], 0.6).scores, expected(frames[2:])[0][-1])


@pytest.mark.parametrize(
    "frames, seconds, message",
    [
        (np.zeros((4, 4, 3), np.float32), 0, r"frames must be uint8 .* got float32 \[4, 4, 3\]"),
        (np.zeros((4, 4), np.uint8), 0, r"got uint8 \[4, 4\]"),
        (np.zeros((0, 4, 4, 3), np.uint8), 0, r"got uint8 \[0, 4, 4, 3\]"),
        ("picture.png", 0, "got str"),
        (np.zeros((2, 4, 4, 3), np.uint8), [0.1], "for each of 2 frames, got"),
        (np.zeros((4, 4, 3), np.uint8), float("nan"), "finite seconds of at least 0"),
        (np.zeros((4, 4, 3), np.uint8), -1, "finite seconds of at least 0"),
    ],
)
def test_what_is_no_frame_or_time_is_refused_and_changes_nothing(
    program: StreamProgram, frames: Any, seconds: Any, message: str
) -> None:
    session, good = open_session(program), clip(2)
    session.push(good[0], 0)
    with pytest.raises(ValueError, match=message):
        session.push(frames, seconds)
    assert_close(session.push(good[1], 0.2).scores, expected(good)[0][-1])


@pytest.mark.parametrize("name, value", [("fps", 0), ("fps", float("inf")), ("memory_seconds", -1)])
def test_rates_and_spans_must_be_positive(program: StreamProgram, name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f'"{name}" is {value}'):
        open_session(program, **{name: value})


def test_many_sessions_in_threads_share_a_program(program: StreamProgram) -> None:
    clips = [clip(10, seed) for seed in range(8)]

    def follow(frames: np.ndarray) -> np.ndarray:
        session = open_session(program)
        return np.stack([session.push(frame, index / FPS).scores for index, frame in enumerate(frames)])

    with ThreadPoolExecutor(len(clips)) as pool:
        for frames, found in zip(clips, pool.map(follow, clips), strict=True):
            assert_close(found, expected(frames)[0])


def test_one_session_from_several_threads_takes_turns(program: StreamProgram) -> None:
    session, frame = open_session(program), clip(1)[0]
    clock, lock = itertools.count(), threading.Lock()

    def push(_: int) -> None:
        with lock:
            seconds = next(clock) / FPS
        session.push(frame, seconds)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(push, range(12)))
    assert session.counts.given == 12
    assert session.counts.consumed + session.counts.dropped - session.counts.repeated == 12


# Ticks ----------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    rate=st.floats(5, 120),
    fps=st.sampled_from([5.0, 8.0, 12.0]),
    start=st.floats(0, 2e9),
)
def test_a_steady_source_is_taken_near_each_tick_and_never_twice(rate: float, fps: float, start: float) -> None:
    rate = max(rate, fps)
    ticks = Ticks(fps, max_gap_seconds=2)
    times = [start + index / rate for index in range(int(10 * rate))]
    offers = [ticks.offer(seconds) for seconds in times]
    taken = [seconds - start for seconds, offer in zip(times, offers, strict=True) if offer.taken]
    assert not any(offer.repeats or offer.reset for offer in offers)
    assert len(taken) == pytest.approx(10 * fps, abs=1.5)
    for number, seconds in enumerate(taken):
        assert abs(seconds - number / fps) <= 0.5 / rate + 1e-5


@settings(deadline=None)
@given(shifts=st.lists(st.floats(-0.04, 0.04), min_size=2, max_size=60))
def test_a_source_at_its_own_rate_loses_no_frame_to_jitter(shifts: list[float]) -> None:
    ticks = Ticks(5, max_gap_seconds=2)
    offers = [ticks.offer(1 + index / 5 + shift) for index, shift in enumerate([0.0, *shifts])]
    assert all(offer.taken and not offer.repeats for offer in offers)


@settings(deadline=None)
@given(gaps=st.lists(st.floats(0, 3), max_size=50))
def test_ticks_keep_up_with_time_whatever_the_gaps(gaps: list[float]) -> None:
    ticks, seconds, consumed = Ticks(5, max_gap_seconds=2), 10.0, 0
    ticks.offer(seconds)
    begun = seconds
    for gap in gaps:
        before, seconds = seconds, seconds + gap
        offer = ticks.offer(seconds)
        if seconds - before > 2:  # which may be a little more than the gap, as floats add
            assert offer.taken
            assert offer.reset
            begun, consumed = seconds, 0
            continue
        assert offer.reset is None
        assert not offer.repeats or offer.taken
        consumed += offer.repeats + offer.taken
        assert -1.01 <= consumed - (seconds - begun) * 5 <= 1.01


def test_late_frames_are_dropped() -> None:
    ticks = Ticks(5, max_gap_seconds=2)
    assert [ticks.offer(seconds).taken for seconds in (1.0, 1.2, 1.1, 1.2, 1.4)] == [True, True, False, False, True]


# Memory ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 7), steps=st.integers(1, 60), seed=st.integers(0, 99))
def test_pools_are_the_mean_of_the_last_frames(frames: int, steps: int, seed: int) -> None:
    values = np.random.default_rng(seed).uniform(0, 6, (steps, 4)).astype(np.float32)
    states = {
        "state_a_pool_buffer": np.zeros((1, 1, 1, 1, 3), np.float32),
        "state_head_pool_buffer": np.zeros((1, 1, 1, 1, 1), np.float32),
        "state_a_pool_frame_count": np.zeros(1, np.int32),
        "state_a_pos_enc_frame_count": np.zeros(1, np.int32),
        "state_a_stream_buffer": np.full((1, 2, 1, 1, 3), 9, np.float32),
    }
    window = PoolWindow(frames, {name: value.shape for name, value in states.items()})
    for number, value in enumerate(values):
        window.before_step(states)
        assert states["state_a_pos_enc_frame_count"][0] == min(number, frames - 1)
        for name in ("state_a_pool_frame_count", "state_a_pos_enc_frame_count"):
            states[name] += 1
        states["state_a_pool_buffer"] += value[:3]
        states["state_head_pool_buffer"] += value[3]
        sums = np.concatenate([states["state_a_pool_buffer"].ravel(), states["state_head_pool_buffer"].ravel()])
        wanted = values[max(0, number - frames + 1) : number + 1].mean(axis=0)
        assert np.abs(sums / states["state_a_pool_frame_count"][0] - wanted).max() < 1e-4
    assert (states["state_a_stream_buffer"] == 9).all()


def test_a_memory_changes_nothing_until_it_is_full_and_then_forgets(program: StreamProgram) -> None:
    frames = clip(30)
    whole, short = open_session(program), open_session(program, memory_seconds=2)
    a, b = whole.push(frames, 0.0), short.push(frames, 0.0)
    assert a.frame_scores is not None
    assert b.frame_scores is not None
    assert np.array_equal(a.frame_scores[:10], b.frame_scores[:10])
    assert np.abs(a.frame_scores[15:] - b.frame_scores[15:]).max() > 100 * TOLERANCE
    assert (b.start, b.end) == (pytest.approx(3.8), pytest.approx(5.8))
    # What was seen before the memory, and before the buffers of the temporal convolutions, has no part in it.
    other = open_session(program, memory_seconds=2)
    for index in range(60):
        other.push(clip(60, seed=9)[index], index / FPS)
    again = other.push(np.concatenate([frames, frames]), 60 / FPS)
    once = open_session(program, memory_seconds=2).push(np.concatenate([frames, frames]), 0.0)
    assert_close(again.scores, once.scores)


def test_a_chunked_stream_with_memory_equals_the_whole(program: StreamProgram) -> None:
    frames = clip(40)
    whole = open_session(program, memory_seconds=1).push(frames, 0.0)
    session = open_session(program, memory_seconds=1)
    others = [open_session(program, memory_seconds=1) for _ in range(3)]  # which take its interpreter away
    for start in range(0, 40, 3):
        found = session.push(frames[start : start + 3], start / FPS)
        for other in others:
            other.push(frames[0], start / FPS)
    assert_close(found.scores, whole.scores)


# With real weights ----------------------------------------------------------------------------------------------------

CLIPS = ("carving_ice_172.mp4", "jumpingjack.gif", "flipping_a_pancake.mkv", "mmaction2_demo_arm_wrestling.mp4")
KINETICS = (ROOT / "movinet_adapter" / "labels" / "kinetics600.txt").read_text().splitlines()
MEMORY_SECONDS = 12.0


@pytest.fixture(scope="module")
def real(shared: Path) -> StreamProgram:
    """A0 stream of the published weights, in float32."""
    path = shared / "weights" / "movinet_a0_stream_int8.tflite"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}: set CLIPLAB_SHARED to a folder that has it in weights/")
    from adapters.training import assign
    from movinet_adapter.network import build_movinet
    from movinet_adapter.streaming.conversion import stream_program_bytes
    from movinet_adapter.weights.tflite_weights import read_tflite_weights

    network = build_movinet("a0", "stream", height=172, width=172, n_frames=1, num_classes=600, variant="int8")
    assign(network, read_tflite_weights(path))
    return StreamProgram(stream_program_bytes(network, None), num_threads=2)


@pytest.fixture(scope="module")
def actions(shared: Path) -> dict[str, np.ndarray]:
    """The labelled clips at 5 fps: label -> uint8 [T, 172, 172, 3]."""
    folder, found = shared / "media", {}
    with (folder / "clips.tsv").open(newline="") as table:
        labels = {row["file"]: row["kinetics600_label"] for row in csv.DictReader(table, delimiter="\t")}
    for name in CLIPS:
        with open_video(folder / "clips" / name) as video:
            frames = [picture for _, picture in video.frames(height=172, width=172, aspect="stretch", fps=FPS)]
        found[labels[name]] = np.stack(frames)
    return found


def open_real(real: StreamProgram, memory_seconds: float | None) -> StreamSession:
    spec = InputSpec(172, 172, 1, aspect="stretch")
    return StreamSession(real, KINETICS, spec, FPS, memory_seconds=memory_seconds)


def best(scores: np.ndarray) -> list[str]:
    return [KINETICS[index] for index in scores.argmax(axis=-1)]


def test_a_memory_costs_single_clips_nothing(real: StreamProgram, actions: dict[str, np.ndarray]) -> None:
    for label, frames in actions.items():
        whole, short = (open_real(real, memory).push(frames, 0.0) for memory in (None, MEMORY_SECONDS))
        assert whole.top_k(1)[0].label == short.top_k(1)[0].label == label
        assert np.array_equal(whole.scores, short.scores)


@pytest.mark.parametrize("first, then", [("flipping pancake", "arm wrestling"), ("jumping jacks", "carving ice")])
def test_after_minutes_of_one_action_another_shows_within_10_s(
    real: StreamProgram, actions: dict[str, np.ndarray], first: str, then: str
) -> None:
    session, count = open_real(real, MEMORY_SECONDS), 100 * 5
    old = session.push(np.resize(actions[first], (count, *actions[first].shape[1:])), 0.0)
    assert old.frame_scores is not None
    assert set(best(old.frame_scores[10:])) == {first}
    new = session.push(np.resize(actions[then], (75, *actions[then].shape[1:])), 100.0)
    assert new.frame_scores is not None
    shown = best(new.frame_scores)
    assert then in shown[:50]
    assert set(shown[50:]) == {then}
    # One stream that remembers all has not noticed by then: this is what memory_seconds is for.
    endless = open_real(real, None)
    endless.push(np.resize(actions[first], (200, *actions[first].shape[1:])), 0.0)
    assert then not in best(endless.push(actions[then][:50], 40.0).frame_scores)  # type: ignore[arg-type]

"""The memory of an endless stream, step by step, without a network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.inference.stream_memory import PoolWindow


class Pools:
    """The states of one pool as a program has them, and a window over them."""

    def __init__(self, frames: int, size: int = 3) -> None:
        self.states = {
            "a_pool_buffer": np.zeros((1, 1, 1, 1, size), np.float32),
            "a_pool_frame_count": np.zeros(1, np.int32),
        }
        self.window = PoolWindow(frames, {name: value.shape for name, value in self.states.items()})

    def step(self, value: float) -> np.ndarray:
        """One frame; the pool's mean after it."""
        self.window.before_step(self.states)
        self.states["a_pool_buffer"] += np.float32(value)
        self.states["a_pool_frame_count"] += 1
        return np.asarray(self.states["a_pool_buffer"].ravel() / self.states["a_pool_frame_count"][0])

    def restart(self) -> None:
        """As a session does: the program's states are zeroed, and the window forgets."""
        for state in self.states.values():
            state[:] = 0
        self.window.reset()


@pytest.mark.parametrize("frames", [2, 7, 50])
def test_hours_of_bright_frames_leave_no_trace_in_dark_ones(frames: int) -> None:
    """Rounding would add up for ever if sums were only added to and taken from."""
    pools, rng = Pools(frames), np.random.default_rng(0)
    for value in rng.uniform(300, 700, 3000):
        pools.step(value)
    dark = rng.uniform(0, 1e-3, 300)
    found = [pools.step(value) for value in dark]
    for number in range(2 * frames, 300):
        wanted = dark[number - frames + 1 : number + 1].astype(np.float32).mean(dtype=np.float64)
        np.testing.assert_allclose(found[number], wanted, rtol=0, atol=1e-9)


@given(st.integers(1, 5), st.lists(st.lists(st.sampled_from([0.5, 1, 2, 4]), max_size=12), min_size=2, max_size=4))
def test_a_reset_is_a_beginning_whatever_came_before(frames: int, streams: list[list[float]]) -> None:
    pools = Pools(frames)
    for stream in streams:
        pools.restart()
        fresh = Pools(frames)
        for number, value in enumerate(stream):
            found = pools.step(value)
            np.testing.assert_array_equal(found, fresh.step(value))
            np.testing.assert_allclose(found, np.mean(stream[max(0, number - frames + 1) : number + 1]), rtol=1e-6)


def test_a_network_without_pools_has_no_memory_to_keep() -> None:
    states = {"a_stream_buffer": np.ones((1, 2), np.float32)}
    window = PoolWindow(3, {name: value.shape for name, value in states.items()})
    for _ in range(9):
        window.before_step(states)
    assert (states["a_stream_buffer"] == 1).all()


def test_a_stream_that_restarts_forgets_all_frames_before() -> None:
    states = {"a_frame_count": np.zeros(1, np.float32), "a_pool_buffer": np.zeros(2, np.float32)}
    window = PoolWindow(3, {name: value.shape for name, value in states.items()})

    def sums(values: list[float]) -> list[float]:
        for value in states.values():
            value[:] = 0
        found = []
        for value in values:
            window.before_step(states)
            states["a_pool_buffer"] += value
            states["a_frame_count"] += 1
            found.append(float(states["a_pool_buffer"][0]))
            assert states["a_frame_count"][0] == min(len(found), 3)
        return found

    first = sums([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    assert first == [1.0, 3.0, 7.0, 14.0, 28.0, 56.0]
    for length in (1, 2, 4, 5):
        window.reset()
        assert sums([1.0, 2.0, 4.0, 8.0, 16.0][:length]) == first[:length]

"""What bounds the memory of an endless stream: pools that are a mean of the last ``memory_seconds``, not of all.

A causal MoViNet pools a mean over every frame since its start (a sum and a count), so after minutes of one action a new
one needs minutes to show. Here each sum holds the last N frames only: what a frame added is kept, and taken off again
when the frame is N frames old. Up to N frames nothing differs from the published behaviour, so single clips keep their
scores; from then on the count stays, and with it the position that a positional encoding sees, within what it was
trained on. docs/streaming.md compares this with decayed pools and with staggered resets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.records import Float32Array

_COUNT, _SUM = "_frame_count", "_pool_buffer"  # how tf-models names the states


class PoolWindow:
    """Keeps one stream's pools to its last ``frames`` frames; ``before_step`` is for ``StreamState.advance``."""

    def __init__(self, frames: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """frames: at least 1, the present one among them. shapes: of the program's states by name."""
        sums = [name for name in shapes if name.endswith(_SUM)]
        ends = np.cumsum([int(np.prod(shapes[name])) for name in sums]).tolist()
        self._parts = {name: slice(start, end) for name, start, end in zip(sums, [0, *ends], ends, strict=False)}
        self._counts = [name for name in shapes if name.endswith(_COUNT)]
        self._past = frames - 1
        self._added = np.zeros((self._past, ends[-1] if ends else 0), np.float32)  # by each frame, to all sums in a row
        self.reset()

    def reset(self) -> None:
        """The stream restarts."""
        self._steps = 0
        self._before: Float32Array | None = None  # the sums as they were before the last step

    def before_step(self, states: Mapping[str, npt.NDArray[Any]]) -> None:
        """Subtract what the frame that is now too old added.

        Args:
            states: The states by name, changed in place.
        """
        sums = np.zeros(self._added.shape[1], np.float32)
        for name, part in self._parts.items():
            sums[part] = states[name].reshape(-1)
        if self._before is not None and self._past:
            place = (self._steps - 1) % self._past
            oldest = self._added[place].copy()
            np.subtract(sums, self._before, out=self._added[place])
            if self._steps > self._past:
                sums -= oldest
                if place == 0:  # once a round the sums are made again, or their rounding would add up for ever
                    sums = self._added.sum(axis=0, dtype=np.float64).astype(np.float32)
        elif not self._past:
            sums[:] = 0
        if self._steps > self._past or not self._past:
            for name, part in self._parts.items():
                states[name].reshape(-1)[:] = sums[part]
        for name in self._counts:
            np.minimum(states[name], self._past, out=states[name])
        self._before, self._steps = sums, self._steps + 1

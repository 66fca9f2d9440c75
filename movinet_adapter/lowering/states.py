"""What a stream remembers while the lowered network computes: buffers of frames, running means, counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from adapters.system import import_tensorflow

Tensor = Any


@dataclass(frozen=True)
class StreamStates:
    """The states of a stream while a network computes.

    Attributes:
        before: The states received, by name; None for a clip from its start.
        after: The new states, filled as the layers are computed.
    """

    before: Mapping[str, Tensor] | None
    after: dict[str, Tensor] = field(default_factory=dict)

    def with_buffer(self, prefix: str, x: Tensor, times: int, size: int) -> Tensor:
        """Frames [T * B, H, W, C] behind the ``size`` frames before them, as [1, size + T, B * H * W, C]."""
        tf = import_tensorflow()
        _, height, width, channels = x.shape
        if self.before is None:
            flat = tf.reshape(x, [1, times, -1, channels])
            return tf.pad(flat, [[0, 0], [size, 0], [0, 0], [0, 0]])
        name = f"{prefix}_stream_buffer"
        full = tf.concat([self.before[name], tf.reshape(x, [1, times, height, width, channels])], 1)
        self.after[name] = full[:, -size:]
        return tf.reshape(full, [1, size + times, height * width, channels])

    def running_mean(self, prefix: str, x: Tensor) -> Tensor:
        """x [T, B, C], a row a frame, to the mean of all rows so far, those before this clip or segment included."""
        tf = import_tensorflow()
        times, channels = x.shape[0], x.shape[2]
        order = np.arange(1, times + 1, dtype=np.float32)
        lower = np.tri(times, dtype=np.float32)
        if self.before is None:
            means = x if times == 1 else tf.matmul(lower / order[:, None], tf.reshape(x, [times, -1]))
            return tf.reshape(means, [times, -1, channels])
        total, count = f"{prefix}_pool_buffer", f"{prefix}_pool_frame_count"
        sums = tf.reshape(x, [times, channels])
        sums = sums if times == 1 else tf.matmul(lower, sums)
        sums = sums + tf.reshape(self.before[total], [1, channels])
        self.after[total] = tf.reshape(sums if times == 1 else sums[-1:], [1, 1, 1, 1, channels])
        self.after[count] = self.before[count] + times
        counts = tf.cast(self.before[count], tf.float32) + order
        return tf.reshape(sums / tf.reshape(counts, [times, 1]), [times, 1, channels])

    def positions(self, prefix: str, times: int) -> Tensor:
        """The number of each frame since the stream began: float32 [T]."""
        tf = import_tensorflow()
        order = np.arange(times, dtype=np.float32)
        if self.before is None:
            return tf.constant(order)
        name = f"{prefix}_pos_enc_frame_count"
        self.after[name] = self.before[name] + times
        return tf.cast(self.before[name], tf.float32) + order

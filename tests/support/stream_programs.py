"""Stream programs for tests, each converted once: A0 with small frames, random weights and a head of three."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from adapters.records import RequestedPrecision
from movinet_adapter.network import MoViNetNetwork, build_movinet
from movinet_adapter.streaming.conversion import stream_program_bytes

SIZE, UNITS = 64, 3
LABELS = ("left", "right", "still")


@functools.cache
def small_network() -> MoViNetNetwork:
    return build_movinet("a0", "stream", height=SIZE, width=SIZE, n_frames=1, num_classes=UNITS)


@functools.cache
def small_head() -> Any:
    """Features [B, 480] to three scores, steep enough that every frame moves them."""
    import tf_keras

    features = tf_keras.Input([small_network().architecture.feature_size])
    head = tf_keras.Model(features, tf_keras.layers.Dense(UNITS, "softmax")(features))
    kernel = np.random.default_rng(5).normal(0, 0.5, head.weights[0].shape)
    head.set_weights([kernel.astype(np.float32), np.zeros(UNITS, np.float32)])
    return head


def clip(frames: int, seed: int = 0) -> np.ndarray:
    """uint8 [T, SIZE, SIZE, 3]: noise that gets brighter and goes from red to blue."""
    noise = np.random.default_rng(seed).uniform(0, 1, (frames, SIZE, SIZE, 3))
    colour = np.linspace([255, 128, 30], [30, 128, 255], frames)
    return (noise * colour[:, None, None, :]).astype(np.uint8)


def as_input(frames: np.ndarray) -> np.ndarray:
    return (frames / np.float32(255)).astype(np.float32)


@functools.cache
def small_program(quantize: RequestedPrecision = "float32") -> bytes:
    calibration = [as_input(clip(6, seed)) for seed in range(2)] if quantize == "int8" else None
    return stream_program_bytes(small_network(), small_head(), quantize, calibration)


def expected(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(scores [T, UNITS], features [T, 480]) after each frame, by the network over the whole clip at once."""
    found = small_network()(as_input(frames)[None], running=True)
    features = np.asarray(found["frame_features"])[0]
    return np.asarray(small_head()(features)), features

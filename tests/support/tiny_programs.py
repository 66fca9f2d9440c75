"""A tiny model that sees colour and time, as LiteRT programs of every precision: real converter output, made once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from adapters.records import Clip, InputSpec, Prediction

SPEC = InputSpec(height=32, width=40, n_frames=6, fps=5.0)
LABELS = ("kitchen", "café", "at sea")
PRECISIONS = ("float32", "float16", "dynamic", "int8")


@functools.cache
def tiny_program(precision: str, seed: int = 0) -> bytes:
    """A .tflite: float32 [1, 6, 32, 40, 3] in 0..1 -> float32 [1, 3] scores. The order of frames matters to it."""
    import tensorflow as tf

    random = np.random.default_rng(seed)
    kernel = tf.constant(random.normal(0, 0.6, (3, 3, 3, 8)), tf.float32)
    moments = tf.constant(random.normal(0, 1, (SPEC.n_frames, 1)), tf.float32)
    dense = tf.constant(random.normal(0, 0.6, (8 * SPEC.n_frames, len(LABELS))), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((1, SPEC.n_frames, SPEC.height, SPEC.width, 3), tf.float32)])
    def scores(clip):  # type: ignore[no-untyped-def]
        frames = tf.reshape(clip, clip.shape[1:])
        features = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(frames, kernel, 2, "SAME")), axis=[1, 2]) * moments
        return tf.nn.softmax(tf.reshape(features, (1, -1)) @ dense)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([scores.get_concrete_function()])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: (
            [random.random((1, SPEC.n_frames, SPEC.height, SPEC.width, 3), dtype=np.float32)] for _ in range(8)
        )
    return bytes(converter.convert())


def run_program(program: bytes, clip: np.ndarray) -> np.ndarray:
    """Scores float32 [C] of a plain LiteRT interpreter for float32 [T, H, W, 3]."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=program, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], clip[None].astype(np.float32))
    interpreter.invoke()
    return np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])


def predictor(
    program: bytes, change: Callable[[np.ndarray], np.ndarray] = lambda frames: frames
) -> Callable[[Sequence[Clip]], list[Prediction]]:
    """What an adapter's predict does; ``change`` stands for a mistake in its preprocessing."""

    def predict(clips: Sequence[Clip]) -> list[Prediction]:
        return [
            Prediction(run_program(program, change(clip.frames / np.float32(255))), LABELS, clip.start, clip.end)
            for clip in clips
        ]

    return predict

"""A stream session: frames as they come, at any rate and size, to a running prediction."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from adapters.errors import ConfigError
from adapters.inference.stream_memory import PoolWindow
from adapters.inference.stream_ticks import Ticks
from adapters.litert import StreamProgram
from adapters.media import PerChannel, to_model_input
from adapters.records import Float32Array, InputSpec, Prediction, UInt8Array

MAX_GAP_SECONDS = 2.0
_MOST_WAITING = 16  # frames prepared before the network sees them, so that a long segment takes little memory
Picture = UInt8Array | Callable[[], UInt8Array]


@dataclass
class StreamCounts:
    """What became of the frames that a session received, since it was opened.

    Attributes:
        given: Frames received.
        consumed: Steps of the network, ``repeated`` among them.
        repeated: Steps with the frame before, for ticks without a frame.
        dropped: Frames between two ticks, or late.
        resets: How often the stream restarted.
    """

    given: int = 0
    consumed: int = 0
    repeated: int = 0
    dropped: int = 0
    resets: int = 0


class StreamSession:
    """One stream. Sessions share a program and may run in threads of their own; calls of one session take turns.

    Attributes:
        fps: The rate at which it consumes frames, whatever the source's rate.
        memory_seconds: How much of the past the prediction depends on; None for all since the start.
        source: The source's name, for predictions.
        counts: What became of the frames.
    """

    def __init__(
        self,
        program: StreamProgram,
        labels: Sequence[str],
        spec: InputSpec,
        fps: float,
        *,
        mean: PerChannel = 0.0,
        scale: PerChannel = 255.0,
        to_scores: Callable[[Float32Array], Float32Array] | None = None,
        output: str = "scores",
        memory_seconds: float | None = None,
        max_gap_seconds: float = MAX_GAP_SECONDS,
        source: str = "",
        on_note: Callable[[str], object] | None = None,
    ) -> None:
        """Open a stream.

        Args:
            program: The model's stream program.
            labels: The classes in order.
            spec: The size and aspect that frames are brought to.
            fps: The rate at which frames are consumed.
            mean: Subtracted from pixel values; see ``to_model_input``.
            scale: Divides pixel values after that.
            to_scores: Maps the program's output float32 [T, units] to class scores [T, C]; None if they are the same.
            output: The name of that output.
            memory_seconds: How much of the past the prediction depends on (PoolWindow); None for all since the start.
            max_gap_seconds: The longest gap in which the last frame is repeated, at least two periods; after a longer
                one the session resets.
            source: The source's name, for predictions.
            on_note: Receives a sentence about each reset that the source caused and each change of its size.

        Raises:
            ConfigError: fps, memory_seconds or max_gap_seconds is not above 0.
        """
        for name, value in (("fps", fps), ("memory_seconds", memory_seconds), ("max_gap_seconds", max_gap_seconds)):
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(
                    f'"{name}" is {value!r} and must be a number of seconds or frames per second above 0.'
                )
        self.fps, self.memory_seconds, self.source = float(fps), memory_seconds, source
        self.counts = StreamCounts()
        self._state = program.open()
        self._labels, self._spec, self._mean, self._scale = tuple(labels), spec, mean, scale
        self._to_scores, self._output, self._on_note = to_scores, output, on_note
        frames = None if memory_seconds is None else max(1, round(memory_seconds * fps))
        shapes = {name: spec.shape for name, spec in program.states.items()}
        self._window = None if frames is None else PoolWindow(frames, shapes)
        self._ticks = Ticks(self.fps, max(max_gap_seconds, 2 / fps))
        self._end = 0.0  # the time of the frame consumed last
        self._held: Float32Array | None = None  # the frame consumed last, for ticks that pass without one
        self._size: tuple[int, ...] = ()
        self._prediction: Prediction | None = None
        self._lock = threading.Lock()

    def push(self, frames: Picture, time_seconds: float | Sequence[float]) -> Prediction:
        """Feed the next frame or frames.

        Args:
            frames: uint8 [H, W, 3] or [n, H, W, 3] RGB of any size, which may change; or a function that returns one
                frame, called only if the frame is consumed.
            time_seconds: When they are shown, at least 0: one number, or one for each. Frames with one number follow
                one another at the session's rate.

        Returns:
            The prediction after the last frame that was consumed: the same object if none of these was. Its
            frame_scores float32 [k, C] are those after each frame that this call consumed; start is where the time that
            it depends on begins. ``Ticks`` says which frames are consumed, repeated or dropped and when the session
            resets by itself.

        Raises:
            ValueError: Frames or times are something else.
        """
        pictures = _pictures(frames)
        times = _times(len(pictures), time_seconds, self.fps)
        with self._lock:
            rows: list[Float32Array] = []
            try:
                self._take(pictures, times, rows)
            except BaseException:
                self._restart()  # half a step is not a state to continue from
                raise
            if rows:
                self._prediction = self._predict(np.concatenate(rows))
            assert self._prediction is not None  # the first frame of a stream is always consumed
            return self._prediction

    def reset(self) -> None:
        """Forget everything: the next frame is a stream's first."""
        with self._lock:
            self._restart()

    def _restart(self) -> None:
        self._forget()
        self._ticks.restart()
        self._held = self._prediction = None

    def _forget(self) -> None:
        self._state.reset()
        if self._window is not None:
            self._window.reset()

    def _take(self, pictures: Sequence[Picture], times: Sequence[float], rows: list[Float32Array]) -> None:
        waiting: list[Float32Array] = []
        for picture, seconds in zip(pictures, times, strict=True):
            decision = self._ticks.offer(seconds)
            if decision.reset is not None:
                rows += self._advance(waiting)
                self._forget()
                self.counts.resets += 1
                self._note(f"the stream restarts at {seconds:.2f} s: {decision.reset}")
            waiting += [self._held] * decision.repeats if self._held is not None else []
            if decision.taken:
                self._held, self._end = self._prepare(picture, seconds), seconds
                waiting.append(self._held)
            self.counts.given += 1
            self.counts.repeated += decision.repeats
            self.counts.dropped += not decision.taken
            if len(waiting) >= _MOST_WAITING:
                rows += self._advance(waiting)
        rows += self._advance(waiting)

    def _prepare(self, picture: Picture, seconds: float) -> Float32Array:
        frame = picture() if callable(picture) else picture
        _check_frames(frame, 3)
        if self._size and frame.shape[:2] != self._size:
            height, width = self._size
            self._note(
                f"the frame size changed at {seconds:.2f} s from {width}x{height} to {frame.shape[1]}x{frame.shape[0]}"
            )
        self._size = frame.shape[:2]
        image: Float32Array = to_model_input(frame[None], self._spec, self._mean, self._scale)[0]
        return image

    def _advance(self, waiting: list[Float32Array]) -> list[Float32Array]:
        if not waiting:
            return []
        before_step = None if self._window is None else self._window.before_step
        scores = self._state.advance(np.stack(waiting), before_step)[self._output]
        self.counts.consumed += len(waiting)
        waiting.clear()
        return [scores if self._to_scores is None else self._to_scores(scores)]

    def _predict(self, scores: Float32Array) -> Prediction:
        start = self._ticks.begun_seconds
        if self.memory_seconds is not None:
            start = max(start, self._end - self.memory_seconds)
        return Prediction(scores[-1], self._labels, start, self._end, self.source, scores)

    def _note(self, text: str) -> None:
        if self._on_note is not None:
            self._on_note(text)


def _pictures(frames: Picture) -> Sequence[Picture]:
    if callable(frames):
        return [frames]
    _check_frames(frames, 3, 4)
    return [frames] if frames.ndim == 3 else list(frames)


def _check_frames(frames: object, *dimensions: int) -> None:
    fits = isinstance(frames, np.ndarray) and frames.dtype == np.uint8 and frames.ndim in dimensions
    if not fits or frames.shape[-1] != 3 or frames.size == 0:  # type: ignore[attr-defined] # fits: it is an array
        received = f"{frames.dtype} {list(frames.shape)}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise ValueError(f"frames must be uint8 [H, W, 3] or [n, H, W, 3] RGB, got {received}")


def _times(count: int, time_seconds: float | Sequence[float], fps: float) -> list[float]:
    if isinstance(time_seconds, (int, float, np.number)):
        times = [float(time_seconds) + index / fps for index in range(count)]
    else:
        times = [float(value) for value in time_seconds]
    if len(times) != count or not all(math.isfinite(value) and value >= 0 for value in times):
        raise ValueError(
            f"time_seconds must be finite seconds of at least 0, one number or one for each of {count} frames, got "
            f"{time_seconds!r}"
        )
    return times

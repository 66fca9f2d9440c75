"""Hard examples of a live source: kept as they come, since nothing of it can be read again."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import ConfigError, MediaError
from adapters.media import EPSILON_SECONDS, LiveVideo, fill_clip, plan_clip
from adapters.records import Clip, InputSpec, UInt8Array
from cliplab.rollout.example_queue import ALIKE, ExampleQueue

FloatArray = npt.NDArray[np.float64]
OnNote = Callable[[str], object]


def live_clips(source: str, spec: InputSpec, seconds: float | None, on_note: OnNote) -> Iterator[Clip]:
    """The windows of a live source, one after the other, while it plays.

    A window has the first frame at or after each of its moments. One in which the source was silent is left out.

    Args:
        source: ``-`` for stdin, a device or a URL.
        spec: The model's, with windows.
        seconds: How much of the source is read; None for all of it.
        on_note: Receives a sentence about damage, stalls and windows that are left out.

    Raises:
        ConfigError: ``seconds`` is not above 0.
        MediaError: The source cannot be opened or has no frame.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise ConfigError(f"--seconds must be above 0, got {seconds:g}")
    assert spec.window_seconds is not None
    stride = spec.stride_seconds or spec.window_seconds
    end = math.inf if seconds is None else seconds
    with LiveVideo(source, spec, on_note) as video, closing(_windows(video, spec, stride, end)) as windows:
        for window, frames in windows:
            try:
                places, times = fill_clip(spec, window, [at for at, _ in frames], None, source)
            except MediaError as error:
                on_note(str(error))
                continue
            yield Clip(np.stack([frames[place][1] for place in places]), times, source, window.start, window.end)


def _windows(
    video: LiveVideo, spec: InputSpec, stride: float, end: float
) -> Generator[tuple[Any, list[tuple[float, UInt8Array]]], None, None]:
    """Each window with its frames and their times."""
    assert spec.window_seconds is not None
    length, start = spec.window_seconds, 0.0
    open_windows: list[tuple[Any, list[tuple[float, UInt8Array]]]] = []
    for seconds, picture in video:
        if seconds > end + EPSILON_SECONDS:
            break
        while open_windows and seconds >= open_windows[0][0].end - EPSILON_SECONDS:
            done = open_windows.pop(0)
            if done[1]:
                yield done
        if seconds >= start + length:  # after a gap, nothing begins in it
            start += stride * math.floor((seconds - start) / stride)
        while start <= seconds + EPSILON_SECONDS:
            open_windows.append((plan_clip(spec, start, start + length), []))
            start += stride
        taken: UInt8Array | None = None
        for window, frames in open_windows:
            due = int(np.searchsorted(window.times, seconds + EPSILON_SECONDS, side="right"))
            if due > len(frames):
                taken = picture() if taken is None else taken
                frames.extend([(seconds, taken)] * (due - len(frames)))
    yield from (item for item in open_windows if item[1] and len(item[1]) == len(item[0].times))


@dataclass(eq=False)
class LiveChoice:
    """Examples that differ: at most a number of them, in a queue on the disk, while more come.

    Where all places are taken, a new example replaces one of the two that are most alike, if it differs more from all
    of them: what ``diverse`` chooses from all at once, as well as it can be done one by one.

    Attributes:
        queue: Where they are kept.
        limit: Maximum number of examples.
        alike: How many were nearly the same as another.
    """

    queue: ExampleQueue
    limit: int
    alike: int = 0
    _names: list[str] = field(default_factory=list)
    _rows: list[FloatArray] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """How many are kept."""
        return len(self._names)

    def offer(
        self, row: Sequence[float] | FloatArray, facts: Mapping[str, Any], data: Callable[[], tuple[bytes, str]]
    ) -> bool:
        """Keep an example if it differs enough.

        Args:
            row: [D], its embedding.
            facts: JSON values about it.
            data: Gives its file's bytes and suffix; called only where it is kept.

        Returns:
            Whether it is kept.

        Raises:
            StorageError: It cannot be written.
        """
        unit = np.nan_to_num(np.asarray(row, np.float64))
        unit = unit / max(float(np.linalg.norm(unit)), 1e-12)
        known = np.array(self._rows) if self._rows else np.zeros((0, len(unit)))
        nearest = float((known @ unit).max()) if len(known) else -1.0
        if nearest >= ALIKE:
            self.alike += 1
            return False
        if self.kept >= self.limit:
            pairs = known @ known.T - 2 * np.eye(len(known))
            one, other = np.unravel_index(int(np.argmax(pairs)), pairs.shape)
            if len(known) > 1 and nearest >= pairs[one, other]:
                return False
            self._drop(max(int(one), int(other)))
        content, suffix = data()
        name = self.queue.put_named(content, suffix, facts, row)
        if name is None:  # one of an earlier run is nearly the same
            self.alike += 1
            return False
        self._names.append(name)
        self._rows.append(unit)
        return True

    def _drop(self, place: int) -> None:
        self.queue.remove(self._names.pop(place))
        self._rows.pop(place)

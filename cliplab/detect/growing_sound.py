"""The sound of a recording that is still written: read beside its picture, by a thread of its own."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self

import av
import numpy as np

from adapters.errors import AdapterError
from adapters.media import ffmpeg_reason, open_growing
from cliplab.detect.sound import (
    LEVEL_SECONDS,
    SAMPLE_RATE,
    Sound,
    add_energy,
    hear_seconds,
    in_pieces,
    placed_sound,
    set_levels,
    voice_detector,
)

_PIECE_SECONDS = 2  # of sound that are worked on together
_BEHIND_SECONDS = 4.0  # that the sound may be behind the picture before it is waited for
_WAIT_SECONDS = 5.0  # for it at most, and once: a sound that ends or stalls must not hold up the picture


class GrowingSound:
    """Listens to a file while it grows. A context manager."""

    def __init__(self, path: str, start_seconds: float, patience_seconds: float) -> None:
        """Nothing is opened before the context is entered.

        Args:
            path: The file.
            start_seconds: Source time of the first frame of its picture.
            patience_seconds: How long the file may stay as it is before it is taken to be complete.
        """
        self._path, self._start, self._patience = path, start_seconds, patience_seconds
        self._closed, self._changed = threading.Event(), threading.Condition()
        self._energy, self._heard = np.zeros(0), np.zeros(0, np.int64)
        nothing, self._late = np.zeros(0, np.float32), False
        self._sound, self._until, self._ended = Sound(nothing, nothing, nothing), 0.0, False

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._listen, name="live-sound", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join(1.0)

    def until(self, seconds: float) -> Sound:
        """What was heard so far; it is waited for, for a moment, where it is behind.

        Args:
            seconds: How far the picture is.

        Returns:
            The sound of whole seconds up to there; NaN where nothing was heard.
        """
        count = int(np.ceil(max(seconds, 0.0)))
        with self._changed:
            wait = 0.0 if self._late else _WAIT_SECONDS
            near = self._changed.wait_for(lambda: self._ended or self._until >= seconds - _BEHIND_SECONDS, wait)
            self._late = not near
            self._grow(count)
            levels = np.full(round(count / LEVEL_SECONDS), np.nan, np.float32)
            found = Sound(levels, self._sound.speech[:count].copy(), self._sound.music[:count].copy())
            set_levels(found, self._energy, self._heard)
            found.notes += self._sound.notes
        return found

    def _listen(self) -> None:
        notes = self._sound.notes
        voice = voice_detector(notes)
        try:
            with open_growing(self._path, self._patience, self._closed) as container:
                placed = placed_sound(self._path, container, self._start, None, notes)
                for position, piece in in_pieces(placed, np.inf, _PIECE_SECONDS):
                    if self._closed.is_set():
                        break
                    self._add(position, piece, voice)
        except (av.FFmpegError, OSError, ValueError, AdapterError) as error:
            notes.append(f"the sound could not be decoded after {self._until:.2f} s ({ffmpeg_reason(error)})")
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _add(self, position: int, piece: Any, voice: Any) -> None:
        end = (position + piece.shape[1]) / SAMPLE_RATE
        with self._changed:
            self._grow(int(np.ceil(end)) + 1)
            add_energy(self._energy, self._heard, position, piece)
            hear_seconds(self._sound, position, piece.mean(axis=0), voice)
            self._until = end
            self._changed.notify_all()

    def _grow(self, seconds: int) -> None:
        """Room for some seconds, in steps, so that a long recording is not copied each time."""
        if seconds <= len(self._sound.speech):
            return
        more = max(seconds, 2 * len(self._sound.speech), 600) - len(self._sound.speech)
        unknown, blocks = np.full(more, np.nan, np.float32), round(more / LEVEL_SECONDS)
        self._sound.speech = np.concatenate([self._sound.speech, unknown])
        self._sound.music = np.concatenate([self._sound.music, unknown])
        self._energy = np.concatenate([self._energy, np.zeros(blocks)])
        self._heard = np.concatenate([self._heard, np.zeros(blocks, np.int64)])

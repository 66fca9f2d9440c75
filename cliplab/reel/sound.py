"""The sound of a reel: that of its clips, faded and mixed, or one file under them all; as long as its pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence

import av
import numpy as np

from adapters.errors import MediaError
from adapters.inference import read_ahead
from adapters.media import ffmpeg_reason, open_container
from adapters.records import Float32Array
from cliplab.library import openable
from cliplab.reel.plan import PlacedClip, ReelFormat

SAMPLE_RATE = 48_000
# A hard cut in sound clicks; this much at both sides of it is faded.
_CLICK_SECONDS = 0.005
_LAST_FADE_SECONDS = 1.0
# Timestamps that say something else than the samples so far are believed from this much on: a gap, not rounding.
_JUMP_SAMPLES = SAMPLE_RATE // 50
# A decoder needs some packets before it gives the right samples.
_EARLIER_SECONDS = 0.5
# A piece is the sound of a whole clip: 23 MB per minute.
_PIECES_AHEAD = 1


def sample_of(frame: int, reel_format: ReelFormat) -> int:
    """The first sample, at 48 kHz, that is heard with a frame of the reel.

    Args:
        frame: Number of the frame.
        reel_format: Size and rate of the reel.
    """
    return round(frame * SAMPLE_RATE / reel_format.fps)


def require_sound(path: str) -> None:
    """Check that a file has sound.

    Args:
        path: The file.

    Raises:
        MediaError: It has none that can be decoded.
    """
    with open_container(path) as container:
        stream = container.streams.best("audio")
        if stream is None:
            raise MediaError(f"{path}: has no sound. Give a file with sound, or --audio none.")
        try:
            first = next(container.decode(stream), None)
        except Exception as error:
            raise MediaError(
                f"{path}: its sound cannot be decoded ({ffmpeg_reason(error)}). Convert it first."
            ) from None
        if first is None:
            raise MediaError(f"{path}: its sound is empty. Give a file with sound, or --audio none.")


def sound_of_clips(timeline: Sequence[PlacedClip], reel_format: ReelFormat, notes: list[str]) -> Iterator[Float32Array]:
    """The clips' own sound, one piece per clip; silence where a clip has none.

    Crossfades have equal power, as the sounds of two clips are uncorrelated.

    Args:
        timeline: The clips in the order of the reel.
        reel_format: Size and rate of the reel.
        notes: A sentence is appended for each sound that cannot be decoded.

    Yields:
        float32 [2, N] in -1..1 at 48 kHz.
    """
    click = round(_CLICK_SECONDS * SAMPLE_RATE)
    tail = np.zeros((2, 0), np.float32)
    for index, placed in enumerate(timeline):
        begin, end = sample_of(placed.first, reel_format), sample_of(placed.first + placed.frames, reel_format)
        shared = end - sample_of(timeline[index + 1].first, reel_format) if index + 1 < len(timeline) else 0
        sound = np.zeros((2, end - begin), np.float32)
        if placed.clip.has_audio:
            done = 0
            for piece in read_sound(placed.clip.path, placed.clip.origin + placed.clip.start, end - begin, notes):
                sound[:, done : done + piece.shape[1]] = piece
                done += piece.shape[1]
            _fade(sound, min(tail.shape[1] or click, end - begin))
            _fade(sound[:, ::-1], min(shared or click, end - begin))
        sound[:, : tail.shape[1]] += tail
        tail = sound[:, sound.shape[1] - shared :]
        yield sound[:, : sound.shape[1] - shared].clip(-1, 1)


def mixed_ahead(pieces: Iterator[Float32Array]) -> Generator[Float32Array, None, None]:
    """Pieces of sound, made in another thread while the caller encodes; close it to end that thread.

    Args:
        pieces: As ``sound_of_clips`` or ``sound_of_file`` make them.

    Yields:
        The same pieces.
    """
    made = read_ahead([pieces], lambda pieces: pieces, threads=1, limit=_PIECES_AHEAD, name="reel-sound")
    with contextlib.closing(made):
        for _, piece in made:
            if piece is not None:
                yield piece


def sound_of_file(path: str, length: int, notes: list[str]) -> Iterator[Float32Array]:
    """A file's sound from its beginning, faded out at the end.

    Args:
        path: The file.
        length: Samples in all.
        notes: A sentence is appended for sound that is too short or cannot be decoded.

    Yields:
        float32 [2, N] in -1..1 at 48 kHz.
    """
    done, fade = 0, min(round(_LAST_FADE_SECONDS * SAMPLE_RATE), length)
    ramp = np.sqrt(np.linspace(1, 0, fade, dtype=np.float32))
    for piece in read_sound(path, None, length, notes):
        first = done + piece.shape[1] - (length - fade)  # how much of the fade ends in this piece
        if first > 0:
            begin = max(done - (length - fade), 0)
            piece[:, piece.shape[1] - (first - begin) :] *= ramp[begin:first]
        done += piece.shape[1]
        yield piece


def read_sound(path: str, start: float | None, length: int, notes: list[str]) -> Iterator[Float32Array]:
    """A file's sound, each sample at the time of its timestamp; silence where there is none or it cannot be decoded.

    Args:
        path: The file.
        start: Seconds of the source's time; None is where its sound begins.
        length: Samples in all.
        notes: A sentence is appended for sound that is too short or cannot be decoded.

    Yields:
        float32 [2, N] in -1..1 at 48 kHz, exactly length samples in all.
    """
    done = 0
    try:
        for position, samples in _placed(path, start, length):
            first, last = max(position, done), min(position + samples.shape[1], length)
            if first >= last:
                continue
            if first > done:
                yield np.zeros((2, first - done), np.float32)
            yield samples[:, first - position : last - position].copy()
            done = last
            if done == length:
                return
    except Exception as error:  # a reel may lack a sound, which is said; it does not end by it
        seconds = done / SAMPLE_RATE
        notes.append(f"{path}: its sound could not be decoded after {seconds:.2f} s ({ffmpeg_reason(error)}): silence")
    else:
        if start is None:
            notes.append(f"{path}: ends after {done / SAMPLE_RATE:.2f} s; the rest of the reel is silent")
    if done < length:
        yield np.zeros((2, length - done), np.float32)


def _placed(path: str, start: float | None, length: int, may_seek: bool = True) -> Iterator[tuple[int, Float32Array]]:
    """(where it begins, samples [2, N]) of all sound from start on, in samples since start, mostly without gaps."""
    with open_container(openable(path)) as container:
        stream = container.streams.best("audio")
        if stream is None:
            return
        sought = may_seek and start is not None and start > 2 * _EARLIER_SECONDS
        if sought and start is not None:
            container.seek(int((start - _EARLIER_SECONDS) * av.time_base))
        resampler = av.AudioResampler("fltp", "stereo", SAMPLE_RATE)
        position: int | None = None
        for frame in container.decode(stream):
            if not isinstance(frame, av.AudioFrame):
                continue
            if frame.time is not None:
                start = frame.time if start is None else start
                due = round((frame.time - start) * SAMPLE_RATE)
                if sought and position is None and due > 0:
                    # Some containers land behind the place that was asked for: then all from the beginning.
                    yield from _placed(path, start, length, may_seek=False)
                    return
                if due > length:
                    break
                if position is None or abs(due - position) > _JUMP_SAMPLES:
                    position = due
            if position is None:
                continue
            frame.pts = None
            for piece in resampler.resample(frame):
                samples = np.asarray(piece.to_ndarray(), dtype=np.float32)
                yield position, samples
                position += samples.shape[1]
        for piece in resampler.resample(None):
            yield position or 0, np.asarray(piece.to_ndarray(), dtype=np.float32)


def _fade(sound: Float32Array, samples: int) -> None:
    """Fade the first samples of [2, N] in, in place."""
    sound[:, :samples] *= np.sqrt(np.linspace(0, 1, samples, dtype=np.float32))

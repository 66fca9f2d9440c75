"""One pass over a source: all of its sound and the pictures that matter, read together, to cells."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np

from adapters.errors import ConfigError, MediaError
from adapters.media import Clock, choose_stream, ffmpeg_reason, is_filler, may_be_joined, video_streams
from cliplab.detect.highlights.cells import Cells
from cliplab.detect.highlights.hearing import SAMPLE_RATE, Hearing
from cliplab.detect.highlights.options import HighlightOptions
from cliplab.detect.highlights.watching import Watching, brightness

# Of 1280x720 at 30 per second two cores decode the reference frames at 30 to 40 times real time, of 1080p at 15.
_REFERENCE_PIXELS = 1280 * 720 * 31.0
_JUMP_SECONDS = 0.05  # timestamps that differ from the samples so far by more are believed: a gap, not rounding
_SOUND_WAIT_SECONDS = 5.0  # sound that is kept until the first picture says when the source begins
_PIECE_SAMPLES, _LIVE_PIECE_SAMPLES = 4 * SAMPLE_RATE, SAMPLE_RATE // 2
_MOST_NOTES = 1000
_KEPT_CUTS = 4096
_ENCODER_SECONDS = 3.0  # in which an encoder finds its rate
_MOST_READ_ERRORS = 16
# Pictures that come sooner after the one before are decoded and not measured: cues lose nothing at 15 per second.
_LEAST_APART_SECONDS = 0.06


@dataclass(eq=False)
class _Sound:
    """The decoder of the sound, which goes on over the segments of a stream: AAC begins with half a frame of silence.

    position: of the next sample; None before the first.
    """

    context: Any
    signature: tuple[Any, ...]
    position: int | None = None

    def __post_init__(self) -> None:
        self.resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)


@dataclass(eq=False)
class Pass:
    """What one or several containers, one after the other, showed so far.

    Attributes:
        cells: The measures.
        options: Which pictures and which sound.
        live: Whether sound is measured as soon as possible.
        end_seconds: Up to when something was seen or heard.
        cuts: When shots begin.
        notes: What is missing or was damaged.
        heard: Whether any sound was decoded.
        seen: Whether any picture was.
        missing: What was missing in a container, so that it is said once: "sound", "picture".
        sound: The decoder of the sound, for the container that continues the present one.
    """

    cells: Cells
    options: HighlightOptions
    live: bool = False
    end_seconds: float = 0.0
    cuts: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_CUTS))
    notes: list[str] = field(default_factory=list)
    heard: bool = False
    seen: bool = False
    missing: set[str] = field(default_factory=set)
    sound: _Sound | None = None

    def __post_init__(self) -> None:
        self.hearing, self.watching = Hearing(self.cells), Watching(self.cells, self.cuts.append)
        self.piece_samples = _LIVE_PIECE_SAMPLES if self.live else _PIECE_SAMPLES

    def note(self, text: str) -> None:
        """Keep a note once; of a stream that never ends, the first thousand."""
        if len(self.notes) < _MOST_NOTES and text not in self.notes:
            self.notes.append(text)

    def note_missing(self, what: str, had: bool, text: str) -> None:
        """Keep a note of sound or picture that is not there; where it was there before, with the moment, once."""
        if not had:
            self.note(text)
        elif what not in self.missing:
            self.note(f"{text} from {self.end_seconds:.0f} s on")
        self.missing.add(what)


class ContainerReader:
    """Reads one container to its end.

    Attributes:
        origin: Its own time of its first picture, or of its first sound where it has none; None: not known yet.
        first_seconds: When its first picture or sound is in the source; None: nothing was decoded yet.
        signature: Codecs, size and rates: containers that differ in it cannot be joined.
    """

    def __init__(
        self, container: Any, found: Pass, *, offset: float = 0.0, origin: float | None = None, source: str
    ) -> None:
        """Prepare the decoders.

        Args:
            container: The open container.
            found: Receives what is seen and heard.
            offset: Where ``origin`` lies in the source, in seconds.
            origin: Its own time of that moment, in seconds; None: that of the first picture.
            source: For messages.

        Raises:
            MediaError: It has neither picture nor sound.
            ConfigError: It has no such sound stream.
        """
        self.container, self.found, self.offset, self.origin = container, found, offset, origin
        self.video = _video(container, found, source)
        self.audio = _audio(container, found, source)
        if self.video is None and self.audio is None:
            raise MediaError(
                f"{source}: has neither picture nor sound that can be decoded. Give a video or a recording."
            )
        joined = may_be_joined(container)
        interval = 1 / float(self.video.average_rate or 25) if self.video is not None else 0.02
        self.clocks = {"video": Clock(interval, joined), "audio": Clock(0.02, joined)}
        self.waiting: list[tuple[float, Any]] = []
        self.pieces: list[Any] = []
        self.piece_position = self.piece_length = 0
        self.watched_seconds = -np.inf  # when the last picture was measured
        self.shift = 0.0  # of the timestamps of packets, as the clock of the pictures has it
        self.first_seconds: float | None = None
        self.signature = tuple(map(_signature, (self.video, self.audio)))
        if self.audio is not None:
            goes_on = origin is not None and found.sound is not None and found.sound.signature == self.signature[1]
            if not goes_on:
                found.sound = _Sound(self.audio.codec_context, self.signature[1])
                found.hearing.restart()
        self.sound = found.sound

    def read(self) -> Iterator[float]:
        """Decode all of it.

        Yields:
            Up to when it was read, in seconds, after each packet that brought something.
        """
        errors = 0
        streams = [stream for stream in (self.video, self.audio) if stream is not None]
        packets = self.container.demux(streams)
        while True:
            try:
                packet = next(packets)
                errors = 0
            except StopIteration:
                break
            except av.ExitError:
                self.found.note("no data arrived for a long time, so the source is treated as ended")
                break
            except (av.FFmpegError, OSError, IndexError) as error:
                if isinstance(error, MemoryError):
                    raise
                errors += 1
                self.found.note(f"reading failed at one point in the source ({ffmpeg_reason(error)})")
                if errors > _MOST_READ_ERRORS:
                    break
                packets = self.container.demux(streams)
                continue
            if self._take(packet):
                yield self.found.end_seconds
        self._release(force=True)
        self._flush()
        yield self.found.end_seconds

    def _take(self, packet: Any) -> bool:
        """Decode a packet; whether that brought something."""
        if is_filler(packet):
            return False
        what = packet.stream.type
        if what == "video":
            self._count_bytes(packet)
        try:
            if what == "video":
                frames = packet.decode()
            else:
                assert self.sound is not None
                frames = self.sound.context.decode(packet) if packet.size else []
        except av.EOFError:
            return False
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, MemoryError):
                raise
            words = "picture" if what == "video" else "sound"
            self.found.note(f"the {words} is damaged in places ({ffmpeg_reason(error)})")
            return False
        for frame in frames:
            if what == "video":
                self._picture(frame)
            else:
                self._sound(frame)
        return bool(frames)

    def _count_bytes(self, packet: Any) -> None:
        if packet.pts is None or packet.is_keyframe or not packet.size or self.origin is None:
            return
        seconds = float(packet.pts * packet.time_base) + self.shift - self.origin + self.offset
        # Packets are ahead of what was decoded, a little; elsewhere the clock has changed and they are not counted.
        # An encoder begins with larger ones.
        if seconds - self.offset > _ENCODER_SECONDS and abs(seconds - self.found.end_seconds) < 10:
            self.found.watching.add_bytes(seconds, packet.size)

    def _picture(self, frame: Any) -> None:
        if frame.time is None:
            return
        time = self.clocks["video"].advance(frame.time)
        self.shift = time - frame.time
        if self.origin is None:
            self.origin = time
        seconds = time - self.origin + self.offset
        self.found.seen = True
        if self.first_seconds is None:
            self.first_seconds = seconds
        self.found.end_seconds = max(self.found.end_seconds, seconds)
        if not 0 <= seconds - self.watched_seconds < _LEAST_APART_SECONDS:
            self.watched_seconds = seconds
            self.found.watching.add(seconds, brightness(frame))
        self._release()

    def _sound(self, frame: Any) -> None:
        if frame.time is None and (self.sound is None or self.sound.position is None) and not self.waiting:
            return
        time = None if frame.time is None else self.clocks["audio"].advance(frame.time)
        if self.origin is None and self.video is not None:
            if time is not None:
                self.waiting.append((time, frame))
            if self.waiting and self.waiting[-1][0] - self.waiting[0][0] > _SOUND_WAIT_SECONDS:
                self._release(force=True)
            return
        if self.origin is None:
            self.origin = time
        self._hear(time, frame)

    def _release(self, force: bool = False) -> None:
        """Hear what waited for the first picture."""
        if not self.waiting or (self.origin is None and not force):
            return
        if self.origin is None:
            self.origin = self.waiting[0][0]
        waiting, self.waiting = self.waiting, []
        for time, frame in waiting:
            self._hear(time, frame)

    def _hear(self, time: float | None, frame: Any) -> None:
        sound = self.sound
        assert self.origin is not None
        assert sound is not None
        if time is not None:
            due = round((time - self.origin + self.offset) * SAMPLE_RATE)
            if sound.position is None or abs(due - sound.position) > _JUMP_SECONDS * SAMPLE_RATE:
                self._flush()
                sound.position = due
        if sound.position is None:
            return
        if self.first_seconds is None and self.video is None:
            self.first_seconds = sound.position / SAMPLE_RATE
        frame.pts = None
        try:
            pieces = sound.resampler.resample(frame)
        except ValueError:  # the layout or rate changed in the middle
            sound.resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
            pieces = sound.resampler.resample(frame)
        for piece in pieces:
            self._gather(sound, np.asarray(piece.to_ndarray(), np.float32).reshape(-1))
        self.found.heard = True

    def _gather(self, sound: _Sound, samples: Any) -> None:
        """Sound is measured in pieces of some seconds, since many small ones cost more."""
        assert sound.position is not None
        skipped = min(max(-sound.position, 0), len(samples))
        if skipped < len(samples):
            if not self.pieces:
                self.piece_position = sound.position + skipped
            self.pieces.append(samples[skipped:])
            self.piece_length += len(samples) - skipped
        sound.position += len(samples)
        if self.piece_length >= self.found.piece_samples:
            self._flush()

    def _flush(self) -> None:
        if self.pieces:
            self.found.hearing.add(self.piece_position, np.concatenate(self.pieces))
            end = (self.piece_position + self.piece_length) / SAMPLE_RATE
            self.found.end_seconds = max(self.found.end_seconds, end)
        self.pieces, self.piece_length = [], 0


def _signature(stream: Any) -> tuple[Any, ...]:
    if stream is None:
        return ()
    context = stream.codec_context
    if stream.type == "video":
        return context.name, context.width, context.height
    return context.name, context.sample_rate


def _video(container: Any, found: Pass, source: str) -> Any:
    """The stream of pictures with its decoder set to what matters; None where there is none."""
    if not any(stream.codec_context is not None for stream in video_streams(container)):
        said = "there is no picture that can be decoded: motion, cuts and flashes are unknown"
        found.note_missing("picture", found.seen, said)
        return None
    stream: Any = choose_stream(container, source, None)
    context = stream.codec_context
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    few = context.width * context.height * min(rate, 240) <= _REFERENCE_PIXELS
    reference = found.options.frames == "reference" or (found.options.frames == "auto" and few)
    context.skip_frame = "NONREF" if reference else "NONKEY"
    # Pictures are measured at 64x36, where the filter of block edges makes no difference.
    context.options = {**context.options, "skip_loop_filter": "all"}
    stream.thread_type = "AUTO"
    context.thread_count = 2
    return stream


def _audio(container: Any, found: Pass, source: str) -> Any:
    """The stream of sound; None where there is none."""
    streams, wanted = container.streams.audio, found.options.audio_stream
    if wanted is not None and not 0 <= wanted < len(streams):
        count = "no sound stream" if not streams else f"sound streams 0 to {len(streams) - 1}"
        raise ConfigError(f"{source}: has {count}; got audio_stream {wanted}. Choose one that it has")
    if not streams:
        found.note_missing("sound", found.heard, "there is no sound: level, onsets, crowd and speech are unknown")
        return None
    stream = streams[wanted] if wanted is not None else container.streams.best("audio") or streams[0]
    if stream.codec_context is None:
        found.note("the sound's codec is unknown: level, onsets, crowd and speech are unknown")
        return None
    if stream.codec_context.sample_rate == 0:
        found.note("the sound has no sample rate: level, onsets, crowd and speech are unknown")
        return None
    stream.thread_type = "NONE"  # the picture has the other cores
    return stream

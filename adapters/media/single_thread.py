"""The second decoder of a damaged stretch: one thread, so that every machine finds the same frames in it.

With frame threads FFmpeg reports an error some packets late, repairs pictures while others lean on them already, and
through PyAV loses what is in the decoder when an error comes out at the end of the stream. So the packets since a key
frame are kept, and where something is wrong they are decoded again by one thread. (What is not noticed this way is a
last packet that is damaged in part, now and then: PyAV keeps its error to itself when frames come out with it.)
"""

from __future__ import annotations

from collections.abc import Callable

import av
from av.codec.codec import Capabilities
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from adapters.errors import MediaError
from adapters.media.packets import TimedPacket

# What is kept lasts from a key frame at least this many packets back, more than any decoder has in work.
_LEAST_PACKETS = 64
_MOST_BYTES = 64 << 20
# A file that is damaged over and over is decoded by one thread from then on.
_MOST_REPEATS = 16


def decodes_in_parallel(stream: VideoStream) -> bool:
    """Whether the decoder of a stream may use several threads."""
    parallel = Capabilities.frame_threads | Capabilities.slice_threads | Capabilities.auto_threads
    return bool(stream.codec_context.codec.capabilities & parallel)


class RecentPackets:
    """The packets since a key frame, and a decoder of one thread to decode them again.

    Attributes:
        decoder: The decoder of one thread, while it is in use.
    """

    def __init__(self, open_again: Callable[[], tuple[InputContainer, VideoStream]]) -> None:
        """Begin without packets.

        Args:
            open_again: Opens the source once more, for a decoder with the same parameters; used when one is needed.
        """
        self.decoder: VideoCodecContext | None = None
        self._open_again = open_again
        self._container: InputContainer | None = None
        self._context: VideoCodecContext | None = None
        self._repeats = 0
        self.clear()

    def clear(self) -> None:
        """Forget the packets. They are kept again from the next one on."""
        self._packets: list[TimedPacket] = []
        self._keys: list[int] = []
        self._bytes, self._broken = 0, False

    def close(self) -> None:
        """Close what was opened."""
        self.decoder = self._context = None
        self.clear()
        if self._container is not None:
            self._container.close()
            self._container = None

    def add(self, timed: TimedPacket) -> None:
        """Keep a packet that is sent to the decoder, and drop those that are old."""
        packet = timed.packet
        if packet.is_keyframe or not self._keys:
            if self._broken and packet.is_keyframe:
                self.clear()
            self._keys.append(len(self._packets))
            self._drop_old()
        if self._broken:
            return
        self._packets.append(timed)
        self._bytes += packet.size
        if self._bytes > _MOST_BYTES or packet.pts is None:
            self.clear()
            self._broken = True

    def _drop_old(self) -> None:
        newest = len(self._packets) - _LEAST_PACKETS
        first = max((key for key in self._keys if key <= newest), default=0)
        if first:
            self._bytes -= sum(timed.packet.size for timed in self._packets[:first])
            self._packets = self._packets[first:]
            self._keys = [key - first for key in self._keys if key >= first]

    def begin(self) -> list[TimedPacket]:
        """Put the decoder of one thread in use; returns the packets for it, none where it cannot be used."""
        if not self._packets:
            return []
        if self._context is None:
            try:
                self._container, stream = self._open_again()
            except MediaError:
                return []
            self._context = stream.codec_context
            self._context.thread_count = 1
        else:
            self._context.flush_buffers()
        self._repeats += 1
        self.decoder = self._context
        return self._packets

    def may_end(self) -> bool:
        """Whether several threads may decode again after the present damage."""
        return self._repeats < _MOST_REPEATS

    def end(self) -> list[av.VideoFrame]:
        """Take the decoder of one thread out of use; returns the frames that it still has.

        The packets are kept: damage in the next ones is repaired with frames before them.
        """
        frames: list[av.VideoFrame] = []
        if self.decoder is not None:
            try:
                frames = self.decoder.decode(None)
            except (av.FFmpegError, OSError):
                frames = []
        self.decoder = None
        return frames

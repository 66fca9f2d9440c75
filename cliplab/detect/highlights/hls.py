"""HLS playlists (RFC 8216), read by ourselves: every segment is counted, kept as a file, and none is lost unnoticed."""

from __future__ import annotations

import re
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from adapters.errors import MediaError
from cliplab.detect.highlights.web_reading import WebReader

_PLAYLIST = re.compile(r"^https?://[^?#]+\.m3u8?([?#]|$)", re.IGNORECASE)
_MOST_PLAYLIST_BYTES, _MOST_SEGMENT_BYTES = 8 << 20, 512 << 20
_MOST_SEGMENTS = 200_000
# Not from the middle of a name: a long line without "=" would otherwise be searched from each of its characters.
_ATTRIBUTE = re.compile(r'(?<![A-Z0-9-])([A-Z0-9-]+)=("[^"]*"|[^,]*)')
_TRIES = 4
# Longer ones are no segments, and would put all that was kept of the stream in the past.
_LONGEST_SEGMENT_SECONDS = 3600.0


def is_playlist(source: str) -> bool:
    """Whether a source is the URL of an HLS playlist, by its name.

    Args:
        source: A path or URL.
    """
    return _PLAYLIST.match(source) is not None


@dataclass(frozen=True)
class Segment:
    """A piece of a stream.

    Attributes:
        sequence: Its media sequence number.
        url: Where it is.
        seconds: How long it is by the playlist.
        discontinuity: Whether its clock, codec or size is another than that of the segment before.
        header: The URL of the initialisation section of fragmented MP4; None: it needs none.
        byte_range: (first, count) within the resource; None: all of it.
        header_range: The same of the header.
    """

    sequence: int
    url: str
    seconds: float
    discontinuity: bool = False
    header: str | None = None
    byte_range: tuple[int, int] | None = None
    header_range: tuple[int, int] | None = None


@dataclass(frozen=True)
class Playlist:
    """A playlist as it is now.

    Attributes:
        segments: In order; empty in one of variants.
        target_seconds: The longest that a segment may be.
        ended: Whether no segment will be added.
        variants: (bits per second, URL) of each quality; empty in one of segments.
        notes: What is not followed, in sentences.
    """

    segments: tuple[Segment, ...] = ()
    target_seconds: float = 6.0
    ended: bool = False
    variants: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()


def parse_playlist(text: str, url: str) -> Playlist:
    """Read a playlist.

    Args:
        text: Its text.
        url: Where it is, to which its addresses are relative.

    Raises:
        MediaError: It is none, is encrypted, or leads to something that is not HTTP.
    """
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    if not lines or lines[0] != "#EXTM3U":
        raise MediaError(f"{url}: is not an HLS playlist: its first line is not #EXTM3U. Check the address.")
    reader = _Reader(url)
    for line in lines[1:]:
        reader.take(line)
    return reader.playlist()


@dataclass
class _Reader:
    url: str
    sequence: int = 0
    target: float = 6.0
    ended: bool = False
    seconds: float = 0.0
    discontinuity: bool = False
    header: str | None = None
    header_range: tuple[int, int] | None = None
    byte_range: tuple[int, int] | None = None
    range_end: int = 0
    bits: int | None = None
    segments: list[Segment] = field(default_factory=list)
    variants: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        tag, _, value = line.partition(":")
        attributes = {name: text.strip('"') for name, text in _ATTRIBUTE.findall(value)}
        if not line.startswith("#"):
            self._address(self._absolute(line))
        elif tag == "#EXTINF":
            self.seconds = min(_number(value.split(",")[0]), _LONGEST_SEGMENT_SECONDS)
        elif tag == "#EXT-X-MEDIA-SEQUENCE":
            self.sequence = int(_number(value))
        elif tag == "#EXT-X-TARGETDURATION":
            self.target = min(max(_number(value), 0.5), 60.0)
        elif tag == "#EXT-X-DISCONTINUITY":
            self.discontinuity = True
        elif tag == "#EXT-X-ENDLIST":
            self.ended = True
        elif tag == "#EXT-X-BYTERANGE":
            self.byte_range = self._range(value)
        elif tag == "#EXT-X-MAP":
            self.header = self._absolute(attributes.get("URI", ""))
            self.header_range = self._range(attributes["BYTERANGE"]) if "BYTERANGE" in attributes else None
        elif tag == "#EXT-X-KEY" and attributes.get("METHOD", "NONE") != "NONE":
            raise MediaError(
                f"{self.url}: is encrypted ({attributes['METHOD']:.20}). Give a playlist without encryption."
            )
        elif tag == "#EXT-X-STREAM-INF":
            self.bits = int(_number(attributes.get("BANDWIDTH", "0")))
        elif tag == "#EXT-X-MEDIA" and attributes.get("TYPE") == "AUDIO" and attributes.get("URI"):
            self.notes.append("the playlist has sound in separate playlists, which are not analysed")

    def playlist(self) -> Playlist:
        return Playlist(
            tuple(self.segments), self.target, self.ended, tuple(self.variants), tuple(dict.fromkeys(self.notes))
        )

    def _address(self, url: str) -> None:
        if self.bits is not None:
            self.variants.append((self.bits, url))
            self.bits = None
            return
        if len(self.segments) >= _MOST_SEGMENTS:
            raise MediaError(f"{self.url}: lists more than {_MOST_SEGMENTS} segments. Give a shorter playlist.")
        made = Segment(
            self.sequence, url, self.seconds, self.discontinuity, self.header, self.byte_range, self.header_range
        )
        self.segments.append(made)
        self.sequence += 1
        self.seconds, self.discontinuity, self.byte_range = 0.0, False, None

    def _absolute(self, address: str) -> str:
        try:
            url = urllib.parse.urljoin(self.url, address)
        except ValueError:
            url = ""
        if not url.startswith(("http://", "https://")):
            raise MediaError(f"{self.url}: refers to {address!r:.80}, which is not HTTP(S) and is not opened.")
        return url

    def _range(self, value: str) -> tuple[int, int]:
        count, _, first = value.partition("@")
        start = int(_number(first)) if first else self.range_end
        self.range_end = start + int(_number(count))
        return start, int(_number(count))


def _number(text: str) -> float:
    try:
        value = float(text.strip())
    except ValueError:
        return 0.0
    return value if 0 <= value < 1e15 else 0.0


class Fetcher(WebReader):
    """Reads playlists and their segments over HTTP with limits on time and size."""

    def playlist(self, url: str) -> tuple[Playlist, str]:
        """The playlist of segments at an address, of the best quality where there are several; and its address.

        Raises:
            MediaError: It cannot be read or followed.
        """
        for _ in range(3):
            data, final = self.get(url, _MOST_PLAYLIST_BYTES)
            found = parse_playlist(data.decode("utf-8", "replace"), final)
            if not found.variants:
                return found, url
            url = max(found.variants)[1]
        raise MediaError(f"{url}: has more than two levels of playlists, which is not supported.")

    def segment(self, segment: Segment, is_stopped: Callable[[], bool] = lambda: False) -> bytes:
        """The bytes of a segment, with its header before it. What fails is tried again, later each time.

        Raises:
            MediaError: It could not be read.
        """
        for attempt in range(_TRIES):
            try:
                data, _ = self.get(segment.url, _MOST_SEGMENT_BYTES, segment.byte_range, is_stopped)
                if segment.header is None:
                    return data
                header, _ = self.get(segment.header, _MOST_SEGMENT_BYTES, segment.header_range, is_stopped)
                return header + data
            except MediaError:
                if attempt + 1 == _TRIES or is_stopped():
                    raise
                time.sleep(0.25 * 2**attempt)
        raise AssertionError


def new_segments(
    fetcher: Fetcher,
    url: str,
    *,
    stall_seconds: float,
    on_note: Callable[[str], object],
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Segment]:
    """Each segment of a stream once, as it appears, until the stream ends.

    Args:
        fetcher: Reads the playlist.
        url: Of the playlist.
        stall_seconds: How long no segment may come before the stream is treated as ended.
        on_note: Receives a sentence about stalls and lost segments.
        is_stopped: Asked between requests.

    Raises:
        MediaError: The playlist cannot be read at the beginning.
    """
    playlist, media = fetcher.playlist(url)
    for note in playlist.notes:
        on_note(note)
    following: int | None = None
    last_news, failing = time.monotonic(), False
    while True:
        first = playlist.segments[0].sequence if playlist.segments else None
        if following is not None and first is not None and first < following - _MOST_SEGMENTS // 100:
            on_note("the stream restarted: its segment numbers belong to another playlist")
            following = first
        for segment in playlist.segments:
            if following is not None and segment.sequence < following:
                continue
            if following is not None and segment.sequence > following:
                on_note(f"{segment.sequence - following} segments were gone before they could be read")
            following, last_news = segment.sequence + 1, time.monotonic()
            yield segment
        if playlist.ended or is_stopped():
            return
        if time.monotonic() - last_news > stall_seconds:
            on_note(f"no segment for {stall_seconds:g} s: the stream is treated as ended")
            return
        # RFC 8216, 6.3.4: half the target duration where nothing has changed.
        time.sleep(min(playlist.target_seconds / 2, 2.0))
        try:
            playlist, _ = fetcher.playlist(media)
            failing = False
        except MediaError as error:
            if not failing:
                on_note(f"{error} Waiting for it")
            failing = True

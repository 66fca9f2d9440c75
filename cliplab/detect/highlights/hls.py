"""HLS playlists (RFC 8216), read by ourselves: every segment is counted, kept as a file, and none is lost unnoticed."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.errors import MediaError

_PLAYLIST = re.compile(r"^https?://[^?#]+\.m3u8?([?#]|$)", re.IGNORECASE)
_TIMEOUT_SECONDS = 15.0
_MOST_PLAYLIST_BYTES, _MOST_SEGMENT_BYTES = 8 << 20, 512 << 20
_MOST_SEGMENTS = 200_000
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')
_TRIES = 4
# Sent only to the host that was named, since a playlist may lead anywhere.
_SECRET = {"authorization", "cookie", "proxy-authorization"}


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
            self.seconds = _number(value.split(",")[0])
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


class Fetcher:
    """Reads addresses over HTTP with limits on time and size."""

    def __init__(self, headers: Mapping[str, str], check_url: Callable[[str], object] | None = None) -> None:
        """Prepare.

        Args:
            headers: Sent with each request; a cookie or an authorization only to the host of the first one.
            check_url: Called with each address before it is asked, redirects too; raises where it must not be.
        """
        self._headers, self._check, self._home = dict(headers), check_url, ""
        redirects = _Redirects(self)
        self._opener = urllib.request.build_opener(redirects)

    def request(self, url: str, byte_range: tuple[int, int] | None = None) -> urllib.request.Request:
        """A request with the headers that its host may see."""
        if self._check is not None:
            self._check(url)
        host = urllib.parse.urlsplit(url).netloc
        self._home = self._home or host
        headers = {
            name: value for name, value in self._headers.items() if host == self._home or name.lower() not in _SECRET
        }
        if byte_range is not None:
            headers["Range"] = f"bytes={byte_range[0]}-{byte_range[0] + byte_range[1] - 1}"
        return urllib.request.Request(url, headers={"User-Agent": "cliplab", **headers})

    def get(self, url: str, most_bytes: int, byte_range: tuple[int, int] | None = None) -> tuple[bytes, str]:
        """What is at an address, and where that was after redirects.

        Raises:
            MediaError: It cannot be read, or is larger than allowed.
        """
        if not url.startswith(("http://", "https://")):
            raise MediaError(f"{url}: is not HTTP(S) and is not opened.")
        try:
            with self._opener.open(self.request(url, byte_range), timeout=_TIMEOUT_SECONDS) as answer:
                data = answer.read(most_bytes + 1)
                final = answer.url
        except urllib.error.HTTPError as error:
            raise MediaError(f"{url}: the server answered {error.code} {error.reason}. Check the address.") from None
        except (OSError, ValueError, urllib.error.URLError) as error:
            reason = getattr(error, "reason", error)
            raise MediaError(f"{url}: cannot be reached ({reason}). Check the address and the network.") from None
        except Exception as error:  # of http.client: a server that does not speak HTTP or hangs up
            raise MediaError(f"{url}: was not received completely ({error}). Try again.") from None
        if len(data) > most_bytes:
            raise MediaError(f"{url}: is larger than {most_bytes >> 20} MB, the maximum.")
        return bytes(data), str(final)

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
                data, _ = self.get(segment.url, _MOST_SEGMENT_BYTES, segment.byte_range)
                if segment.header is None:
                    return data
                header, _ = self.get(segment.header, _MOST_SEGMENT_BYTES, segment.header_range)
                return header + data
            except MediaError:
                if attempt + 1 == _TRIES or is_stopped():
                    raise
                time.sleep(0.25 * 2**attempt)
        raise AssertionError


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(("http://", "https://")):
            raise MediaError(f"{req.full_url}: redirects to {newurl!r:.80}, which is not HTTP(S) and is not opened.")
        made = self._fetcher.request(newurl)
        if req.has_header("Range"):
            made.add_header("Range", req.get_header("Range"))
        return made


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

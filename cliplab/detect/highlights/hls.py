"""HLS over HTTP (RFC 8216), read by ourselves: every segment is counted, decrypted, and none is lost unnoticed."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adapters.errors import AdapterError, MediaError, MissingExtraError
from cliplab.detect.highlights.hls_playlist import (
    Key,
    Playlist,
    Segment,
    choose_sound,
    choose_variant,
    parse_playlist,
)

_PLAYLIST = re.compile(r"^https?://[^?#]+\.m3u8?([?#]|$)", re.IGNORECASE)
_TIMEOUT_SECONDS, _WHOLE_SECONDS = 15.0, 120.0  # without a byte, and for all of an answer
_PIECE_BYTES = 1 << 16
_MOST_PLAYLIST_BYTES, _MOST_SEGMENT_BYTES = 8 << 20, 512 << 20
_KEY_BYTES = 16
_KEPT_KEYS = 64
_TRIES = 4
# A playlist whose last segment is further behind than this many of its own lengths counts anew; a cache may be a
# little behind.
_BEHIND = 2
# Sent only to the host that was named, since a playlist may lead anywhere.
_SECRET = {"authorization", "cookie", "proxy-authorization"}


def is_playlist(source: str) -> bool:
    """Whether a source is the URL of an HLS playlist, by its name.

    Args:
        source: A path or URL.
    """
    return _PLAYLIST.match(source) is not None


class _RefusedError(MediaError):
    """An address that must not be asked, now or later."""


class Fetcher:
    """Reads addresses over HTTP with limits on time and size."""

    def __init__(self, headers: Mapping[str, str], check_url: Callable[[str], object] | None = None) -> None:
        """Prepare.

        Args:
            headers: Sent with each request; a cookie or an authorization only to the host of the first one.
            check_url: Called with each address before it is asked, redirects too; raises where it must not be.
        """
        self._headers, self._check, self._home = dict(headers), check_url, ""
        self._keys: dict[str, bytes | MediaError] = {}
        self._header: tuple[Any, bytes] | None = None
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
            raise MediaError(f"{url}: is not HTTP and is not followed.")
        try:
            with self._opener.open(self.request(url, byte_range), timeout=_TIMEOUT_SECONDS) as answer:
                data = _read(answer, url, most_bytes)
                final, is_part = answer.url, answer.status == 206
        except MediaError:
            raise
        except AdapterError as error:  # of the check
            raise _RefusedError(str(error)) from None
        except urllib.error.HTTPError as error:
            raise MediaError(f"{url}: the server answers {error.code} {error.reason}. Check the address.") from None
        except (OSError, ValueError, urllib.error.URLError) as error:
            reason = getattr(error, "reason", error)
            raise MediaError(f"{url}: cannot be reached ({reason}). Check the address and the network.") from None
        except Exception as error:  # of http.client: a server that does not speak HTTP or hangs up
            raise MediaError(f"{url}: was not sent whole ({error}). Try again.") from None
        if len(data) > most_bytes:
            raise MediaError(f"{url}: is larger than {most_bytes >> 20} MB, which is not read.")
        if byte_range is not None and not is_part:  # the server sent all of it
            data = data[byte_range[0] : sum(byte_range)]
        if byte_range is not None and len(data) != byte_range[1]:
            raise MediaError(f"{url}: has no bytes {byte_range[0]} to {sum(byte_range) - 1}. Check the playlist.")
        return bytes(data), str(final)

    def playlist(self, url: str) -> Playlist:
        """A playlist as it is now.

        Raises:
            MediaError: It cannot be read or followed.
        """
        data, final = self.get(url, _MOST_PLAYLIST_BYTES)
        return parse_playlist(data.decode("utf-8", "replace"), final)

    def choose(self, url: str, quality: str = "best", sound: int | None = None) -> tuple[Playlist, str, str | None]:
        """The playlist of segments at an address, of one quality where there are several.

        Args:
            url: Of a playlist of segments or of variants.
            quality: As for ``choose_variant``.
            sound: As for ``choose_sound``.

        Returns:
            The playlist, its address, and that of the playlist of its sound, None where its segments have it.

        Raises:
            MediaError: It cannot be read or followed.
        """
        own_sound = None
        for _ in range(3):
            found = self.playlist(url)
            if not found.variants:
                return found, url, own_sound
            chosen = choose_variant(found, quality)
            url, own_sound = chosen.url, choose_sound(found, chosen, sound)
        raise MediaError(f"{url}: is a playlist of playlists of playlists, which is not followed.")

    def segment(self, segment: Segment, is_stopped: Callable[[], bool] = lambda: False) -> bytes:
        """The bytes of a segment, decrypted, with its header before it. What fails is tried again, later each time.

        Raises:
            MediaError: It could not be read or decrypted.
            MissingExtraError: It is encrypted, and the ``clips`` extra is not installed.
        """
        data = self._try(segment.url, segment.byte_range, is_stopped)
        data = self._decrypted(data, segment.key, segment, is_stopped)
        if segment.header is None:
            return data
        name = (segment.header, segment.header_range, segment.header_key)
        if self._header is None or self._header[0] != name:
            header = self._try(segment.header, segment.header_range, is_stopped)
            self._header = name, self._decrypted(header, segment.header_key, segment, is_stopped)
        return self._header[1] + data

    def _try(self, url: str, byte_range: tuple[int, int] | None, is_stopped: Callable[[], bool]) -> bytes:
        for attempt in range(_TRIES):
            try:
                return self.get(url, _MOST_SEGMENT_BYTES, byte_range)[0]
            except MediaError as error:
                if isinstance(error, _RefusedError) or attempt + 1 == _TRIES or is_stopped():
                    raise
                time.sleep(0.25 * 2**attempt)
        raise AssertionError

    def _decrypted(self, data: bytes, key: Key | None, segment: Segment, is_stopped: Callable[[], bool]) -> bytes:
        if key is None:
            return data
        known = self._keys.get(key.url)
        if known is None:
            while len(self._keys) >= _KEPT_KEYS:
                self._keys.pop(next(iter(self._keys)))
            try:
                known = self._try(key.url, None, is_stopped)
                if len(known) != _KEY_BYTES:
                    raise MediaError(f"{key.url}: is a key of {len(known)} bytes, and AES-128 needs {_KEY_BYTES}.")
            except MediaError as error:  # asked once: each segment would wait for it
                known = error
            self._keys[key.url] = known
        if isinstance(known, MediaError):
            raise MediaError(f"{segment.url}: cannot be decrypted: {known}")
        return decrypt(data, known, key.iv or segment.sequence.to_bytes(16, "big"), segment.url)


def decrypt(data: bytes, key: bytes, iv: bytes, name: str) -> bytes:
    """Decrypt AES-128 in CBC mode with the padding of PKCS 7 (RFC 8216, 4.3.2.4).

    Args:
        data: What was sent.
        key: 16 bytes.
        iv: 16 bytes.
        name: For messages.

    Raises:
        MediaError: It was not encrypted with this key.
        MissingExtraError: The ``clips`` extra is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "cryptography", "clips", "encrypted streams") from error
    if not data or len(data) % 16:
        raise MediaError(f"{name}: cannot be decrypted: {len(data)} bytes are not a multiple of 16. Fetch it again.")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    plain = decryptor.update(data) + decryptor.finalize()
    padding = plain[-1]
    if not 1 <= padding <= 16 or not plain.endswith(bytes([padding]) * padding):
        raise MediaError(f"{name}: cannot be decrypted: the key does not fit. Check the headers that its host needs.")
    return plain[:-padding]


def _read(answer: Any, url: str, most_bytes: int) -> bytes:
    """All of an answer, or one byte more than allowed; a server that sends it drop by drop is not waited for."""
    parts, count, end = list[bytes](), 0, time.monotonic() + _WHOLE_SECONDS
    while count <= most_bytes and (piece := answer.read1(min(_PIECE_BYTES, most_bytes + 1 - count))):
        parts.append(piece)
        count += len(piece)
        if time.monotonic() > end:
            raise MediaError(f"{url}: was not sent within {_WHOLE_SECONDS:.0f} s. Choose a lower quality.")
    if count <= most_bytes and answer.length:
        raise MediaError(f"{url}: was not sent whole ({answer.length} bytes are missing). Try again.")
    return b"".join(parts)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(("http://", "https://")):
            raise _RefusedError(f"{req.full_url}: redirects to {newurl!r:.80}, which is not HTTP and is not followed.")
        made = self._fetcher.request(newurl)
        if req.has_header("Range"):
            made.add_header("Range", req.get_header("Range"))
        return made


class SegmentList:
    """Each segment of one playlist once.

    Attributes:
        ended: Whether no further segment will come.
    """

    def __init__(self, fetcher: Fetcher, url: str, playlist: Playlist, on_note: Callable[[str], object]) -> None:
        """Begin with a playlist that was read.

        Args:
            fetcher: Reads it again.
            url: Where it is.
            playlist: As it was read.
            on_note: Receives a sentence about stalls and lost segments.
        """
        self._fetcher, self._url, self._playlist, self._note = fetcher, url, playlist, on_note
        self._following: int | None = None
        self._failing = False

    @property
    def ended(self) -> bool:
        return self._playlist.ended

    def take(self) -> list[Segment]:
        """The segments that were not taken yet, and a note where some were gone before they could be."""
        found, segments = list[Segment](), self._playlist.segments
        if self._following is not None and segments and self._counts_anew(segments):
            self._note("the stream began anew: its numbers are those of another playlist")
            self._following = None
        for segment in segments:
            following = self._following
            if following is not None and segment.sequence < following:
                continue
            if following is not None:
                gone = [number for number in range(following, segment.sequence) if number not in self._playlist.missing]
                if gone:
                    self._note(f"{len(gone)} segments were gone before they could be read")
                if len(gone) < segment.sequence - following:
                    marked = segment.sequence - following - len(gone)
                    self._note(f"{marked} segments are missing in the stream itself")
            self._following = segment.sequence + 1
            found.append(segment)
        return found

    def _counts_anew(self, segments: tuple[Segment, ...]) -> bool:
        assert self._following is not None
        behind = self._following - 1 - segments[-1].sequence
        return behind > max(8, _BEHIND * len(segments))

    def wait(self) -> None:
        """Wait as long as is usual: RFC 8216, 6.3.4: half the target duration where nothing has changed."""
        time.sleep(min(self._playlist.target_seconds / 2, 2.0))

    def reload(self) -> None:
        """Read the playlist again; one that cannot be read now may come back."""
        try:
            self._playlist = self._fetcher.playlist(self._url)
            self._failing = False
        except MediaError as error:
            if not self._failing:
                self._note(f"{error} Waiting for it")
            self._failing = True


def new_segments(
    segments: SegmentList, *, stall_seconds: float, is_stopped: Callable[[], bool], on_note: Callable[[str], object]
) -> Iterator[Segment]:
    """Each segment of a stream once, as it appears, until the stream ends.

    Args:
        segments: The stream.
        stall_seconds: How long no segment may come before the stream is taken to have ended.
        is_stopped: Asked between requests.
        on_note: Receives a sentence about a stream that stalls.
    """
    last_news = time.monotonic()
    while True:
        for segment in segments.take():
            yield segment
            last_news = time.monotonic()
        if segments.ended or is_stopped():
            return
        if time.monotonic() - last_news > stall_seconds:
            on_note(f"no segment for {stall_seconds:g} s: the stream is taken to have ended")
            return
        segments.wait()
        segments.reload()

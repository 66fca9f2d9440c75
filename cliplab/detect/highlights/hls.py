"""HLS over HTTP (RFC 8216), read by ourselves: every segment is counted, decrypted, and none is lost unnoticed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adapters.errors import MediaError, MissingExtraError
from cliplab.detect.highlights.hls_playlist import (
    Key,
    Playlist,
    Segment,
    choose_sound,
    choose_variant,
    parse_playlist,
)
from cliplab.detect.highlights.web_reading import RefusedAddressError, WebReader

_PLAYLIST = re.compile(r"^https?://[^?#]+\.m3u8?([?#]|$)", re.IGNORECASE)
_MOST_PLAYLIST_BYTES, _MOST_SEGMENT_BYTES = 8 << 20, 512 << 20
_KEY_BYTES = 16
_KEPT_KEYS = 64
_TRIES = 4
# A playlist whose last segment is further behind than this many of its own lengths counts anew; a cache may be a
# little behind.
_BEHIND = 2


def is_playlist(source: str) -> bool:
    """Whether a source is the URL of an HLS playlist, by its name.

    Args:
        source: A path or URL.
    """
    return _PLAYLIST.match(source) is not None


class Fetcher(WebReader):
    """Reads playlists, segments and their keys over HTTP with limits on time and size."""

    def __init__(self, headers: Mapping[str, str], check_url: Callable[[str], object] | None = None) -> None:
        """Prepare.

        Args:
            headers: As for ``WebReader``.
            check_url: As for ``WebReader``.
        """
        super().__init__(headers, check_url)
        self._keys: dict[str, bytes | MediaError] = {}
        self._header: tuple[Any, bytes] | None = None

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
        raise MediaError(f"{url}: is a playlist of playlists of playlists. Give the address of one of them.")

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
                return self.get(url, _MOST_SEGMENT_BYTES, byte_range, is_stopped)[0]
            except MediaError as error:
                if isinstance(error, RefusedAddressError) or attempt + 1 == _TRIES or is_stopped():
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
        raise MediaError(f"{name}: cannot be decrypted: the key is wrong. Check the headers that the host requires.")
    return plain[:-padding]


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
            self._note("the stream restarted: its segment numbers begin again")
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
                    self._note(f"{marked} segments are marked as missing in the playlist")
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
        stall_seconds: How long no segment may come before the stream is treated as ended.
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
            on_note(f"no segment for {stall_seconds:g} s: the stream is treated as ended")
            return
        segments.wait()
        segments.reload()

"""HLS playlists as text (RFC 8216): segments with keys and parts, qualities, and sound in playlists of its own."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass, field

from adapters.errors import MediaError

_MOST_SEGMENTS = 200_000
# Longer ones are no segments, and would put all that was kept of the stream in the past.
_LONGEST_SEGMENT_SECONDS = 3600.0
# Not from the middle of a name: a long line without "=" would otherwise be searched from each of its characters.
_ATTRIBUTE = re.compile(r'(?<![A-Z0-9-])([A-Z0-9-]+)=("[^"]*"|[^,]*)')
_HEIGHT = re.compile(r"^\d+x(\d+)$")
_IDENTITY = "identity"


@dataclass(frozen=True)
class Key:
    """What a segment is encrypted with: AES-128 in CBC mode.

    Attributes:
        url: Where the 16 bytes of the key are.
        iv: The initialisation vector, 16 bytes; None: the segment's sequence number.
    """

    url: str
    iv: bytes | None = None


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
        key: What it is encrypted with; None: nothing.
        header_key: The same of the header.
        period: How many discontinuities came before it, so that sound in a playlist of its own finds its picture.
    """

    sequence: int
    url: str
    seconds: float
    discontinuity: bool = False
    header: str | None = None
    byte_range: tuple[int, int] | None = None
    header_range: tuple[int, int] | None = None
    key: Key | None = None
    header_key: Key | None = None
    period: int = 0


@dataclass(frozen=True)
class Variant:
    """A stream in one quality.

    Attributes:
        bits: Per second.
        url: Of its playlist.
        height: Of its pictures; None: not said.
        sound: The group of its sound; None: its sound is in its own segments.
    """

    bits: int
    url: str
    height: int | None = None
    sound: str | None = None


@dataclass(frozen=True)
class Rendition:
    """Sound that a variant may have.

    Attributes:
        group: The group that variants name.
        url: Of its playlist; None: it is in the variant's segments.
        name: For people.
        is_default: Whether it is played where nobody chooses.
    """

    group: str
    url: str | None
    name: str
    is_default: bool


@dataclass(frozen=True)
class Playlist:
    """A playlist as it is now.

    Attributes:
        segments: In order; empty in one of variants. Those that the server marks as missing are left out.
        target_seconds: The longest that a segment may be.
        ended: Whether no segment will be added.
        variants: Each quality; empty in one of segments.
        renditions: Sound that variants may have.
        missing: Sequence numbers of segments that the server says it does not have (``EXT-X-GAP``).
    """

    segments: tuple[Segment, ...] = ()
    target_seconds: float = 6.0
    ended: bool = False
    variants: tuple[Variant, ...] = ()
    renditions: tuple[Rendition, ...] = ()
    missing: tuple[int, ...] = ()


def parse_playlist(text: str, url: str) -> Playlist:
    """Read a playlist.

    Args:
        text: Its text.
        url: Where it is, to which its addresses are relative.

    Raises:
        MediaError: It is none, is encrypted in another way than AES-128, or leads to something that is not HTTP.
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
    period: int = 0
    target: float = 6.0
    ended: bool = False
    seconds: float = 0.0
    discontinuity: bool = False
    is_missing: bool = False
    header: str | None = None
    header_range: tuple[int, int] | None = None
    header_key: Key | None = None
    byte_range: tuple[int, int] | None = None
    range_end: int = 0
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    keys_are_new: bool = False
    variant: dict[str, str] | None = None
    segments: list[Segment] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    renditions: list[Rendition] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)

    def take(self, line: str) -> None:
        tag, _, value = line.partition(":")
        attributes = {name: text.strip('"') for name, text in _ATTRIBUTE.findall(value)}
        if not line.startswith("#"):
            self._address(self._absolute(line))
        elif tag == "#EXTINF":
            self.seconds = min(_number(value.split(",")[0]), _LONGEST_SEGMENT_SECONDS)
        elif tag == "#EXT-X-MEDIA-SEQUENCE":
            self.sequence = int(_number(value))
        elif tag == "#EXT-X-DISCONTINUITY-SEQUENCE":
            self.period = int(_number(value))
        elif tag == "#EXT-X-TARGETDURATION":
            self.target = min(max(_number(value), 0.5), 60.0)
        elif tag == "#EXT-X-DISCONTINUITY":
            self.discontinuity, self.period = True, self.period + 1
        elif tag == "#EXT-X-GAP":
            self.is_missing = True
        elif tag == "#EXT-X-ENDLIST":
            self.ended = True
        elif tag == "#EXT-X-BYTERANGE":
            self.byte_range = self._range(value)
        else:
            self._take_attributes(tag, attributes)

    def _take_attributes(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "#EXT-X-MAP":
            self.header = self._absolute(attributes.get("URI", ""))
            self.header_range = self._range(attributes["BYTERANGE"], 0) if "BYTERANGE" in attributes else None
            self.header_key = self._key()
        elif tag == "#EXT-X-KEY":
            if not self.keys_are_new:
                self.keys = {}
            self.keys_are_new = True
            if attributes.get("METHOD", "NONE") == "NONE":
                self.keys = {}
            else:
                self.keys[attributes.get("KEYFORMAT", _IDENTITY)] = attributes
        elif tag == "#EXT-X-STREAM-INF":
            self.variant = attributes
        elif tag == "#EXT-X-MEDIA" and attributes.get("TYPE") == "AUDIO":
            url = self._absolute(attributes["URI"]) if attributes.get("URI") else None
            name, default = attributes.get("NAME", ""), attributes.get("DEFAULT") == "YES"
            self.renditions.append(Rendition(attributes.get("GROUP-ID", ""), url, name, default))

    def playlist(self) -> Playlist:
        return Playlist(
            tuple(self.segments),
            self.target,
            self.ended,
            tuple(self.variants),
            tuple(self.renditions),
            tuple(self.missing),
        )

    def _address(self, url: str) -> None:
        if self.variant is not None:
            height = _HEIGHT.match(self.variant.get("RESOLUTION", ""))
            bits = int(_number(self.variant.get("BANDWIDTH", "0")))
            self.variants.append(Variant(bits, url, int(height[1]) if height else None, self.variant.get("AUDIO")))
            self.variant = None
            return
        if len(self.segments) >= _MOST_SEGMENTS:
            raise MediaError(f"{self.url}: lists more than {_MOST_SEGMENTS} segments. Give a shorter playlist.")
        if self.is_missing:
            self.missing.append(self.sequence)
        else:
            self.segments.append(self._segment(url))
            self.discontinuity = False
        self.sequence += 1
        self.seconds, self.byte_range, self.keys_are_new, self.is_missing = 0.0, None, False, False

    def _segment(self, url: str) -> Segment:
        return Segment(
            self.sequence,
            url,
            self.seconds,
            self.discontinuity,
            self.header,
            self.byte_range,
            self.header_range,
            self._key(),
            self.header_key,
            self.period,
        )

    def _key(self) -> Key | None:
        """The key of what follows, which has to be one that is sent as it is."""
        if not self.keys:
            return None
        attributes = self.keys.get(_IDENTITY)
        if attributes is None or attributes["METHOD"] != "AES-128":
            method = next(iter(self.keys.values()))["METHOD"]
            formats = ", ".join(name for name in self.keys if name != _IDENTITY)
            said = f"{method:.20}" + (f", {formats:.60}" if formats else "")
            raise MediaError(
                f"{self.url}: is encrypted with {said}; only AES-128 is supported. Give a stream without encryption."
            )
        text = attributes.get("IV")
        if text is None:
            return Key(self._absolute(attributes.get("URI", "")))
        if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,32}", text):
            raise MediaError(
                f"{self.url}: is encrypted with the initialisation vector {text!r:.60}; 0x and 1 to 32 hexadecimal "
                "digits are needed."
            )
        return Key(self._absolute(attributes.get("URI", "")), int(text[2:], 16).to_bytes(16, "big"))

    def _absolute(self, address: str) -> str:
        try:
            url = urllib.parse.urljoin(self.url, address)
        except ValueError:
            url = ""
        if not url.startswith(("http://", "https://")):
            raise MediaError(f"{self.url}: refers to {address!r:.80}, which is not HTTP(S) and is not opened.")
        return url

    def _range(self, value: str, begin: int | None = None) -> tuple[int, int]:
        """(first, count); without a first byte it goes on where the range before ended, or at begin."""
        count, _, first = value.partition("@")
        start = int(_number(first)) if first else self.range_end if begin is None else begin
        if begin is None:
            self.range_end = start + int(_number(count))
        return start, int(_number(count))


def choose_variant(playlist: Playlist, quality: str) -> Variant:
    """The quality to follow.

    Args:
        playlist: One of variants.
        quality: "best", "lowest", or a height such as "720p": the best of that height or less, where heights are
            said; the lowest where all are higher.
    """
    ordered = sorted(playlist.variants, key=lambda one: (one.bits, one.height or 0))
    if quality == "best":
        return ordered[-1]
    if quality == "lowest":
        return ordered[0]
    most = int(quality.removesuffix("p"))
    low = [one for one in ordered if one.height is not None and one.height <= most]
    return low[-1] if low else ordered[0]


def choose_sound(playlist: Playlist, variant: Variant, number: int | None) -> str | None:
    """The URL of the playlist of a variant's sound; None where its own segments have it.

    Args:
        playlist: One of variants.
        variant: The one that is followed.
        number: Which of the sounds of its group, from 0; None: the default one.

    Raises:
        MediaError: There is no such sound.
    """
    among = [one for one in playlist.renditions if variant.sound is not None and one.group == variant.sound]
    if not among:
        return None
    if number is None:
        return next((one.url for one in among if one.is_default), among[0].url)
    if not 0 <= number < len(among):
        names = ", ".join(f"{place} {one.name}".strip() for place, one in enumerate(among))
        raise MediaError(f"{variant.url}: has the sounds {names:.200}; got audio_stream {number}. Name one of them")
    return among[number].url


def _number(text: str) -> float:
    try:
        value = float(text.strip())
    except ValueError:
        return 0.0
    return value if 0 <= value < 1e15 else 0.0

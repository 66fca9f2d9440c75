"""How highlights are looked for: lengths, gaps, edges. Checked before anything is opened."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from adapters.errors import ConfigError
from adapters.system import did_you_mean

# How much of a clip lies before its peak, by what the peak is. A crowd answers what has happened already, and a chat
# some seconds later still; a bang or a flash is the event itself.
BEFORE_SHARES: dict[str, float] = {
    "cheer": 0.7,
    "speech": 0.6,
    "bang": 0.5,
    "motion": 0.5,
    "flash": 0.5,
    "cuts": 0.5,
    "scene": 0.5,
    "chat": 0.7,
}
Frames = Literal["auto", "reference", "key"]
_LONGEST_CLIP = 300.0
_HEIGHT = re.compile(r"[1-9]\d{1,3}p?")


@dataclass(frozen=True)
class HighlightOptions:
    """What to find, and how clips are cut around it.

    Attributes:
        clip_seconds: Length of a clip before its edges are snapped, 1 to 300 s.
        min_gap_seconds: Minimum time from one peak to the next, in seconds.
        min_score: Candidates with a lower score are left out, 0..1.
        most: Maximum number of candidates, the best ones; None: all.
        before_shares: How much of a clip lies before its peak, by the kind of event; those of ``BEFORE_SHARES`` that
            are not named keep their value.
        snap_seconds: How far an edge may move to a silence or a cut; 0 leaves edges where they are.
        frames: Which pictures are decoded: "reference" those that others lean on, "key" key frames only, "auto"
            reference frames up to 1280x720 at 30 per second and key frames above that.
        audio_stream: Which sound stream is heard, from 0; None: FFmpeg's choice. Of an HLS stream with sound in
            playlists of its own, which of these; None: the default one.
        quality: Of an HLS stream in several qualities: "best", "lowest", or a height such as "720p", the best of that
            height or less.
        headers: HTTP headers for URLs, such as a cookie or a referrer.
    """

    clip_seconds: float = 30.0
    min_gap_seconds: float = 30.0
    min_score: float = 0.3
    most: int | None = None
    before_shares: Mapping[str, float] = field(default_factory=dict)
    snap_seconds: float = 1.5
    frames: Frames = "auto"
    audio_stream: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    quality: str = "best"

    def __post_init__(self) -> None:
        """Refuse what is not allowed.

        Raises:
            ConfigError: A value is out of its range.
        """
        _require("clip_seconds", self.clip_seconds, 1.0, _LONGEST_CLIP)
        _require("min_gap_seconds", self.min_gap_seconds, 0.0, 86_400.0)
        _require("min_score", self.min_score, 0.0, 1.0)
        _require("snap_seconds", self.snap_seconds, 0.0, 10.0)
        if self.most is not None and (isinstance(self.most, bool) or self.most < 1):
            raise ConfigError(f"most must be a whole number of at least 1, got {self.most!r}")
        if self.frames not in ("auto", "reference", "key"):
            raise ConfigError(f"frames must be auto, reference or key, got {self.frames!r}")
        if self.quality not in ("best", "lowest") and not _HEIGHT.fullmatch(str(self.quality)):
            raise ConfigError(f"quality must be best, lowest or a height such as 720p, got {self.quality!r:.60}")
        for name, share in self.before_shares.items():
            if name not in BEFORE_SHARES:
                hint = did_you_mean(name, BEFORE_SHARES)
                raise ConfigError(
                    f"before_shares has {name!r}, which is not a kind of event; allowed: "
                    f"{', '.join(BEFORE_SHARES)}{hint}"
                )
            _require(f"before_shares of {name}", share, 0.0, 1.0)
        for name, value in self.headers.items():
            if not name.strip() or any(sign in f"{name}{value}" for sign in "\r\n\0") or ":" in name:
                raise ConfigError(f"headers must be names and values on one line each, got {name!r}")

    def before_share(self, event: str) -> float:
        """How much of a clip lies before its peak.

        Args:
            event: One of ``BEFORE_SHARES``.
        """
        return float(self.before_shares.get(event, BEFORE_SHARES[event]))

    def to_json(self) -> dict[str, Any]:
        """What decides the candidates, as a JSON object; headers are left out, since they may hold secrets."""
        values = {**vars(self), "before_shares": dict(self.before_shares)}
        values.pop("headers")
        return values


def _require(name: str, value: Any, least: float, most: float) -> None:
    allowed = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not allowed or not least <= value <= most:
        raise ConfigError(f"{name} must be a number from {least:g} to {most:g}, got {value!r:.60}")


def parse_shares(text: str) -> dict[str, float]:
    """Shares before the peak as they are typed, such as ``cheer=0.8,motion=0.5``.

    Args:
        text: What was typed.

    Raises:
        ConfigError: It is anything else.
    """
    shares = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, sign, value = part.partition("=")
        try:
            shares[name.strip()] = float(value) if sign else math.nan
        except ValueError:
            shares[name.strip()] = math.nan
        if not math.isfinite(shares[name.strip()]):
            raise ConfigError(f"shares before the peak must have the form cheer=0.7,motion=0.5, got {part!r:.60}")
    return shares


def parse_headers(lines: list[str]) -> dict[str, str]:
    """HTTP headers as they are typed, such as ``Referer: https://example.org``.

    Args:
        lines: One header each.

    Raises:
        ConfigError: A line has no colon.
    """
    headers = {}
    for line in lines:
        name, sign, value = line.partition(":")
        if not sign or not name.strip():
            raise ConfigError("a header must have the form NAME: VALUE; got a line without a name or a colon")
        headers[name.strip()] = value.strip()
    return headers

"""Cue tags in an HLS media playlist, which is read only: without its segments a playlist would be of no use."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from adapters.data.formats.cue_breaks import CueBreaks
from adapters.data.formats.interval_records import IntervalFormat, IntervalSource
from adapters.errors import DatasetError

# Not from the middle of a name: a long line without "=" would otherwise be searched from each of its characters.
_ATTRIBUTE = re.compile(r'(?<![A-Z0-9-])([A-Z0-9-]+)\s*=\s*("[^"]*"|[^,]*)', re.I)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_MAX_SECONDS = 1e7


def read_hls(source: IntervalSource) -> None:
    """Read the cue tags: EXT-X-CUE-OUT, -CONT and -IN, EXT-X-SCTE35, and EXT-X-DATERANGE with SCTE35-OUT (RFC 8216).

    Times are the lengths of the segments before the tag, so that the first segment begins at 0.

    Raises:
        DatasetError: It is not a media playlist, or a number or date in it is wrong.
    """
    if "#EXT-X-STREAM-INF" in source.text:
        raise DatasetError(
            f"{source.path}: is a playlist of streams and has no times. Give the playlist of one of its streams."
        )
    playlist = _Playlist(source)
    for number, line in enumerate(source.lines(), 1):
        playlist.line(line.strip(), f"line {number}")
    playlist.finish()


class _Playlist:
    """Walks through the lines of one playlist."""

    def __init__(self, source: IntervalSource) -> None:
        self._source = source
        self._at = 0.0
        self._breaks = CueBreaks()
        self._clocks: list[tuple[datetime, float]] = []
        self._ranges: list[tuple[str, dict[str, str]]] = []

    def line(self, text: str, where: str) -> None:
        name, _, value = text.partition(":")
        if name == "#EXTINF":
            self._at += self._number(value.split(",")[0], where)
        elif name == "#EXT-X-PROGRAM-DATE-TIME":
            self._clocks.append((self._date(value, where), self._at))
        elif name == "#EXT-X-CUE-OUT":
            self._breaks.leave(self._at, self._length(value, where), where)
        elif name in ("#EXT-X-CUE-OUT-CONT", "#EXT-X-CUE-CONT"):
            self._goes_on(value, where)
        elif name == "#EXT-X-CUE-IN":
            self._back(where)
        elif name == "#EXT-X-SCTE35":
            given = _attributes(value)
            if given.get("CUE-OUT", "").upper() == "YES":
                self._breaks.leave(self._at, self._length(value, where), where)
            elif given.get("CUE-IN", "").upper() == "YES":
                self._back(where)
        elif name == "#EXT-X-DATERANGE":
            self._ranges.append((where, _attributes(value)))

    def finish(self) -> None:
        if self._source.duration_seconds is None and self._at > 0:
            self._source.duration_seconds = self._at
        for where, given in self._ranges:
            self._range(given, where)
        self._breaks.add_to(self._source)

    def _goes_on(self, value: str, where: str) -> None:
        """A break that began before this tag; without an open one it began before the playlist does."""
        if self._breaks.is_open():
            return
        given = _attributes(value)
        pair = value.split("/") if "/" in value and "=" not in value else ["", ""]
        elapsed, length = given.get("ELAPSEDTIME", pair[0]), given.get("DURATION", pair[1])
        left = self._number(length, where) - self._number(elapsed or "0", where) if length else None
        self._breaks.leave(self._at, None if left is None else max(left, 0.0), where)

    def _back(self, where: str) -> None:
        if not self._breaks.come_back(self._at):
            self._source.leave_out(where, "are cues back into the programme without a cue out of it")

    def _range(self, given: dict[str, str], where: str) -> None:
        if "SCTE35-OUT" not in given and "SCTE35-IN" not in given:
            self._source.leave_out(where, "are date ranges without a splice")
            return
        event = given.get("ID")
        if "START-DATE" not in given:
            at = None
        else:
            at = self._place(self._date(given["START-DATE"], where), where)
        if at is not None and "SCTE35-OUT" in given:
            length = given.get("DURATION") or given.get("PLANNED-DURATION")
            self._breaks.leave(at, self._number(length, where) if length else None, where, event)
        end = self._end_of(given, at, where)
        if end is not None:
            self._breaks.come_back(end, event)

    def _end_of(self, given: dict[str, str], at: float | None, where: str) -> float | None:
        if given.get("END-DATE"):
            return self._place(self._date(given["END-DATE"], where), where)
        if "SCTE35-IN" in given and at is not None and "SCTE35-OUT" not in given:
            return at + self._number(given.get("DURATION") or "0", where)
        return None

    def _place(self, date: datetime, where: str) -> float:
        """The seconds of a date in the playlist."""
        if not self._clocks:
            raise DatasetError(
                f"{self._source.path}, {where}: gives a date, but no EXT-X-PROGRAM-DATE-TIME says which date a segment "
                "has. Give the whole playlist."
            )
        before = [clock for clock in self._clocks if clock[0] <= date]
        known, at = before[-1] if before else self._clocks[0]
        return at + (date - known).total_seconds()

    def _length(self, value: str, where: str) -> float | None:
        given = _attributes(value).get("DURATION")
        text = given if given is not None else value.strip()
        return self._number(text, where) if given is not None or _NUMBER.fullmatch(text) else None

    def _number(self, text: str, where: str) -> float:
        found = _NUMBER.fullmatch(text.strip())
        if found is None or not float(text) < _MAX_SECONDS:
            raise DatasetError(f"{self._source.path}, {where}: must have a number of seconds, got {text!r:.60}")
        return float(text)

    def _date(self, text: str, where: str) -> datetime:
        try:
            date = datetime.fromisoformat(text.strip())
        except ValueError:
            raise DatasetError(
                f"{self._source.path}, {where}: must have a date such as 2026-01-31T20:15:00Z, got {text!r:.60}"
            ) from None
        return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _attributes(value: str) -> dict[str, str]:
    return {name.upper(): given.strip().strip('"') for name, given in _ATTRIBUTE.findall(value)}


def is_hls(source: IntervalSource) -> bool:
    """Whether the file begins as a playlist does."""
    return source.head.startswith("#EXTM3U")


FORMAT = IntervalFormat(read_hls, None, (".m3u8", ".m3u"), is_hls)

"""Splice cues to breaks: out of the programme, back into it, with or without a planned length."""

from __future__ import annotations

from dataclasses import dataclass, field

from adapters.data.formats.interval_records import COMMERCIAL, IntervalSource

_NO_EVENT = "-"


@dataclass
class _Break:
    where: str
    start: float
    planned: float | None
    end: float | None = None


@dataclass
class CueBreaks:
    """The breaks of the cues of one programme, in the order in which the cues come."""

    _open: dict[str, _Break] = field(default_factory=dict)
    _all: list[_Break] = field(default_factory=list)

    def leave(self, at: float, planned: float | None, where: str, event: str | None = None) -> None:
        """A cue out of the programme. One that only repeats an open break is passed over.

        Args:
            at: Seconds.
            planned: The length that the cue gives, in seconds; None: it gives none.
            where: Its place in the file.
            event: Its identifier.
        """
        key = event or _NO_EVENT
        known = self._open.get(key)
        if known is not None and (known.planned is None or at < known.start + known.planned):
            known.planned = known.planned if planned is None else planned
            return
        self._open[key] = _Break(where, max(at, 0.0), planned)
        self._all.append(self._open[key])

    def come_back(self, at: float, event: str | None = None) -> bool:
        """A cue back into the programme, which ends the break of its identifier, or every open one.

        Args:
            at: Seconds.
            event: Its identifier; None: it names none.

        Returns:
            Whether a break was open.
        """
        keys = [event] if event in self._open else list(self._open) if event is None else [_NO_EVENT]
        ended = [self._open.pop(key) for key in keys if key in self._open]
        for item in ended:
            item.end = max(at, item.start)
        return bool(ended)

    def is_open(self) -> bool:
        """Whether a break has begun and not ended."""
        return bool(self._open)

    def add_to(self, source: IntervalSource) -> None:
        """Add the breaks to the file's intervals. Those that overlap, such as adverts within a break, become one."""
        stretches: list[tuple[float, float, str]] = []
        for item in self._all:
            end = item.end
            if end is None and item.planned is not None:
                end = item.start + item.planned
            if end is None:
                end = source.duration_seconds
            if end is None:
                source.leave_out(
                    item.where, "have no end: there is no cue back, no length, and the length of the video is unknown"
                )
            elif end > item.start:
                stretches.append((item.start, end, item.where))
        merged: list[tuple[float, float, str]] = []
        for start, end, where in sorted(stretches):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
            else:
                merged.append((start, end, where))
        for start, end, where in merged:
            source.add(where, COMMERCIAL, start, end)
        source.notes.append(f"splice cues out of the programme get the label {COMMERCIAL!r}")
        if len(merged) < len(stretches):
            source.notes.append(f"{len(stretches) - len(merged)} breaks overlap others and were merged with them")

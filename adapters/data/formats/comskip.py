"""Comskip's ``.txt``: a header with the frame rate, and the first and last frame of each commercial break."""

from __future__ import annotations

import re
from fractions import Fraction

from adapters.data.formats.interval_records import COMMERCIAL, IntervalFormat, IntervalOutput, IntervalSource
from adapters.errors import DatasetError

_HEADER = re.compile(r"FILE PROCESSING COMPLETE\s+(\d{1,15})\s+FRAMES(?:\s+AT\s+(\d{1,15}))?", re.I)
_LINE = re.compile(r"(\d{1,15})\s+(\d{1,15})")
_SHORTEST = 2  # frames; Comskip marks the last two frames of a file that ends with programme
_NTSC = (24_000, 30_000, 48_000, 60_000, 120_000)


def read_comskip(source: IntervalSource) -> None:
    """Read the list of breaks. The frame rate is that of the header, unless the caller gives one.

    Raises:
        DatasetError: A line is not two frame numbers, or no frame rate is known.
    """
    for number, line in enumerate(source.lines(), 1):
        text, where = line.strip(), f"line {number}"
        if (header := _HEADER.match(text)) is not None:
            _use_header(header, source, where)
            continue
        if not text or not text.strip("-"):
            continue
        found = _LINE.fullmatch(text)
        if found is None:
            raise DatasetError(
                f"{source.path}, {where}: must be the first and last frame of a break, such as 1500 4200; "
                f"got {text!r:.80}"
            )
        if int(found[2]) < int(found[1]):
            raise DatasetError(f"{source.path}, {where}: ends at frame {found[2]}, before it starts at {found[1]}")
        if int(found[2]) - int(found[1]) < _SHORTEST:
            source.leave_out(where, "last fewer than 3 frames, which Comskip's own EDL leaves out too")
            continue
        start, end = source.seconds_of_frames(*_from_zero(int(found[1]), int(found[2])), where)
        source.add(where, COMMERCIAL, start, end)
    source.notes.append(f"every break gets the label {COMMERCIAL!r}")


def _from_zero(first: int, last: int) -> tuple[int, int]:
    """Comskip counts frames from 1, and a break ends where its last frame begins, as its own EDL has it."""
    return max(first - 1, 0), max(last - 1, 0)


def _use_header(header: re.Match[str], source: IntervalSource, where: str) -> None:
    hundredths = int(header[2] or 0)
    if source.frame_rate is None and hundredths:
        source.frame_rate = rate_of(hundredths)
        source.notes.append(f"frame rate {source.frame_rate:.5g} is read from the header ({where})")
    if source.duration_seconds is None and source.frame_rate:
        frames = int(header[1])
        source.duration_seconds = frames / source.frame_rate if frames else None


def rate_of(hundredths: int) -> float:
    """Frames per second from a rate times 100: 2997 is 30000/1001.

    Args:
        hundredths: The rate in the header, above 0.
    """
    near = next((top for top in _NTSC if abs(top / 1001 * 100 - hundredths) < 1), None)
    return hundredths / 100 if near is None else float(Fraction(near, 1001))


def write_comskip(output: IntervalOutput) -> str:
    """The text of the list. Frames are counted from 1; the length is the video's, or that of the last interval."""
    rate = output.rate()
    items = output.intervals
    length = output.duration_seconds or max((item.end_seconds for item in items), default=0.0)
    lines = [f"FILE PROCESSING COMPLETE {round(length * rate):6d} FRAMES AT {round(rate * 100):5d}", "-" * 19]
    lines += [f"{round(item.start_seconds * rate) + 1}\t{round(item.end_seconds * rate) + 1}" for item in items]
    return "".join(line + "\n" for line in lines)


def is_comskip(source: IntervalSource) -> bool:
    """Whether the file has Comskip's header, or only pairs of numbers."""
    lines = [line.strip() for line in source.head.split("\n")[:20] if line.strip()]
    return bool(lines) and (_HEADER.match(lines[0]) is not None or all(map(_LINE.fullmatch, lines)))


FORMAT = IntervalFormat(
    read_comskip, write_comskip, (".txt",), is_comskip, labels=frozenset({COMMERCIAL}), step_seconds=None
)

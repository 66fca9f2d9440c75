"""MythTV's marks in frames: a commercial skip list, a cut list, or the output of mythcommflag."""

from __future__ import annotations

import re

from adapters.data.formats.interval_records import COMMERCIAL, IntervalFormat, IntervalOutput, IntervalSource
from adapters.errors import DatasetError

# What `mythutil --getskiplist` and `--getcutlist` print: "Commercial Skip List: 100-200,300-400".
_LIST = re.compile(r"(Commercial Skip ?list|Skip ?list|Cut ?list)\s*:\s*(.*)", re.I)
_RANGE = re.compile(r"(\d{1,15})\s*-\s*(\d{1,15})")
# What `mythcommflag --outputfile` writes; types by libs/libmythbase/programtypes.h.
_MARK = re.compile(r"framenum:\s*(\d{1,15})\s+marktype:\s*(\d{1,9})")
_STARTS, _ENDS = {1: "cut", 4: COMMERCIAL}, {0: "cut", 5: COMMERCIAL}


def read_mythtv(source: IntervalSource) -> None:
    """Read the marks: a skip list is of label "ad", a cut list of "cut". Frames are counted from 0.

    Raises:
        DatasetError: A line is not understood, a mark has no partner, or the frame rate is not known.
    """
    begun: tuple[int, str, int] | None = None
    for number, line in enumerate(source.lines(), 1):
        text, where = line.strip(), f"line {number}"
        if (mark := _MARK.fullmatch(text)) is not None:
            begun = _mark(int(mark[1]), int(mark[2]), begun, number, source)
        elif (named := _LIST.fullmatch(text)) is not None:
            _ranges(named[2], "cut" if "cut" in named[1].lower() else COMMERCIAL, source, where)
        elif _RANGE.match(text):
            _ranges(text, COMMERCIAL, source, where)
        elif text and not re.match(r"(commercialBreakListFor|totalframecount)\s*:", text):
            raise DatasetError(
                f"{source.path}, {where}: must be a list of frames such as 'Commercial Skip List: 100-200,300-400', "
                f"or 'framenum: 100 marktype: 4'; got {text!r:.80}"
            )
    if begun is not None:
        source.leave_out(f"line {begun[2]}", "have no end mark")
    source.notes.append(f"skip lists and commercial marks get the label {COMMERCIAL!r}, cut lists the label 'cut'")


def _mark(
    frame: int, kind: int, begun: tuple[int, str, int] | None, number: int, source: IntervalSource
) -> tuple[int, str, int] | None:
    """The start that waits for its end, after one more mark."""
    where = f"line {number}"
    if kind in _STARTS:
        if begun is not None:
            source.leave_out(f"line {begun[2]}", "have no end mark")
        return frame, _STARTS[kind], number
    if kind in _ENDS:
        first, label = (0, _ENDS[kind]) if begun is None else begun[:2]
        _add(first, frame, label, source, where)
        return None
    source.leave_out(where, "are marks of another type")
    return begun


def _ranges(text: str, label: str, source: IntervalSource, where: str) -> None:
    for part in text.split(",") if text.strip() else ():
        found = _RANGE.fullmatch(part.strip())
        if found is None:
            raise DatasetError(f"{source.path}, {where}: must be ranges of frames such as 100-200, got {part!r:.60}")
        _add(int(found[1]), int(found[2]), label, source, where)


def _add(first: int, last: int, label: str, source: IntervalSource, where: str) -> None:
    if last < first:
        raise DatasetError(f"{source.path}, {where}: ends at frame {last}, before it starts at frame {first}")
    start, end = source.seconds_of_frames(first, last, where)
    source.add(where, label, start, end)


def write_mythtv(output: IntervalOutput) -> str:
    """A cut list of the intervals with the label "cut", and a skip list of all others."""
    lists: dict[str, list[str]] = {"Cutlist": [], "Commercial Skip List": []}
    for item in output.intervals:
        frames = f"{output.frame(item.start_seconds)}-{output.frame(item.end_seconds)}"
        lists["Cutlist" if item.label == "cut" else "Commercial Skip List"].append(frames)
    return "".join(f"{name}: {','.join(found)}\n" for name, found in lists.items() if found) or "Cutlist: \n"


def is_mythtv(source: IntervalSource) -> bool:
    """Whether the first line that is not empty is one of MythTV's."""
    line = next((line.strip() for line in source.head.split("\n") if line.strip()), "")
    return bool(_LIST.fullmatch(line) or _MARK.fullmatch(line) or line.startswith("commercialBreakListFor"))


FORMAT = IntervalFormat(
    read_mythtv,
    write_mythtv,
    (".txt", ".skiplist", ".cutlist"),
    is_mythtv,
    labels=frozenset({COMMERCIAL, "cut"}),
    step_seconds=None,
)

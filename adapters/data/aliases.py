"""What the columns and keys of a label file mean under the names of other tools: one table for all formats.

A name is compared in lower case, with its words parted: ``startTime``, ``Start Time`` and ``start-time`` are
``start_time``. A time's name is made of words: one for its part of the range, at most one for its unit, and fillers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from adapters.system import did_you_mean

ROW_KEYS = ("path", "start_seconds", "end_seconds", "label", "split", "group", "source")

Part = Literal["start", "end", "duration", "range"]
Unit = Literal["seconds", "milliseconds", "minutes", "frames"]

# Names of each key. The first that a row has is used; names that may also mean something else are in WEAKER.
STRONG: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name", "file_path", "filepath", "video", "video_path", "videopath",
             "video_file", "video_filename", "clip_path", "clip_file", "clip_filename", "media_path", "relative_path"),
    "label": ("label", "labels", "class", "classes", "class_name", "classname"),
    "split": ("split",),
    "group": ("group",),
    "source": ("source",),
}  # fmt: skip
# Columns of yes and no, one for each split, whose meaning would be lost.
SPLIT_FLAGS = re.compile(
    r"(?:is|in|for|use)_(?:the_)?(train|training|val|valid|validation|dev|test|testing)(?:_set|_split)?"
)
# Used only where a row has no stronger name of the key, since beside one they are something else.
WEAKER: dict[str, tuple[str, ...]] = {
    "path": ("video_name", "clip", "clip_name", "video_id", "videoid", "vid", "vid_name", "youtube_id", "ytid", "yt_id",
             "clip_id", "name", "url", "video_url", "uri", "link"),
    "label": ("class_label", "label_name", "category", "categories", "category_name", "action", "actions",
              "action_label", "action_name", "action_class", "activity", "tag", "tags"),
    "split": ("subset", "set", "partition", "data_split", "dataset_split", "split_name"),
}  # fmt: skip
RATES = ("fps", "frame_rate", "framerate", "video_fps", "frames_per_second")

PART_WORDS: dict[str, Part] = {
    **dict.fromkeys(("start", "begin"), "start"),
    **dict.fromkeys(("end", "stop"), "end"),
    **dict.fromkeys(("duration", "dur", "length", "len"), "duration"),
}  # fmt: skip
UNIT_WORDS: dict[str, Unit] = {
    **dict.fromkeys(("s", "sec", "secs", "seconds"), "seconds"),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), "milliseconds"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "minutes"),
    **dict.fromkeys(("frame", "frames"), "frames"),
}  # fmt: skip
FILLERS = (
    "time", "t", "timestamp", "ts", "timecode", "tc", "clip", "segment", "seg", "event", "action", "annotation", "at",
    "point", "position", "pos", "offset", "scene", "shot", "window", "interval", "range", "temporal", "mark", "cut",
)  # fmt: skip
# Fillers beside the unit of frames only: without it, an index may count anything.
COUNTING = ("index", "idx", "number", "num", "no", "nr")
# Words that are a start and an end only where a row has both, with fillers and a unit like the others.
PAIRS = (("onset", "offset"), ("in", "out"), ("from", "to"), ("t0", "t1"), ("t1", "t2"), ("tmin", "tmax"))
# Names of a pair of times in one value: [a, b] or "a-b". The last ones may also be a single moment, which is refused.
RANGES = (
    "segment", "segments", "interval", "intervals", "range", "ranges", "span", "spans", "timespan", "time_span",
    "time_range", "time_interval", "time_segment", "temporal_segment", "temporal_range", "clip_range", "start_end",
    "frame_range", "frame_interval", "frames", "timestamps", "times", "timestamp", "time",
)  # fmt: skip

_JOINED = re.compile(
    r"(?P<a>start|begin|end|stop)(?P<b>times?|timestamp|timecode|frames?|secs?|seconds|ms|offset|point|pos)|"
    r"(?P<c>t|clip|seg|segment|event|action)(?P<d>start|begin|end|stop)|"
    r"(?P<e>in|out)(?P<f>point|time|frame|sec|ms)"
)
# Facts of the whole video, and times of the labelling, which are not a range.
_WHOLE = frozenset(["video", "total", "full", "file", "movie", "original", "untrimmed", "media"])
_OTHER_CLOCKS = frozenset(
    ["created", "updated", "modified", "uploaded", "recorded", "annotated", "published", "labeled", "labelled"]
)
_NOT_TIMES = frozenset({"daytime", "nighttime", "overtime", "lifetime", "runtime", "timezone", "stopwords"})
_TIME_WORDS = frozenset(
    {*PART_WORDS, *UNIT_WORDS, "time", "times", "timestamp", "timestamps", "timecode", "onset", "offset", "segment",
     "segments", "interval", "intervals", "span", "timespan", "moment", "moments", "finish", "ends", "starts", "usec",
     "second", "micros", "microseconds", "nanoseconds", "us", "ns", "t", "t0", "t1", "t2", "pts", "dts", "hours"}
)  # fmt: skip
# Words that are a time only at the end of a name: "second_label" and "min_score" are none.
_LAST_ONLY = frozenset({"s", "second", "ms", "min", "us", "ns", "t", "length", "len", "minute"})
_WITHIN = re.compile(r"start|begin|duration|timestamp|timecode|frame|onset|^(?:stop|offset|time)|(?:stop|offset|time)$")
_FRAME_FACTS = frozenset(
    [
        "rate",
        "width",
        "height",
        "size",
        "shape",
        "path",
        "paths",
        "dir",
        "folder",
        "url",
        "file",
        "files",
        "count",
        "format",
        "quality",
        "type",
        "fps",
        "name",
        "names",
    ]
)
_LONGEST_KEPT = 200  # characters of a name that is kept in a cache
_IDS = frozenset(["id", "ids", "uid", "uuid"])


@dataclass(frozen=True)
class TimeName:
    """The meaning of a time's name.

    Attributes:
        part: Of the range; ``range`` is both ends in one value.
        unit: Of the number.
        bare: Whether the name has no unit, and seconds are assumed.
    """

    part: Part
    unit: Unit
    bare: bool


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: ``startTime (ms)`` is start, time and ms.

    Args:
        name: Of a column or key.
    """
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.strip())
    return tuple(re.findall(r"[^\W_]+", text.lower()))


def is_left_out(name: str) -> bool:
    """Whether a column is left out on purpose: its name begins with ``_`` or ``#``, or is empty."""
    return not name.strip() or name.strip()[0] in "_#"


@lru_cache(maxsize=1024)
def key_names(key: str) -> tuple[str, ...]:
    """Every name of a key, the strongest first."""
    return (*STRONG.get(key, (key,)), *WEAKER.get(key, ()))


@lru_cache(maxsize=4096)
def time_name(name: str, others: frozenset[str] = frozenset()) -> TimeName | None:
    """What a name means as a time; None where it is none that is understood.

    Args:
        name: Of a column or key.
        others: The normal names of the row (see ``normal_name``), for names that mean something only in pairs.
    """
    units, rest = _unit_and_rest(name)
    if len(set(units)) > 1:
        return None
    unit: Unit = units[0] if units else "seconds"
    if normal_name(name) in RANGES or "_".join(rest) in RANGES:
        return TimeName("range", unit, not units)
    fillers = (*FILLERS, *COUNTING) if unit == "frames" else FILLERS
    words = [word for word in rest if word not in fillers]
    if len(words) == 1 and words[0] in PART_WORDS:
        return TimeName(PART_WORDS[words[0]], unit, not units)
    own = _pair_word(rest)
    part = _part_of_pair(own, _pair_words(others)) if own else None
    return None if part is None else TimeName(part, unit, not units)


@lru_cache(maxsize=64)
def _pair_words(names: frozenset[str]) -> frozenset[str]:
    """The words of PAIRS among the names of a row; once for all names, since a row may have thousands."""
    return frozenset(_pair_word(_unit_and_rest(name)[1]) for name in names)


def _unit_and_rest(name: str) -> tuple[list[Unit], list[str]]:
    """The units in a name, and its other words."""
    words = [part for word in words_of(name) for part in _parted(word)]
    units = [UNIT_WORDS[word] for word in words if word in UNIT_WORDS]
    return units, [word for word in words if word not in UNIT_WORDS]


def _pair_word(words: Iterable[str]) -> str:
    """The word of PAIRS that some words are but for fillers; empty where they are none."""
    # "offset" is a filler beside a start, and a word of its own beside an onset.
    rest = [word for word in words if word == "offset" or word not in FILLERS]
    return rest[0] if len(rest) == 1 and any(rest[0] in pair for pair in PAIRS) else ""


def _part_of_pair(word: str, others: frozenset[str]) -> Part | None:
    for start, end in PAIRS:
        if word in (start, end) and {start, end} <= others:
            return "start" if word == start else "end"
    return None


def _parted(word: str) -> Iterable[str]:
    found = _JOINED.fullmatch(word)
    return [word] if found is None else [part for part in found.groups() if part]


def normal_name(name: str) -> str:
    """A name with its words parted by ``_``: the form in which names are compared."""
    return _joined_words(name) if len(name) <= _LONGEST_KEPT else "_".join(words_of(name))


@lru_cache(maxsize=4096)
def _joined_words(name: str) -> str:
    return "_".join(words_of(name))


@lru_cache(maxsize=4096)
def is_rate(name: str) -> bool:
    """Whether a name is that of the video's frames per second."""
    return normal_name(name) in RATES


@lru_cache(maxsize=4096)
def looks_like_time(name: str) -> bool:
    """Whether a name that is not understood may be that of a time, so that to pass over it could lose a range.

    Args:
        name: Of a column or key.
    """
    words = words_of(name)
    if not words or _is_fact(words):
        return False
    if _pair_word(_unit_and_rest(name)[1]) not in ("", "from", "to"):
        return True
    for place, word in enumerate(words):
        if word in _NOT_TIMES or (word in _LAST_ONLY and place < len(words) - 1):
            continue
        if word in _TIME_WORDS or _JOINED.fullmatch(word) or _WITHIN.search(word):
            return True
    return False


def _is_fact(words: tuple[str, ...]) -> bool:
    """Whether a name is a fact of the whole video, of a picture or of the labelling."""
    found = set(words)
    if found & {"start", "begin", "end", "stop"}:
        return False
    about_frames = any(word.startswith("frame") or word.endswith(("frame", "frames")) for word in words)
    if found & _OTHER_CLOCKS or (words[-1] in _IDS and not about_frames) or "_".join(words) in RATES:
        return True
    if found & _WHOLE and found & {"duration", "dur", "length", "len", "seconds", "sec", "frames"}:
        return True
    return about_frames and bool(found & _FRAME_FACTS or words[0] in ("num", "n", "number", "nb", "nframes", "count"))


def nearest_name(name: str, cutoff: float = 0.75) -> str:
    """The end of a message such as ' Did you mean "start_seconds"?', or the empty string.

    Args:
        name: A name that is not understood.
        cutoff: How similar a name must be, in 0..1.
    """
    return did_you_mean(normal_name(name), ROW_KEYS, cutoff)


def alias_table() -> str:
    """The names that are understood, as the Markdown table of docs/dataset.md."""

    def listed(names: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in names)

    rows = [(f"`{key}`", listed(STRONG[key]), listed(WEAKER[key])) for key in WEAKER]
    rows += [
        (f"`{part}_seconds`" if part != "duration" else "a duration", listed(_words_of_part(part)), "")
        for part in ("start", "end", "duration")
    ]
    rows += [
        ("with a unit", listed(UNIT_WORDS), ""),
        ("and fillers", listed(sorted(FILLERS)), ""),
        ("and, with frames,", listed(sorted(COUNTING)), ""),
        ("start and end as a pair", ", ".join(f"`{start}`/`{end}`" for start, end in PAIRS), ""),
        ("both in one value", listed(RANGES), ""),
        ("frames per second", listed(RATES), ""),
    ]
    head = "| key | names | names that count where none of those is there |\n|---|---|---|\n"
    return head + "".join(f"| {key} | {names} | {weaker} |\n" for key, names, weaker in rows)


def _words_of_part(part: str) -> list[str]:
    return [word for word, of in PART_WORDS.items() if of == part]

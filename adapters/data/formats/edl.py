"""EDL of MPlayer and Kodi: a start, an end and an action per line."""

from __future__ import annotations

import re

from adapters.data.formats.interval_records import COMMERCIAL, IntervalFormat, IntervalOutput, IntervalSource
from adapters.errors import DatasetError

# https://kodi.wiki/view/Edit_decision_list: what each action means, as a label.
ACTION_LABELS = {0: "cut", 1: "mute", 2: "scene", 3: COMMERCIAL}
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)")
_LINE = re.compile(r"(\S+)\s+(\S+)(?:\s+(\S+))?(?:\s+.*)?")
_TIME = re.compile(r"#?\d{1,15}(?:\.\d{1,15})?|(?:\d{1,4}:)?\d{1,2}:\d{1,2}(?:\.\d{1,9})?")


def read_edl(source: IntervalSource) -> None:
    """Read an EDL. Times are seconds, clocks, or frames such as ``#1200``, counted from 0.

    Raises:
        DatasetError: A line is not a start, an end and an action of 0 to 3.
    """
    _check_kind(source)
    comments = 0
    for number, line in enumerate(source.lines(), 1):
        text, where = line.strip(), f"line {number}"
        if not text or text.startswith("##") or (text.startswith("#") and _LINE.fullmatch(text[1:]) is None):
            comments += bool(text)
            continue
        found = _LINE.fullmatch(text)
        if found is None or not _TIME.fullmatch(found[1]) or not _TIME.fullmatch(found[2]):
            raise DatasetError(
                f"{source.path}, {where}: must be a start, an end and an action, such as 12.5 30 3; got {text!r:.80}"
            )
        action = _action(found[3], f"{source.path}, {where}")
        start, end = _times(found[1], found[2], source, where)
        source.add(where, ACTION_LABELS[action], start, end)
    source.notes.append("actions are used as labels: 0 cut, 1 mute, 2 scene, 3 ad")
    if comments:
        source.notes.append(f"{comments} comment lines were skipped")


def _check_kind(source: IntervalSource) -> None:
    head = source.text.lstrip()[:40]
    if head.startswith(("TITLE:", "# mpv EDL", "mplayer EDL file, version 2")):
        kind = "an edit list of CMX 3600" if head.startswith("TITLE:") else "an edit list of sources (mpv, MPlayer 2)"
        raise DatasetError(
            f"{source.path}: is {kind}; only the EDL of MPlayer and Kodi is supported: a start, an end, an action"
        )


def _action(text: str | None, where: str) -> int:
    if text not in ("0", "1", "2", "3"):
        raise DatasetError(
            f"{where}: the action must be 0 (cut), 1 (mute), 2 (scene marker) or 3 (commercial break), got {text!r}"
        )
    return int(text)


def _times(one: str, other: str, source: IntervalSource, where: str) -> tuple[float, float]:
    if one.startswith("#") and other.startswith("#"):
        return source.seconds_of_frames(int(float(one[1:])), int(float(other[1:])), where)
    if one.startswith("#") or other.startswith("#"):
        raise DatasetError(
            f"{source.path}, {where}: one time is in frames and one in seconds. Use the same unit for both."
        )
    return _seconds(one), _seconds(other)


def _seconds(text: str) -> float:
    found = _CLOCK.fullmatch(text)
    return float(text) if found is None else int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])


def write_edl(output: IntervalOutput) -> str:
    """The text of an EDL: seconds with milliseconds, and the action of each label."""
    rows = [
        (item.start_seconds, item.end_seconds, output.actions.get(item.label, output.default_action))
        for item in output.intervals
    ]
    return "".join(f"{start:.3f}\t{end:.3f}\t{action}\n" for start, end, action in rows)


def is_edl(source: IntervalSource) -> bool:
    """Whether the first line that is not empty is one of an EDL."""
    line = next((line.strip() for line in source.head.split("\n") if line.strip() and not line.startswith("##")), "")
    found = _LINE.fullmatch(line)
    return bool(found and found[3] in ("0", "1", "2", "3") and _TIME.fullmatch(found[1]) and _TIME.fullmatch(found[2]))


FORMAT = IntervalFormat(
    read_edl,
    write_edl,
    (".edl",),
    lambda source: True,
    labels=frozenset({"ad", "cut", "mute", "scene"}),
    step_seconds=0.001,
)

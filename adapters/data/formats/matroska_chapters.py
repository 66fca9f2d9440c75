"""Chapters of Matroska as XML, as mkvmerge and mkvextract write and read them."""

from __future__ import annotations

import re
from itertools import zip_longest
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from adapters.data.formats.interval_records import IntervalFormat, IntervalOutput, IntervalSource
from adapters.data.formats.safe_xml import XmlElement, parse_xml, root_name, text_of
from adapters.errors import DatasetError

_CLOCK = re.compile(r"(\d{1,4}):(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)")
# Characters that XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_chapters(source: IntervalSource) -> None:
    """Read the chapters of the default edition; the first name of a chapter is its label.

    A chapter without an end lasts to the start of the next one, and the last one to the end of the video.

    Raises:
        DatasetError: It is not such XML, or a time is not ``hours:minutes:seconds``.
    """
    root = parse_xml(source.path)
    editions = root.findall("EditionEntry")
    if root.tag != "Chapters" or not editions:
        raise DatasetError(f"{source.path}: must be XML with Chapters and an EditionEntry, got {root.tag!r:.80}")
    default = next((item for item in editions if text_of(item.find("EditionFlagDefault")) == "1"), editions[0])
    if len(editions) > 1:
        source.notes.append(
            f"{len(editions)} editions: the default one (or the first) was read; the others were left out"
        )
    atoms = [atom for atom in _leaves(default, source) if _is_shown(atom, source)]
    atoms.sort(key=lambda atom: _seconds(atom, "ChapterTimeStart", source) or 0.0)
    for atom, following in zip_longest(atoms, atoms[1:]):
        start, end = _seconds(atom, "ChapterTimeStart", source), _seconds(atom, "ChapterTimeEnd", source)
        where = f"line {_line(atom)}"
        if end is None:
            end = source.duration_seconds if following is None else _seconds(following, "ChapterTimeStart", source)
        if start is None:
            raise DatasetError(f"{source.path}, {where}: a ChapterAtom needs a ChapterTimeStart")
        if end is None:
            source.leave_out(where, "have no end, and there is neither a next chapter nor a known video length")
            continue
        names = [text_of(name) for name in atom.iterfind("ChapterDisplay/ChapterString")]
        source.add(where, next(filter(None, names), "chapter"), start, end)
    source.notes.append("chapter names are used as labels")


def _leaves(parent: Element, source: IntervalSource) -> list[Element]:
    """The chapters without chapters in them: an outer one only groups them, and is named as left out."""
    found: list[Element] = []
    for atom in parent.findall("ChapterAtom"):
        inner = _leaves(atom, source)
        if inner:
            source.leave_out(f"line {_line(atom)}", "contain other chapters, which were read in their place")
        found += inner or [atom]
    return found


def _is_shown(atom: Element, source: IntervalSource) -> bool:
    shown = text_of(atom.find("ChapterFlagEnabled"), "1") == "1" and text_of(atom.find("ChapterFlagHidden")) != "1"
    if not shown:
        source.leave_out(f"line {_line(atom)}", "are hidden or not enabled")
    return shown


def _line(element: Element) -> int:
    return element.line if isinstance(element, XmlElement) else 0


def _seconds(atom: Element, name: str, source: IntervalSource) -> float | None:
    element = atom.find(name)
    if element is None:
        return None
    found = _CLOCK.fullmatch(text_of(element))
    if found is None:
        raise DatasetError(
            f"{source.path}, line {_line(element)}: {name} must be hours:minutes:seconds such as 00:01:02.5, "
            f"got {text_of(element)!r:.60}"
        )
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])


def write_chapters(output: IntervalOutput) -> str:
    """The XML: one edition with a chapter for each interval, in nanoseconds."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<Chapters>", "  <EditionEntry>"]
    for item in output.intervals:
        lines += [
            "    <ChapterAtom>",
            f"      <ChapterTimeStart>{_clock(item.start_seconds)}</ChapterTimeStart>",
            f"      <ChapterTimeEnd>{_clock(item.end_seconds)}</ChapterTimeEnd>",
            "      <ChapterDisplay>",
            f"        <ChapterString>{xml_text(item.label)}</ChapterString>",
            "        <ChapterLanguage>und</ChapterLanguage>",
            "      </ChapterDisplay>",
            "    </ChapterAtom>",
        ]
    return "\n".join([*lines, "  </EditionEntry>", "</Chapters>", ""])


def xml_text(text: str) -> str:
    """A text as it is written between XML tags or in quotes; characters that XML cannot hold become U+FFFD.

    Args:
        text: Any text.
    """
    return escape(_NOT_XML.sub("\ufffd", text), {'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


def _clock(seconds: float) -> str:
    total = round(seconds * 1_000_000_000)
    minutes, rest = divmod(total, 60 * 1_000_000_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1_000_000_000:02d}.{rest % 1_000_000_000:09d}"


def is_chapters(source: IntervalSource) -> bool:
    """Whether the first element is that of Matroska chapters."""
    return root_name(source.path) == "Chapters"


FORMAT = IntervalFormat(
    read_chapters, write_chapters, (".xml", ".chapters"), is_chapters, frozenset({"labels"}), step_seconds=1e-9
)

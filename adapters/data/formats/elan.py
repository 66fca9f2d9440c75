"""ELAN's ``.eaf``: annotations in tiers, in milliseconds of one video."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from adapters.data.examples import Dataset, describe
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.matroska_chapters import xml_text
from adapters.data.formats.safe_xml import XmlElement, parse_xml, root_name, text_of
from adapters.data.rows import relative_path
from adapters.errors import DatasetError
from adapters.system import whole_number, write_text_atomic

_UNITS = {"milliseconds": 1000, "seconds": 1}  # of a second


def import_elan(path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS) -> Dataset:
    """Read every tier; the value of an annotation is its label, and that of an empty one the name of its tier.

    Args:
        path: The ``.eaf`` file.
        labels: The order of the classes; None: as the annotations first name them.
        options: Where the videos are.

    Raises:
        DatasetError: The file cannot be read, names no video, or an annotation is wrong.
    """
    path = Path(path)
    reader = _Reader(path)
    on_end = {"TIME_SLOT": reader.slot, "ANNOTATION": reader.annotation, "TIER": reader.tier}
    root = parse_xml(path, on_end)
    header = root.find("HEADER")
    if root.tag != "ANNOTATION_DOCUMENT" or header is None:
        raise DatasetError(f"{path}: must be XML with ANNOTATION_DOCUMENT and HEADER, got {root.tag!r:.80}")
    unit = _UNITS.get(header.get("TIME_UNITS", "milliseconds"))
    if unit is None:
        raise DatasetError(
            f"{path}: TIME_UNITS {header.get('TIME_UNITS')!r:.40} is not supported; allowed: {', '.join(_UNITS)}"
        )
    video, origin = _video(header, path)
    rows = ForeignRows(path, options)
    reader.add_to(rows, unit, video, origin)
    return rows.dataset(labels)


def _video(header: Element, path: Path) -> tuple[str, float]:
    """The name of the video, and the milliseconds of its moment 0 that are before that of the annotations."""
    media = header.findall("MEDIA_DESCRIPTOR")
    videos = [item for item in media if item.get("MIME_TYPE", "").startswith("video")] or media
    for item in videos:
        name = item.get("RELATIVE_MEDIA_URL") or item.get("MEDIA_URL")
        if name:
            return name, _number(item.get("TIME_ORIGIN") or "0", item, path)
    raise DatasetError(f"{path}: does not name a video (MEDIA_DESCRIPTOR). Link the video in ELAN and save again.")


def _number(text: str, element: Element, path: Path) -> int:
    number = whole_number(text.strip().removeprefix("-"))
    if number is None:
        raise DatasetError(
            f"{path}, line {_line(element)}: must have a whole number of at most 18 digits, got {text!r:.40}"
        )
    return -number if text.strip().startswith("-") else number


def _line(element: Element) -> int:
    return element.line if isinstance(element, XmlElement) else 0


class _Reader:
    """Gathers time slots and annotations while the file is parsed: a tree of a large file would take much memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slots: dict[str, int | None] = {}
        self._of_tier: list[tuple[int, str, str, str]] = []
        self._tiers: list[tuple[str, list[tuple[int, str, str, str]], int]] = []
        self._dependent = 0

    def slot(self, slot: XmlElement) -> None:
        value = slot.get("TIME_VALUE")
        self._slots[slot.get("TIME_SLOT_ID", "")] = None if value is None else _number(value, slot, self._path)

    def annotation(self, annotation: XmlElement) -> None:
        item = annotation.find("ALIGNABLE_ANNOTATION")
        if item is None:
            self._dependent += annotation.find("REF_ANNOTATION") is not None
            return
        refs = (item.get("TIME_SLOT_REF1", ""), item.get("TIME_SLOT_REF2", ""))
        self._of_tier.append((_line(item), *refs, sys.intern(text_of(item.find("ANNOTATION_VALUE")))))

    def tier(self, tier: XmlElement) -> None:
        self._tiers.append((tier.get("TIER_ID", ""), self._of_tier, self._dependent))
        self._of_tier, self._dependent = [], 0

    def add_to(self, rows: ForeignRows, unit: int, video: str, origin: float) -> None:
        for name, found, dependent in self._tiers:
            if dependent:
                rows.leave_out(f"tier {name!r}", "annotations that have no times of their own", dependent)
            for line, one, other, value in found:
                self._add(rows, f"line {line}", (one, other), value or name.strip(), unit, video, origin)
        used = ", ".join(repr(name) for name, found, _ in self._tiers if found)
        rows.notes.append(f"annotation values in {used:.300} are used as labels")

    def _add(
        self, rows: ForeignRows, where: str, refs: tuple[str, str], label: str, unit: int, video: str, origin: float
    ) -> None:
        if any(name not in self._slots for name in refs):
            raise DatasetError(f"{rows.path}, {where}: refers to a time slot that TIME_ORDER does not have")
        start, end = (self._slots[name] for name in refs)
        if start is None or end is None:
            rows.leave_out(where, "annotations that are not aligned with the time of the video")
        elif start == end:
            rows.leave_out(where, "annotations without a duration")
        else:
            shift = origin / 1000
            first, last = (max(value / unit + shift if shift else value / unit, 0.0) for value in (start, end))
            rows.add(where, video, label, seconds=(first, last))


def _time(slot: tuple[int, str]) -> int:
    return slot[0]


def _tier_lines(number: int, annotations: Sequence[str]) -> list[str]:
    name = "label" if number == 1 else f"label {number}"
    return [f'<TIER LINGUISTIC_TYPE_REF="default" TIER_ID="{name}">', *annotations, "</TIER>"]


def export_elan(dataset: Dataset, path: str | Path) -> Path:
    """Write the clips of one video as an ``.eaf``. Times are rounded to milliseconds.

    ELAN's annotations do not overlap within a tier, and its time slots are in order of time
    (https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf), so clips that overlap are in further tiers.

    Args:
        dataset: Clips of one video.
        path: The file.

    Returns:
        The path.

    Raises:
        DatasetError: There are several videos, or a clip has no range or not exactly one label.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    videos = list(dict.fromkeys(item.path for item in dataset.examples))
    if len(videos) != 1:
        raise DatasetError(
            f"{path}: an .eaf holds one video, but the dataset has {len(videos)}. Write one file per video."
        )
    slots: list[tuple[int, str]] = []
    tiers: list[list[str]] = []
    ends: list[int] = []  # of the last annotation of each tier
    for number, item in enumerate(sorted(dataset.examples, key=lambda item: item.start_seconds or 0.0), 1):
        if item.end_seconds is None:
            raise DatasetError(f"{describe(item)} has no end, which an .eaf needs. Give it, or export to jsonl.")
        start, end = (round((item.start_seconds or 0) * 1000), round(item.end_seconds * 1000))
        refs = (f"ts{2 * number - 1}", f"ts{2 * number}")
        slots += zip((start, end), refs, strict=True)
        text = (
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" TIME_SLOT_REF1="{refs[0]}" '
            f'TIME_SLOT_REF2="{refs[1]}"><ANNOTATION_VALUE>{xml_text(item.label)}</ANNOTATION_VALUE>'
            "</ALIGNABLE_ANNOTATION></ANNOTATION>"
        )
        place = next((place for place, busy in enumerate(ends) if busy <= start), len(tiers))
        if place == len(tiers):
            tiers.append([])
        tiers[place].append(text)
        ends[place : place + 1] = [end]
    name = xml_text(relative_path(videos[0], path.parent))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0" '
        # The schema's place is not only for validation: readers such as pympi refuse files without it.
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">',
        '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">',
        f'<MEDIA_DESCRIPTOR MEDIA_URL="{name}" MIME_TYPE="video/*" RELATIVE_MEDIA_URL="./{name}"/>',
        "</HEADER>",
        "<TIME_ORDER>",
        *(f'<TIME_SLOT TIME_SLOT_ID="{name}" TIME_VALUE="{time}"/>' for time, name in sorted(slots, key=_time)),
        "</TIME_ORDER>",
        *(line for number, found in enumerate(tiers, 1) for line in _tier_lines(number, found)),
        '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default" TIME_ALIGNABLE="true"/>',
        "</ANNOTATION_DOCUMENT>",
        "",
    ]
    write_text_atomic(path, "\n".join(lines))
    return path


FORMAT = Format(
    import_elan,
    export_elan,
    suffixes=(".eaf",),
    matches=lambda path: root_name(path) == "ANNOTATION_DOCUMENT",
    takes_options=True,
    keeps=frozenset({"ranges"}),
    precision="times are rounded to milliseconds",
)

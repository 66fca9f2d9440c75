"""CVAT's XML: tags of images or frames, and tracks in a video by their label. It is read only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from adapters.data.examples import Dataset
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.frame_runs import frames_in_a_row, usual_gap
from adapters.data.formats.safe_xml import XmlElement, parse_xml, root_name, text_of
from adapters.data.split_names import is_split_name
from adapters.errors import DatasetError

_FRAME = re.compile(r"(?:.*/)?frame_(\d{1,9})(?:\.\w+)?")


def import_cvat(path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS) -> Dataset:
    """Read "CVAT for images" or "CVAT for video".

    A tag is the label of its image, or of its frame where the images are frames of a video; frames in a row with one
    tag are one clip. A track is a clip of its label wherever its object is not outside. Boxes and shapes of images
    are left out.

    Args:
        path: The XML file.
        labels: The order of the classes; None: that of the file.
        options: Where the videos are, and their rate.

    Raises:
        DatasetError: The file cannot be read, an element is wrong, or it has no tags or tracks.
    """
    reader = _Reader(ForeignRows(Path(path), options))
    root = parse_xml(Path(path), {"track": reader.track, "image": reader.image})
    if root.tag != "annotations":
        raise DatasetError(f"{path}: must be XML with the element annotations, got {root.tag!r:.80}")
    return reader.finish(root).dataset(labels, reader.listed(root))


class _Reader:
    """Gathers tracks, tags and shapes; they come before it is known what they are of."""

    def __init__(self, rows: ForeignRows) -> None:
        self._rows = rows
        self._tracks: list[tuple[str, str, list[tuple[int, bool]]]] = []
        self._tagged: list[tuple[str, str, tuple[str, ...], str]] = []
        self._shapes: Counter[str] = Counter()
        self._frames: list[int] = []

    def track(self, track: XmlElement) -> None:
        where = f"line {track.line}"
        label = (track.get("label") or "").strip()
        if not label:
            raise DatasetError(f"{self._rows.path}, {where}: a track needs a label")
        shapes = [shape for shape in track if isinstance(shape, XmlElement) and "frame" in shape.attrib]
        states = [(self._number(shape, "frame"), shape.get("outside") == "1") for shape in shapes]
        self._tracks.append((where, label, sorted(states)))

    def image(self, image: XmlElement) -> None:
        where, name = f"line {image.line}", image.get("name")
        if not name:
            raise DatasetError(f"{self._rows.path}, {where}: an image needs a name")
        tags = tuple(dict.fromkeys((tag.get("label") or "").strip() for tag in image.findall("tag")))
        self._shapes.update(str(shape.tag) for shape in image if shape.tag != "tag")
        if (frame := _FRAME.fullmatch(name)) is not None:
            self._frames.append(int(frame[1]))
        if any(tags):
            self._tagged.append((where, name, tuple(filter(None, tags)), image.get("subset") or ""))

    def finish(self, root: XmlElement) -> ForeignRows:
        """The rows of what was gathered, now that the video is known."""
        rows = self._rows
        meta = root.find("meta")
        sources = [text_of(item) for item in (meta.iter("source") if meta is not None else ()) if text_of(item)]
        split = next((text_of(item) for item in (meta.iter("subset") if meta is not None else ()) if text_of(item)), "")
        step = self._step(root)
        video = sources[0] if len(set(sources)) == 1 else None
        for where, label, states in self._tracks:
            if video is None:
                raise DatasetError(
                    f"{rows.path}, {where}: has tracks, but meta does not say which video they belong to"
                )
            for start, end in _visible(states, step):
                rows.add(where, video, label, frames=(start, end), split=_split(split))
        self._add_tags(video, step)
        for kind, count in self._shapes.items():
            rows.leave_out("images", f"elements {kind!r} of images, which are not labels of the whole image", count)
        if self._tracks:
            rows.notes.append(f"{len(self._tracks)} tracks are used as clips: each lasts while its object is visible")
        return rows

    def listed(self, root: XmlElement) -> list[str] | None:
        """The labels that the file declares, in its order."""
        names = [text_of(name) for name in root.iterfind("meta//label/name")]
        return [name for name in names if name] or None

    def _add_tags(self, video: str | None, step: int) -> None:
        rows = self._rows
        runs: dict[str, list[tuple[int, str]]] = {}
        for where, name, tags, subset in self._tagged:
            frame = _FRAME.fullmatch(name)
            if frame is None or video is None:
                rows.add(where, name, tags, split=_split(subset))
                continue
            for tag in tags:
                runs.setdefault(tag, []).append((int(frame[1]), where))
        gap = usual_gap(self._frames, step)
        for tag, found in runs.items():
            for first, last, where in frames_in_a_row(sorted(found), gap):
                rows.add(where, video, tag, frames=(first, last + gap))
        if runs:
            rows.notes.append("equal tags of consecutive frames are joined into one clip")
        elif self._tagged:
            rows.notes.append(f"tags are used as labels of {len(self._tagged)} images")

    def _step(self, root: XmlElement) -> int:
        """Frames of the video from one frame of the task to the next."""
        found = re.search(r"step\s*=\s*(\d{1,6})", next((text_of(item) for item in root.iter("frame_filter")), ""))
        return max(int(found[1]), 1) if found else 1

    def _number(self, element: XmlElement, name: str) -> int:
        text = element.get(name) or ""
        if not re.fullmatch(r"\d{1,9}", text):
            raise DatasetError(
                f"{self._rows.path}, line {element.line}: {name} must be a number from 0, got {text!r:.40}"
            )
        return int(text)


def _split(subset: str) -> str | None:
    return subset if is_split_name(subset) else None


def _visible(states: list[tuple[int, bool]], step: int) -> list[tuple[int, int]]:
    """The ranges of frames in which an object is not outside, without their last frame."""
    found, begun = [], None
    for frame, outside in states:
        if outside and begun is not None:
            found.append((begun, frame))
            begun = None
        elif not outside and begun is None:
            begun = frame
    if begun is not None:
        found.append((begun, states[-1][0] + step))
    return found


FORMAT = Format(
    import_cvat, suffixes=(".xml",), matches=lambda path: root_name(path) == "annotations", takes_options=True
)

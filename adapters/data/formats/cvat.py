"""CVAT's XML (version 1.1): tags of images or frames, and tracks in a video by their label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from adapters.data.examples import Dataset, Example
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.frame_ranges import FrameRanges
from adapters.data.formats.frame_runs import frames_in_a_row, usual_gap
from adapters.data.formats.matroska_chapters import xml_text
from adapters.data.formats.safe_xml import XmlElement, parse_xml, root_name, text_of
from adapters.data.rows import relative_path
from adapters.data.split_names import is_split_name
from adapters.errors import DatasetError, MediaError
from adapters.system import open_regular_file, write_text_atomic

_HEAD_BYTES = 2**20  # of a picture, in which its size is
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
        self._tracks: list[tuple[str, str, str, list[tuple[int, bool]]]] = []
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
        self._tracks.append((where, track.get("task_id") or "", label, sorted(states)))

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
        tasks = self._tasks(meta)
        for where, number, label, states in self._tracks:
            # A project has several videos, and each of its tracks names its task.
            only = None if tasks and number else video
            own, subset, gap = tasks.get(number, (only, split, step))
            if own is None:
                raise DatasetError(
                    f"{rows.path}, {where}: has tracks, but meta does not say which video they belong to"
                )
            for start, end in _visible(states, gap):
                rows.add(where, own, label, frames=(start, end), split=_split(subset))
        self._add_tags(video, step)
        for kind, count in self._shapes.items():
            rows.leave_out("images", f"elements {kind!r} of images, which are not labels of the whole image", count)
        if self._tracks:
            rows.notes.append(f"{len(self._tracks)} tracks are used as clips: each lasts while its object is visible")
        return rows

    def _tasks(self, meta: Element | None) -> dict[str, tuple[str | None, str, int]]:
        """Of each task of a project that names a video: the video, the subset, and the step of its frames."""
        found: dict[str, tuple[str | None, str, int]] = {}
        for task in meta.iterfind("project/tasks/task") if meta is not None else ():
            if source := text_of(task.find("source")):
                found[text_of(task.find("id"))] = source, text_of(task.find("subset")), self._step(task)
        return found

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

    def _step(self, root: Element) -> int:
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


def export_cvat(dataset: Dataset, path: str | Path, frame_rate: float | None = None) -> Path:
    """Write "CVAT for images", a tag for each label of a picture, or "CVAT for video", a track for each of a clip.

    The elements are those of https://docs.cvat.ai/docs/manual/advanced/xml_format/. The object of a track is the whole
    picture. Clips of several videos are tasks of one project.

    Args:
        dataset: Pictures only, or clips of videos only.
        path: The XML file.
        frame_rate: Of all videos, in frames per second; None: that of each video, which is opened.

    Returns:
        The path.

    Raises:
        DatasetError: There are pictures and videos, or the rate or length of a video is needed and not known.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    pictures = [item for item in dataset.examples if item.is_picture]
    if pictures and len(pictures) < len(dataset.examples):
        raise DatasetError(
            f"{path}: CVAT has a file for images and one for videos, and the dataset has {len(pictures)} pictures and "
            f"{len(dataset.examples) - len(pictures)} clips of videos. Export them separately, or export to jsonl."
        )
    labels = "".join(f"<label><name>{xml_text(name)}</name><attributes/></label>" for name in dataset.labels)
    write = _image_lines if pictures else _video_lines
    lines = write(dataset, path.parent, f"<labels>{labels}</labels>", frame_rate)
    head = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>"]
    write_text_atomic(path, "".join(line + "\n" for line in [*head, *lines, "</annotations>"]))
    return path


def _image_lines(dataset: Dataset, folder: Path, labels: str, frame_rate: float | None) -> list[str]:
    """The lines of a file for images."""
    items = dataset.examples
    size = f"<id>1</id><name>cliplab</name><size>{len(items)}</size><mode>annotation</mode>"
    lines = [f"<meta><task>{size}{labels}</task></meta>"]
    for number, item in enumerate(items):
        width, height = _picture_size(item.path)
        subset = f' subset="{item.split}"' if item.split else ""
        name = xml_text(relative_path(item.path, folder))
        lines.append(f'<image id="{number}" name="{name}"{subset} width="{width}" height="{height}">')
        lines += [f'<tag label="{xml_text(label)}" source="manual"></tag>' for label in item.labels]
        lines.append("</image>")
    return lines


def _picture_size(path: Path) -> tuple[int, int]:
    from adapters.media import size_of_picture

    try:
        with open_regular_file(path, DatasetError) as file:
            return size_of_picture(file.read(_HEAD_BYTES)) or (0, 0)
    except (OSError, DatasetError):
        return 0, 0  # the label is written though the picture is elsewhere


def _video_lines(dataset: Dataset, folder: Path, labels: str, frame_rate: float | None) -> list[str]:
    """The lines of a file for videos: a task for each video and split."""
    videos: dict[tuple[Path, str | None], list[Example]] = {}
    for item in dataset.examples:
        videos.setdefault((item.path, item.split), []).append(item)
    frames, tasks, tracks = FrameRanges(frame_rate), list[str](), list[str]()
    for number, ((video, split), items) in enumerate(videos.items(), 1):
        size = _video_size(video)
        ranges = [frames.of(item) for item in items]
        stop = max(last for _, last in ranges)
        name = xml_text(relative_path(video, folder))
        subset = f"<subset>{split}</subset>" if split else ""
        tasks.append(
            f"<id>{number}</id><name>{name}</name><size>{stop}</size><mode>interpolation</mode>{subset}"
            f"<start_frame>0</start_frame><stop_frame>{stop - 1}</stop_frame><frame_filter></frame_filter>"
            f"<original_size><width>{size[0]}</width><height>{size[1]}</height></original_size><source>{name}</source>"
        )
        task = f' task_id="{number}"' if len(videos) > 1 else ""
        task += f' subset="{split}"' if task and split else ""
        for item, (first, last) in zip(items, ranges, strict=True):
            for label in item.labels:
                tracks.append(f'<track id="{len(tracks)}" label="{xml_text(label)}"{task} source="manual">')
                tracks[-1] += _box(first, size, outside=0) + _box(last, size, outside=1) + "</track>"
    if len(tasks) == 1:
        inner, _, source = tasks[0].partition("<source>")
        return [f"<meta><task>{inner}{labels}</task><source>{source}</meta>", *tracks]
    listed = "".join(f"<task>{task}</task>\n" for task in tasks)
    head = f"<meta><project><id>1</id><name>cliplab</name><tasks>\n{listed}</tasks>{labels}</project></meta>"
    return [head, *tracks]


def _video_size(path: Path) -> tuple[int, int]:
    from adapters.media import probe

    try:
        info = probe(path)
        return info.width, info.height
    except (MediaError, OSError):
        return 1, 1  # the rate was given, and the video is elsewhere


def _box(frame: int, size: tuple[int, int], outside: int) -> str:
    edges = f'xtl="0.00" ytl="0.00" xbr="{size[0]}.00" ybr="{size[1]}.00"'
    return f'<box frame="{frame}" keyframe="1" outside="{outside}" occluded="0" {edges} z_order="0"></box>'


FORMAT = Format(
    import_cvat,
    export_cvat,
    suffixes=(".xml",),
    matches=lambda path: root_name(path) == "annotations",
    takes_options=True,
    counts_frames=True,
    keeps=frozenset({"ranges", "several labels", "splits"}),
    precision="ranges are rounded to frames, and a whole video becomes its range",
)

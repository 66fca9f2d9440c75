"""Label Studio's JSON: choices for a whole video or picture, and timeline labels in frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset, Example
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import FACTS, NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.frame_ranges import FrameRanges
from adapters.data.formats.json_file import read_json_file
from adapters.data.formats.text import type_and_value
from adapters.data.rows import to_row
from adapters.errors import DatasetError
from adapters.media import is_picture_name, is_video_name
from adapters.system import write_json_atomic

_KNOWN = ("split", "group", "source")
# Older templates show a video as text in HTML.
_MARKUP = re.compile(
    r"""<(?:video|source|img)\b[^>]{0,2000}?\ssrc\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE
)
_REFUSED = "annotations that were skipped or rejected"


def import_label_studio(
    path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS
) -> Dataset:
    """Read an export as JSON: choices are labels of the whole video or picture, timeline labels and labels with times
    of a range.

    Frames of a timeline are counted from 1 and its last frame belongs to it; their rate is that of the video. Label
    Studio's page of the tag says "a single frame or a span of frames"
    (https://labelstud.io/tags/timelinelabels), and its editor (HumanSignal/label-studio,
    web/libs/editor/src/regions/TimelineRegion.js) takes a range with an equal start and end as that one frame, so the
    end is included. Its example of a model (label-studio-ml-backend, examples/yolo/utils/converter.py) counts from 0
    and does not include the end: its start is one frame earlier, and its end is the same moment. A start of 0, which
    only such a file has, is the first frame.

    Of several annotations of a task the one marked as ground truth is taken, otherwise the newest.

    Args:
        path: The JSON file.
        labels: The order of the classes; None: as the tasks first name them.
        options: Where the videos are, and their rate.

    Raises:
        DatasetError: The file cannot be read, an entry is wrong, or it has no labels of videos.
    """
    path = Path(path)
    rows = ForeignRows(path, options)
    several = 0
    for number, task in enumerate(read_json_file(path), 1):
        where = f"task {number}"
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise DatasetError(f"{path}, {where}: must be an object with data, got {type_and_value(task)}")
        annotation, others = _annotation(task, rows, where)
        several += others > 0
        if annotation is not None:
            _results(annotation, task["data"], rows, where)
    if several:
        rows.notes.append(f"{several} tasks have several annotations: the ground truth or the newest one is used")
    rows.notes.append(
        "choices are used as labels of whole videos and pictures, timeline labels as frames counted from 1"
    )
    return rows.dataset(labels)


def _annotation(task: dict[str, Any], rows: ForeignRows, where: str) -> tuple[dict[str, Any] | None, int]:
    """The annotation of a task that counts, and how many others there are."""
    given = task.get("annotations", task.get("completions", []))
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise DatasetError(f"{rows.path}, {where}: annotations must be a list of objects")
    kept = [item for item in given if not item.get("was_cancelled") and item.get("last_action") != "rejected"]
    if len(kept) < len(given):
        rows.leave_out(where, _REFUSED, len(given) - len(kept))
    if not kept:
        if not given:
            rows.leave_out(where, "tasks without an annotation")
        return None, 0
    best = max(kept, key=lambda item: (bool(item.get("ground_truth")), str(item.get("updated_at") or "")))
    return best, len(kept) - 1


def _results(annotation: dict[str, Any], data: dict[str, Any], rows: ForeignRows, where: str) -> None:
    results = annotation.get("result")
    if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
        raise DatasetError(f"{rows.path}, {where}: result must be a list of objects, got {type_and_value(results)}")
    video = _media(data)
    known = {key: data[key] for key in _KNOWN if isinstance(data.get(key), str)}
    for result in results:
        kind, value = result.get("type"), result.get("value")
        if not isinstance(kind, str) or not isinstance(value, dict):
            if result.get("type") != "relation":
                raise DatasetError(f"{rows.path}, {where}: a result needs a type and a value")
            continue
        names = value.get(kind)
        if video is None:
            rows.leave_out(where, f"labels of type {kind!r} that are not on a video or a picture")
        elif kind != "choices" and _names(video, is_picture_name):
            rows.leave_out(where, f"labels of type {kind!r}, which are not of a whole picture")
        elif kind not in ("choices", "timelinelabels", "labels"):
            rows.leave_out(where, f"labels of type {kind!r}, which do not describe a time range")
        elif not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            rows.leave_out(where, f"results of type {kind!r} without a label")
        else:
            _stretch(value, video, names, rows, where, known)


def _stretch(
    value: dict[str, Any], video: str, names: list[str], rows: ForeignRows, where: str, known: dict[str, Any]
) -> None:
    """Add the clips of one result: of its ranges of frames, of its seconds, or of the whole video."""
    if "ranges" in value:
        ranges = value["ranges"]
        if not isinstance(ranges, list):
            raise DatasetError(f"{rows.path}, {where}: ranges must be a list, got {type_and_value(ranges)}")
        for item in ranges:
            first, last = (item.get(key) if isinstance(item, dict) else None for key in ("start", "end"))
            if not isinstance(first, int) or not isinstance(last, int) or not max(first, 1) <= last or first < 0:
                raise DatasetError(
                    f"{rows.path}, {where}: a range must be a start and an end in frames from 1, the end not before "
                    f"the start; got {type_and_value(item)}"
                )
            rows.add(where, video, names, frames=(max(first, 1) - 1, last), **known)
    elif "start" in value or "end" in value:
        rows.add(where, video, names, seconds=(value.get("start"), value.get("end")), **known)
    else:
        rows.add(where, video, names, **known)


def _media(data: dict[str, Any]) -> str | None:
    """The value of a task's data that names a video, that of the key "video" first; otherwise a picture likewise."""
    for key, known in (("video", is_video_name), ("image", is_picture_name)):
        values = [_address(value) for value in (data.get(key), *data.values()) if isinstance(value, str)]
        found = next((value for value in values if _names(value, known)), None)
        if found is not None:
            return found
    return None


def _address(value: str) -> str:
    """The address in a tag of HTML; any other value as it is."""
    found = _MARKUP.search(value[:10_000]) if "<" in value[:100] else None
    return value if found is None else next(filter(None, found.groups()), value)


def _names(value: str, known: Callable[[str], bool]) -> bool:
    """Whether a name, or an address without what follows it, ends as a file of a kind does."""
    return known(value.split("?")[0]) or known(value)


def export_label_studio(dataset: Dataset, path: str | Path, frame_rate: float | None = None) -> Path:
    """Write tasks with annotations: a whole video or picture as choices, a range as timeline labels.

    Args:
        dataset: The clips.
        path: The JSON file.
        frame_rate: Of all videos, in frames per second; None: that of each video, which is opened.

    Returns:
        The path.

    Raises:
        DatasetError: A clip has no label, or the rate of a video is not known.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    tasks: dict[tuple[str | None, ...], list[Example]] = {}
    for item in dataset.examples:
        tasks.setdefault((str(item.path), item.split, item.group, item.source), []).append(item)
    content, frames = [], FrameRanges(frame_rate)
    for number, items in enumerate(tasks.values(), 1):
        row = to_row(items[0], path.parent)
        data = {
            "image" if items[0].is_picture else "video": row["path"],
            **{key: row[key] for key in _KNOWN if row[key] is not None},
        }
        results = [_result(item, index, frames) for index, item in enumerate(items, 1)]
        content.append({"id": number, "data": data, "annotations": [{"id": number, "result": results}]})
    write_json_atomic(path, content)
    return path


def _result(item: Example, index: int, frames: FrameRanges) -> dict[str, Any]:
    shared = {"id": f"r{index}", "to_name": "image" if item.is_picture else "video", "origin": "manual"}
    labels = list(item.labels)
    if item.start_seconds is None and item.end_seconds is None:
        return {**shared, "from_name": "choice", "type": "choices", "value": {"choices": labels}}
    first, last = frames.of(item)
    value = {"ranges": [{"start": first + 1, "end": last}], "timelinelabels": labels}
    return {**shared, "from_name": "timeline", "type": "timelinelabels", "value": value}


def is_label_studio(content: object) -> bool:
    """Whether a JSON value is a list of Label Studio's tasks."""
    return (
        isinstance(content, list)
        and bool(content)
        and isinstance(content[0], dict)
        and isinstance(content[0].get("data"), dict)
        and any(key in content[0] for key in ("annotations", "completions", "predictions"))
    )


FORMAT = Format(
    import_label_studio,
    export_label_studio,
    suffixes=(".json",),
    matches=lambda path: is_label_studio(read_json_file(path)),
    takes_options=True,
    counts_frames=True,
    keeps=FACTS - {"no label"},
    precision="ranges are rounded to frames",
)

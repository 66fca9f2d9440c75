"""VIA (VGG Image Annotator) 3: temporal segments of videos, as a project in JSON or exported as CSV."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.data.examples import Dataset
from adapters.data.formats.foreign_rows import ForeignRows
from adapters.data.formats.format import NO_OPTIONS, Format, ReadOptions
from adapters.data.formats.json_file import read_json_file
from adapters.data.formats.text import parse_json, read_head, read_text, type_and_value
from adapters.data.rows import to_row
from adapters.errors import DatasetError
from adapters.system import json_text, write_json_atomic, write_text_atomic

_HEADER = "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata"
# VIA's numbers of a file type and of attribute types (_via_file.js, _via_attribute.js of its source).
_VIDEO, _SELECT = 4, 4


def import_via(path: str | Path, labels: Sequence[str] | None = None, options: ReadOptions = NO_OPTIONS) -> Dataset:
    """Read segments with a start and an end; each value of an attribute is a label. Still frames are left out.

    Args:
        path: The project's JSON, or the CSV.
        labels: The order of the classes; None: that of the attribute's options.
        options: Where the videos are.

    Raises:
        DatasetError: The file cannot be read, or an entry is wrong; names it.
    """
    path = Path(path)
    rows = ForeignRows(path, options)
    attributes = _read_csv(path, rows) if path.suffix.lower() == ".csv" else _read_project(path, rows)
    listed = [name for choices in attributes.values() for name in choices.values()]
    rows.notes.append("attribute values are used as labels of their segments")
    return rows.dataset(labels, listed or None)


def _read_project(path: Path, rows: ForeignRows) -> dict[str, dict[str, str]]:
    content = read_json_file(path)
    if not is_via(content):
        raise DatasetError(f"{path}: must be a project of VIA 3 with attribute, file, metadata and view")
    attributes = _attributes(content["attribute"], str(path))
    for key, entry in content["metadata"].items():
        where = f"metadata {key!r:.60}"
        try:
            files = [content["file"][str(fid)] for fid in content["view"][str(entry["vid"])]["fid_list"]]
            names = [str(file.get("fname") or file.get("src")) for file in files]
            times, shape, values = entry["z"], entry["xy"], entry["av"]
        except (TypeError, KeyError, AttributeError) as error:
            raise DatasetError(f"{path}, {where}: refers to {error}, which does not exist") from None
        _add(rows, where, names, times, shape, values, attributes)
    return attributes


def _read_csv(path: Path, rows: ForeignRows) -> dict[str, dict[str, str]]:
    text = read_text(path)
    comments = list(itertools.takewhile(lambda line: line.startswith("#"), text.split("\n")))
    given = next(
        (line.split("=", 1)[1] for line in comments if line.startswith(("# ATTRIBUTE =", "# ATTRIBUTES ="))), "{}"
    )
    attributes = _attributes(parse_json(given.strip(), f"{path}, ATTRIBUTE"), str(path))
    body = "\n".join(text.split("\n")[len(comments) :])
    try:
        table = list(csv.reader(io.StringIO(body, newline="")))
    except csv.Error as error:
        raise DatasetError(f"{path}: is not CSV ({error})") from None
    for number, cells in enumerate(table, 1):
        if not any(cells):
            continue
        where = f"row {number} after the comments"
        if len(cells) != 6:
            raise DatasetError(f"{path}, {where}: has {len(cells)} cells; VIA writes 6")
        names, times, shape, values = (parse_json(cells[at], f"{path}, {where}") for at in (1, 3, 4, 5))
        _add(rows, where, names, times, shape, values, attributes)
    return attributes


def _attributes(given: Any, where: str) -> dict[str, dict[str, str]]:
    """The options of each attribute, by their ids."""
    if not isinstance(given, dict):
        raise DatasetError(f"{where}: attributes must be an object, got {type_and_value(given)}")
    found = {}
    for key, value in given.items():
        choices = value.get("options") if isinstance(value, dict) else {}
        found[key] = {str(k): str(v) for k, v in choices.items()} if isinstance(choices, dict) else {}
    return found


def _add(
    rows: ForeignRows,
    where: str,
    names: Any,
    times: Any,
    shape: Any,
    values: Any,
    attributes: Mapping[str, Mapping[str, str]],
) -> None:
    if not isinstance(names, list) or not isinstance(times, list) or not isinstance(values, dict):
        raise DatasetError(f"{rows.path}, {where}: must name files, times and values, got {type_and_value(times)}")
    if len(names) != 1:
        rows.leave_out(where, "segments of views of several files")
    elif shape or len(times) == 1:
        rows.leave_out(where, "shapes and still frames, which are not stretches of video")
    elif len(times) not in (0, 2) or not all(type(value) in (int, float) for value in times):
        raise DatasetError(
            f"{rows.path}, {where}: must have a start and an end in seconds, got {type_and_value(times)}"
        )
    else:
        chosen = [
            name
            for key, value in values.items()
            if value not in ("", None)
            for name in _chosen(value, attributes.get(key, {}))
        ]
        found = [name for text in chosen for name in ([text] if text.strip() else [])]
        if not found:
            rows.leave_out(where, "segments without a value")
            return
        for label in dict.fromkeys(found):
            rows.add(where, names[0], label, seconds=(times[0], times[1]) if times else None)


def _chosen(value: Any, choices: Mapping[str, str]) -> list[str]:
    """The options that the value of an attribute names: of checkboxes several, with commas between their ids."""
    ids = [str(value)] if str(value) in choices else str(value).split(",")
    if choices and all(name.strip() in choices for name in ids):
        return [choices[name.strip()] for name in ids]
    return [str(value)]


def export_via(dataset: Dataset, path: str | Path) -> Path:
    """Write a project of VIA 3 (``.json``), or its CSV (``.csv``): a view for each video, one attribute for classes.

    Args:
        dataset: The clips.
        path: The file.

    Returns:
        The path.

    Raises:
        DatasetError: A clip begins without an end that is known.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    option = {label: str(number) for number, label in enumerate(dataset.labels)}
    files: dict[str, str] = {}
    metadata: dict[str, dict[str, Any]] = {}
    for item in dataset.examples:
        name = str(to_row(item, path.parent)["path"])
        view = files.setdefault(name, str(len(files) + 1))
        if item.end_seconds is None and item.start_seconds is not None:
            raise DatasetError(
                f"{item.path}: a clip from {item.start_seconds:g} s needs an end in this format. Set it."
            )
        times = [] if item.end_seconds is None else [item.start_seconds or 0.0, item.end_seconds]
        for label in item.labels:
            entry = {"vid": view, "flg": 0, "z": times, "xy": [], "av": {"1": option[label]}}
            metadata[f"{view}_{len(metadata):08d}"] = entry
    attribute = {
        "1": {
            "aname": "LABEL",
            "anchor_id": "FILE1_Z2_XY0",
            "type": _SELECT,
            "desc": "Class",
            "options": {number: label for label, number in option.items()},
            "default_option_id": "",
        }
    }
    if path.suffix.lower() == ".csv":
        write_text_atomic(path, _csv_text(attribute, files, metadata))
        return path
    project = {"pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__", "pname": "cliplab", "creator": "cliplab",
               "created": 0, "vid_list": list(files.values())}  # fmt: skip
    file = {fid: {"fid": fid, "fname": name, "type": _VIDEO, "loc": 1, "src": name} for name, fid in files.items()}
    view_of = {fid: {"fid_list": [fid]} for fid in files.values()}
    content = {
        "project": project,
        "config": {},
        "attribute": attribute,
        "file": file,
        "metadata": metadata,
        "view": view_of,
    }
    write_json_atomic(path, content)
    return path


def _csv_text(attribute: Any, files: Mapping[str, str], metadata: Mapping[str, Mapping[str, Any]]) -> str:
    names = {fid: name for name, fid in files.items()}
    buffer = io.StringIO(newline="")
    buffer.write(f"# Exported for VGG Image Annotator 3\n# ATTRIBUTE = {json_text(attribute)}\n{_HEADER}\n")
    writer = csv.writer(buffer, lineterminator="\n")
    for key, entry in metadata.items():
        cells = [json_text(value) for value in ([names[entry["vid"]]], entry["z"], entry["xy"], entry["av"])]
        writer.writerow([key, cells[0], 0, *cells[1:]])
    return buffer.getvalue()


def is_via(content: object) -> bool:
    """Whether a JSON value is a project of VIA 3."""
    return isinstance(content, dict) and all(
        isinstance(content.get(key), dict) for key in ("attribute", "file", "metadata", "view")
    )


def _matches(path: Path) -> bool:
    if path.suffix.lower() == ".csv":
        text = read_head(path)
        return text.startswith("#") and _HEADER[:26] in text
    return is_via(read_json_file(path))


FORMAT = Format(
    import_via,
    export_via,
    suffixes=(".json", ".csv"),
    matches=_matches,
    takes_options=True,
    keeps=frozenset({"ranges", "several labels"}),
)

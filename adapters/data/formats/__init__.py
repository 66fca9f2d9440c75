"""The dataset in files: one module for each format, listed here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from adapters.errors import DatasetError
from adapters.system import did_you_mean

if TYPE_CHECKING:
    from adapters.data.formats.format import Format

# Those of adapters/data/formats/intervals.py, as clips of the video of the same name; the last line is asked first.
_INTERVALS = (
    "interval_json",
    "interval_csv",
    "scte35",
    "hls",
    "sponsorblock",
    "matroska_chapters",
    "mythtv",
    "comskip",
    "ffmetadata",
    "edl",
)
# A new format is a module with a FORMAT and a line here: the format's name and the module's. Detection asks the last
# line first, so a format comes after those that would also accept its files.
# In a folder, the file of the first line that is there is read.
_MODULES = {
    "studio": "studio",
    "jsonl": "jsonl",
    "labels_json": "labels_json",
    "csv": "csv_table",
    "coco": "coco",
    "folders": "folders",
    "label_files": "label_files",
    **dict.fromkeys(_INTERVALS, "interval_clips"),
    "kinetics_csv": "kinetics_csv",
    "kinetics_json": "kinetics_json",
    "activitynet": "activitynet",
    "mmaction_videos": "mmaction_videos",
    "mmaction_rawframes": "mmaction_rawframes",
    "hmdb51": "hmdb51",
    "ucf101": "ucf101",
    "label_studio": "label_studio",
    "cvat": "cvat",
    "datumaro": "datumaro",
    "fiftyone": "fiftyone",
    "via": "via",
    "elan": "elan",
    "videofolder": "videofolder",
    "webdataset": "webdataset",
    "dataloop": "dataloop",
}
FORMATS = tuple(_MODULES)


def find_format(name: str) -> Format:
    """The format of a name in FORMATS.

    Raises:
        DatasetError: The name is not one of FORMATS; the message lists them.
    """
    if name not in _MODULES:
        raise DatasetError(
            f"{name!r} is not a dataset format; allowed: {', '.join(FORMATS)}.{did_you_mean(name, FORMATS)}"
        )
    module = import_module(f"{__name__}.{_MODULES[name]}")
    found: Format = module.format_of(name) if name in _INTERVALS else module.FORMAT
    return found

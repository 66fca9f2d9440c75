"""Labelled clips: the dataset, its checks and splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.data.dataset import Dataset as Dataset
    from adapters.data.dataset import Split as Split
    from adapters.data.dataset import check_dataset as check_dataset
    from adapters.data.dataset import dataset_problems as dataset_problems
    from adapters.data.dataset import export_dataset as export_dataset
    from adapters.data.dataset import match_labels as match_labels
    from adapters.data.dataset import read_dataset as read_dataset
    from adapters.data.dataset import split_dataset as split_dataset
    from adapters.data.dataset import summarize_dataset as summarize_dataset
    from adapters.data.dataset import without_missing as without_missing
    from adapters.data.dataset import write_dataset as write_dataset
    from adapters.data.examples import Example as Example
    from adapters.data.formats import FORMATS as FORMATS
    from adapters.data.formats import find_format as find_format
    from adapters.data.prepared_frames import prefer_video as prefer_video
    from adapters.data.prepared_frames import read_prepared_clip as read_prepared_clip

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "dataset": (
            "Dataset",
            "Split",
            "check_dataset",
            "export_dataset",
            "match_labels",
            "dataset_problems",
            "read_dataset",
            "split_dataset",
            "summarize_dataset",
            "without_missing",
            "write_dataset",
        ),
        "examples": ("Example",),
        "formats": ("FORMATS", "find_format"),
        "prepared_frames": ("prefer_video", "read_prepared_clip"),
    },
)

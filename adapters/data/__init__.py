"""Labelled clips: the dataset, its formats, checks and splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.data.checks import check_dataset as check_dataset
    from adapters.data.checks import classes_without_clips as classes_without_clips
    from adapters.data.checks import dataset_problems as dataset_problems
    from adapters.data.checks import summarize_dataset as summarize_dataset
    from adapters.data.clip_dataset import ClipDataset as ClipDataset
    from adapters.data.clip_dataset import UnreadableClip as UnreadableClip
    from adapters.data.copies import CopyReport as CopyReport
    from adapters.data.copies import check_copies as check_copies
    from adapters.data.copies import join_copies as join_copies
    from adapters.data.dataset import check_held as check_held
    from adapters.data.dataset import detect_format as detect_format
    from adapters.data.dataset import export_dataset as export_dataset
    from adapters.data.dataset import lost_in_export as lost_in_export
    from adapters.data.dataset import read_dataset as read_dataset
    from adapters.data.dataset import write_dataset as write_dataset
    from adapters.data.examples import Dataset as Dataset
    from adapters.data.examples import Example as Example
    from adapters.data.examples import PreparedFrames as PreparedFrames
    from adapters.data.examples import Split as Split
    from adapters.data.examples import clips_digest as clips_digest
    from adapters.data.examples import match_labels as match_labels
    from adapters.data.examples import without_missing as without_missing
    from adapters.data.footage import footage_of as footage_of
    from adapters.data.formats import FORMATS as FORMATS
    from adapters.data.formats import find_format as find_format
    from adapters.data.formats.format import ReadOptions as ReadOptions
    from adapters.data.formats.interval_records import Interval as Interval
    from adapters.data.formats.interval_records import IntervalFile as IntervalFile
    from adapters.data.formats.intervals import INTERVAL_FORMATS as INTERVAL_FORMATS
    from adapters.data.formats.intervals import format_of_suffix as format_of_suffix
    from adapters.data.formats.intervals import lost_in as lost_in
    from adapters.data.formats.intervals import read_intervals as read_intervals
    from adapters.data.formats.intervals import write_intervals as write_intervals
    from adapters.data.formats.studio import agreed_spans as agreed_spans
    from adapters.data.frame_folders import is_frame_folder as is_frame_folder
    from adapters.data.label_sets import SEPARATOR as SEPARATOR
    from adapters.data.label_sets import joined_labels as joined_labels
    from adapters.data.label_sets import parted_labels as parted_labels
    from adapters.data.label_sets import spoken_labels as spoken_labels
    from adapters.data.label_spellings import clean_label as clean_label
    from adapters.data.label_spellings import spelling_key as spelling_key
    from adapters.data.prepared_frames import prefer_video as prefer_video
    from adapters.data.prepared_frames import read_example as read_example
    from adapters.data.prepared_frames import read_prepared_clip as read_prepared_clip
    from adapters.data.splits import split_dataset as split_dataset
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "checks": ("check_dataset", "classes_without_clips", "dataset_problems", "summarize_dataset"),
            "clip_dataset": ("ClipDataset", "UnreadableClip"),
            "copies": ("CopyReport", "check_copies", "join_copies"),
            "dataset": (
                "check_held",
                "detect_format",
                "export_dataset",
                "lost_in_export",
                "read_dataset",
                "write_dataset",
            ),
            "examples": (
                "Dataset",
                "Example",
                "PreparedFrames",
                "Split",
                "clips_digest",
                "match_labels",
                "without_missing",
            ),
            "footage": ("footage_of",),
            "frame_folders": ("is_frame_folder",),
            "formats": ("FORMATS", "find_format"),
            "formats.studio": ("agreed_spans",),
            "label_sets": ("SEPARATOR", "joined_labels", "parted_labels", "spoken_labels"),
            "label_spellings": ("clean_label", "spelling_key"),
            "formats.format": ("ReadOptions",),
            "formats.interval_records": ("Interval", "IntervalFile"),
            "formats.intervals": (
                "INTERVAL_FORMATS",
                "format_of_suffix",
                "lost_in",
                "read_intervals",
                "write_intervals",
            ),
            "prepared_frames": ("prefer_video", "read_example", "read_prepared_clip"),
            "splits": ("split_dataset",),
        },
    )

"""`cliplab dataset`: import, split, export and count labelled clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.data import (
    FORMATS,
    Dataset,
    ReadOptions,
    check_copies,
    check_held,
    classes_without_clips,
    dataset_problems,
    detect_format,
    export_dataset,
    find_format,
    is_frame_folder,
    join_copies,
    lost_in_export,
    read_dataset,
    split_dataset,
    summarize_dataset,
    without_missing,
    write_dataset,
)
from adapters.errors import AdapterError, DatasetError
from adapters.system import quoted_list
from cliplab.outputs import require_new


@dataclass(frozen=True)
class DatasetReport:
    """The content of a dataset.

    Attributes:
        output: The file or folder that was written; None where nothing was written.
        stats: Clips, groups, videos and seconds by class and split.
        problems: A sentence for each fault that makes the dataset unusable for training, or misleads it.
        notes: A sentence for each thing that was read otherwise than written, and for copies that do no harm.
        format: The format that the data is in, or that was written; None where that is not of interest.
        lost: What the written format does not hold, in words.
    """

    output: str | None
    stats: dict[str, Any]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    format: str | None = None
    lost: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object: output, the counts, problems and notes; the format and what is lost, where they are known."""
        found = {"output": self.output, **self.stats, "problems": list(self.problems), "notes": list(self.notes)}
        return found if self.format is None else {**found, "format": self.format, "lost": list(self.lost)}


def dataset_import(
    source: str | Path,
    output: str | Path,
    *,
    format: str | None = None,
    labels: Sequence[str] | None = None,
    videos: str | Path | None = None,
    frame_rate: float | None = None,
    rest: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> DatasetReport:
    """Read labelled clips in any format and write them as dataset.jsonl.

    Args:
        source: A folder per class, labels.json, a CSV, COCO-style JSON, a Dataloop export, a dataset.jsonl, or a file
            of another tool (docs/formats.md).
        output: A .jsonl file, or a folder for dataset.jsonl.
        format: One of ``adapters.data.FORMATS``; None detects the format.
        labels: The classes in order; None keeps those of the source.
        videos: The folder of the videos; None: that of the source. Of tar files, where their videos are written.
        frame_rate: Frames per second, above 0, where the source counts frames; None: that of each video.
        rest: For files of intervals, the class of what lies between them; None: it is left out.
        force: Replace output if it exists.
        dry_run: Write nothing, also none of the videos of tar files.

    Returns:
        The content of the dataset, and its faults.

    Raises:
        DatasetError: The source cannot be read.
        StorageError: The output exists, or cannot be written.
    """
    if frame_rate is not None and not 0 < frame_rate <= 10_000:
        raise DatasetError(f"the frame rate must be above 0 and at most 10000, got {frame_rate!r}")
    options = ReadOptions(None if videos is None else _folder(videos), frame_rate, rest, dry_run)
    given = format if format is not None else detect_format(source)[0]
    dataset = read_dataset(source, labels or None, format, options)
    unpacked = not (dry_run and find_format(given).unpacks)
    return replace(_write(dataset, output, force, dry_run, unpacked), format=given)


def _folder(path: str | Path) -> Path:
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder}: is a file; the folder of the videos is required")
    return folder


def dataset_split(
    data: str | Path,
    output: str | Path,
    *,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    reassign: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> DatasetReport:
    """Assign every clip to train, validation or test: stratified by class, groups kept together, the same for a seed.

    Args:
        data: A dataset in any format.
        output: A .jsonl file, or a folder for dataset.jsonl.
        fractions: Shares of train, validation and test; they sum to 1.
        seed: Seed of the random order.
        reassign: Assign also clips that have a split; otherwise they keep it.
        force: Replace output if it exists.
        dry_run: Write nothing.

    Returns:
        The content of the dataset, and its faults.

    Raises:
        DatasetError: The data cannot be read, or has too few groups.
        StorageError: The output exists, or cannot be written.
    """
    dataset = split_dataset(join_copies(read_dataset(data)), fractions, seed, reassign)
    return _write(dataset, output, force, dry_run)


def dataset_export(
    data: str | Path,
    output: str | Path,
    *,
    format: str,
    only: Sequence[str] | None = None,
    media: str | None = None,
    frame_rate: float | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> DatasetReport:
    """Write a dataset in one of ``adapters.data.FORMATS``.

    Args:
        data: A dataset in any format.
        output: The file or folder to write.
        format: The format to write.
        only: Write the clips of these classes and no others, such as the ads for a player's EDL; None: all clips.
        media: "copy" or "link", for the formats that hold the videos themselves; None is the format's default.
        frame_rate: Frames per second, above 0, for the formats that count frames; None: that of each video.
        force: Replace output if it exists.
        dry_run: Write nothing.

    Returns:
        The content of the dataset, and its faults.

    Raises:
        DatasetError: The data cannot be read, the format is unknown, media does not apply to it, or only names a
            class that the dataset does not have.
        StorageError: The output exists, or cannot be written.
    """
    options: dict[str, Any] = {} if media is None else {"media": media}
    if options and not find_format(format).holds_videos:
        holding = " and ".join(name for name in FORMATS if find_format(name).holds_videos)
        raise DatasetError(f"media is only for formats that contain the videos ({holding}), got {format!r}")
    if frame_rate is not None:
        if not find_format(format).counts_frames:
            counting = ", ".join(name for name in FORMATS if find_format(name).counts_frames)
            raise DatasetError(f"a frame rate is only for formats that count frames ({counting}), got {format!r}")
        options["frame_rate"] = frame_rate
    require_new(output, force)
    dataset, left_out = (read_dataset(data), []) if only is None else _of_classes(read_dataset(data), only)
    check_held(dataset, format)
    if not dry_run:
        output = export_dataset(dataset, output, format, **options)
    lost = (*left_out, *lost_in_export(dataset, format))
    return replace(_report(dataset, None if dry_run else output), format=format, lost=lost)


def _of_classes(dataset: Dataset, only: Sequence[str]) -> tuple[Dataset, list[str]]:
    """The clips that have one of these classes, without their other labels; and a sentence about what is left out."""
    unknown = [name for name in only if name not in dataset.labels]
    if unknown or not only:
        got = repr(unknown[0]) if unknown else "none"
        raise DatasetError(
            f"{dataset.root}: only must name classes of the dataset, got {got}; it has {quoted_list(dataset.labels)}"
        )
    wanted = frozenset(only)
    kept = tuple(
        replace(clip, labels=tuple(name for name in clip.labels if name in wanted))
        for clip in dataset.examples
        if wanted.intersection(clip.labels)
    )
    if not kept:
        raise DatasetError(f"{dataset.root}: no clip has the class {quoted_list(only)}. Nothing was written")
    labels = tuple(name for name in dataset.labels if name in wanted)
    count = len(dataset) - len(kept)
    return replace(dataset, examples=kept, labels=labels), [f"{count} clips of other classes"] if count else []


def dataset_stats(data: str | Path) -> DatasetReport:
    """Count clips, groups, videos and seconds by class and split, and list every fault.

    Videos are opened for their length where a clip has no end.

    Args:
        data: A dataset in any format.

    Returns:
        The content of the dataset, and its faults.

    Raises:
        DatasetError: The data cannot be read.
    """
    return _report(read_dataset(data), None)


def _write(dataset: Dataset, output: str | Path, force: bool, dry_run: bool, unpacked: bool = True) -> DatasetReport:
    target = Path(output)
    target = target if target.suffix.lower() in (".jsonl", ".ndjson") else target / "dataset.jsonl"
    require_new(target, force)
    written = None if dry_run else write_dataset(dataset, target)
    return _report(dataset, written, unpacked)


def _report(dataset: Dataset, output: str | Path | None, unpacked: bool = True) -> DatasetReport:
    """The content and faults of a dataset; videos that are not unpacked yet are not missed."""
    folders = {item.path for item in dataset.examples if is_frame_folder(item)}
    absent = [path for path in without_missing(dataset)[1] if path not in folders] if unpacked else []
    copies = check_copies(dataset)
    missing = [f"{path}: no such file" for path in absent]
    if len(absent) > 1 and len(absent) == len({item.path for item in dataset.examples}):
        missing.insert(
            0,
            f"none of the {len(absent):,} videos is there, such as {absent[0]}. If they lie in another folder, import "
            "the labels with --videos FOLDER (videos= in Python)",
        )
    found = [*dataset_problems(dataset), *copies.problems, *missing]
    stats = summarize_dataset(dataset, _seconds)
    notes = (*dataset.notes, *copies.notes, *classes_without_clips(dataset))
    return DatasetReport(None if output is None else str(output), stats, tuple(found), notes)


def _seconds(path: Path) -> float:
    from adapters.media import probe

    try:
        seconds = probe(path).duration_seconds
    except AdapterError as error:
        raise ValueError(str(error)) from error
    if seconds is None:
        raise ValueError(f"{path}: its length is unknown")
    return seconds

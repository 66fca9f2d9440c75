"""The contents of a dataset in numbers, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from adapters.data.examples import SPLITS, Dataset, Example, clips_with_video, describe, describe_labels, list_entries
from adapters.errors import AdapterError, DatasetError

Task = Literal["single_label", "multi_label"]


def summarize_dataset(dataset: Dataset, duration: Callable[[Path], float | None] | None = None) -> dict[str, Any]:
    """Numbers of clips, groups, videos and seconds: of all, by label and by split (and by label within a split).

    Args:
        dataset: Clips with or without a split.
        duration: Returns the length of a video in seconds, or None where it is unknown; called for clips without an
            end. None: the video is opened. A length that cannot be read is unknown.

    Returns:
        A JSON object: ``clips``, ``groups``, ``videos`` and ``seconds`` of all, with ``labels`` and ``splits`` that
        have the same by name. ``seconds`` is None where a clip of unknown length is among them.
    """
    known_ends: dict[Path, float | None] = {}

    def end_of(path: Path) -> float | None:
        if path not in known_ends:
            try:
                known_ends[path] = (duration or _probe)(path)
            except (AdapterError, OSError, ValueError):
                # Its length is unknown; check_dataset and training say why the video cannot be opened.
                known_ends[path] = None
        return known_ends[path]

    lengths = {item.key(): _seconds(item, end_of) for item in dataset.examples}

    def count(items: Sequence[Example]) -> dict[str, Any]:
        known = [lengths[item.key()] for item in items]
        seconds = [value for value in known if value is not None]
        return {
            "clips": len(items),
            "groups": len({item.group for item in items}),
            "videos": len({item.path for item in items}),
            "seconds": round(sum(seconds), 3) if len(seconds) == len(known) else None,
        }

    def by_label(items: Iterable[Example]) -> dict[str, Any]:
        by_name: dict[str, list[Example]] = {label: [] for label in dataset.labels}
        for item in items:
            for label in set(item.labels) & by_name.keys():
                by_name[label].append(item)
        return {label: count(found) for label, found in by_name.items()}

    result = {**count(dataset.examples), "labels": by_label(dataset.examples), "splits": {}}
    for name in (*SPLITS, None):
        items = dataset.of_split(name).examples
        if items:
            result["splits"][name or "unassigned"] = {**count(items), "labels": by_label(items)}
    return result


def check_dataset(
    dataset: Dataset, labels: Sequence[str] | None = None, task: Task = "single_label", allow_missing: bool = False
) -> None:
    """Refuse a dataset that a model cannot be trained or measured on.

    Args:
        dataset: The clips.
        labels: The classes of the model; None: any.
        task: What the model is trained for.
        allow_missing: Whether missing files are allowed, since the caller leaves those clips out with a reason.

    Raises:
        DatasetError: Something is wrong: one message lists everything that ``dataset_problems`` returns, and missing
            files.
    """
    found = dataset_problems(dataset, labels, task)
    if not allow_missing:
        found += _missing(dataset)
    if found:
        head = f"{dataset.root}: the dataset cannot be used" + (f", for {len(found)} reasons" if len(found) > 1 else "")
        raise DatasetError("\n  ".join([head + ":", *found]))


def dataset_problems(dataset: Dataset, labels: Sequence[str] | None = None, task: Task = "single_label") -> list[str]:
    """What is wrong with the labels and splits. Files are not opened.

    It looks for: no clips, fewer than two classes, labels unknown to the model, clips without exactly one label,
    overlapping stretches of a video with different labels, groups in two splits.

    Args:
        dataset: The clips.
        labels: The classes of the model; None: any.
        task: With ``multi_label`` a clip may have any number of labels, and any classes will do.

    Returns:
        One sentence for each kind of problem, with the first five examples and a count; empty if all is well.

    Raises:
        DatasetError: ``task`` is neither of the two.
    """
    if task not in ("single_label", "multi_label"):
        raise DatasetError(f"task must be single_label or multi_label, got {task!r}")
    if not dataset.examples:
        return ["it contains no clips."]
    found = [*_foreign_labels(dataset, labels), *_leaks(dataset)]
    if task == "single_label":
        found += [*_too_few_classes(dataset), *_not_one_label(dataset), *_contradictions(dataset)]
    elif not any(item.labels for item in dataset.examples):
        found.append("no clip has a label.")
    return found


def classes_without_clips(dataset: Dataset) -> list[str]:
    """A sentence for each split that has clips but none of some classes: its figures say nothing about those.

    Args:
        dataset: The clips, with the classes of the model as its labels.
    """
    found = []
    for name in SPLITS:
        part = dataset.of_split(name)
        absent = [repr(label) for label, count in part.counts().items() if not count]
        if part.examples and absent:
            found.append(f"the {name} split has no clip of {list_entries(absent, 10)}.")
    return found


def _too_few_classes(dataset: Dataset) -> list[str]:
    counts = {label: count for label, count in dataset.counts().items() if count}
    if len(counts) >= 2:
        return []
    held = ", ".join(f"{label!r} ({count} clips)" for label, count in counts.items()) or "none"
    return [f"a model needs clips of two classes or more; there are clips of {held}. Add clips of another class."]


def _foreign_labels(dataset: Dataset, labels: Sequence[str] | None) -> list[str]:
    if labels is None:
        return []
    foreign = [f"{name!r} ({count} clips)" for name, count in dataset.counts().items() if count and name not in labels]
    if not foreign:
        return []
    advice = "Rename them in the data, or change the labels of the config."
    if not any(count and name in labels for name, count in dataset.counts().items()):
        advice += " A published model knows only its own labels; `cliplab train` makes one that knows yours."
    return [
        f"labels unknown to the model: {list_entries(foreign)}. "
        f"Its labels: {list_entries([repr(name) for name in labels], 20)}. {advice}"
    ]


def _not_one_label(dataset: Dataset) -> list[str]:
    wrong = [f"{describe(item)} has {len(item.labels)}" for item in dataset.examples if len(item.labels) != 1]
    if not wrong:
        return []
    return [
        f"a single-label task needs exactly one label per clip: {list_entries(wrong)}. Correct or remove these rows, "
        'or set "task" to "multi_label".'
    ]


def _contradictions(dataset: Dataset) -> list[str]:
    """Overlapping stretches of one video under two labels. Ranges that only touch do not overlap."""
    found = []
    for _, items in clips_with_video(dataset):
        ordered = sorted((item for item in items if item.labels), key=lambda item: item.start_seconds or 0.0)
        open_items: list[Example] = []
        for item in ordered:
            open_items = [other for other in open_items if _end(other) > (item.start_seconds or 0.0)]
            clash = next((other for other in open_items if set(other.labels) != set(item.labels)), None)
            if clash is not None:
                found.append(
                    f"{describe(clash)} is {describe_labels(clash)} and {describe(item)} is {describe_labels(item)}"
                )
            open_items.append(item)
    if not found:
        return []
    return [f"the same part of a video has two labels: {list_entries(found)}. Keep the right label of each."]


def _leaks(dataset: Dataset) -> list[str]:
    splits: dict[str, set[str]] = {}
    for item in dataset.examples:
        if item.split is not None:
            splits.setdefault(item.group, set()).add(item.split)
    found = [f"{name!r} in {' and '.join(sorted(names))}" for name, names in splits.items() if len(names) > 1]
    if not found:
        return []
    return [
        "groups that appear in more than one split, so the model would be measured on footage that it was trained "
        f"on: {list_entries(found)}."
    ]


def _missing(dataset: Dataset) -> list[str]:
    missing = [str(path) for path, _ in clips_with_video(dataset) if not os.path.isfile(path)]
    if not missing:
        return []
    return [
        f"{len(missing)} file{'s are' if len(missing) > 1 else ' is'} missing: {list_entries(missing)}. "
        "Restore them, or correct the paths (relative ones start at the dataset's own folder)."
    ]


def _probe(path: Path) -> float | None:
    from adapters.media import probe

    return probe(path).duration_seconds


def _seconds(item: Example, end_of: Callable[[Path], float | None]) -> float | None:
    if item.is_picture:
        return 0.0
    end = item.end_seconds if item.end_seconds is not None else end_of(item.path)
    return None if end is None else max(end - (item.start_seconds or 0.0), 0.0)


def _end(item: Example) -> float:
    return float("inf") if item.end_seconds is None else item.end_seconds

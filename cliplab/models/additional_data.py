"""More labelled clips beside a dataset, such as hard examples that devices sent, as one dataset to train on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adapters.data import Dataset, Example, read_dataset, write_dataset
from adapters.errors import DatasetError


def with_additional(data: str | Path, additional: str | Path, output: str | Path) -> Path:
    """Write one dataset of both.

    Clips that are in both are taken once, with the labels of ``additional``, which are the later ones. Where the
    dataset says which clips are for validation and test, additional clips are for training, unless their group is held
    out: then they are held out with it, so that no recording is learned and judged.

    Args:
        data: The dataset.
        additional: Labelled clips of the same classes.
        output: What is trained; the dataset is written beside it as OUTPUT.data.jsonl.

    Returns:
        The path of the dataset of both.

    Raises:
        DatasetError: One of them is not a dataset, or additional has classes that the dataset does not have.
        StorageError: It cannot be written.
    """
    main, more = read_dataset(data), read_dataset(additional)
    unknown = sorted(set(more.labels) & {label for item in more for label in item.labels} - set(main.labels))
    if unknown:
        raise DatasetError(
            f"{additional}: has {', '.join(map(repr, unknown[:5]))}, which {data} does not have (it has "
            f"{', '.join(map(repr, main.labels[:20]))}). Correct the labels, or add the class to both"
        )
    if not len(more):
        raise DatasetError(f"{additional}: has no labelled clips. Label them first (cliplab label launch DIR)")
    held = {_group(item): item.split for item in main if item.split in ("validation", "test")}
    has_splits = any(item.split is not None for item in main)
    added = [replace(item, split=held.get(_group(item), "train") if has_splits else None) for item in more]
    known = {_place(item) for item in added}
    examples = (*(item for item in main if _place(item) not in known), *added)
    target = Path(f"{output}.data.jsonl")
    return write_dataset(Dataset(examples, main.labels, main.root), target)


def _group(item: Example) -> str:
    return item.group or item.source or str(item.path)


def _place(item: Example) -> tuple[Path, float | None, float | None]:
    return item.path, item.start_seconds, item.end_seconds

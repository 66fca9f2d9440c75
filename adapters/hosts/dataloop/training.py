"""Training on a Dataloop dataset: download, conversion, order of labels, and metrics of each epoch."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dtlpy as dl

from adapters.base import BaseModelAdapter
from adapters.config import check_config
from adapters.data import Dataset, read_dataset, write_dataset
from adapters.errors import AdapterError, DatasetError
from adapters.hosts.dataloop.config import label_order, order_labels
from adapters.hosts.dataloop.downloads import parse_item_errors
from adapters.hosts.dataloop.metrics import epoch_samples, publish_metrics
from adapters.reports import EpochLog

logger = logging.getLogger("cliplab.dataloop")


def download_items(dataset: Any, filters: Any, folder: Path, annotation_filters: Any) -> list[str]:
    """Download the items that a filter selects.

    Items that cannot be downloaded are logged with the reason. dtlpy alone skips them, and fails with a TypeError if it
    is a single one.

    Args:
        dataset: The dataset on the platform.
        filters: Which items to download.
        folder: Folder for the files (items/) and the annotations (json/).
        annotation_filters: Which annotations to download; None for all.

    Returns:
        The JSON files, one per downloaded item.
    """
    try:
        downloader = dl.repositories.Downloader(dataset.items)
        downloader._download_recursive(
            str(folder), filters=filters, annotation_filters=annotation_filters, raise_on_error=True
        )
    except dl.exceptions.BadRequest as error:
        message = str(error.message)
        if not message.startswith("Errors in"):  # about the whole download
            raise
        for item_id, reason in parse_item_errors(message):  # the message names at most five
            logger.warning("item %s is left out: it could not be downloaded: %s", item_id, reason)
        logger.warning("left out in all: %s", message.partition(".")[0])
    return [str(path) for path in folder.rglob("*.json") if path.relative_to(folder).parts[0] == "json"]


def convert_download(data_path: Path) -> Path:
    """Write the items/ and json/ of each subset as ``dataset.jsonl``.

    Args:
        data_path: Folder with the download.

    Returns:
        Path of ``dataset.jsonl``.

    Raises:
        DatasetError: The download cannot be read, or items lost their labels: dtlpy names an item's JSON without the
            item's suffix, so that a.mp4 and a.mov in one folder share one file.
    """
    dataset = read_dataset(data_path, format="dataloop")
    alike = defaultdict(set)
    for example in dataset.examples:
        alike[example.path.with_suffix("")].add(example.path.name)
    for stem, names in alike.items():
        if len(names) > 1 and not _own_sheets(data_path, stem.parent, names):
            raise DatasetError(
                f"{stem.parent}: {' and '.join(sorted(names))} differ only in their suffix, but Dataloop's download "
                "keeps one JSON file for both. Rename one of the items"
            )
    return write_dataset(dataset, data_path / "dataset.jsonl")


def _own_sheets(data_path: Path, folder: Path, names: set[str]) -> bool:
    """Whether each file has a JSON of its whole name."""
    parts = folder.relative_to(data_path).parts
    at = parts.index("items")
    sheets = data_path.joinpath(*parts[:at], "json", *parts[at + 1 :])
    return all((sheets / f"{name}.json").is_file() for name in names)


def train_on_download(
    adapter: BaseModelAdapter,
    model: Any,
    data_path: Path,
    output_path: Path,
    on_epoch_end: Callable[[int, int], object],
) -> None:
    """Train on the dataset that ``convert_download`` wrote, and write the best epoch's bundle.

    Each epoch's loss and accuracy are published as plots of the model. The order of the labels is the config's; without
    one it is that of ``id_to_label_map``, or of the model's labels. The trained order is set on the model, as
    ``labels`` and ``id_to_label_map``.

    Args:
        adapter: The adapter to train.
        model: The model on the platform.
        data_path: Folder with ``dataset.jsonl``.
        output_path: Folder for the bundle.
        on_epoch_end: Receives the number of the epoch, from 0, and the number of epochs.

    Raises:
        AdapterError: The dataset or the config is wrong, or the training fails.
    """
    dataset = read_dataset(data_path)
    if adapter.config["labels"] is None:
        adapter.config = check_config({**adapter.config, "labels": list(_labels(dataset, model))})
    config = adapter.config
    tuned = config["fine_tune_layers"] is not None or config["freeze_layers"] is not None
    most, done = config["num_epochs"] + (config["fine_tune_epochs"] if tuned else 0), 0

    def epoch_done(log: EpochLog) -> None:
        nonlocal done
        done += 1
        publish_metrics(model, epoch_samples(log, done), model.dataset_id)
        on_epoch_end(done - 1, max(most, done))

    report = adapter.train(data_path, output_path, epoch_done)
    for reason in report.skipped:
        logger.warning("left out of training: %s", reason)
    model.labels = list(report.labels)
    model.id_to_label_map = dict(enumerate(report.labels))
    model.configuration.pop("label_to_id_map", None)


def _labels(dataset: Dataset, model: Any) -> tuple[str, ...]:
    found = [label for label, count in dataset.counts().items() if count]
    known = label_order(model.configuration, f"configuration of model {model.name!r}") or tuple(model.labels or ())
    missing = [label for label in known if label not in found]
    if missing and len(missing) < len(known):
        logger.warning("labels of the model without any clip, left out: %s", ", ".join(missing[:20]))
    return order_labels(found, known)


def check_uploaded(model: Any, sizes: Mapping[str, int]) -> None:
    """Check that all files of a saved model are among its artifacts.

    Args:
        model: The model on the platform.
        sizes: Name to size in bytes of each file.

    Raises:
        AdapterError: A file is missing or has another size.
    """
    root = f"/artifacts/models/{model.name}/"
    there = {artifact.filename.removeprefix(root): artifact.size for artifact in model.model_artifacts}
    missing = [name for name, size in sizes.items() if there.get(name) != size]
    if missing:
        raise AdapterError(
            f"{len(missing)} of the {len(sizes)} files of model {model.name!r} are not on the platform after their "
            f"upload: {', '.join(missing[:5])}. dtlpy's log has the reasons; call save_to_model again, or train again"
        )


def mark_failed(model: Any) -> None:
    """Set a model's status to "failed". Errors are logged and not raised, so that they do not hide the cause.

    Args:
        model: The model on the platform.
    """
    try:
        model.status = "failed"
        model.update(reload_services=False)
    except Exception as error:
        logger.error("the status of model %s could not be set to failed: %s", model.id, error)

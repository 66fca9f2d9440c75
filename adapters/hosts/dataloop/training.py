"""A Dataloop download to a trained model: conversion, the order of labels, epochs told as they come."""

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
from adapters.hosts.dataloop.items import parse_item_errors
from adapters.hosts.dataloop.metrics import epoch_samples, publish_metrics
from adapters.records import EpochLog

logger = logging.getLogger("cliplab.dataloop")


def download_items(dataset: Any, filters: Any, folder: Path, annotation_filters: Any) -> list[str]:
    """Fetch the items that a filter chooses as items/ and json/ -> the JSON files, one an item that came.

    Items that did not come are logged with the reason; dtlpy by itself passes over them, and fails on a single one
    with a TypeError.
    """
    try:
        downloader = dl.repositories.Downloader(dataset.items)
        downloader._download_recursive(
            str(folder), filters=filters, annotation_filters=annotation_filters, raise_on_error=True
        )
    except dl.exceptions.BadRequest as error:
        message = str(error.message)
        if not message.startswith("Errors in"):  # about all of them
            raise
        for item_id, reason in parse_item_errors(message):  # of five at most
            logger.warning("item %s is left out, it could not be downloaded: %s", item_id, reason)
        logger.warning("left out in all: %s", message.partition(".")[0])
    return [str(path) for path in folder.rglob("*.json") if path.relative_to(folder).parts[0] == "json"]


def convert_download(data_path: Path) -> Path:
    """Write the items/ and json/ of each subset as data_path/dataset.jsonl.

    DatasetError says what cannot be read, and which items lost their labels: dtlpy names an item's JSON without the
    item's suffix, so that of a.mp4 and a.mov in one folder a single one is left.
    """
    dataset = read_dataset(data_path, form="dataloop")
    alike = defaultdict(set)
    for example in dataset.examples:
        alike[example.path.with_suffix("")].add(example.path.name)
    for stem, names in alike.items():
        if len(names) > 1 and not _own_sheets(data_path, stem.parent, names):
            raise DatasetError(
                f"{stem.parent}: {' and '.join(sorted(names))} differ in their suffix alone, and Dataloop's download "
                "keeps one JSON for them. Rename one of the items"
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
    """Train on convert_download's dataset and write the best epoch's bundle to output_path.

    Each epoch's loss and accuracy are published on the model's plots and told to on_epoch_end(epoch from 0, epochs).
    The labels' order is the config's, else that of ``id_to_label_map``, else the model's labels; the trained order is
    set on the model, as ``labels`` and ``id_to_label_map``.
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
        logger.warning("labels of the model that no clip has, left out: %s", ", ".join(missing[:20]))
    return order_labels(found, known)


def check_uploaded(model: Any, sizes: Mapping[str, int]) -> None:
    """AdapterError where files of a saved model, by their sizes in bytes, are not among the model's artifacts."""
    root = f"/artifacts/models/{model.name}/"
    there = {artifact.filename.removeprefix(root): artifact.size for artifact in model.model_artifacts}
    missing = [name for name, size in sizes.items() if there.get(name) != size]
    if missing:
        raise AdapterError(
            f"{len(missing)} of the {len(sizes)} files of model {model.name!r} are not on the platform after their "
            f"upload: {', '.join(missing[:5])}. dtlpy's log has the reasons; call save_to_model again, or train again"
        )


def mark_failed(model: Any) -> None:
    """Tell the platform that training failed; a failure of that is logged: it must not hide the cause."""
    try:
        model.status = "failed"
        model.update(reload_services=False)
    except Exception as error:
        logger.error("the status of model %s could not be set to failed: %s", model.id, error)

"""Evaluation on a Dataloop dataset: download, clips that people labelled, metrics."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dtlpy as dl

from adapters.base import BaseModelAdapter
from adapters.hosts.dataloop.training import download_items
from adapters.system import parse_json, write_json_atomic

logger = logging.getLogger("cliplab.dataloop")


def evaluate_dataset(adapter: BaseModelAdapter, dataset: Any, filters: Any) -> dict[str, float]:
    """Download items with the labels that people gave them, and measure a model on them.

    Args:
        adapter: The model.
        dataset: The dataset on the platform.
        filters: Which items to use: ``dl.Filters`` or its JSON; None for all.

    Returns:
        Name to value of each metric.

    Raises:
        DatasetError: Labels are unknown to the model, or no clip can be read.
    """
    chosen = dl.Filters(custom_filter=filters) if isinstance(filters, dict) else filters or dl.Filters()
    labels = dl.Filters(resource=dl.FiltersResource.ANNOTATION, use_defaults=False)
    labels.add(field="type", values=["class"], operator=dl.FiltersOperations.IN)
    labels.add(field="metadata.system.model.name", values=False, operator=dl.FiltersOperations.EXISTS)
    with tempfile.TemporaryDirectory(prefix="dataloop_evaluation_", ignore_cleanup_errors=True) as folder:
        for sheet in download_items(dataset, chosen, Path(folder), labels):
            remove_model_annotations(Path(sheet))
        return evaluate_download(adapter, Path(folder))


def remove_model_annotations(sheet: Path) -> None:
    """Remove annotations made by models from an item's JSON.

    The download's filter excludes them already. This is a second check, since a model that is measured against its own
    annotations would always be right.

    Args:
        sheet: The item's JSON file, which is rewritten.
    """
    content = parse_json(sheet.read_text(encoding="utf-8"))
    annotations = content.get("annotations") or []
    made = [entry for entry in annotations if (entry.get("metadata") or {}).get("system", {}).get("model")]
    if made:
        content["annotations"] = [entry for entry in annotations if entry not in made]
        write_json_atomic(sheet, content)


def evaluate_download(adapter: BaseModelAdapter, folder: Path) -> dict[str, float]:
    """Measure a model on downloaded items that people labelled.

    Each labelled range is one clip. Labels that differ from the model's in spelling only are matched, as in training.
    Items without a label are left out and logged.

    Args:
        adapter: The model.
        folder: Folder with the download.

    Returns:
        Name to value of each metric.

    Raises:
        DatasetError: Labels are unknown to the model, or no clip can be read.
    """
    from adapters.data import check_dataset, match_labels, read_dataset
    from adapters.training import evaluate_examples

    dataset = match_labels(read_dataset(folder, labels=None), adapter.labels, adapter.config["label_aliases"])
    labelled = [example for example in dataset.examples if example.labels]
    _log_left_out("have no label by a person", [str(e.path) for e in dataset.examples if not e.labels])
    foreign = sorted({label for example in labelled for label in example.labels} - set(adapter.labels))
    if foreign or not labelled:
        check_dataset(dataset, labels=adapter.labels, task=adapter.config["task"], allow_missing=True)
    report, skipped = evaluate_examples(adapter, labelled)
    if report.labels_without_clips:
        logger.warning("no item has the labels %s, so the metrics say nothing about them", report.labels_without_clips)
    _log_left_out("cannot be read", [str(result.error) for result in skipped])
    return {name: float(value) for name, value in report.to_json().items() if _is_metric(name, value)}


def _is_metric(name: str, value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and name != "threshold"


def _log_left_out(why: str, names: Sequence[str]) -> None:
    if names:
        logger.warning("%d clips %s and are left out: %s", len(names), why, "; ".join(names[:5]))

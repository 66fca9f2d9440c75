"""From a labelled dataset to what a training run needs: label order, splits, targets and weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adapters.config import Config
from adapters.data import (
    Dataset,
    Example,
    check_dataset,
    classes_without_clips,
    join_copies,
    match_labels,
    prefer_video,
    read_dataset,
    split_dataset,
)
from adapters.errors import DatasetError
from adapters.records import Float32Array
from adapters.training.clip_features import LabelledFeatures
from adapters.training.head import output_activation, targets

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """The clips of a training.

    Attributes:
        labels: The classes in order.
        train: The clips to learn from.
        validation: The clips to measure on; may be empty.
        counts: How many clips each split has, "test" among them.
    """

    labels: tuple[str, ...]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    counts: dict[str, int]


def training_data(path: Path, config: Config, wanted: Sequence[str] | None) -> TrainingData:
    """Read, check and split a dataset for training.

    Args:
        path: A dataset in any of the formats of ``adapters.data``.
        config: A complete config.
        wanted: The class order of the model or the config; None for the dataset's own.

    Raises:
        DatasetError: It cannot be read, a class has too few clips, a label is unknown, or a path has two labels.
    """
    dataset = fitting_dataset(read_dataset(path), config, wanted)
    labels = dataset.labels
    if any(example.split is None for example in dataset.examples):
        dataset = split_dataset(dataset, tuple(config["split_fractions"]), seed=config["seed"])
    train, validation = dataset.of_split("train").examples, dataset.of_split("validation").examples
    for label in labels:
        if not any(label in example.labels for example in train):
            raise DatasetError(
                f"{path}: no clip of {label!r} is in the train split ({len(train)} clips). Label some clips of it, or "
                "leave the class out"
            )
    for sentence in classes_without_clips(dataset):
        _log.warning(
            "%s: %s Figures for that split say nothing about this class, and gates on them fail.", path, sentence
        )
    counts = {name: len(dataset.of_split(name).examples) for name in ("train", "validation", "test")}
    return TrainingData(labels, train, validation, counts)


def fitting_dataset(dataset: Dataset, config: Config, wanted: Sequence[str] | None) -> Dataset:
    """The clips of every split as a model sees them: its spelling and order of the labels, copies of a clip joined.

    Clips whose file is missing stay in: they are set aside later with their reason, as damaged ones are.

    Args:
        dataset: The clips as they were read.
        config: A complete config.
        wanted: The class order of the model or the config; None for the dataset's own.

    Raises:
        DatasetError: A class has too few clips, a label is unknown, or a path has two labels.
    """
    dataset = match_labels(dataset, _known_labels(wanted, config), config["label_aliases"])
    labels = tuple(wanted) if wanted is not None else _label_order(dataset, config)
    check_dataset(dataset, labels=labels, task=config["task"], allow_missing=True)
    return join_copies(replace(dataset, labels=labels), config["task"] == "single_label")


def with_chosen_sources(data: TrainingData, single_frames: bool) -> TrainingData:
    """The same clips, each with the source to read it from: its video, or its prepared frames. See ``prefer_video``.

    Args:
        data: The clips.
        single_frames: Whether the model scores single frames.
    """
    train, validation = (
        tuple(prefer_video(example, single_frames) for example in part) for part in (data.train, data.validation)
    )
    return replace(data, train=train, validation=validation)


def clips_note(data: TrainingData) -> str:
    """How many clips the training has, in a line.

    Args:
        data: The clips.
    """
    examples = (*data.train, *data.validation)
    framed = sum(example.frames is not None and not example.is_picture for example in examples)
    note = f"; for {framed} the video is missing and the prepared frames are used" if framed else ""
    return f"clips: {len(data.train)} train, {len(data.validation)} validation{note}"


def _known_labels(wanted: Sequence[str] | None, config: Config) -> Sequence[str]:
    """The labels whose spelling counts: the model's, else the positive one, which the config names."""
    if wanted is not None:
        return wanted
    return [config["positive_label"]] if config["positive_label"] is not None else []


def _label_order(dataset: Dataset, config: Config) -> tuple[str, ...]:
    positive = config["positive_label"]
    if positive is not None and positive not in dataset.labels:
        raise DatasetError(
            f'{dataset.root}: "positive_label" is {positive!r}, which no clip has; the labels are '
            f"{', '.join(dataset.labels)}"
        )
    return dataset.labels


def label_matrix(examples: Sequence[Example], labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which labels are right for each clip.

    Args:
        examples: N clips.
        labels: C classes in order.

    Returns:
        bool [N, C].
    """
    return np.array([[label in example.labels for label in labels] for example in examples], bool).reshape(
        len(examples), len(labels)
    )


def clip_weights(
    examples: Sequence[Example], labels: Sequence[str], config: Config, train: Sequence[Example]
) -> Float32Array:
    """How much each clip counts in the loss.

    With class weights "balanced" a clip counts train clips / (classes * train clips of its class), as scikit-learn's
    "balanced" does, 1 on average over the training clips. A clip of several labels has the mean of theirs.

    Args:
        examples: N clips.
        labels: The classes in order.
        config: A complete config.
        train: The training clips, for the balance.

    Returns:
        float32 [N].
    """
    matrix = label_matrix(examples, labels).astype(np.float32)
    setting = config["class_weights"]
    if setting == "none":
        return np.ones(len(examples), np.float32)
    if isinstance(setting, dict):
        by_class = np.array([setting[label] for label in labels], np.float32)
    else:
        counts = label_matrix(train, labels).sum(axis=0)
        by_class = (len(train) / (len(labels) * np.maximum(counts, 1))).astype(np.float32)
    total = matrix.sum(axis=1)
    return np.where(total > 0, matrix @ by_class / np.maximum(total, 1), 1.0).astype(np.float32)


def target_array(examples: Sequence[Example], labels: tuple[str, ...], config: Config) -> Float32Array:
    """What the head should output for each clip.

    Args:
        examples: N clips.
        labels: The classes in order.
        config: A complete config.

    Returns:
        float32 [N, units], 0 or 1.
    """
    return targets(label_matrix(examples, labels), config, labels)


def label_features(
    features: Float32Array,
    examples: Sequence[Example],
    labels: Sequence[str],
    config: Config,
    train: Sequence[Example] | None = None,
) -> LabelledFeatures:
    """Features of clips with what a config's head should output for them.

    Args:
        features: float32 [N, items, D].
        examples: N clips.
        labels: The classes in order.
        config: A complete config.
        train: The training clips, which class weights are balanced over; None: these clips.
    """
    groups = np.unique([example.group for example in examples], return_inverse=True)[1]
    return LabelledFeatures(
        features,
        target_array(examples, tuple(labels), config),
        clip_weights(examples, labels, config, examples if train is None else train),
        groups.reshape(-1),
        output_activation(config) == "softmax",
    )

"""The head of a config, judged by cross-validation: refitted for each fold, with or without hidden layers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from adapters.base import BaseModelAdapter, OnProgress
from adapters.config import AdapterClass, key_schemas
from adapters.data import Example
from adapters.records import Float32Array, aggregate
from adapters.training.backbone_features import example_features, features_of_views
from adapters.training.clip_features import item_probabilities
from adapters.training.devices import pick_devices
from adapters.training.feature_cache import CachedFeatures, ExampleView
from adapters.training.head import VARIABLE_PREFIX, class_scores
from adapters.training.head_phase import HAND_SET_KEYS, fit_head, head_route, labelled_features, logits_of
from adapters.training.held_out_figures import held_out_temperature
from adapters.training.linear_network import GradientNetwork
from adapters.training.out_of_fold import divide_clips, division_warnings, out_of_fold_scores
from adapters.training.phases import TrainingRun
from adapters.training.trainable import Trainable
from adapters.training.training_data import TrainingData, label_matrix
from adapters.training.variables import random_variables

if TYPE_CHECKING:
    from adapters.evaluation import EvaluationReport

# Each fold of a head with hidden layers trains four heads: three to choose the number of epochs, and one.
_GRADIENT_FOLDS = 5
GroupFolds = Literal["folds", "groups"]


@dataclass(frozen=True)
class CrossValidated:
    """What heads got right on clips whose group they never saw.

    Attributes:
        report: The figures of all clips together, each scored by the head of its fold.
        folds: How many heads there were.
        skipped: The clips that could not be read, a sentence each.
        notes: What a reader should know of the division, in sentences.
    """

    report: EvaluationReport
    folds: int
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


def cross_validate_examples(
    adapter: BaseModelAdapter,
    examples: Sequence[Example],
    labels: Sequence[str],
    division: GroupFolds = "folds",
    on_progress: OnProgress | None = None,
) -> CrossValidated:
    """Refit the head of a model's config for each fold of whole groups, and measure it on the clips of that fold.

    Everything that training chooses (strength or epochs, temperature) is chosen within the other folds. The backbone
    stays as it is; where it was trained on these clips, the figures are too good. The model's own head does not matter.

    Args:
        adapter: The model, trained or not.
        examples: Labelled clips.
        labels: The classes in order.
        division: "folds": whole groups in up to ten folds, five for heads with hidden layers. "groups": leave one group
            out.
        on_progress: Receives the stage, what is done of it, and how much there is.

    Returns:
        The report, and what could not be read.

    Raises:
        ConfigError: The model has no backbone of its own.
        DatasetError: No clip can be read, or the clips cannot be divided.
        MissingExtraError: SciPy is not installed, or TensorFlow, which heads with hidden layers need.
    """
    found = example_features(adapter, examples, on_progress)
    config, kept = adapter.config, found.examples
    data = found.labelled(labels, config)
    defaults = {key: key_schemas(cast(AdapterClass, type(adapter)))[key]["default"] for key in HAND_SET_KEYS}
    notes: tuple[str, ...]
    if head_route(config, defaults, False, scores_items=adapter.scores_items) == "logistic":
        linear = out_of_fold_scores(
            data, labels, config, division=division, seed=config["seed"], on_progress=on_progress
        )
        scores, folds, notes = linear.probabilities, linear.folds, linear.warnings
    else:
        parts = divide_clips(data, division, config["seed"], _GRADIENT_FOLDS)
        notes = tuple(division_warnings(data, labels, config, parts))
        counts = {"train": len(kept), "validation": 0, "test": 0}
        clips = TrainingData(tuple(labels), tuple(kept), (), counts)
        scores, folds = np.zeros((len(kept), len(labels)), np.float32), len(parts)
        found_scores = fold_scores(cast(Trainable, adapter), clips, parts, on_progress)
        for (_, judge), part in zip(parts, found_scores, strict=True):
            scores[judge] = part
    if config["fine_tune_layers"] is not None or config["freeze_layers"] is not None:
        notes += ("only the head is cross-validated: fine-tuning of the backbone's layers is left out",)
    skipped = tuple(reason for _, reason in found.skipped)
    return CrossValidated(_report(adapter, scores, kept, labels), folds, skipped, notes)


def _report(
    adapter: BaseModelAdapter, scores: Float32Array, examples: Sequence[Example], labels: Sequence[str]
) -> EvaluationReport:
    from adapters.evaluation import evaluate

    config, matrix = adapter.config, label_matrix(examples, labels)
    chosen = config["best_thresholds"]
    return evaluate(
        scores,
        matrix if config["task"] == "multi_label" else matrix.argmax(axis=1),
        labels,
        positive_label=config["positive_label"],
        threshold=config["threshold"],
        paths=examples,
        thresholds={label: chosen[label] for label in labels if label in chosen},
    )


def fold_scores(
    adapter: Trainable, clips: TrainingData, folds: Sequence[tuple[Any, Any]], on_progress: OnProgress | None = None
) -> Iterator[Float32Array]:
    """Train the head of a model's config once for each fold, as ``train`` does, and score clips that it did not see.

    Args:
        adapter: The model; its head is replaced.
        clips: N clips to learn from or to judge, all in ``train``.
        folds: Rows to learn from and rows to judge, int64 each; a clip may be in several folds.
        on_progress: Receives ("heads", folds done, folds in all).

    Yields:
        The calibrated scores of the rows to judge, float32 [M, C], for one fold after another.
    """
    from adapters.system import value_digest

    adapter.begin_training(clips.labels)
    network = adapter.build_network()
    views = [ExampleView(example, n) for example in clips.train for n in range(adapter.config["augment_views"] + 1)]
    features = features_of_views(adapter, adapter.feature_source(), views, on_progress)
    with features.store, tempfile.TemporaryDirectory(prefix="cliplab_folds_") as folder:
        for number, (learn, judge) in enumerate(folds):
            if on_progress is not None:
                on_progress("heads", number, len(folds))
            _forget(network.head, adapter.config["seed"])
            state = Path(folder) / str(number)
            state.mkdir()
            part = replace(clips, train=tuple(clips.train[row] for row in learn))
            key = value_digest([number, "cross-validation"])
            run = TrainingRun(adapter, part, GradientNetwork(network), state, key, None, pick_devices(1))
            yield _judged(run, features, [clips.train[row] for row in judge])
    if on_progress is not None:
        on_progress("heads", len(folds), len(folds))


def _judged(run: TrainingRun, features: CachedFeatures, judge: Sequence[Example]) -> Float32Array:
    """Train the head of a run, and score other clips with it, float32 [M, C]."""
    result = fit_head(run, features)
    temperature = held_out_temperature(run, features, [result])
    data = labelled_features(run, features, judge)
    outputs = run.weights.scores(data.features)
    items = np.asarray(item_probabilities(logits_of(outputs, data.exclusive) / temperature, data.exclusive), np.float32)
    how, fraction = run.config.get("aggregation", "mean"), run.config.get("top_fraction", 1.0)
    return np.stack([aggregate(clip, how, fraction) for clip in class_scores(items, run.config, run.data.labels)])


def _forget(head: Any, seed: int) -> None:
    """Give a head the variables of one that has seen nothing."""
    fresh = random_variables(head, seed)
    for variable in head.weights:
        name = variable.name.removesuffix(":0")
        # As a new classifier begins: with no opinion.
        variable.assign(np.zeros_like(fresh[name]) if name.startswith(f"{VARIABLE_PREFIX}output") else fresh[name])

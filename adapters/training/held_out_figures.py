"""After the phases: the temperature that is folded into the head, and what the held-out clips say of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.data import Example
from adapters.records import Float32Array
from adapters.training.calibration import clip_probabilities, fit_temperature
from adapters.training.clip_features import LabelledFeatures
from adapters.training.feature_cache import CachedFeatures, ExampleView
from adapters.training.fit_settings import FitResult, HeldOut
from adapters.training.head import VARIABLE_PREFIX, class_scores
from adapters.training.head_phase import labelled_features, logits_of, right_clips
from adapters.training.phases import TrainingRun, item_inputs
from adapters.training.training_data import label_matrix


def cross_validation_figures(run: TrainingRun, features: CachedFeatures, held_out: HeldOut) -> dict[str, Any]:
    """What heads got right on clips whose group they never saw.

    Args:
        run: The training.
        features: The backbone's features.
        held_out: The logits of those heads.

    Returns:
        JSON values: accuracy in 0..1 with its 95% interval, numbers of clips, groups and folds, the share of the
        largest class, and what was chosen.
    """
    from adapters.evaluation import share_interval

    examples = run.data.train
    right = right_clips(held_out.logits, labelled_features(run, features, examples))
    groups = [example.group for example in examples]
    counts = label_matrix(examples, run.data.labels).sum(axis=0)
    return {
        "accuracy": float(right.mean()),
        "interval": list(share_interval(right, groups)),
        "clips": len(examples),
        "groups": len(set(groups)),
        "folds": held_out.folds,
        "largest_class_share": float(counts.max() / len(examples)),
        "chosen": held_out.chosen,
    }


def held_out_notes(metrics: Mapping[str, Any]) -> list[str]:
    """What held-out clips say, in sentences, with what a reader should know of the figures.

    Args:
        metrics: The content of metrics.json.
    """
    calibration = metrics.get("calibration")
    notes = [] if metrics.get("cross_validation") is None else _cross_validation_notes(metrics["cross_validation"])
    if calibration is not None:
        held_out = "out-of-fold" if calibration["fitted_on"] == "out_of_fold" else "validation"
        notes.append(
            f"calibration: temperature {calibration['temperature']:.2f} on {calibration['clips']} {held_out} clips; "
            f"calibration error {calibration['error_before']:.3f} before, {calibration['error_after']:.3f} after"
        )
    return notes


def _cross_validation_notes(figures: Mapping[str, Any]) -> list[str]:
    low, high = figures["interval"]
    clips, accuracy = figures["clips"], figures["accuracy"]
    notes = [
        f"cross-validation: accuracy {accuracy:.0%} (95% interval {low:.0%} to {high:.0%}; {clips} clips in "
        f"{figures['groups']} groups, each judged by a head that did not see its group)"
    ]
    if figures["groups"] == 1:
        notes[0] = (
            f"cross-validation: accuracy {accuracy:.0%} ({clips} clips of one group: clips of the same footage are on "
            "both sides, so that new footage may give less)"
        )
    if low <= figures["largest_class_share"]:
        notes.append(
            "not shown to be better than always answering the largest class "
            f"({figures['largest_class_share']:.0%} of the clips): label more clips, or use another model"
        )
    return notes


def calibrate(run: TrainingRun, features: CachedFeatures, results: Sequence[FitResult]) -> dict[str, Any] | None:
    """Fit a temperature on clips that the head did not learn from, and fold it into the head's last layer.

    Args:
        run: The training, with the best weights set.
        features: The backbone's features.
        results: The phases, in order.

    Returns:
        JSON values for the metrics: the temperature, what it was fitted on, and the expected calibration error before
        and after; None where ``calibrate`` is false or no clip was held out.
    """
    if not run.config["calibrate"]:
        return None
    found = _held_out_clips(run, features, results)
    if found is None:
        return None
    logits, data, examples, origin = found
    temperature, _ = fit_temperature(logits, data)
    layer = run.network.head.get_layer(f"{VARIABLE_PREFIX}output")
    for variable in (layer.kernel, layer.bias):
        variable.assign(np.asarray(variable.numpy() / temperature, np.float32))
    before, after = (_error(run, examples, logits, data, value) for value in (1.0, temperature))
    return {
        "temperature": temperature,
        "fitted_on": origin,
        "clips": len(examples),
        "error_before": before,
        "error_after": after,
    }


def _held_out_clips(
    run: TrainingRun, features: CachedFeatures, results: Sequence[FitResult]
) -> tuple[Float32Array, LabelledFeatures, Sequence[Example], str] | None:
    tuned = len(results) > 1
    if results[0].held_out is not None and not (tuned and run.data.validation):
        return (
            results[0].held_out.logits,
            labelled_features(run, features, run.data.train),
            run.data.train,
            "out_of_fold",
        )
    if not run.data.validation:
        return None
    scores = validation_scores(run, features, tuned=tuned)
    data = labelled_features(run, features, run.data.validation)
    return logits_of(scores, data.exclusive), data, run.data.validation, "validation"


def validation_scores(run: TrainingRun, features: CachedFeatures, *, tuned: bool) -> Float32Array:
    """The scores of the validation clips' items: from cached features, or through a backbone that has changed.

    Args:
        run: The training, with the best weights set.
        features: The backbone's features.
        tuned: Whether the backbone has changed.

    Returns:
        float32 [N, items, units] in 0..1.
    """
    items, backbone = item_inputs(run, run.data.validation), run.network.backbone if tuned else None
    found = []
    for row, example in enumerate(run.data.validation):
        inputs = items(np.array([row]), None) if tuned else features.of([ExampleView(example, 0)])
        found.append(np.asarray(run.forward(inputs, False, through=backbone))[0])
    return np.stack(found)


def _error(
    run: TrainingRun, examples: Sequence[Example], logits: Float32Array, data: LabelledFeatures, temperature: float
) -> float:
    from adapters.evaluation import calibration_error

    scores = class_scores(
        np.asarray(clip_probabilities(logits, temperature, data.exclusive), np.float32), run.config, run.data.labels
    )
    truth: npt.NDArray[np.bool_] = label_matrix(examples, run.data.labels)
    positive = run.config["positive_label"]
    column = None if positive is None else run.data.labels.index(positive)
    return calibration_error(scores.astype(np.float64), truth, column, run.config["task"] == "multi_label")

"""After the phases: the temperature that is folded into the head, and what the held-out clips say of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.config import check_config, parse_objective
from adapters.data import Example
from adapters.records import Float32Array, aggregate
from adapters.reports import rounded
from adapters.training.calibration import fit_temperature
from adapters.training.clip_features import LabelledFeatures, item_probabilities
from adapters.training.feature_cache import CachedFeatures, ExampleView
from adapters.training.fit_settings import FitResult, HeldOut
from adapters.training.head import class_scores
from adapters.training.head_phase import labelled_features, logits_of
from adapters.training.phases import TrainingRun, item_inputs
from adapters.training.training_data import label_matrix

_ORIGINS = {"out_of_fold": "out-of-fold", "validation": "validation"}
_FIGURES = ("accuracy", "precision", "recall", "f1")


@dataclass(frozen=True)
class HeldOutScores:
    """The scores of clips that the head did not learn from.

    Attributes:
        examples: N clips.
        logits: float32 [N, items, units], before calibration.
        data: Their targets and weights.
        origin: "out_of_fold" (training clips, each by a head that did not see its group) or "validation".
    """

    examples: tuple[Example, ...]
    logits: Float32Array
    data: LabelledFeatures
    origin: str

    def scores(self, run: TrainingRun, temperature: float) -> Float32Array:
        """The clips' scores at a temperature, float32 [N, C] in 0..1.

        Args:
            run: The training, which says how items are aggregated.
            temperature: Above 0.
        """
        how, fraction = run.config.get("aggregation", "mean"), run.config.get("top_fraction", 1.0)
        items = np.asarray(item_probabilities(self.logits / temperature, self.data.exclusive), np.float32)
        scores = class_scores(items, run.config, run.data.labels)
        return np.stack([aggregate(clip, how, fraction) for clip in scores])


def held_out_metrics(run: TrainingRun, features: CachedFeatures, results: Sequence[FitResult]) -> dict[str, Any]:
    """Calibrate the head, choose thresholds, and say what held-out clips show of the model.

    Args:
        run: The training, with the best weights set; the temperature is folded into the head, and the thresholds are
            set in the adapter's config.
        features: The backbone's features.
        results: The phases, in order.

    Returns:
        Parts of metrics.json, each where it applies: ``calibration``, ``thresholds``, ``cross_validation``, and
        ``out_of_fold``, the report of the training clips as ``adapters.evaluation.evaluate`` makes it.
    """
    found = _held_out_clips(run, features, results)
    calibration = _calibrate(run, found) if found is not None and run.config["calibrate"] else None
    metrics: dict[str, Any] = {} if calibration is None else {"calibration": calibration}
    temperature = 1.0 if calibration is None else calibration["temperature"]
    thresholds = None if found is None else _thresholds(run, found, temperature)
    if thresholds is not None:
        metrics["thresholds"] = thresholds
    by_label = {} if thresholds is None else {name: one["threshold"] for name, one in thresholds["classes"].items()}
    if by_label != run.config["best_thresholds"]:
        run.adapter.config = check_config({**run.config, "best_thresholds": by_label})
    held_out = results[0].held_out
    if held_out is not None:
        whole = _out_of_fold(run, features, held_out)
        own = found is not None and found.origin == "out_of_fold"
        report = _report(run, whole, temperature if own else 1.0, by_label)
        if own and thresholds is not None:
            report["thresholds"] = threshold_rows(thresholds)
        metrics["out_of_fold"] = report
        metrics["cross_validation"] = {
            "accuracy": report["accuracy"],
            "interval": report["intervals"]["accuracy"],
            "clips": report["clips"],
            "groups": report["groups"],
            "folds": held_out.folds,
            "largest_class_share": report["largest_class"]["share"],
            "chosen": held_out.chosen,
        }
    return metrics


def _report(
    run: TrainingRun, held_out: HeldOutScores, temperature: float, thresholds: Mapping[str, float]
) -> dict[str, Any]:
    from adapters.evaluation import evaluate

    matrix = label_matrix(held_out.examples, run.data.labels)
    report = evaluate(
        held_out.scores(run, temperature),
        matrix if run.config["task"] == "multi_label" else matrix.argmax(axis=1),
        run.data.labels,
        positive_label=run.config["positive_label"],
        threshold=run.config["threshold"],
        paths=held_out.examples,
        thresholds=thresholds,
        uncalibrated=None if temperature == 1 else held_out.scores(run, 1.0),
    ).to_json()
    report.pop("mistakes")
    return report


def _thresholds(run: TrainingRun, held_out: HeldOutScores, temperature: float) -> dict[str, Any] | None:
    if run.config["optimize"] is None:
        return None
    from adapters.evaluation import choose_thresholds

    chosen = choose_thresholds(
        held_out.scores(run, temperature).astype(np.float64),
        label_matrix(held_out.examples, run.data.labels),
        run.data.labels,
        [example.group for example in held_out.examples],
        parse_objective(run.config["optimize"]),
        run.config["seed"],
    )
    return {**dict(rounded(chosen)), "chosen_on": held_out.origin}


def threshold_rows(chosen: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Chosen thresholds as a report lists them, with the figures of groups that the choice did not see.

    Args:
        chosen: ``thresholds`` of metrics.json.
    """
    extra = ("value", "reached", "held_out")
    return [
        {"label": label, **{name: value for name, value in entry.items() if name not in extra}}
        for label, entry in chosen["classes"].items()
    ]


def held_out_notes(metrics: Mapping[str, Any], optimize: str | None = None) -> list[str]:
    """What held-out clips say, in sentences, with what a reader should know of the figures.

    Args:
        metrics: The content of metrics.json.
        optimize: What thresholds were to be chosen for; None for nothing.
    """
    from adapters.evaluation import figure_text, threshold_notes

    calibration, validation = metrics.get("calibration"), metrics.get("validation") or {}
    notes = []
    if metrics.get("cross_validation") is not None:
        notes = _cross_validation_notes(metrics["cross_validation"], metrics["out_of_fold"]["notes"])
    if calibration is not None:
        notes.append(
            f"calibration: temperature {calibration['temperature']:.2f} on {calibration['clips']} "
            f"{_ORIGINS[calibration['fitted_on']]} clips; calibration error {calibration['error_before']:.3f} before, "
            f"{calibration['error_after']:.3f} after"
        )
    if validation:
        figures = ", ".join(figure_text(name, validation[name], validation["intervals"][name]) for name in _FIGURES)
        plural = "" if validation["groups"] == 1 else "s"
        notes.append(f"validation: {figures}; {validation['clips']} clips in {validation['groups']} group{plural}")
        notes += [f"validation: {note}" for note in validation["notes"]]
    if not validation and metrics.get("cross_validation") is None:
        notes.append("no clip was held out, so no figure shows how the model does on new clips: label more clips")
    if optimize is not None and not metrics.get("thresholds", {}).get("classes"):
        notes.append(
            f"no threshold is chosen for {optimize}: this needs held-out clips of more than one class. "
            "Label at least four clips of each class, in several groups"
        )
    elif metrics.get("thresholds"):
        origin = _ORIGINS[metrics["thresholds"]["chosen_on"]]
        notes += [f"{note} ({origin} clips)" for note in threshold_notes(metrics["thresholds"])]
    return notes


def _cross_validation_notes(figures: Mapping[str, Any], more: Sequence[str]) -> list[str]:
    low, high = figures["interval"]
    clips, accuracy = figures["clips"], figures["accuracy"]
    notes = [
        f"cross-validation: accuracy {accuracy:.0%} (95% interval {low:.0%} to {high:.0%}; {clips} clips in "
        f"{figures['groups']} groups, each judged by a head that did not see its group)"
    ]
    if figures["groups"] == 1:
        notes[0] = (
            f"cross-validation: accuracy {accuracy:.0%} ({clips} clips of one group: training and test clips come "
            "from the same footage, so accuracy on new footage may be lower)"
        )
    share = figures["largest_class_share"]
    if low <= share:
        unseen = "groups" if figures["groups"] > 1 else "clips"
        nothing = f"nothing was learned that helps with unseen {unseen}: " if accuracy <= share else ""
        notes.append(
            f"{nothing}not shown to be better than always answering the largest class ({share:.0%} of the clips): "
            "check that the labels are right and visible in the clips, label more clips, or use another model"
        )
    return notes + [note for note in more if "the largest class" not in note]


def held_out_temperature(run: TrainingRun, features: CachedFeatures, results: Sequence[FitResult]) -> float:
    """The temperature that calibration would fold into the head; 1 without calibration or held-out clips.

    Args:
        run: The training, with the best weights set.
        features: The backbone's features.
        results: The phases, in order.
    """
    found = _held_out_clips(run, features, results) if run.config["calibrate"] else None
    return 1.0 if found is None else fit_temperature(found.logits, found.data)[0]


def _calibrate(run: TrainingRun, held_out: HeldOutScores) -> dict[str, Any]:
    """Fit a temperature and fold it into the head's last layer.

    Returns:
        JSON values for the metrics: the temperature, what it was fitted on, the expected calibration error before and
        after, and the points of the reliability diagrams.
    """
    temperature, _ = fit_temperature(held_out.logits, held_out.data)
    kernel, bias = run.weights.output_layer()
    run.weights.set_output_layer(kernel / temperature, bias / temperature)
    before, after = (_reliability(run, held_out, value) for value in (1.0, temperature))
    return {
        "temperature": temperature,
        "fitted_on": held_out.origin,
        "clips": len(held_out.examples),
        "groups": len({example.group for example in held_out.examples}),
        "error_before": before["error"],
        "error_after": after["error"],
        "reliability": {"before": before, "after": after},
    }


def _held_out_clips(run: TrainingRun, features: CachedFeatures, results: Sequence[FitResult]) -> HeldOutScores | None:
    """The clips to calibrate and choose on; None where none was held out."""
    tuned = len(results) > 1
    if results[0].held_out is not None and not (tuned and run.data.validation):
        return _out_of_fold(run, features, results[0].held_out)
    if not run.data.validation:
        return None
    scores = validation_scores(run, features, tuned=tuned)
    data = labelled_features(run, features, run.data.validation)
    return HeldOutScores(run.data.validation, logits_of(scores, data.exclusive), data, "validation")


def _out_of_fold(run: TrainingRun, features: CachedFeatures, held_out: HeldOut) -> HeldOutScores:
    kept = np.flatnonzero(np.isfinite(held_out.logits).all(axis=(1, 2)))
    examples = tuple(run.data.train[row] for row in kept)
    data = labelled_features(run, features, run.data.train).take(kept)
    return HeldOutScores(examples, held_out.logits[kept], data, "out_of_fold")


def validation_scores(run: TrainingRun, features: CachedFeatures, *, tuned: bool) -> Float32Array:
    """The scores of the validation clips' items: from cached features, or through a backbone that has changed.

    Args:
        run: The training, with the best weights set.
        features: The backbone's features.
        tuned: Whether the backbone has changed.

    Returns:
        float32 [N, items, units] in 0..1.
    """
    if not tuned:
        return run.weights.scores(features.of([ExampleView(example, 0) for example in run.data.validation]))
    items, backbone = item_inputs(run, run.data.validation), run.network.backbone
    rows = range(len(run.data.validation))
    found = [run.forward(items(np.array([row]), None), False, through=backbone) for row in rows]
    return np.concatenate([np.asarray(scores) for scores in found])


def _reliability(run: TrainingRun, held_out: HeldOutScores, temperature: float) -> dict[str, Any]:
    from adapters.evaluation import reliability_of

    positive = run.config["positive_label"]
    return reliability_of(
        held_out.scores(run, temperature).astype(np.float64),
        label_matrix(held_out.examples, run.data.labels),
        None if positive is None else run.data.labels.index(positive),
        run.config["task"] == "multi_label",
    )

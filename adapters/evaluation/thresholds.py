"""The score from which a label counts, chosen by a figure that the user names, and what it reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.config import Objective
from adapters.evaluation.class_figures import Intervals, figure_intervals
from adapters.evaluation.curves import BoolArray, FloatArray
from adapters.evaluation.intervals import IntArray, group_numbers, share_interval

_FOLDS = 10
_NAMED_CLASSES = 10
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ThresholdFigures:
    """What a label's threshold reaches on a set of clips, each clip that has the label against the rest.

    Attributes:
        label: The class.
        threshold: The score in 0..1 at or above which it counts.
        support: How many clips have the label.
        groups: How many groups have such clips.
        predicted: How many clips reach the threshold.
        precision: The share of these that have the label; None without one.
        recall: The share of the label's clips that reach it; None without one.
        f1: The harmonic mean of both; None where neither is defined.
        accuracy: The share of all clips decided right.
        intervals: The 95% interval of each of the four.
    """

    label: str
    threshold: float
    support: int
    groups: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    accuracy: float
    intervals: Intervals


def threshold_figures(
    decided: BoolArray,
    onehot: BoolArray,
    thresholds: Sequence[float],
    labels: Sequence[str],
    member: IntArray,
) -> tuple[ThresholdFigures, ...]:
    """The figures of decisions by threshold.

    Args:
        decided: bool [N, C], which clips reach each label's threshold.
        onehot: bool [N, C], which labels are right.
        thresholds: C scores.
        labels: C names.
        member: int64 [N], the number of each clip's group.
    """
    found = figure_intervals(onehot, decided, member)
    figures = []
    for column, label in enumerate(labels):
        truth, chosen = onehot[:, column], decided[:, column]
        both, given, true = int((truth & chosen).sum()), int(chosen.sum()), int(truth.sum())
        right = truth == chosen
        figures.append(
            ThresholdFigures(
                label=label,
                threshold=float(thresholds[column]),
                support=true,
                groups=found.class_groups[column],
                predicted=given,
                precision=both / given if given else None,
                recall=both / true if true else None,
                f1=2 * both / (given + true) if given + true else None,
                accuracy=float(right.mean()),
                intervals={**found.per_class[column], "accuracy": list(share_interval(right, member.tolist()))},
            )
        )
    return tuple(figures)


def reached(values: FloatArray, thresholds: Sequence[float]) -> BoolArray:
    """Which scores reach their label's threshold.

    Args:
        values: float64 [N, C] scores in 0..1 that were float32.
        thresholds: C scores.

    Returns:
        bool [N, C].
    """
    # The scores are float32: one of 0.7 must reach a threshold of 0.7.
    return np.asarray(values >= np.asarray(thresholds, np.float32).astype(np.float64))


def choose_thresholds(
    scores: FloatArray,
    onehot: BoolArray,
    labels: Sequence[str],
    groups: Sequence[Any],
    objective: Objective,
    seed: int = 0,
) -> dict[str, Any]:
    """A threshold for each class, chosen on scores of clips that the model did not learn from.

    A threshold that is chosen and measured on the same clips looks better than it is. So its figures are those of
    thresholds that were chosen on the other groups (cross-validation), as long as several groups have the class.

    Args:
        scores: float64 [N, C] in 0..1.
        onehot: bool [N, C], which labels are right.
        labels: C names.
        groups: N names; clips of one name belong together.
        objective: What is to be as high as possible, or which value is to be reached.
        seed: The seed of the folds.

    Returns:
        JSON values: ``optimize``, ``clips``, ``groups``, and by label in ``classes`` the attributes of
        ``ThresholdFigures``, ``value`` (the objective's figure on the clips that the threshold was chosen on),
        ``reached`` (whether that is the objective's target), and ``held_out`` (whether the figures are those of other
        groups). A class without clips, or that every clip has, is left out.
    """
    member, count = group_numbers(groups), len(set(map(str, groups)))
    kept = [index for index in range(len(labels)) if 0 < onehot[:, index].sum() < len(onehot)]
    values = np.asarray(scores, np.float32).astype(np.float64)[:, kept]
    truth, names = onehot[:, kept], [labels[index] for index in kept]
    if not kept:
        return {"optimize": str(objective), "clips": len(scores), "groups": count, "classes": {}}
    fold_of = np.random.default_rng(seed).permutation(count)[member] % min(_FOLDS, count)
    chosen = [_choose(values[:, column], truth[:, column], objective) for column in range(len(kept))]
    decided = reached(values, [threshold for threshold, _ in chosen])
    held_out = [bool(len(np.unique(member[truth[:, column]])) > 1) for column in range(len(kept))]
    for column, several in enumerate(held_out):
        for fold in range(fold_of.max() + 1) if several else ():
            rows, others = fold_of == fold, fold_of != fold
            if truth[others, column].any() and not truth[others, column].all():
                threshold, _ = _choose(values[others, column], truth[others, column], objective)
                decided[rows, column] = reached(values[rows][:, [column]], [threshold])[:, 0]
    figures = threshold_figures(decided, truth, [threshold for threshold, _ in chosen], names, member)
    classes = {
        item.label: {
            **{name: value for name, value in vars(item).items() if name != "label"},
            "value": value,
            "reached": objective.target is None or value >= objective.target - _ROUNDING,
            "held_out": several,
        }
        for item, (_, value), several in zip(figures, chosen, held_out, strict=True)
    }
    return {"optimize": str(objective), "clips": len(values), "groups": count, "classes": classes}


def _choose(scores: FloatArray, truth: BoolArray, objective: Objective) -> tuple[float, float]:
    """The threshold that suits the objective best, and the objective's figure at it."""
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], truth[order]
    last = np.append(ranked[1:] < ranked[:-1], True)  # a threshold cannot part equal scores
    found, given = np.cumsum(right)[last], (np.arange(len(ranked)) + 1)[last]
    true = int(right.sum())
    figures = {
        "precision": found / given,
        "recall": found / true,
        "f1": 2 * found / (given + true),
        "accuracy": (found + len(ranked) - true - (given - found)) / len(ranked),
    }
    wanted = figures[objective.measure]
    # The other side of the trade: of thresholds that reach the precision, that of the highest recall, and vice versa.
    other = {"precision": figures["recall"], "recall": figures["precision"]}.get(
        objective.measure, figures["precision"]
    )
    enough = wanted >= (wanted.max() if objective.target is None else objective.target) - _ROUNDING
    keys = (-wanted, -np.where(enough, other, -1.0)) if enough.any() else (-other, -wanted)
    best = int(np.lexsort(keys)[0])
    edges = ranked[last]
    below = float(edges[best + 1]) if best + 1 < len(edges) else 0.0
    return _between(below, float(edges[best])), float(wanted[best])


def _between(low: float, high: float) -> float:
    """The middle of two scores in as few decimals as keep it above low, also as float32, and at most high."""
    middle = (low + high) / 2
    for digits in range(2, 12):
        short = round(middle, digits)
        if low < float(np.float32(short)) and short <= high:  # 0.7 is above the float32 of 0.7, which reaches it
            return short
    return high


def threshold_notes(chosen: Mapping[str, Any]) -> list[str]:
    """Chosen thresholds as sentences: what each reaches, and which target cannot be reached.

    Args:
        chosen: What ``choose_thresholds`` returned.
    """
    objective, classes = chosen["optimize"], chosen["classes"]
    notes = []
    for label, entry in list(classes.items())[:_NAMED_CLASSES]:
        measure = objective.partition("@")[0]
        names = [measure, *(name for name in ("precision", "recall") if name != measure)]
        figures = ", ".join(figure_text(name, entry[name], entry["intervals"][name]) for name in names)
        where = "on groups that the choice did not see" if entry["held_out"] else "on the clips that it was chosen on"
        notes.append(
            f"threshold of {label!r} for {objective}: {entry['threshold']:g}; {figures} {where} "
            f"({entry['support']} of {chosen['clips']} clips in {entry['groups']} of {chosen['groups']} groups)"
        )
        if not entry["reached"]:
            notes.append(
                f"{objective} cannot be reached for {label!r} on these clips: the highest {measure} is "
                f"{entry['value']:.3f}, at {entry['threshold']:g}. Label more clips, or choose a lower target"
            )
    if len(classes) > _NAMED_CLASSES:
        missed = sum(not entry["reached"] for entry in classes.values())
        more = f"; {missed} of them do not reach {objective}" if missed else ""
        notes.append(f"thresholds of {len(classes)} classes are stored, see metrics.json{more}")
    return notes


def figure_text(name: str, figure: float | None, interval: Sequence[float] | None) -> str:
    """A figure with its interval, such as "recall 0.81 (95% interval 0.70 to 0.90)".

    Args:
        name: What it is of.
        figure: In 0..1; None where it is undefined.
        interval: Its two ends; None where it is undefined.
    """
    if figure is None or interval is None:
        return f"{name} undefined"
    return f"{name} {figure:.2f} (95% interval {interval[0]:.2f} to {interval[1]:.2f})"

"""Two models side by side: their figures with the differences and intervals, and the keys in which they differ."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.evaluation import separate_difference
from cliplab.registry import lower_is_better
from cliplab.studio.config_changes import Change, config_changes
from cliplab.studio.model_pages import FIGURES, Figure, ModelDetail, figures_of, size_words


@dataclass(frozen=True)
class FigureDifference:
    """A figure of two models.

    Attributes:
        title: What it is called.
        first: Of the first model, in words.
        second: Of the second model, in words.
        difference: Second minus first, in words, with its interval where both have one.
        verdict: What it means, in words: which is better, or that it may be chance.
    """

    title: str
    first: str
    second: str
    difference: str
    verdict: str


def figure_differences(first: ModelDetail, second: ModelDetail) -> list[FigureDifference]:
    """Every figure that either model has, and the difference where both have it."""
    one = {figure.name: figure for figure in figures_of(first.validation)}
    two = {figure.name: figure for figure in figures_of(second.validation)}
    one |= {"size_bytes": Figure("size_bytes", "Size", first.size_bytes)} if first.files else {}
    two |= {"size_bytes": Figure("size_bytes", "Size", second.size_bytes)} if second.files else {}
    rows = []
    for name in [*FIGURES, "size_bytes"]:
        left, right = one.get(name), two.get(name)
        named = left or right
        if named is not None:
            words = ("-" if left is None else left.words, "-" if right is None else right.words)
            rows.append(FigureDifference(named.title, *words, *_difference(left, right)))
    return rows


def _difference(one: Figure | None, two: Figure | None) -> tuple[str, str]:
    if one is None or two is None:
        return "-", "only one was measured"
    difference = two.value - one.value
    if one.name == "size_bytes":
        words = ("-" if difference < 0 else "+") + size_words(abs(round(difference)))
        return words, "equal" if difference == 0 else f"the {'second' if difference < 0 else 'first'} is smaller"
    if one.low is None or one.high is None or two.low is None or two.high is None:
        better = "second" if (difference < 0) == lower_is_better(one.name) else "first"
        return f"{difference:+.2f}", "equal" if difference == 0 else f"the {better} is better; no interval is known"
    low, high = separate_difference(two.value, (two.low, two.high), one.value, (one.low, one.high))
    words = f"{difference:+.2f} (95% {low:+.2f} to {high:+.2f})"
    if low <= 0 <= high:
        return words, "may be chance"
    return words, f"the {'second' if difference > 0 else 'first'} is better"


def comparison_notes(first: ModelDetail, second: ModelDetail) -> list[str]:
    """What a reader should know before believing the differences, in sentences."""
    notes = []
    counts = [(detail.validation.get("clips"), detail.validation.get("groups")) for detail in (first, second)]
    without = [detail for detail in (first, second) if not detail.validation]
    if without:
        which = "Neither has stored figures" if len(without) == 2 else "One of them has no stored figures"
        untrained = any(detail.ref.kind == "config" for detail in without)
        how = "Train a config first (Train), then" if untrained else "To get them,"
        notes.append(f"{which}. {how} measure it: cliplab evaluate MODEL DATASET.")
    elif counts[0] != counts[1]:
        notes.append(f"They were measured on different clips: {counts[0][0]} and {counts[1][0]}.")
    else:
        notes.append(
            "The intervals treat the two measurements as independent. On the same clips, cliplab compare pairs them "
            "and gives narrower intervals."
        )
    if first.labels != second.labels and first.labels and second.labels:
        notes.append("Their classes or the order of the classes differ, so their figures cannot be compared.")
    return notes


def changes_between(first: ModelDetail, second: ModelDetail) -> list[Change]:
    """The keys in which the configs of two models differ; of a wrong config, as it was written."""
    return config_changes(first.complete or first.config, second.complete or second.config)

"""Retrain now: a head on what people labelled, from cached embeddings, whose scores reorder the review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.base import OnProgress
from adapters.data import joined_labels, parted_labels
from adapters.errors import DatasetError
from adapters.records import Float32Array
from adapters.system import quoted_list
from cliplab.studio.diverse import label_uncertainty
from cliplab.studio.item_clips import all_items, example_of, open_for_items
from cliplab.studio.review_order import MISLABELS, QUEUE, ordered

if TYPE_CHECKING:
    from cliplab.studio.queries import ItemRow
    from cliplab.studio.store import LabelStore

FEWEST_OF_CLASS = 2
FEWEST_CLIPS = 4
MODEL = "retrained head"  # what the store calls it
# More would take longer than a person waits; the items that are labelled next are among them.
_MOST_OPEN, _MOST_LEARNED, _MOST_CLASSES = 20_000, 20_000, 100


@dataclass(frozen=True)
class RetrainReport:
    """What a head learned from the labels of people.

    Attributes:
        model: Whose embeddings were used.
        clips: How many labelled items the head learned from.
        groups: Of how many groups they are.
        classes: Labelled items of each class.
        accuracy: On items whose group the head that judged them never saw, in 0..1.
        interval: Its 95% interval, over resampled groups.
        scored: How many items it scored.
        likely_wrong: Numbers of items whose label is likely wrong, the surest first.
        warnings: What to know of the figure, in sentences.
        skipped: Items that could not be read.
    """

    model: str
    clips: int
    groups: int
    classes: dict[str, int]
    accuracy: float
    interval: tuple[float, float]
    scored: int
    likely_wrong: tuple[int, ...]
    warnings: tuple[str, ...]
    skipped: int

    def sentence(self) -> str:
        """The result in one sentence."""
        low, high = self.interval
        groups = f"{self.groups} groups" if self.groups > 1 else "1 group"
        unseen = "groups" if self.groups > 1 else "items of the same group"
        return (
            f"Learned from {self.clips} labelled items of {groups}: "
            f"{self.accuracy:.2f} right on unseen {unseen} (95% {low:.2f} to {high:.2f}, {self.clips} items)"
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            **vars(self),
            "accuracy": round(self.accuracy, 4),
            "interval": [round(end, 4) for end in self.interval],
            "likely_wrong": list(self.likely_wrong),
            "warnings": list(self.warnings),
            "sentence": self.sentence(),
        }


def why_not(counts: Mapping[str, int]) -> str | None:
    """Why a head cannot be trained yet, with what to label; None where it can.

    Args:
        counts: Items that people labelled, by class.
    """
    enough = [label for label, count in counts.items() if count >= FEWEST_OF_CLASS]
    total = sum(counts.values())
    if len(enough) >= 2 and total >= FEWEST_CLIPS:
        return None
    held = ", ".join(f"{label} {count}" for label, count in sorted(counts.items())) or "none"
    return (
        f"Retraining needs {FEWEST_OF_CLASS} labelled items of at least two classes; so far: {held}. Label more items, "
        "from several groups if possible"
    )


def count_labels(labels: Iterable[str]) -> Counter[str]:
    """How many items have each label.

    Args:
        labels: Of each item its label, or several as one text.
    """
    return Counter(name for text in labels for name in parted_labels(text))


def retrain(
    store: LabelStore,
    model: str | Path,
    overrides: Mapping[str, Any] | None = None,
    trust_adapters: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> RetrainReport:
    """Train a linear head on the labels of people, score the other items with it, and reorder the review.

    Where an item has several labels or none of the classes, the head judges each class for itself.

    Nothing of the model or of any label is changed; the scores are stored under the name "retrained head".

    Args:
        store: The label store.
        model: Whose embeddings are used, as for ``adapters.inference.open_model``.
        overrides: Config keys to change.
        trust_adapters: As for ``open_model``.
        on_progress: Receives the stage, what is done of it, and how much there is.

    Returns:
        What it learned.

    Raises:
        DatasetError: Fewer labels than needed, one class only, or the items cannot be read.
        ConfigError: The model cannot be opened, or has no backbone.
        MissingExtraError: SciPy is not installed.
        StorageError: The store cannot be written.
    """
    items = {item.id: item for item in all_items(store) if item.missing is None}
    labels = {one.item: str(one.label) for one in store.labels() if one.item in items}
    counts = count_labels(labels.values())
    if (reason := why_not(counts)) is not None:
        raise DatasetError(reason)
    learned, dropped = _to_learn(labels, counts)
    others = [item for item in items.values() if item.id not in learned]
    waiting = sorted(others, key=lambda item: bool(item.labels) or item.review is not None)[:_MOST_OPEN]
    wanted = [items[number] for number in learned] + waiting
    adapter = open_for_items(model, wanted, dict(overrides or {}), trust_adapters)
    found, kept = _features(store, adapter, wanted, learned, on_progress)
    rows = np.array([row for row, item in enumerate(kept) if item.id in learned], np.int64)
    head = _head(adapter, kept, rows, learned, found, on_progress)
    numbers = [kept[row].id for row in range(len(kept))]
    scores = head.probabilities
    store.set_scores(
        MODEL,
        (
            (number, label, min(max(float(score), 0.0), 1.0))
            for number, line in zip(numbers, scores, strict=True)
            for label, score in zip(head.labels, line, strict=True)
        ),
    )
    is_open = np.array([not item.labels and item.review is None for item in kept], bool)
    embeddings = found.mean(axis=1)
    order = ordered(
        label_uncertainty(scores, head.exclusive), embeddings, np.flatnonzero(is_open), np.flatnonzero(~is_open)
    )
    store.set_queue(QUEUE, [numbers[row] for row in order])
    wrong = tuple(numbers[rows[place]] for place in head.issues)
    store.set_queue(MISLABELS, wrong)
    return RetrainReport(
        str(adapter.config["name"] or model),
        len(rows),
        head.groups,
        dict(sorted(count_labels(learned[kept[row].id] for row in rows).items())),
        head.accuracy,
        head.interval,
        len(kept),
        wrong,
        (*head.warnings, *dropped),
        len(wanted) - len(kept),
    )


def _to_learn(labels: Mapping[int, str], counts: Mapping[str, int]) -> tuple[dict[int, str], list[str]]:
    """The labelled items that a head can learn from, and sentences about those that are left out."""
    single = sorted(label for label, count in counts.items() if count < FEWEST_OF_CLASS)
    kept = _only(labels, counts.keys() - set(single))
    notes = (
        [f"{quoted_list(single)}: a class with a single item is left out; label another item of it"] if single else []
    )
    classes = sorted(count_labels(kept.values()), key=lambda label: (-counts[label], label))
    if len(classes) > _MOST_CLASSES:
        used = set(classes[:_MOST_CLASSES])
        notes.append(f"only the {_MOST_CLASSES} of {len(classes):,} classes with the most labels are learned")
        kept = _only(kept, used)
    if len(kept) > _MOST_LEARNED:
        notes.append(f"{_MOST_LEARNED:,} of {len(kept):,} labelled items were used, chosen evenly")
        numbers = sorted(kept)
        chosen = [numbers[n * len(numbers) // _MOST_LEARNED] for n in range(_MOST_LEARNED)]
        kept = {number: kept[number] for number in chosen}
    return kept, notes


def _only(labels: Mapping[int, str], used: Set[str]) -> dict[int, str]:
    """The labels of items without the classes that are not used. Items that have no others are left out."""
    found = {}
    for number, text in labels.items():
        names = parted_labels(text)
        rest = [name for name in names if name in used]
        if rest or not names:
            found[number] = joined_labels(rest)
    return found


def _features(
    store: LabelStore,
    adapter: Any,
    items: Sequence[ItemRow],
    learned: Mapping[int, str],
    on_progress: OnProgress | None,
) -> tuple[Float32Array, list[ItemRow]]:
    """Features [N, items, D] of the items that can be read, and these items."""
    from adapters.training import example_features

    examples = {example_of(store, item, learned.get(item.id)): item for item in items}
    found = example_features(adapter, list(examples), on_progress)
    return found.features, [examples[example] for example in found.examples]


@dataclass(frozen=True)
class _Head:
    """What the head says of all items, and how good it is."""

    labels: tuple[str, ...]
    probabilities: Float32Array
    accuracy: float
    interval: tuple[float, float]
    groups: int
    issues: tuple[int, ...]
    warnings: tuple[str, ...]
    exclusive: bool


def _head(
    adapter: Any,
    items: Sequence[ItemRow],
    rows: np.ndarray,
    learned: Mapping[int, str],
    features: Float32Array,
    on_progress: OnProgress | None,
) -> _Head:
    from adapters.evaluation import share_interval
    from adapters.training import LabelledFeatures, clip_probabilities, out_of_fold_scores, right_labels, solve
    from cliplab.datasets import AdvisedClips, find_label_issues

    texts = [learned[items[row].id] for row in rows]
    given = [parted_labels(text) for text in texts]
    labels = tuple(sorted(count_labels(texts)))
    exclusive = all(len(names) == 1 for names in given)
    if len(labels) < 2:
        raise DatasetError(why_not(count_labels(texts)) or "the labelled items that can be read are all of one class")
    truth = np.array([[name in names for name in labels] for names in given], bool)
    names = [items[row].group or items[row].source or str(items[row].path) for row in rows]
    groups = np.unique(names, return_inverse=True)[1].reshape(-1).astype(np.int64)
    data = LabelledFeatures(features[rows], truth.astype(np.float32), np.ones(len(rows), np.float32), groups, exclusive)
    config = adapter.config | {"task": "single_label" if exclusive else "multi_label", "positive_label": None}
    config |= {"labels": list(labels)}
    judged = out_of_fold_scores(data, labels, config, on_progress=on_progress)
    right = right_labels(judged.probabilities, truth, exclusive)
    penalty = float(np.exp(np.median(np.log(judged.penalties))))
    temperature = float(np.exp(np.median(np.log(judged.temperatures))))
    logits = solve(data, penalty).logits(features)
    probabilities = np.asarray(clip_probabilities(logits, temperature, exclusive), np.float32)
    # What people labelled keeps the score of a head that did not see it, so that disagreement means something.
    probabilities[rows] = judged.probabilities
    clips = AdvisedClips(tuple(names), labels, truth, exclusive, groups, features[rows].mean(axis=1))
    issues = tuple(issue.clip for issue in find_label_issues(clips, judged.probabilities))
    return _Head(
        labels,
        probabilities,
        float(right.mean()),
        share_interval(right, groups.tolist()),
        len(np.unique(groups)),
        issues,
        judged.warnings,
        exclusive,
    )

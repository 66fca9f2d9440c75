"""The order in which a person reviews items: uncertainty with diversity where there are embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from adapters.base import BaseModelAdapter, OnProgress
from adapters.errors import AdapterError
from adapters.records import Float64Array
from cliplab.studio.diverse import IntArray, choose_diverse, direction_rows, margin_uncertainty
from cliplab.studio.item_clips import example_of
from cliplab.studio.queries import ItemRow
from cliplab.studio.store import LabelStore

QUEUE = "uncertain"  # which LabelStore.next_item follows
MISLABELS = "mislabels"
# What a person sees of a queue before the next one is made. The rest follows by uncertainty alone.
_DIVERSE_FIRST = 500
# Embeddings are read of these many items, the most uncertain ones and the labelled ones.
_MOST_EMBEDDED, _MOST_LABELLED = 20_000, 5_000


def ordered(uncertainty: Float64Array, embeddings: np.ndarray, candidates: IntArray, labelled: IntArray) -> IntArray:
    """Rows in the order of review: first those that are uncertain and unlike each other, then by uncertainty.

    Args:
        uncertainty: float64 [N] in 0..1.
        embeddings: float32 [N, D].
        candidates: int64 [M], rows to be reviewed.
        labelled: int64 [L], rows that need no review.
    """
    rows = direction_rows(embeddings)
    first = choose_diverse(rows, _DIVERSE_FIRST, uncertainty=uncertainty, candidates=candidates, labelled=labelled)
    rest = candidates[~np.isin(candidates, first)]
    return np.concatenate([first, rest[np.argsort(-uncertainty[rest], kind="stable")]])


def review_order(
    store: LabelStore,
    adapter: BaseModelAdapter,
    items: Sequence[ItemRow],
    scores: Mapping[int, Sequence[float]],
    on_progress: OnProgress | None = None,
) -> tuple[list[int], str]:
    """Numbers of items in the order of review, and what to know of it.

    Args:
        store: The label store.
        adapter: The model whose embeddings tell what is alike.
        items: Items to review, and those that are labelled, which are only kept apart from.
        scores: Scores of items in 0..1, by number.
        on_progress: Receives ("features", items done, items in all).

    Returns:
        Numbers of the items without a person's label, and a sentence where diversity is left out; otherwise "".
    """
    open_items = [item for item in items if not item.labels and item.review is None and item.id in scores]
    unsure = margin_uncertainty(
        np.array([scores[item.id] for item in open_items], np.float64).reshape(len(open_items), -1)
    )
    by_uncertainty = [open_items[row] for row in np.argsort(-unsure, kind="stable")]
    numbers = [item.id for item in by_uncertainty]
    if len(open_items) < 2:
        return numbers, ""
    known = [item for item in items if (item.labels or item.review is not None) and not item.missing]
    embedded = [*by_uncertainty[:_MOST_EMBEDDED], *known[-_MOST_LABELLED:]]
    try:
        features, kept = embeddings_of(store, adapter, embedded, on_progress)
    except AdapterError as error:
        return numbers, f"the review order is by uncertainty alone: {error}"
    value = dict(zip((item.id for item in by_uncertainty), np.sort(unsure)[::-1], strict=True))
    weights = np.array([value.get(item.id, 0.0) for item in kept])
    is_open = np.array([item.id in value for item in kept], bool)
    found = ordered(weights, features, np.flatnonzero(is_open), np.flatnonzero(~is_open))
    first = [kept[row].id for row in found]
    seen = set(first)
    return first + [number for number in numbers if number not in seen], ""


def embeddings_of(
    store: LabelStore, adapter: BaseModelAdapter, items: Sequence[ItemRow], on_progress: OnProgress | None = None
) -> tuple[np.ndarray, list[ItemRow]]:
    """Embeddings of items, through the cache that training uses.

    Args:
        store: The label store.
        adapter: The model.
        items: The items.
        on_progress: Receives ("features", items done, items in all).

    Returns:
        float32 [N, D], and the N items that could be read.

    Raises:
        ConfigError: The model has no backbone of its own.
        DatasetError: No item can be read.
        MissingExtraError: The backbone's program has to be made, and TensorFlow is not installed.
    """
    from adapters.training import example_features

    by_example = {example_of(store, item): item for item in items}
    found = example_features(adapter, list(by_example), on_progress)
    return found.features.mean(axis=1), [by_example[example] for example in found.examples]

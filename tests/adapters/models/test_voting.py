"""How members vote, against the definition, for scores of any shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adapters.models.ensemble.voting import vote

SCORES = hnp.arrays(np.float32, (4, 2, 3), elements=st.sampled_from([0.0625, 0.125, 0.25, 0.5, 0.75, 1.0]))
PAIRS = hnp.arrays(np.float32, (3, 2), elements=st.sampled_from([0.0, 0.25, 0.5, 0.625, 1.0]))


def by_hand(scores: np.ndarray, voting: str, **options: Any) -> list[float]:
    """The vote of members' scores [M, C] of one clip."""
    members, labels = scores.shape
    exclusive, positive = options.get("exclusive", True), options.get("positive")
    threshold = options.get("threshold", 0.5)
    if voting in ("mean", "weighted"):
        weights = options["weights"] if voting == "weighted" else [1] * members
        return [sum(w * row[c] for w, row in zip(weights, scores, strict=True)) / sum(weights) for c in range(labels)]
    if voting == "max":
        best = [max(row[c] for row in scores) for c in range(labels)]
        if positive is not None:
            return [best[positive] if c == positive else 1 - best[positive] for c in range(labels)]
        return [value / sum(best) for value in best] if exclusive else best
    counts = [0.0] * labels
    for row in scores:
        if positive is not None:
            counts[positive if row[positive] >= threshold else 1 - positive] += 1
        elif exclusive:
            counts[int(np.argmax(row))] += 1
        else:
            counts = [count + (value >= threshold) for count, value in zip(counts, row, strict=True)]
    return [count / members for count in counts]


@given(SCORES, st.sampled_from(["mean", "weighted", "max", "majority"]), st.booleans(), st.sampled_from([0.25, 0.5]))
def test_each_way_to_vote_is_as_it_is_defined(scores: Any, voting: Any, exclusive: bool, threshold: float) -> None:
    """Also for frames of a clip, and for scores that are the threshold itself."""
    options = {"weights": [1.0, 0.0, 3.0, 2.0], "exclusive": exclusive, "threshold": threshold}
    found = vote(scores, voting, **options)
    assert found.dtype == np.float32
    for number in range(2):
        np.testing.assert_allclose(found[number], by_hand(scores[:, number], voting, **options), atol=1e-6)


@given(PAIRS, st.sampled_from(["max", "majority"]), st.sampled_from([0, 1]), st.sampled_from([0.25, 0.5, 0.625]))
def test_one_label_of_two_is_what_the_vote_is_about(scores: Any, voting: Any, positive: int, threshold: float) -> None:
    options = {"positive": positive, "threshold": threshold}
    np.testing.assert_allclose(vote(scores, voting, **options), by_hand(scores, voting, **options), atol=1e-6)


@pytest.mark.parametrize("options", [{"positive": 0}, {"positive": 1}, {"exclusive": False}])
def test_a_score_at_the_threshold_is_a_vote_for_the_label(options: dict[str, Any]) -> None:
    found = vote(np.full((1, 2), 0.5, np.float32), "majority", **options)
    assert found[options.get("positive", 0)] == 1
    assert (
        vote(np.full((1, 2), 0.5, np.float32), "majority", threshold=0.51, **options)[options.get("positive", 0)] == 0
    )


def test_a_mean_does_not_look_at_weights() -> None:
    scores = np.array([[1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(vote(scores, "mean", weights=[3, 1]), [0.5, 0.5])
    np.testing.assert_allclose(vote(scores, "majority", weights=[3, 1]), [0.5, 0.5])

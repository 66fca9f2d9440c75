"""The classifier of a weights file for a model of given labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adapters.models.weights import fitting_classifier
from adapters.models.weights.state_names import OUTPUT_BIAS, OUTPUT_KERNEL

KERNEL = np.array([[1, 4, 9], [2, 8, 18]], np.float32)
BIAS = np.array([0.5, 2.5, 7.5], np.float32)


def config(**changes: Any) -> dict[str, Any]:
    return {"labels": ["a", "b"], "head": [], "positive_label": None, "multi_label": False} | changes


def classifier(outputs: int) -> dict[str, Any]:
    return {OUTPUT_KERNEL: KERNEL[:, :outputs], OUTPUT_BIAS: BIAS[:outputs]}


@pytest.mark.parametrize(("positive", "sign"), [("a", -1), ("b", 1)])
def test_two_outputs_become_the_one_of_the_positive_label(positive: str, sign: int) -> None:
    found = fitting_classifier(classifier(2), config(positive_label=positive), ("a", "b"))
    assert found is not None
    np.testing.assert_array_equal(found[OUTPUT_KERNEL], sign * np.array([[3], [6]], np.float32))
    np.testing.assert_array_equal(found[OUTPUT_BIAS], sign * np.array([2], np.float32))
    assert found[OUTPUT_KERNEL].flags.c_contiguous
    given = classifier(2)
    x = np.array([0.3, -0.7], np.float32)
    both = np.exp(x @ given[OUTPUT_KERNEL] + given[OUTPUT_BIAS])
    share = both["ab".index(positive)] / both.sum()
    one = 1 / (1 + np.exp(-(x @ found[OUTPUT_KERNEL] + found[OUTPUT_BIAS])))
    assert one[0] == pytest.approx(share, rel=1e-5)


def test_a_classifier_of_as_many_outputs_is_taken_as_it_is() -> None:
    given = classifier(3)
    assert fitting_classifier(given, config(labels=list("abc")), ("a", "b", "c")) is given
    assert fitting_classifier(given, config(), ("a", "b")) is None
    assert fitting_classifier(given, config(positive_label="b"), ("a", "b")) is None, "three outputs are not two"


def test_a_head_with_layers_of_its_own_does_not_take_it() -> None:
    layers, three = [{"layer": "dense", "units": 8}], ("a", "b", "c")
    given = classifier(3)
    assert fitting_classifier(given, config(labels=list(three), head=layers), three) is None
    assert fitting_classifier(given, config(labels=None, head=layers), three) is given, "labels of the weights"
    assert fitting_classifier(given, config(labels=list(three), head=[{"layer": "dropout"}]), three) is given
    assert fitting_classifier(given | {"more": BIAS}, config(labels=list(three)), three) is None
    assert fitting_classifier({OUTPUT_KERNEL: KERNEL}, config(labels=list(three)), three) is None

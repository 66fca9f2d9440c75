"""Small decisions of the studio: how unsure scores are, which values of a form are the same, which folder is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.errors import ConfigError
from cliplab.studio.diverse import direction_rows, label_uncertainty
from cliplab.studio.form_values import same
from cliplab.studio.run import studio


def test_one_label_is_as_unsure_as_its_margin_and_several_as_the_nearest_to_a_half() -> None:
    scores = np.array([[0.75, 0.25, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [np.nan, 0.0, 0.0]])
    assert label_uncertainty(scores, exclusive=True).tolist() == [0.5, 1.0, 0.0, 1.0]
    assert label_uncertainty(scores, exclusive=False).tolist() == [0.5, 1.0, 0.0, 1.0]
    apart = np.array([[0.9, 0.8], [0.5, 0.0]])
    assert label_uncertainty(apart, exclusive=True) == pytest.approx([0.9, 0.5])
    assert label_uncertainty(apart, exclusive=False) == pytest.approx([0.4, 1.0])


def test_embeddings_are_rows() -> None:
    with pytest.raises(ValueError, match=r"embeddings must be \[N, D\], got \[3\]"):
        direction_rows(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=r"got \[2, 3, 4\]"):
        direction_rows(np.zeros((2, 3, 4), np.float32))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True), (True, 1, False), (False, 0, False), (True, True, True), (None, None, True), (None, 0, False),
        ("1", 1, False), ([1, 2], (1, 2), True), ([1, 2], [1], False), ([1], [True], False), ([1], 1, False),
        (["a"], "a", False), ("a", ["a"], False), ([], "", False), ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False), ({"a": 1}, {"b": 1}, False), ({"a": 1}, ["a"], False), (["a"], {"a": 1}, False),
        ({"a": [1]}, {"a": [1]}, True),
    ],
)  # fmt: skip
def test_values_of_a_form_are_the_same_in_value_and_kind(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal


def test_a_studio_opens_a_folder_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file is not a folder"):
        studio(tmp_path / "file")

"""From a labelled dataset to what a training run needs: the order of classes, splits, targets and weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.config import check_config
from adapters.data import Example
from adapters.errors import DatasetError
from adapters.training import label_matrix
from adapters.training.training_data import clip_weights, clips_note, target_array, training_data

LABELS = ("a", "b", "c")


def example(*labels: str) -> Example:
    return Example(Path("/clip.mp4"), labels)


def config(**keys: Any) -> dict[str, Any]:
    return check_config({"adapter": "adapters.models.efficientnet_lite:EfficientNetLiteAdapter", **keys})


BALANCED = config(class_weights="balanced")


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps({"path": f"{n}.mp4", **row}) + "\n" for n, row in enumerate(rows)))
    return path


def rows_of(labels: str, split: str | None = None) -> list[dict[str, Any]]:
    return [{"label": label, **({"split": split} if split else {})} for label in labels]


# Splits and classes ---------------------------------------------------------------------------------------------------


def test_splits_that_are_given_are_kept(tmp_path: Path) -> None:
    rows = rows_of("bab", "train") + rows_of("ba", "validation") + rows_of("a", "test")
    data = training_data(written(tmp_path, rows), config(), None)
    assert data.labels == ("b", "a")  # as they first appear
    assert [item.label for item in data.train] == ["b", "a", "b"]
    assert [item.label for item in data.validation] == ["b", "a"]
    assert data.counts == {"train": 3, "validation": 2, "test": 1}
    assert "3 train, 2 validation" in clips_note(data)


def test_splits_are_made_by_the_configs_shares_and_seed(tmp_path: Path) -> None:
    path = written(tmp_path, rows_of("ab" * 40))
    first, again, other = (training_data(path, config(seed=seed), None) for seed in (1, 1, 2))
    assert first == again
    assert first.train != other.train
    shares = training_data(path, config(split_fractions=[0.5, 0.25, 0.25]), None).counts
    assert shares == {"train": 40, "validation": 20, "test": 20}


def test_clips_without_a_split_are_dealt_beside_those_that_have_one(tmp_path: Path) -> None:
    rows = rows_of("ab" * 20, "train") + rows_of("ab" * 4)
    data = training_data(written(tmp_path, rows), config(), None)
    assert sum(data.counts.values()) == 48
    assert {f"{number}.mp4" for number in range(40)} <= {item.path.name for item in data.train}
    assert data.counts["validation"] > 0


def test_the_models_own_order_of_classes_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, rows_of("bac", "train"))
    assert training_data(path, config(), ("c", "b", "a")).labels == ("c", "b", "a")
    with pytest.raises(DatasetError, match="'c'"):
        training_data(path, config(), ("a", "b"))
    with pytest.raises(DatasetError, match=r"'d'.*train split"):
        training_data(path, config(), ("a", "b", "c", "d"))


def test_a_class_without_training_clips_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'b'.*train split"):
        training_data(written(tmp_path, rows_of("aa", "train") + rows_of("b", "validation")), config(), None)


def test_the_positive_label_must_be_among_them(tmp_path: Path) -> None:
    path = written(tmp_path, rows_of("ab", "train"))
    assert training_data(path, config(positive_label="b"), None).labels == ("a", "b")
    with pytest.raises(DatasetError, match="'x'"):
        training_data(path, config(positive_label="x"), None)


# Targets and weights --------------------------------------------------------------------------------------------------


def test_targets_are_the_labels_that_are_right() -> None:
    clips = [example("b"), example("a", "c"), example()]
    expected = [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    np.testing.assert_array_equal(label_matrix(clips, LABELS), np.array(expected, bool))
    np.testing.assert_array_equal(target_array(clips, LABELS, config(task="multi_label")), expected)
    assert label_matrix([], LABELS).shape == (0, 3)
    pair = ("calm", "stunt")
    found = target_array([example("stunt"), example("calm")], pair, config(positive_label="stunt"))
    np.testing.assert_array_equal(found, [[1], [0]])
    found = target_array([example("stunt"), example("calm")], pair, config(positive_label="calm"))
    np.testing.assert_array_equal(found, [[0], [1]])


@given(st.lists(st.sampled_from(LABELS), min_size=3, max_size=12).filter(lambda found: set(found) == set(LABELS)))
def test_balanced_weights_are_1_on_average_and_equal_in_sum_for_each_class(found: list[str]) -> None:
    """As scikit-learn's "balanced": clips / (classes * clips of the class)."""
    train = [example(label) for label in found]
    weights = clip_weights(train, LABELS, BALANCED, train)
    assert weights.dtype == np.float32
    for label, weight in zip(found, weights, strict=True):
        assert weight == pytest.approx(len(found) / (3 * found.count(label)))
    assert weights.mean() == pytest.approx(1)
    validation = clip_weights([example("c")], LABELS, BALANCED, train)
    assert validation[0] == pytest.approx(len(found) / (3 * found.count("c")))  # by the training clips


def test_weights_that_are_given_go_by_label_and_none_are_1() -> None:
    clips = [example("c"), example("a"), example("a", "b"), example()]
    setting = config(task="multi_label", class_weights={"c": 5, "a": 1, "b": 4}, labels=list(LABELS))
    np.testing.assert_allclose(clip_weights(clips, LABELS, setting, clips), [5, 1, 2.5, 1])
    np.testing.assert_array_equal(clip_weights(clips, LABELS, config(class_weights="none"), clips), [1, 1, 1, 1])

"""Which items to label next."""

import numpy as np
import pytest

from cliplab.studio.diverse import choose_diverse, direction_rows, margin_uncertainty


def blobs(count=60, kinds=6, size=200, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(kinds, size)) * 4
    kind = np.arange(count) % kinds
    return (centres[kind] + rng.normal(size=(count, size)) * 0.3).astype(np.float32), kind


def test_first_picks_are_of_each_kind():
    embeddings, kind = blobs()
    picks = choose_diverse(direction_rows(embeddings), 6)
    assert set(kind[picks]) == set(range(6))


def test_labelled_kinds_come_last():
    embeddings, kind = blobs()
    labelled = np.flatnonzero(kind < 4)[:8]
    picks = choose_diverse(direction_rows(embeddings), 2, labelled=labelled)
    assert set(kind[picks]) == {4, 5}


def test_uncertain_items_that_are_alike_are_not_all_asked_for():
    embeddings, kind = blobs()
    unsure = np.where(kind == 0, 1.0, 0.2)
    picks = choose_diverse(direction_rows(embeddings), 4, uncertainty=unsure)
    assert kind[picks[0]] == 0
    assert len(set(kind[picks])) == 4


def test_of_equally_far_items_the_uncertain_is_first():
    embeddings, _kind = blobs()
    unsure = np.full(60, 0.05)
    unsure[31] = 1.0
    assert choose_diverse(direction_rows(embeddings), 1, uncertainty=unsure)[0] == 31


def test_same_arguments_same_order_and_prefixes():
    embeddings, _ = blobs()
    rows, unsure = direction_rows(embeddings), np.random.default_rng(1).random(60)
    whole = choose_diverse(rows, 60, uncertainty=unsure)
    assert sorted(whole) == list(range(60))
    assert (choose_diverse(rows, 7, uncertainty=unsure) == whole[:7]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value):
    embeddings, _ = blobs()
    embeddings[3] = value
    unsure = np.full(60, 0.5)
    unsure[5] = value
    rows = direction_rows(embeddings)
    assert np.isfinite(rows).all()
    assert sorted(choose_diverse(rows, 60, uncertainty=unsure)) == list(range(60))


@pytest.mark.parametrize("embeddings", [np.zeros((0, 5)), np.ones((5, 0)), np.ones((4, 300)), np.zeros((1, 3))])
def test_nothing_to_tell_items_apart_by(embeddings):
    picks = choose_diverse(direction_rows(embeddings.astype(np.float32)), 10)
    assert sorted(picks) == list(range(len(embeddings)))


def test_projected_likeness_is_near_the_whole():
    embeddings, kind = blobs(size=1280)
    rows = direction_rows(embeddings)
    likeness = rows @ rows.T
    assert rows.shape == (60, 64)
    assert likeness[kind[:, None] == kind].min() > likeness[kind[:, None] != kind].max()


def test_margin():
    scores = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.2, 0.7, 0.1], [np.nan, 0.5, 0.5]])
    assert margin_uncertainty(scores) == pytest.approx([1.0, 0.0, 0.5, 1.0])
    assert margin_uncertainty(scores[:, :1]) == pytest.approx([0, 0, 0, 1])

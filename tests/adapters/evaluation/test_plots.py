"""Plots: PNGs that decode, show what they are given, and take any label."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from adapters.evaluation import evaluate, plot_learning_curves, write_report
from adapters.evaluation.plots import plot_confusion_matrix, plot_timeline
from adapters.records import Segment
from adapters.reports import EpochLog


def picture(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def share_of(image: np.ndarray, colour: tuple[int, int, int]) -> float:
    """Share of the pixels that are near an RGB colour."""
    return float((np.abs(image[:, :, ::-1].astype(int) - colour).max(axis=2) < 12).mean())


FOUND, TRUE = (245, 221, 166), (0, 158, 115)


def test_a_timeline_shows_what_was_found_and_what_is_true(tmp_path: Path) -> None:
    times = np.arange(0, 120, 0.5)
    scores = np.where((times > 40) & (times < 70), 0.9, 0.1).astype(np.float32)
    empty = picture(plot_timeline(times, scores, tmp_path / "a.png"))
    segments, truth = [Segment("ad", 40, 70, 0.9)], [Segment("ad", 41, 69, 1)]
    full = picture(
        plot_timeline(times, scores, tmp_path / "b.png", label="ad", segments=segments, truth=truth, threshold=0.5)
    )
    assert share_of(empty, FOUND) < 0.001
    assert 0.1 < share_of(full, FOUND) < 0.3
    assert share_of(full, TRUE) > 0.005 > share_of(empty, TRUE)


def test_a_timeline_of_unknown_stretches_and_of_one_moment(tmp_path: Path) -> None:
    scores = np.array([0.1, np.nan, 0.9], dtype=np.float32)
    plot_timeline(np.array([0.5, 1.5, 2.5]), scores, tmp_path / "a.png", title="$5 & 広告")
    plot_timeline(np.array([5000.0]), np.array([0.5], dtype=np.float32), tmp_path / "b.png")
    assert picture(tmp_path / "a.png").shape == picture(tmp_path / "b.png").shape


@pytest.mark.parametrize("labels", [("$5", "$x^2$ a_b"), ("広告", "ad\nbreak"), ("<a> & 'b'", "x" * 60)])
def test_any_label_can_be_drawn(tmp_path: Path, labels: tuple[str, str]) -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], dtype=np.float32)
    assert len(write_report(evaluate(scores, [0, 1, 1], labels), tmp_path)) == 5


DEEP_BLUE = (8, 48, 107)  # a share of 1


@pytest.mark.parametrize(("count", "least"), [(2, 0.12), (3, 0.15), (31, 0.5), (60, 0.5)])
def test_many_long_names(tmp_path: Path, count: int, least: float) -> None:
    """They are cut short and slanted, so that the matrix has its share of a picture that is no larger for them."""
    labels = [f"{i} {'long name ' * 8}" for i in range(count)]
    report = evaluate(np.eye(count, dtype=np.float32), np.arange(count), labels)
    path = plot_confusion_matrix(report, tmp_path / "a.png")
    assert path is not None
    image = picture(path)
    assert max(image.shape) <= 1680
    # The cells of the diagonal are of this colour, one in count of all.
    assert least < share_of(image, DEEP_BLUE) * count < 0.7


def test_names_below_a_small_matrix_do_not_run_into_each_other(tmp_path: Path) -> None:
    """Of long ones the slanted text takes height; of short ones nothing is slanted."""
    scores, truth = np.eye(3, dtype=np.float32), np.arange(3)
    heights = {}
    for label in ("name", "a name of thirty characters"):
        path = plot_confusion_matrix(evaluate(scores, truth, [f"{label} {i}" for i in range(3)]), tmp_path / "a.png")
        assert path is not None
        image = picture(path)
        blue = np.flatnonzero(
            (np.abs(image[:, : image.shape[1] * 3 // 4, ::-1].astype(int) - DEEP_BLUE).max(2) < 12).any(1)
        )
        heights[label] = (image.shape[0] - blue.max()) / image.shape[0]
    assert heights["name"] < 0.25 < heights["a name of thirty characters"]


def test_many_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = [f"class {i}" for i in range(100)]
    report = evaluate(rng.random((60, 100)).astype(np.float32), rng.integers(0, 100, 60), labels)
    assert len(report.curves["roc"]) == 10
    plot_confusion_matrix(report, tmp_path / "a.png")
    assert max(picture(tmp_path / "a.png").shape) < 2000


def test_multi_label_decisions(tmp_path: Path) -> None:
    scores = np.array([[0.9, 0.1], [0.9, 0.9]], dtype=np.float32)
    report = evaluate(scores, np.array([[True, False], [True, False]]), ("a", "b"))
    path = plot_confusion_matrix(report, tmp_path / "a.png")
    assert path is not None
    assert share_of(picture(path), TRUE) > 0.02


def epoch(number: int, loss: float, phase: str = "head", best: bool = False, val: float | None = None) -> EpochLog:
    return EpochLog(phase, number, loss, 0.5, val, val, 1.0, best)  # type: ignore[arg-type]


def test_learning_curves_mark_the_kept_epoch_and_survive_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    epochs = [epoch(1, 1.0, val=1.1), epoch(2, 0.5, best=True, val=0.6), epoch(1, float("nan"), "fine_tune")]
    marked = picture(plot_learning_curves(epochs, tmp_path / "a.png"))
    plain = picture(plot_learning_curves([epoch(1, 1.0), epoch(2, 0.5)], tmp_path / "b.png"))
    assert share_of(marked, TRUE) > 10 * share_of(plain, TRUE)
    with pytest.raises(ValueError, match="at least one epoch"):
        plot_learning_curves([], tmp_path / "c.png")

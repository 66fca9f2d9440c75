"""Classes that are confused, and labels that are likely wrong, from scores of clips that no head had seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapters.records import Float32Array
from cliplab.datasets.advise_figures import AdvisedClips

_SHOWN_PAIRS = 10


@dataclass(frozen=True)
class Confusion:
    """Clips of one class that are taken for another.

    Attributes:
        label: Their label.
        taken_for: The class with the highest score.
        clips: How many there are.
        of: How many clips have the label.
    """

    label: str
    taken_for: str
    clips: int
    of: int


@dataclass(frozen=True)
class LabelIssue:
    """A clip whose label is likely wrong.

    Attributes:
        clip: Its row.
        given: Its label; in multi-label data the label that it has, or that it lacks.
        likely: The label that it more likely has; in multi-label data "not X" or X.
        given_score: The score of the given label, in 0..1.
        likely_score: The score of the likely label.
    """

    clip: int
    given: str
    likely: str
    given_score: float
    likely_score: float


def find_confusions(clips: AdvisedClips, probabilities: Float32Array) -> tuple[Confusion, ...]:
    """The pairs of classes with the most confusions, for data of one label each.

    Args:
        clips: The clips.
        probabilities: float32 [N, C], out of fold.
    """
    if not clips.exclusive:
        return ()
    truth, best = clips.truth.argmax(axis=1), probabilities.argmax(axis=1)
    wrong = truth != best
    pairs, counts = np.unique(np.stack([truth[wrong], best[wrong]], axis=1), axis=0, return_counts=True)
    sizes = clips.truth.sum(axis=0)
    order = np.argsort(-counts, kind="stable")[:_SHOWN_PAIRS]
    return tuple(
        Confusion(clips.labels[a], clips.labels[b], int(count), int(sizes[a]))
        for (a, b), count in zip(pairs[order], counts[order], strict=True)
    )


def find_label_issues(clips: AdvisedClips, probabilities: Float32Array) -> tuple[LabelIssue, ...]:
    """Labels that the scores speak against (confident learning: Northcutt et al. 2021, arXiv:1911.00068, section 3.1).

    A class's threshold is the mean score that it has on the clips labelled so. A clip that reaches the threshold of
    another class, and not that of its own, is likely of the other class. Classes whose clips are all in one group are
    left out: the heads that judge them never saw the class.

    Args:
        clips: The clips.
        probabilities: float32 [N, C], out of fold, calibrated.

    Returns:
        The issues, the surest first.
    """
    known = np.array([len(np.unique(clips.groups[column])) > 1 for column in clips.truth.T])
    if not clips.exclusive:
        return _binary_issues(clips, probabilities, known)
    sizes = np.maximum(clips.truth.sum(axis=0), 1)
    thresholds = (probabilities * clips.truth).sum(axis=0) / sizes
    given = clips.truth.argmax(axis=1)
    rows = np.arange(len(given))
    confident = (probabilities >= thresholds) & known
    other = confident & ~clips.truth & known[given][:, None]
    likely = np.where(other, probabilities, -1.0).argmax(axis=1)
    own, best = probabilities[rows, given], probabilities[rows, likely]
    flagged = np.flatnonzero(other.any(axis=1) & ~confident[rows, given] & (best > own))
    order = flagged[np.argsort(own[flagged] - best[flagged], kind="stable")]
    return tuple(
        LabelIssue(int(row), clips.labels[given[row]], clips.labels[likely[row]], float(own[row]), float(best[row]))
        for row in order
    )


def _binary_issues(
    clips: AdvisedClips, probabilities: Float32Array, known: npt.NDArray[np.bool_]
) -> tuple[LabelIssue, ...]:
    """The same for each class by itself: it is there or it is not."""
    found = []
    for column in np.flatnonzero(known):
        name, truth, score = clips.labels[column], clips.truth[:, column], probabilities[:, column].astype(np.float64)
        if truth.all():
            continue
        present, absent = score[truth].mean(), (1 - score[~truth]).mean()
        for row in np.flatnonzero(np.where(truth, 1 - score >= absent, score >= present)):
            own, best = (score[row], 1 - score[row]) if truth[row] else (1 - score[row], score[row])
            if best > own:
                words = (name, f"not {name}") if truth[row] else (f"not {name}", name)
                found.append(LabelIssue(int(row), *words, float(own), float(best)))
    return tuple(sorted(found, key=lambda issue: issue.given_score - issue.likely_score))

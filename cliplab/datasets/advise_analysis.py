"""The advice from numbers alone: features, labels, groups and looks of clips to everything that is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from adapters.base import OnProgress
from adapters.errors import DatasetError
from cliplab.datasets.advise_alike import find_copies, likeness_tree
from cliplab.datasets.advise_curve import LearningCurve, learning_curve
from cliplab.datasets.advise_figures import AdvisedClips, alike_figures, judged
from cliplab.datasets.advise_labels import find_confusions, find_label_issues
from cliplab.datasets.advise_looks import Looks, source_names
from cliplab.datasets.advise_report import AdviseReport
from cliplab.datasets.advise_shortcuts import find_shortcuts
from cliplab.datasets.advise_words import findings_of, learned

if TYPE_CHECKING:
    from adapters.data import Example


def analyse(
    clips: AdvisedClips,
    examples: Sequence[Example],
    looks: Looks,
    *,
    data: str = "",
    model: str = "",
    skipped: Sequence[str] = (),
    problems: Sequence[str] = (),
    notes: Sequence[str] = (),
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> AdviseReport:
    """Find out what the clips are worth, and what is wrong with them.

    Args:
        clips: N clips as heads see them.
        examples: The same clips.
        looks: What they look like.
        data: The dataset's name, for the report.
        model: The model's name.
        skipped: Why other clips are left out.
        problems: Sentences about groups and files in two splits or under two labels.
        notes: What else to know.
        seed: Seed of the division of the groups.
        on_progress: Receives a stage, its steps done and its steps in all.
    """
    copies, more_copies = find_copies(looks)
    warnings = [*notes]
    if more_copies:
        warnings.append(f"more than {len(copies)} pairs of clips show the same; only these are listed")
    report = AdviseReport(
        data=data,
        model=model,
        examples=tuple(examples),
        clips=clips,
        skipped=tuple(skipped),
        figure=None,
        curve=LearningCurve((), (), ()),
        confusions=(),
        issues=(),
        copies=tuple(copies),
        alike=None,
        shortcuts=(),
        warnings=tuple(warnings),
    )
    try:
        report = _with_figures(report, looks, seed, on_progress)
    except DatasetError as error:
        report = replace(report, warnings=(*report.warnings, f"no figures: {error}"))
    return replace(report, findings=findings_of(report, problems))


def _with_figures(report: AdviseReport, looks: Looks, seed: int, on_progress: OnProgress | None) -> AdviseReport:
    clips = report.clips
    scores, figure = judged(clips, clips.groups, seed, on_progress)
    penalty = float(np.exp(np.mean(np.log(scores.penalties))))
    report = replace(
        report,
        figure=figure,
        curve=learning_curve(clips, penalty, seed, on_progress),
        confusions=find_confusions(clips, scores.probabilities),
        alike=alike_figures(clips, likeness_tree(looks), figure, penalty, seed, on_progress),
        shortcuts=find_shortcuts(clips, looks, source_names(report.examples), seed, on_progress),
        warnings=(*report.warnings, *figure.warnings),
    )
    if learned(report):
        return replace(report, issues=find_label_issues(clips, scores.probabilities))
    note = (
        "likely wrong labels and the benefit of more clips are not estimated: scores no better than chance "
        "say nothing about them"
    )
    # The points stay: that they do not rise is what a person should see.
    return replace(report, curve=LearningCurve(report.curve.points, (), ()), warnings=(*report.warnings, note))

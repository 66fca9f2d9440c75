"""Sentences about what the figures of an evaluation show and do not show."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.evaluation.report import EvaluationReport
from adapters.system import quoted_list


def figure_notes(report: EvaluationReport) -> list[str]:
    """What a reader should know of an evaluation's figures.

    Args:
        report: The evaluation; its notes do not matter.
    """
    notes = []
    accuracy = report.intervals.get("accuracy") or [0.0, 1.0]
    share = report.largest_class["share"]
    if accuracy[0] <= share:
        notes.append(
            f"not shown to be better than always answering {_answer(report.largest_class['labels'])} "
            f"({share:.0%} of the clips): accuracy {report.accuracy:.0%}, 95% interval {accuracy[0]:.0%} to "
            f"{accuracy[1]:.0%}"
        )
    known = [item for item in report.per_class if item.support]
    interval = report.macro["intervals"]["recall"]
    if report.task == "single_label" and len(known) > 1 and interval:
        # In the macro mean a class without clips counts 0; here it is left out.
        recall, low, high = (
            min(1.0, value * len(report.labels) / len(known)) for value in (report.macro["recall"], *interval)
        )
        chance = 1 / len(report.labels)
        if low <= chance:
            notes.append(
                f"not shown to be better than chance: recall averaged over the classes is {recall:.0%}, 95% interval "
                f"{low:.0%} to {high:.0%}, and answers at random reach {chance:.0%}"
            )
    if report.groups == 1 and report.clips > 1:
        notes.append(
            "all clips are of one group (one recording or source): the figures say little about other recordings"
        )
    else:
        single = [item.label for item in known if item.support == 1]
        if single:
            notes.append(f"only one clip of {quoted_list(single)}: figures for it say little")
        alone = [item.label for item in known if item.groups == 1 and item.support > 1]
        if alone:
            notes.append(
                f"all clips of {quoted_list(alone)} are of one group (one recording or source): the figures say little "
                "about other recordings of the class"
            )
    return notes


def _answer(labels: Sequence[str]) -> str:
    if not labels:
        return "no label"
    return (
        f"the largest class, {labels[0]!r}" if len(labels) == 1 else f"the most frequent labels, {quoted_list(labels)},"
    )

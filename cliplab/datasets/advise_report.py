"""What `cliplab dataset advise` found, in one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cliplab.datasets.advise_alike import IntArray
from cliplab.datasets.advise_curve import LearningCurve
from cliplab.datasets.advise_figures import AdvisedClips, Alike, Figure
from cliplab.datasets.advise_labels import Confusion, LabelIssue
from cliplab.datasets.advise_shortcuts import Shortcut

if TYPE_CHECKING:
    from adapters.data import Example


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know, with what to do about it.

    Attributes:
        topic: "figure", "groups", "shortcuts", "copies", "splits", "labels", "confusion", "clips" or "data".
        serious: Whether the figures mislead until it is dealt with.
        text: What was found, with its numbers.
        next_step: What to do.
    """

    topic: str
    serious: bool
    text: str
    next_step: str


@dataclass(frozen=True)
class AdviseReport:
    """Everything that was found about labelled clips.

    Attributes:
        data: The dataset.
        model: The model whose features were used.
        examples: The clips that could be read; rows of everything else.
        clips: The same clips as heads see them.
        skipped: Why other clips are left out, one sentence each.
        figure: The accuracy with the groups as they are; None where clips cannot be divided.
        curve: Accuracy by number of clips.
        confusions: Pairs of classes, most confused first.
        issues: Labels that are likely wrong, the surest first.
        copies: Pairs of rows that show the same.
        alike: The figure where look-alikes are kept together; None without a figure.
        shortcuts: What each property alone tells.
        findings: In words, the serious ones first.
        warnings: What to know of the figures.
        output: The folder that was written; None where nothing was written.
    """

    data: str
    model: str
    examples: tuple[Example, ...]
    clips: AdvisedClips
    skipped: tuple[str, ...]
    figure: Figure | None
    curve: LearningCurve
    confusions: tuple[Confusion, ...]
    issues: tuple[LabelIssue, ...]
    copies: tuple[tuple[int, int], ...]
    alike: Alike | None
    shortcuts: tuple[Shortcut, ...]
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...] = field(default=())
    output: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object of everything; clips are named by path, start and end."""
        return {
            "data": self.data,
            "model": self.model,
            "clips": len(self.examples),
            "groups": len(set(self.clips.groups.tolist())),
            "labels": {
                label: int(count) for label, count in zip(self.clips.labels, self.clips.truth.sum(axis=0), strict=True)
            },
            "largest_share": round(self.clips.largest_share, 4),
            "figure": None if self.figure is None else self.figure.to_json(),
            "findings": [asdict(finding) for finding in self.findings],
            "warnings": list(self.warnings),
            "learning_curve": {
                "points": [point.to_json() for point in self.curve.points],
                "more_clips": [gain.to_json() for gain in (*self.curve.overall, *self.curve.classes)],
            },
            "confusions": [asdict(item) for item in self.confusions],
            "label_issues": issue_rows(self),
            "copies": [[clip_row(self.examples[one]), clip_row(self.examples[other])] for one, other in self.copies],
            "look_alikes": None if self.alike is None else self._alike_json(self.alike),
            "shortcuts": [item.to_json() for item in self.shortcuts],
            "skipped": list(self.skipped),
            "output": self.output,
        }

    def _alike_json(self, alike: Alike) -> dict[str, Any]:
        levels = [
            {
                "likeness": level.likeness,
                "groups": level.groups,
                "largest_group": level.largest,
                "figure": None if level.figure is None else level.figure.to_json(),
                "not_judged": level.reason or None,
            }
            for level in alike.levels
        ]
        proposed = alike.proposed
        return {
            "levels": levels,
            "proposed_likeness": None if proposed is None else proposed.likeness,
            "accuracy_of_random_groups": None if alike.control is None else round(alike.control, 4),
            "difference": None if alike.difference is None else [round(value, 4) for value in alike.difference],
            "proposed_groups": [] if proposed is None else group_rows(self.examples, proposed.member),
        }


def clip_row(example: Example) -> dict[str, Any]:
    """Which clip it is, as JSON values.

    Args:
        example: The clip.
    """
    return {"path": str(example.path), "start_seconds": example.start_seconds, "end_seconds": example.end_seconds}


def issue_rows(report: AdviseReport) -> list[dict[str, Any]]:
    """The likely wrong labels, for a queue of clips that a person looks at.

    Args:
        report: The report.

    Returns:
        One JSON object each: path, start_seconds, end_seconds, given, likely, given_score and likely_score.
    """
    return [
        {
            **clip_row(report.examples[issue.clip]),
            "given": issue.given,
            "likely": issue.likely,
            "given_score": round(issue.given_score, 4),
            "likely_score": round(issue.likely_score, 4),
        }
        for issue in report.issues
    ]


def group_rows(examples: Sequence[Example], member: IntArray) -> list[dict[str, Any]]:
    """Each clip with its group as it is and the one that is proposed.

    Args:
        examples: N clips.
        member: int64 [N], the proposed group of each.
    """
    return [
        {**clip_row(example), "label": " + ".join(example.labels), "group": example.group, "proposed": f"alike-{name}"}
        for example, name in zip(examples, (member + 1).tolist(), strict=True)
    ]

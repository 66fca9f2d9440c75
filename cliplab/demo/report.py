"""What the demo reached: the model's and the baseline's figures, and where its files are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from adapters.records import Prediction, Segment
from adapters.reports import ConversionReport, rounded


@dataclass(frozen=True)
class Contender:
    """The figures of the model or of the baseline.

    Attributes:
        f1: On the test clips; None where undefined.
        f1_interval: Its 95% interval, over whole groups of clips; None where undefined.
        average_precision: On the test clips; None where undefined.
        window_ap: Average precision of the broadcast's windows, a window being true where its middle lies in the break.
        found: The ad breaks that it found.
        boundary_error: Seconds, the larger of both boundaries; None where no found break matches the true one.
        within_tolerance: Whether it found the break and nothing else, each boundary within TOLERANCE_SECONDS.
        predictions: Windows of the broadcast, for the figure.
    """

    f1: float | None
    average_precision: float | None
    window_ap: float | None
    found: tuple[Segment, ...]
    boundary_error: float | None
    within_tolerance: bool
    predictions: tuple[Prediction, ...] = field(repr=False, default=())
    f1_interval: list[float] | None = None

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object, without the predictions."""
        row = {name: value for name, value in vars(self).items() if name != "predictions"}
        return {**row, "found": [asdict(item) for item in self.found]}


@dataclass(frozen=True)
class DemoReport:
    """The result of the demo.

    Attributes:
        model: Figures of the trained model.
        baseline: Figures of the baseline.
        truth: The true ad break.
        programs: Conversion report by precision.
        gate_failures: A sentence for each gate of the config that the model missed.
        files: Paths of the "bundle", the "evaluation" and the "timeline".
        seconds: Duration of each step.
        clips: How many test clips the first figures are of.
        groups: How many groups these are of.
    """

    model: Contender
    baseline: Contender
    truth: tuple[Segment, ...]
    programs: dict[str, ConversionReport]
    gate_failures: tuple[str, ...]
    files: dict[str, str]
    seconds: dict[str, float]
    clips: int
    groups: int

    @property
    def found_break(self) -> bool:
        """Whether the model found the break and nothing else, each boundary within TOLERANCE_SECONDS."""
        return self.model.within_tolerance

    def to_json(self) -> dict[str, Any]:
        """The attributes and found_break as a JSON object."""
        content = {
            "found_break": self.found_break,
            "clips": self.clips,
            "groups": self.groups,
            "model": self.model.to_json(),
            "baseline": self.baseline.to_json(),
            "truth": [asdict(item) for item in self.truth],
            "programs": {name: report.to_json() for name, report in self.programs.items()},
            "gate_failures": list(self.gate_failures),
            "files": self.files,
            "seconds": self.seconds,
        }
        return dict(rounded(content))

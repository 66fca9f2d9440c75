"""What the demo reached: the model's and the baseline's figures, and where its files are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from adapters.records import Prediction, Segment
from adapters.reports import ConversionReport


@dataclass(frozen=True)
class Contender:
    """What the model or the baseline reached. boundary_error: seconds, the larger of both; None where nothing fits.

    predictions: windows of the broadcast, for the figure. window_ap: average precision of their scores, a window being
    true where its middle lies in the break.
    """

    f1: float | None
    average_precision: float | None
    window_ap: float | None
    found: tuple[Segment, ...]
    boundary_error: float | None
    within_tolerance: bool
    predictions: tuple[Prediction, ...] = field(repr=False, default=())

    def to_json(self) -> dict[str, Any]:
        row = {name: value for name, value in vars(self).items() if name != "predictions"}
        return {**row, "found": [asdict(item) for item in self.found]}


@dataclass(frozen=True)
class DemoReport:
    """The demo's figures; files: where the bundle, the programs, the evaluation and the timeline are."""

    model: Contender
    baseline: Contender
    truth: tuple[Segment, ...]
    programs: dict[str, ConversionReport]
    gate_failures: tuple[str, ...]
    files: dict[str, str]
    seconds: dict[str, float]

    @property
    def found_break(self) -> bool:
        """True where the model found the break and nothing else, each boundary within TOLERANCE_SECONDS."""
        return self.model.within_tolerance

    def to_json(self) -> dict[str, Any]:
        return {
            "found_break": self.found_break,
            "model": self.model.to_json(),
            "baseline": self.baseline.to_json(),
            "truth": [asdict(item) for item in self.truth],
            "programs": {name: report.to_json() for name, report in self.programs.items()},
            "gate_failures": list(self.gate_failures),
            "files": self.files,
            "seconds": self.seconds,
        }

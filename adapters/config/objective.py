"""The measure that thresholds are chosen by: ``optimize`` of a config."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.errors import ConfigError

OBJECTIVES = ("f1", "accuracy", "precision@P", "recall@R")


@dataclass(frozen=True)
class Objective:
    """A figure that thresholds are chosen by.

    Attributes:
        measure: "f1", "accuracy", "precision" or "recall".
        target: Minimum precision or recall, above 0 and at most 1; None of the other measures, which are as high as
            they can be.
    """

    measure: str
    target: float | None = None

    def __str__(self) -> str:
        return self.measure if self.target is None else f"{self.measure}@{self.target:g}"


def parse_objective(text: str) -> Objective:
    """An objective from its text.

    Args:
        text: "f1", "accuracy", or "precision@0.95" and "recall@0.9" with a least value above 0 and at most 1.

    Raises:
        ConfigError: It is none of these; the message lists them.
    """
    measure, separator, number = text.strip().partition("@")
    if not separator and measure in ("f1", "accuracy"):
        return Objective(measure)
    if measure in ("precision", "recall") and separator:
        try:
            target = float(number)
        except ValueError:
            target = 0.0
        if 0 < target <= 1:
            return Objective(measure, target)
    raise ConfigError(
        f'"optimize" must be one of {", ".join(OBJECTIVES)}, where P and R are above 0 and at most 1, such as '
        f"precision@0.95, got {text!r}"
    )

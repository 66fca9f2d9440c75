"""What a rollout may do by itself, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from adapters.errors import ConfigError

OnDrift = Literal["halt", "pause", "ignore"]
STAGES = (1.0, 5.0, 25.0, 100.0)
# How long two devices of one name are shown as such after both reported.
CLONE_SECONDS = 24 * 3600.0
# How the permitted rate of false halts is divided among the tests: a union bound over all of them.
SHARES = {
    "errors": 0.30,
    "latency": 0.20,
    "golden_failures": 0.15,
    "restarts": 0.15,
    "silence": 0.05,
    "accuracy": 0.05,
    "drift": 0.10,
}


@dataclass(frozen=True)
class RolloutSettings:
    """The rules of one rollout.

    Attributes:
        stages: Percentages of the fleet, growing, the last one 100.
        false_halts: How often a rollout without any difference may halt, over its whole length and all tests.
        worse: The ratio of candidate's to control's rate that must not be missed: a stage ends when there is evidence
            of 20 to 1 against it.
        worse_latency: The same for the share of slow predictions (slower than the control group's median).
        min_devices: Devices that must have reported with the candidate before a stage may end. A stage with a smaller
            percentage is made wider; a smaller fleet needs all that it has.
        stage_minutes: How long each stage lasts at least.
        patience_minutes: After this time a stage may end without evidence against ``worse`` where events are too rare
            to ever have it, if nothing else speaks against the candidate.
        silent_minutes: A device that has not reported for so long counts as a failure of its group.
        on_drift: What follows where the scores' distribution differs by more than half: "halt", "pause" for a person to
            look, or "ignore". Where accuracy is known, it decides instead.
        automatic: Whether stages widen by themselves.
    """

    stages: tuple[float, ...] = STAGES
    false_halts: float = 0.01
    worse: float = 3.0
    worse_latency: float = 1.5
    min_devices: int = 5
    stage_minutes: float = 60.0
    patience_minutes: float = 1440.0
    silent_minutes: float = 360.0
    on_drift: OnDrift = "halt"
    automatic: bool = True

    def __post_init__(self) -> None:
        stages = tuple(_number(stage, "stages", 0.001, 100.0) for stage in self.stages)
        if not stages or list(stages) != sorted(set(stages)) or stages[-1] != 100.0 or len(stages) > 50:
            raise ConfigError(
                "stages: must be increasing percentages that end with 100, such as 1,5,25,100, got "
                f"{self.stages!r:.100}"
            )
        object.__setattr__(self, "stages", stages)
        _number(self.false_halts, "false_halts", 1e-6, 0.5)
        _number(self.worse, "worse", 1.5, 100.0)
        _number(self.worse_latency, "worse_latency", 1.2, 2.0)
        _number(self.min_devices, "min_devices", 1, 1_000_000)
        for name in ("stage_minutes", "patience_minutes", "silent_minutes"):
            _number(getattr(self, name), name, 0.0, 525_600.0)
        if self.silent_minutes <= 0:
            raise ConfigError(f"silent_minutes: must be above 0, got {self.silent_minutes}")
        if self.on_drift not in get_args(OnDrift):
            raise ConfigError(f"on_drift: must be halt, pause or ignore, got {self.on_drift!r:.40}")

    def threshold(self, test: str) -> float:
        """The logarithm of the e-value at which a test halts.

        Args:
            test: One of ``SHARES``.
        """
        return -math.log(self.false_halts * SHARES[test])

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RolloutSettings:
        """Of ``to_json``; keys of later versions are left out.

        Args:
            value: The object.
        """
        known = {item.name for item in fields(cls)}
        given: dict[str, Any] = {key: item for key, item in value.items() if key in known}
        return cls(**given | {"stages": tuple(given.get("stages", STAGES))})


def parse_stages(text: str | Sequence[float]) -> tuple[float, ...]:
    """Stages as the command line takes them.

    Args:
        text: Such as "1,5,25,100".

    Raises:
        ConfigError: A part is not a number.
    """
    if not isinstance(text, str):
        return tuple(text)
    try:
        return tuple(float(part.strip().removesuffix("%")) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--stages: must be percentages such as 1,5,25,100, got {text!r:.100}") from None


def _number(value: Any, key: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigError(f"{key}: must be a number from {low:g} to {high:g}, got {value!r:.60}")
    return float(value)

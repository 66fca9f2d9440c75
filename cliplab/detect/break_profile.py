"""What breaks of a channel look like: lengths of breaks and adverts, and what each kind of evidence is worth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError
from adapters.system import MAX_DEPTH, parse_json, read_regular_bytes
from cliplab.detect.adapting import ScoreHead

SECOND_WEIGHTS = ("ad_scores", "shot_rate", "logo", "speech", "music", "repetition", "cue")
EDGE_WEIGHTS = ("black", "uniform", "silence", "loudness_jump", "aspect_change", "cut_strength")
_NUMBERS = {
    # key: (least, most)
    "typical_break_seconds": (1.0, 7200.0),
    "break_spread": (0.05, 3.0),
    "min_break_seconds": (0.0, 3600.0),
    "max_break_seconds": (10.0, 7200.0),
    "typical_programme_seconds": (1.0, 86400.0),
    "programme_spread": (0.05, 3.0),
    "off_lattice_share": (0.001, 1.0),
    "advert_tolerance_seconds": (0.02, 2.0),
    "min_confidence": (0.0, 1.0),
}
_MOST_BYTES = 16_000_000  # of a profile
_DATA = Path(__file__).with_name("break_profile.json")


@dataclass(frozen=True)
class BreakProfile:
    """The prior of the decoder: what it expects before it looks at a recording.

    Attributes:
        typical_break_seconds: Median length of a break.
        break_spread: Standard deviation of the natural logarithm of a break's length.
        min_break_seconds: Shorter breaks are not reported.
        max_break_seconds: Longer breaks are not considered.
        typical_programme_seconds: Median length of programme between two breaks.
        programme_spread: Standard deviation of the natural logarithm of that length.
        adverts: Share of each advert length in seconds, as "30": 0.25; they sum to 1.
        advert_gaps: Seconds between two adverts beyond their nominal length, with the share of each.
        off_lattice_share: Share of adverts whose length is none of ``adverts``.
        advert_tolerance_seconds: Standard deviation of an advert's length about its nominal one.
        second_weights: Log-odds that one second of evidence adds at its strongest, by row (see ``SECOND_WEIGHTS``).
        edge_weights: Log-odds that evidence adds at an edge, by row (see ``EDGE_WEIGHTS``).
        min_confidence: Breaks of a lower probability are not reported.
        score_head: The channel's own head on the model's features, as ``cliplab ads-learn --model`` learns it; None:
            none.
    """

    typical_break_seconds: float
    break_spread: float
    min_break_seconds: float
    max_break_seconds: float
    typical_programme_seconds: float
    programme_spread: float
    adverts: Mapping[str, float]
    advert_gaps: Mapping[str, float]
    off_lattice_share: float
    advert_tolerance_seconds: float
    min_confidence: float
    second_weights: Mapping[str, float] = field(default_factory=dict)
    edge_weights: Mapping[str, float] = field(default_factory=dict)
    score_head: ScoreHead | None = None

    def __post_init__(self) -> None:
        for name, (least, most) in _NUMBERS.items():
            _check_number(name, getattr(self, name), least, most)
        if self.min_break_seconds >= self.max_break_seconds:
            raise ConfigError(
                f"break_profile: min_break_seconds {self.min_break_seconds:g} must be under max_break_seconds "
                f"{self.max_break_seconds:g}"
            )
        for name, known in (("second_weights", SECOND_WEIGHTS), ("edge_weights", EDGE_WEIGHTS)):
            for key, value in getattr(self, name).items():
                if key not in known:
                    raise ConfigError(f'break_profile: {name} has no "{key}". Allowed: {", ".join(known)}')
                _check_number(f"{name}.{key}", value, -20.0, 20.0)
        for name in ("adverts", "advert_gaps"):
            _check_shares(name, getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """The profile as a JSON object, as a config's "break_profile" holds it."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        head = found.pop("score_head")
        made = {name: dict(value) if isinstance(value, Mapping) else value for name, value in found.items()}
        return made if head is None else {**made, "score_head": head.to_dict()}


def read_break_profile(changes: Mapping[str, Any] | None = None) -> BreakProfile:
    """The profile of a config: the general one, learned from television, with the config's changes.

    Args:
        changes: The config's "break_profile". Weights are changed one by one; other keys are replaced.

    Returns:
        The profile.

    Raises:
        ConfigError: A key is unknown or its value is out of range.
    """
    values = dict(_general())
    known = {each.name for each in fields(BreakProfile)}
    for key, value in (changes or {}).items():
        if key not in known:
            raise ConfigError(f'break_profile: "{key}" is unknown. Allowed: {", ".join(sorted(known))}')
        if key in ("second_weights", "edge_weights"):
            value = {**values[key], **_mapping(key, value)}
        elif key == "score_head":
            value = None if value is None else ScoreHead.from_dict(_mapping(key, value))
        values[key] = value
    return BreakProfile(**values)


def load_break_profile(path: str | Path) -> BreakProfile:
    """Read a profile that ``cliplab ads-learn`` wrote.

    Args:
        path: A JSON file with "break_profile".

    Raises:
        ConfigError: It cannot be read, is not such a file, or a value is out of range.
    """
    try:
        found = parse_json(read_regular_bytes(path, _MOST_BYTES, ConfigError), MAX_DEPTH)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(found, dict) or not isinstance(found.get("break_profile"), dict):
        raise ConfigError(f'{path}: must be a JSON object with "break_profile", as `cliplab ads-learn` writes it')
    return read_break_profile(found["break_profile"])


def change_profile(profile: BreakProfile, **changes: Any) -> BreakProfile:
    """A copy of the profile with some values replaced.

    Args:
        profile: The profile.
        changes: New values by attribute.

    Raises:
        ConfigError: A value is out of range.
    """
    return replace(profile, **changes)


@lru_cache(maxsize=1)
def _general() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(_DATA.read_text())
    return dict(stored["break_profile"])


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"break_profile: {name} must be an object, got {value!r}")
    return value


def _check_number(name: str, value: Any, least: float, most: float) -> None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not least <= value <= most:
        raise ConfigError(f"break_profile: {name} must be a number from {least:g} to {most:g}, got {value!r}")


def _check_shares(name: str, shares: Any) -> None:
    _mapping(name, shares)
    for key, value in shares.items():
        try:
            seconds = float(key)
        except (TypeError, ValueError):
            raise ConfigError(f'break_profile: {name} has seconds as keys, such as "30", got {key!r}') from None
        _check_number(f"the seconds of {name}", seconds, -1.0, 300.0)
        _check_number(f"{name}.{key}", value, 0.0, 1.0)
    if not shares or not 0.98 <= sum(shares.values()) <= 1.02:
        raise ConfigError(f"break_profile: the shares of {name} must sum to 1, got {sum(shares.values()):g}")

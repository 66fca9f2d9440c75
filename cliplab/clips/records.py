"""What the clip database hands out: clips, statistics, and the checks of what people and scripts hand in."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from adapters.errors import AdapterError
from adapters.system import parse_json, whole_number

DEFAULT_DATABASE = "clips.db"
DEFAULT_RATER = "local"
DEFAULT_MODEL = Path("models/highlight_model.skops")
MIN_SAMPLES = 10  # rated clips of one type that training begins with
RETRAIN_EVERY = 5  # new ratings
# One more when `clip_features` measures in another way. Features of two versions are not learned from together.
FEATURES_VERSION = 1
VERSION_KEY = "features_version"
CLIP_TYPES = ("audio", "video")
STARS = {1: "Poor", 2: "Below average", 3: "Average", 4: "Good", 5: "Excellent"}


class ClipError(AdapterError, ValueError):
    """A clip, a rating or another value that the clip database does not take."""


class UnknownClipError(ClipError):
    """A clip that is not in the database."""


@dataclass(frozen=True)
class Clip:
    """One clip of the database.

    Attributes:
        id: Its number.
        filename: The name of its file.
        filepath: The path of its file, as it was registered.
        start_time: Where it begins in its source, in seconds.
        end_time: Where it ends there.
        duration: Its length in seconds.
        score: What the detection gave it, 0..1 as a rule.
        clip_type: "audio" or "video": what it was found by.
        rating: The latest stars that anybody gave, 1 to 5; None without.
        created_at: When it was registered, ISO 8601.
        rated_at: When it was rated last; None without a rating.
        source_url: Where it comes from; None where that is not known.
    """

    id: int
    filename: str
    filepath: str
    start_time: float
    end_time: float
    duration: float
    score: float
    clip_type: str
    rating: int | None
    created_at: str
    rated_at: str | None
    source_url: str | None
    _load: Callable[[int], dict[str, Any]] = field(repr=False, compare=False)

    @property
    def features(self) -> dict[str, Any]:
        """The features that it was registered with; read from the database when they are asked for."""
        return self._load(self.id)

    def to_json(self) -> dict[str, Any]:
        """The same as a JSON object, without the features."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


def checked_stars(rating: Any) -> int:
    """Stars as an integer from 1 to 5.

    Args:
        rating: What was given.

    Raises:
        ClipError: It is anything else.
    """
    if isinstance(rating, Real) and not isinstance(rating, bool) and rating in STARS:
        return int(float(rating))
    raise ClipError(f"rating must be a whole number of stars from 1 (Poor) to 5 (Excellent), got {rating!r}")


def checked_confidence(confidence: Any) -> float | None:
    """How sure a rater is, above 0 and up to 1; None where that was not said.

    Args:
        confidence: What was given.

    Raises:
        ClipError: It is anything else.
    """
    if confidence is None:
        return None
    if isinstance(confidence, (int, float)) and not isinstance(confidence, bool) and 0 < confidence <= 1:
        return float(confidence)
    raise ClipError(f"confidence must be a number above 0 and up to 1, got {confidence!r}")


def checked_name(name: Any, what: str) -> str:
    """The name of a rater or tag: text that is not empty, on one line, of at most 200 characters.

    Args:
        name: What was given.
        what: "rater" or "tag".

    Raises:
        ClipError: It is anything else.
    """
    text = name.strip() if isinstance(name, str) else ""
    if text and len(text) <= 200 and text.isprintable():
        return text
    raise ClipError(f"the {what} must be a name of 1 to 200 characters on one line, got {name!r:.80}")


def checked_clip(
    start_time: Any, end_time: Any, score: Any, clip_type: Any, features: Any
) -> tuple[float, float, float, str, str]:
    """The values of a clip that is registered, the features as JSON.

    Args:
        start_time: Seconds in the source.
        end_time: Likewise, later.
        score: A number.
        clip_type: "audio" or "video".
        features: Values by name.

    Raises:
        ClipError: One of them is not allowed.
    """
    numbers = []
    for name, value in (("start_time", start_time), ("end_time", end_time), ("score", score)):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(value, bool) or not math.isfinite(number):
            raise ClipError(f"{name} must be a number, got {value!r:.80}")
        numbers.append(number)
    start, end, scored = numbers
    if start < 0 or end <= start:
        raise ClipError(f"a clip must begin at 0 s or later and end after that, got {start:g} to {end:g} s")
    if clip_type not in CLIP_TYPES:
        raise ClipError(f"clip_type must be one of {', '.join(CLIP_TYPES)}, got {clip_type!r:.80}")
    return start, end, scored, str(clip_type), features_text(features)


def is_outdated(features: Mapping[str, Any]) -> bool:
    """Whether features were measured by another version of ``clip_features``. Those of other programs never are.

    Args:
        features: Values by name.
    """
    return bool(features.get(VERSION_KEY, FEATURES_VERSION) != FEATURES_VERSION)


def features_text(features: Any) -> str:
    """Features as the JSON that is stored.

    Args:
        features: Values by name.

    Raises:
        ClipError: They are not finite numbers, texts or lists of them by name.
    """
    if not isinstance(features, Mapping) or not all(isinstance(name, str) for name in features):
        raise ClipError(f"features must be values by name, such as {{'rms_mean': 0.5}}, got {features!r:.80}")
    try:
        return json.dumps({name: _plain(value) for name, value in features.items()}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ClipError(f"features must be finite numbers, texts or lists of them: {error}") from error


def _plain(value: Any) -> Any:
    """A number or array of numpy as JSON knows it."""
    return value.tolist() if hasattr(value, "tolist") else value


def _with_nan(text: Any) -> Any:
    """What Python's own ``json`` wrote of numbers that are not finite, as None; None where it is something else."""
    try:
        return json.loads(text, parse_constant=lambda _name: None)
    except (ValueError, TypeError, RecursionError):
        return None


def read_features(text: str) -> dict[str, Any]:
    """The features of a stored clip.

    Scripts write NaN and Infinity, which JSON does not have, for what could not be measured: they are None.

    Args:
        text: The JSON of the column; what scripts wrote may be anything.

    Raises:
        ClipError: It is not a JSON object.
    """
    try:
        found = parse_json(text)
    except (ValueError, TypeError, AttributeError):  # the last where it is a number, which SQLite keeps as one
        found = _with_nan(text)
    if not isinstance(found, dict):
        raise ClipError(f"the stored features are not a JSON object: {text!r:.80}")
    return found


def clip_filter(text: str) -> tuple[Literal["=", ">=", "<="], int]:
    """A filter by rating, such as ("=", 4) of "4" or "= 4", (">=", 4) of ">=4".

    Args:
        text: What was typed.

    Raises:
        ClipError: It is anything else.
    """
    value = text.strip()
    operator: Any = next((sign for sign in (">=", "<=", "=") if value.startswith(sign)), "")
    stars = value.removeprefix(operator).strip()
    if (number := whole_number(stars)) is None:
        raise ClipError(f'a filter by rating is "4", ">=4" or "<=2", got {text!r:.40}')
    return operator or "=", number

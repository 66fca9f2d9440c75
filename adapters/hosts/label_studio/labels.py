"""Label Studio's labelling config and results: which control stands for which label, seconds and frames.

https://labelstud.io/tags/ and https://labelstud.io/guide/predictions describe both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree

from adapters.errors import ConfigError, MediaError
from adapters.hosts.results import to_pipeline
from adapters.inference import scores_to_segments
from adapters.records import Segment, VideoResult

MAX_CONFIG_CHARACTERS = 1_000_000
# The Video tag's own default, where the config gives no frameRate: labelstud.io/tags/video.
DEFAULT_FRAME_RATE = "24"
_ENTRY = {"Choices": "Choice", "TimelineLabels": "Label"}
# What a result calls a label, its score, and where it is.
_Found = tuple[str, float, dict[str, Any]]
SEGMENT_KEYS = ("threshold", "smoothing_seconds", "min_segment_seconds", "merge_gap_seconds")


@dataclass(frozen=True)
class Control:
    """One control of a labelling config that stands for labels of a video.

    Attributes:
        kind: The ``type`` of results.
        name: The ``from_name`` of results.
        to_name: The ``to_name`` of results: the name of the Video tag.
        values: Label to its name in results, which is the alias if the config has one; in the config's order.
        multiple: Whether a video may have several of the labels.
        video_key: The key of a task's data that holds the video.
        frame_rate: A number, or "$key" of a task's data.
    """

    kind: Literal["choices", "timelinelabels"]
    name: str
    to_name: str
    values: Mapping[str, str]
    multiple: bool
    video_key: str
    frame_rate: str

    def frames_per_second(self, data: Mapping[str, Any]) -> float:
        """The frames per second by which Label Studio counts frames of a task's video.

        Args:
            data: The task's.

        Raises:
            ConfigError: The rate is not a number above 0, or the task does not have it.
        """
        given = data.get(self.frame_rate[1:]) if self.frame_rate.startswith("$") else self.frame_rate
        try:
            rate = float(str(given))
        except ValueError:
            rate = math.nan
        if not 0 < rate < math.inf:
            raise ConfigError(
                f"the Video tag {self.to_name!r} has frameRate {self.frame_rate!r}, which is {given!r} for this task; "
                "a number above 0 is required"
            )
        return rate

    def label_of(self, value: str) -> str | None:
        """The label of a value in a result, which may be its alias; None if the config does not have it."""
        return next((label for label, shown in self.values.items() if value in (shown, label)), None)


# The labelling config -----------------------------------------------------------------------------------------------


def parse_label_config(text: object) -> tuple[Control, ...]:
    """Find the controls that label a Video: Choices and TimelineLabels, but not Choices for regions.

    Args:
        text: The labelling config, XML. Anything but a string is refused.

    Returns:
        The controls in the config's order, at least one.

    Raises:
        ConfigError: The text is not a labelling config, or has no such control.
    """
    root = _parsed(text)
    videos = {tag.get("name", ""): tag for tag in root.iter("Video")}
    controls = [
        _control(tag, videos[tag.get("toName", "")])
        for tag in root.iter()
        if tag.tag in _ENTRY and tag.get("toName") in videos and tag.get("perRegion", "false").lower() != "true"
    ]
    if not controls:
        raise ConfigError(
            "the labelling config has no Choices and no TimelineLabels for a Video, so there is nothing to label. Add "
            'one, e.g. <TimelineLabels name="label" toName="video"><Label value="ad"/></TimelineLabels>'
        )
    return tuple(controls)


def for_labels(controls: Iterable[Control], labels: Sequence[str]) -> tuple[Control, ...]:
    """Select the controls that have at least one of a model's labels.

    Args:
        controls: Of a labelling config.
        labels: The model's.

    Raises:
        ConfigError: No control has one of the labels.
    """
    controls = tuple(controls)
    found = tuple(control for control in controls if set(control.values) & set(labels))
    if not found:
        values = ", ".join(value for control in controls for value in control.values)
        raise ConfigError(
            f"the labelling config and the model have no label in common: the config has {values}, the model "
            f"{', '.join(labels[:20])}. Use the same names, including upper and lower case"
        )
    return found


def _parsed(text: object) -> ElementTree.Element:
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"a labelling config (XML text) is required, got {type(text).__name__} {text!r:.40}")
    # Definitions of entities can make a small text large; labelling configs have none.
    if len(text) > MAX_CONFIG_CHARACTERS or "<!" in text.replace("<!--", ""):
        raise ConfigError(f"the labelling config must be XML of at most {MAX_CONFIG_CHARACTERS} characters, without <!")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:  # the latter for characters that UTF-8 does not have
        raise ConfigError(f"the labelling config is not XML ({error}). Copy it from the project's settings") from None


def _control(tag: ElementTree.Element, video: ElementTree.Element) -> Control:
    where, name = f"the {tag.tag} tag", tag.get("name", "")
    key = video.get("value", "")
    if not name or not key.startswith("$"):
        raise ConfigError(
            f'{where} and its Video need a name and a value="$key" of the task\'s data, got name {name!r} and value '
            f"{key!r}"
        )
    entries = [entry for entry in tag.iter(_ENTRY[tag.tag]) if entry.get("value")]
    values = {str(entry.get("value")): entry.get("alias") or str(entry.get("value")) for entry in entries}
    if not values:
        raise ConfigError(f"{where} {name!r} has no <{_ENTRY[tag.tag]} value=...> to choose from")
    rate = next((value for attribute, value in video.items() if attribute.lower() == "framerate"), DEFAULT_FRAME_RATE)
    return Control(
        kind="choices" if tag.tag == "Choices" else "timelinelabels",
        name=name,
        to_name=tag.get("toName", ""),
        values=values,
        multiple=tag.get("choice", "").lower() == "multiple",
        video_key=key[1:],
        frame_rate=rate,
    )


# Predictions --------------------------------------------------------------------------------------------------------


def to_regions(
    result: VideoResult,
    control: Control,
    config: Mapping[str, Any],
    data: Mapping[str, Any],
    check: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Convert a video's predictions to the regions of a Label Studio prediction.

    Args:
        result: The video's predictions.
        control: Whose labels are predicted.
        config: The adapter's. Its segment keys make the ranges of TimelineLabels; its threshold selects the labels of
            Choices with ``choice="multiple"``.
        data: The task's, for its frame rate.
        check: Called now and then; what it raises ends the work.

    Returns:
        Regions, each with its score in 0..1.

    Raises:
        MediaError: The result has an error.
        ConfigError: The task does not have a frame rate.
    """
    if control.kind == "choices":
        found = _choices(result, control, config["threshold"])
    else:
        found = _ranges(result, control, config, control.frames_per_second(data), check)
    return [
        {
            "id": f"{control.name}_{number}",
            "type": control.kind,
            "from_name": control.name,
            "to_name": control.to_name,
            "value": {**place, control.kind: [value]},
            "score": score,
        }
        for number, (value, score, place) in enumerate(found)
    ]


def _choices(result: VideoResult, control: Control, threshold: float) -> list[_Found]:
    """The best of the control's choices; with choice="multiple" all at or above the threshold."""
    rows = to_pipeline(result, len(result.predictions[0].labels) if result.predictions else 1)  # raises its error
    known: list[_Found] = [
        (control.values[row["label"]], row["score"], {}) for row in rows if row["label"] in control.values
    ]
    return [item for item in known if item[1] >= threshold] if control.multiple else known[:1]


def _ranges(
    result: VideoResult, control: Control, config: Mapping[str, Any], rate: float, check: Callable[[], None]
) -> list[_Found]:
    """The segments of each label that the model and the control have, as ranges of frames, in time order."""
    if result.error is not None:
        raise MediaError(result.error)
    labels = [label for label in result.predictions[0].labels if label in control.values] if result.predictions else []
    settings = {key: config[key] for key in SEGMENT_KEYS}
    segments: list[Segment] = []
    for label in labels:
        segments += scores_to_segments(result.predictions, label, **settings, check=check)
    segments.sort(key=lambda item: (item.start, item.end))
    return [
        (control.values[item.label], item.score, {"ranges": [to_frames(item.start, item.end, rate)]})
        for item in segments
    ]


def to_frames(start: float, end: float, rate: float) -> dict[str, int]:
    """Convert a range of seconds to the range of frames that it touches.

    Args:
        start: In seconds.
        end: In seconds.
        rate: Frames per second.

    Returns:
        "start" and "end", counted from 1 and both included, as Label Studio counts.
    """
    first = math.floor(start * rate + 1e-6) + 1
    return {"start": first, "end": max(first, math.ceil(end * rate - 1e-6))}


def to_seconds(first: float, last: float, rate: float) -> tuple[float, float]:
    """Convert a range of frames to the seconds during which they are shown.

    Args:
        first: Counted from 1.
        last: Counted from 1, included in the range.
        rate: Frames per second.

    Returns:
        Start and end in seconds.
    """
    return max(0.0, (first - 1) / rate), max(first, last) / rate

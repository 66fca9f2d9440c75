"""Label Studio's labelling config and results: which control stands for which label, seconds and frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree

from adapters.errors import ConfigError, MediaError
from adapters.hosts.results import to_pipeline
from adapters.inference import scores_to_segments
from adapters.records import VideoResult

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

    kind: the type that results carry. name, to_name: as results name the control and its video. values: label -> what
    results call it (an alias where the config has one), in the config's order. multiple: a video may have several.
    video_key: the key of a task's data that holds the video. frame_rate: a number, or "$key" of a task's data.
    """

    kind: Literal["choices", "timelinelabels"]
    name: str
    to_name: str
    values: Mapping[str, str]
    multiple: bool
    video_key: str
    frame_rate: str

    def frames_per_second(self, data: Mapping[str, Any]) -> float:
        """The rate by which Label Studio counts frames of a task's video. ConfigError where the task has none."""
        given = data.get(self.frame_rate[1:]) if self.frame_rate.startswith("$") else self.frame_rate
        try:
            rate = float(str(given))
        except ValueError:
            rate = math.nan
        if not 0 < rate < math.inf:
            raise ConfigError(
                f"the Video tag {self.to_name!r} has frameRate {self.frame_rate!r}, which is {given!r} for this task; "
                "a number above 0 is needed"
            )
        return rate

    def label_of(self, value: str) -> str | None:
        """The label that a result's value means; None for one that the config has not."""
        return next((label for label, shown in self.values.items() if value in (shown, label)), None)


# The labelling config -----------------------------------------------------------------------------------------------


def parse_label_config(text: object) -> tuple[Control, ...]:
    """The controls that label a Video: Choices and TimelineLabels, in the config's order.

    Choices for regions are left out, as are controls of other tags. ConfigError for what is no labelling config, and
    for one without such a control.
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
    """The controls that have labels of a model. ConfigError where none has one."""
    controls = tuple(controls)
    found = tuple(control for control in controls if set(control.values) & set(labels))
    if not found:
        values = ", ".join(value for control in controls for value in control.values)
        raise ConfigError(
            f"the labelling config and the model have no label in common: the config has {values}, the model "
            f"{', '.join(labels[:20])}. Name them alike, in capitals too"
        )
    return found


def _parsed(text: object) -> ElementTree.Element:
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"a labelling config (XML text) is needed, got {type(text).__name__} {text!r:.40}")
    # Definitions of entities can make a small text large; labelling configs have none.
    if len(text) > MAX_CONFIG_CHARACTERS or "<!" in text.replace("<!--", ""):
        raise ConfigError(f"the labelling config must be XML of at most {MAX_CONFIG_CHARACTERS} characters, without <!")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
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
    result: VideoResult, control: Control, config: Mapping[str, Any], data: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What a model says of a video, as the regions of Label Studio's predictions, each with its score in 0..1.

    config: the adapter's; its segment keys make the ranges of TimelineLabels, and its threshold the labels of
    Choices with choice="multiple". data: the task's. MediaError for a result with an error, ConfigError for a task
    without a frame rate.
    """
    if control.kind == "choices":
        found = _choices(result, control, config["threshold"])
    else:
        found = _ranges(result, control, config, control.frames_per_second(data))
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


def _ranges(result: VideoResult, control: Control, config: Mapping[str, Any], rate: float) -> list[_Found]:
    """The segments of each label that both know, as ranges of frames, in time order."""
    if result.error is not None:
        raise MediaError(result.error)
    labels = [label for label in result.predictions[0].labels if label in control.values] if result.predictions else []
    settings = {key: config[key] for key in SEGMENT_KEYS}
    segments = [item for label in labels for item in scores_to_segments(result.predictions, label, **settings)]
    segments.sort(key=lambda item: (item.start, item.end))
    return [
        (control.values[item.label], item.score, {"ranges": [to_frames(item.start, item.end, rate)]})
        for item in segments
    ]


def to_frames(start: float, end: float, rate: float) -> dict[str, int]:
    """Seconds to the frames that they touch, counted from 1, the last one included, as Label Studio counts them."""
    first = math.floor(start * rate + 1e-6) + 1
    return {"start": first, "end": max(first, math.ceil(end * rate - 1e-6))}


def to_seconds(first: float, last: float, rate: float) -> tuple[float, float]:
    """The frames ``first`` to ``last``, counted from 1, to the seconds during which they are shown."""
    return max(0.0, (first - 1) / rate), max(first, last) / rate

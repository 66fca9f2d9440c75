"""A .tflite made elsewhere becomes one that describes itself: what the file says is read, the rest given or said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.bundle import make_golden
from adapters.config import Config, check_config
from adapters.errors import BundleError, ConfigError
from adapters.litert import with_description, without_description
from adapters.models.tflite_classifier.adapter import TfliteClassifierAdapter
from adapters.models.tflite_classifier.inspection import ProgramFacts, TensorFacts, inspect_program
from adapters.models.tflite_classifier.program import describe, open_program
from adapters.system import write_bytes_atomic

ADAPTER = "adapters.models.tflite_classifier:TfliteClassifierAdapter"
IMAGE, CHANNELS = "image", 3
_SCORES_NAMES = ("scores", "probabilities", "logits", "predictions")
_LABELS_NAMED = 3


@dataclass(frozen=True)
class Adoption:
    """What was written, and what was assumed for it.

    Attributes:
        output_path: The self-describing .tflite.
        input: "frames", "clips" or "stream".
        input_text: The program's input: name, type and shape.
        output_text: The program's output of the classes.
        labels: How many classes it has.
        found: What was read from the file, in sentences.
        assumed: What the file does not say and was not given, in sentences; each names the option that says otherwise.
        config: The complete config.
    """

    output_path: str
    input: str
    input_text: str
    output_text: str
    labels: int
    found: tuple[str, ...]
    assumed: tuple[str, ...]
    config: Config

    def to_json(self) -> dict[str, Any]:
        """JSON values, as ``cliplab adopt --json`` writes them."""
        return asdict(self)


@dataclass
class _Draft:
    """A config in the making, with what was read and what was assumed."""

    given: dict[str, Any]
    facts: ProgramFacts
    path: Path

    def __post_init__(self) -> None:
        self.config: dict[str, Any] = {}
        self.found: list[str] = []
        self.assumed: list[str] = []

    def settle(self, key: str, read: Any, text: str) -> None:
        """A key that the file says. ConfigError where another value was given."""
        if key in self.given and self.given[key] != read:
            raise ConfigError(f'{self.path}: "{key}" is {self.given[key]!r}, and {text}. Leave it out')
        self.config[key] = read
        self.found.append(text)

    def assume(self, key: str, default: Any, text: str) -> None:
        """A key that the file does not say: as given, otherwise assumed."""
        if key in self.given:
            self.config[key] = self.given[key]
        else:
            self.config[key] = default
            self.assumed.append(text)

    def fail(self, reason: str) -> BundleError:
        listed = "; ".join(item.text for item in self.facts.inputs[:3])
        more = f" and {len(self.facts.inputs) - 3} more" if len(self.facts.inputs) > 3 else ""
        return BundleError(f"{self.path}: {reason}. It takes {listed}{more}")


def adopt_tflite(path: Path, labels: Sequence[str], output_path: Path, given: dict[str, Any] | None = None) -> Adoption:
    """Write a self-describing .tflite of a classifier made elsewhere.

    The file is looked at first, in a process of its own. Three kinds are known: of single frames [B, H, W, 3] or [B, 3,
    H, W], of clips with a time axis more, and of streams, whose signature takes "image" and states and returns the
    states again. Inputs are float32, or 8-bit with a scale.

    Args:
        path: The .tflite.
        labels: The classes in the order of its outputs.
        output_path: The .tflite to write; it may be the same file.
        given: Config keys that are known, such as "mean", "scale", "fps" or "background"; they take precedence over
            what would be assumed.

    Returns:
        What was written, read and assumed.

    Raises:
        BundleError: The file is damaged, is not such a classifier, or does not run.
        ConfigError: The labels do not fit its outputs, or a key disagrees with the file.
        StorageError: The file cannot be written.
    """
    draft = _Draft(dict(given or {}), inspect_program(path), path)
    image = _settle_input(draft)
    _settle_levels(draft, image)
    scores = _settle_output(draft, list(labels))
    config = check_config({**draft.given, **draft.config, "adapter": ADAPTER, "labels": list(labels)}, str(path))
    program = without_description(path.read_bytes())
    opened = open_program(program, config, config["labels"], 1, str(path))
    config = check_config({**config, "quantize": opened.precision}, str(path))
    adapter = TfliteClassifierAdapter(config)
    adapter._program = opened
    golden = make_golden(adapter.input_spec, adapter.predict)  # also shows that it runs, and gives finite scores
    write_bytes_atomic(output_path, with_description(program, describe(config, config["labels"], golden, {})))
    return Adoption(
        str(output_path),
        config["input"],
        image.text,
        scores.text,
        len(labels),
        tuple(draft.found),
        tuple(draft.assumed),
        dict(config),
    )


# Input ----------------------------------------------------------------------------------------------------------------


def _settle_input(draft: _Draft) -> TensorFacts:
    inputs = draft.facts.inputs
    if len(inputs) == 1:
        image = inputs[0]
        if image.dtype not in ("float32", "uint8", "int8"):
            raise draft.fail("its input must be float32, uint8 or int8")
        if image.dtype != "float32" and not image.scale:
            raise draft.fail(f"its {image.dtype} input has no scale, so the meaning of its values is unknown")
        _settle_sizes(draft, image, "frames" if len(image.shape) == 4 else "clips")
        return image
    outputs = {item.name for item in draft.facts.outputs}
    states = [item for item in inputs if item.name != IMAGE]
    images = [item for item in inputs if item.name == IMAGE and len(item.shape) == 5]
    if not images or not {item.name for item in states} <= outputs:
        raise draft.fail(
            f'it has {len(inputs)} inputs and is not a stream, whose signature takes "{IMAGE}" [1, 1, H, W, 3] and '
            "states, and returns each updated state"
        )
    if images[0].dtype != "float32":
        raise draft.fail("the picture of a stream must be float32")
    _settle_sizes(draft, images[0], "stream")
    draft.found.append(f"it carries {len(states)} states from frame to frame")
    return images[0]


def _settle_sizes(draft: _Draft, image: TensorFacts, kind: str) -> None:
    layout = _layout(draft, image, kind)
    draft.settle("input", kind, f"it takes {'a stream of frames' if kind == 'stream' else kind} ({image.text})")
    draft.config["layout"] = layout
    axes = layout if kind != "frames" else layout.replace("T", "")
    sizes = dict(zip(axes, image.shape[1:], strict=True))
    open_axes = {axes[place - 1] for place in image.open_sizes}
    _settle_frame_size(draft, sizes, open_axes)
    if kind == "clips":
        if "T" in open_axes:
            if "n_frames" not in draft.given:
                raise draft.fail("it does not fix the number of frames. Give it: --frames N")
            draft.config["n_frames"] = draft.given["n_frames"]
        else:
            draft.settle("n_frames", sizes["T"], f"its clips have {sizes['T']} frames")
        if draft.given.get("fps"):
            draft.config["sampling"] = draft.given.get("sampling", "rate")
            draft.found.append(f"{draft.given['fps']:g} frames per second of each clip are used (fps)")
        else:
            draft.assume("sampling", "spread", _SPREAD)
    elif kind == "frames":
        draft.assume("n_frames", 8, "8 frames of each window are used (--frames N)")
        if draft.given.get("fps"):
            draft.config["sampling"] = draft.given.get("sampling", "every")
            draft.found.append(f"{draft.given['fps']:g} frames per second of each video are used (fps)")
    else:
        if "fps" not in draft.given:
            raise ConfigError(
                f"{draft.path}: is a stream, and the file does not say its frames per second. Give the rate that it "
                "was trained with: --fps 5 for MoViNet a0 to a2"
            )
        draft.assume("n_frames", 16, "a window without a length has 16 frames (--frames N)")
    draft.assume("aspect", "crop", 'frames of another shape are cropped to the middle (--aspect "pad" or "stretch")')


_SPREAD = "the frames of a clip are spread over the window (--fps N takes them at N per second)"


def _layout(draft: _Draft, image: TensorFacts, kind: str) -> str:
    """The order of axes, by where the three channels are."""
    shape = image.shape
    if len(shape) not in (4, 5):
        raise draft.fail("its input must be [B, H, W, 3], or have one more axis for time")
    layouts = ("THWC", "TCHW") if len(shape) == 4 else ("THWC",) if kind == "stream" else ("THWC", "TCHW", "CTHW")
    fitting = []
    for layout in layouts:
        axes = layout.replace("T", "") if len(shape) == 4 else layout
        place = axes.index("C") + 1
        if shape[place] == CHANNELS and place not in image.open_sizes:
            fitting.append(layout)
    if not fitting:
        raise draft.fail("none of the axes that may hold colours has the size 3")
    return fitting[0]


def _settle_frame_size(draft: _Draft, sizes: dict[str, int], open_axes: set[str]) -> None:
    if open_axes & {"H", "W"}:
        if "imgz" not in draft.given:
            raise draft.fail("it does not fix the size of frames. Give it: --size N or --size HEIGHTxWIDTH")
        draft.config["imgz"], draft.config["input_width"] = draft.given["imgz"], draft.given.get("input_width")
        return
    height, width = sizes["H"], sizes["W"]
    draft.settle("imgz", height, f"its frames are {height}x{width} (height x width)")
    if draft.given.get("input_width", width) != width:
        raise ConfigError(f"{draft.path}: its frames are {width} pixels wide. Leave the size out")
    draft.given.pop("input_width", None)
    draft.config["input_width"] = None if width == height else width


def _settle_levels(draft: _Draft, image: TensorFacts) -> None:
    """Mean and scale, in levels of 0 to 255."""
    if ("mean" in draft.given) != ("scale" in draft.given):
        raise ConfigError(f"{draft.path}: mean and std go together: give both, or neither")
    if image.scale:
        # (x - mean) / scale is quantised as x itself, or as x - 128 for int8.
        shift = 128 if image.dtype == "int8" else 0
        mean, scale = float(image.zero_point + shift), 1 / image.scale
        text = f"{image.dtype} input: pixel levels are used unchanged, as is usual (change it with --mean and --std)"
    else:
        mean, scale = 0.0, 255.0
        text = (
            "float input: pixels are 0 to 1 (--range -1:1 for -1 to 1, --range 0:255 for levels, or --mean and --std)"
        )
    if "mean" not in draft.given:
        draft.assumed.append(text)
        draft.config["mean"], draft.config["scale"] = mean, scale
    draft.assume("channel_order", "rgb", "colours are in the order R, G, B (--channel-order bgr)")


# Output ---------------------------------------------------------------------------------------------------------------


def _settle_output(draft: _Draft, labels: list[str]) -> TensorFacts:
    states = {item.name for item in draft.facts.inputs}
    outputs = [item for item in draft.facts.outputs if item.name not in states]
    scores = _scores_output(draft, outputs, labels)
    draft.config["scores_output"] = scores.name
    draft.found.append(f"its classes are {scores.text}")
    _settle_count(draft, scores, labels)
    applied = draft.given.get("activation")
    if scores.applied != "none":
        draft.found.append(f"the program applies {scores.applied} itself")
        draft.config["activation"] = applied or "none"
    elif applied:
        draft.config["activation"] = applied
    else:
        several = draft.given.get("task") == "multi_label" or scores.classes == 1
        draft.config["activation"] = "sigmoid" if several else "softmax"
        draft.assumed.append(
            f"its output is logits; {draft.config['activation']} turns them into scores (--activation none if they "
            "already are scores)"
        )
    if scores.applied == "sigmoid" and scores.classes > 1 and "task" not in draft.given:
        draft.config["task"] = "multi_label"
        draft.found.append("each class has its own sigmoid, so several classes can be right (task multi_label)")
    return scores


def _scores_output(draft: _Draft, outputs: list[TensorFacts], labels: list[str]) -> TensorFacts:
    name = draft.given.pop("scores_output", None)
    listed = "; ".join(item.text for item in outputs[:8]) or "none"
    if name is not None:
        chosen = [item for item in outputs if item.name == name]
        if not chosen:
            raise ConfigError(f"{draft.path}: has no output {name!r}; its outputs are: {listed}")
        return chosen[0]
    if len(outputs) == 1:
        return outputs[0]
    fitting = [item for item in outputs if item.classes in (len(labels), len(labels) + 1)]
    named = [item for item in fitting if item.name.lower() in _SCORES_NAMES]
    for found in (named, fitting):
        if len(found) == 1:
            return found[0]
    raise ConfigError(
        f"{draft.path}: it is not clear which of its outputs has the classes: {listed}. Give its name: --scores NAME"
    )


def _settle_count(draft: _Draft, scores: TensorFacts, labels: list[str]) -> None:
    """The outputs against the labels: a background class, or one output for two labels."""
    count, background = scores.classes, draft.given.get("background", "none")
    draft.config["background"] = background
    wanted = len(labels) + (background != "none")
    if count == wanted:
        return
    if count == 1 and len(labels) == 2 and background == "none":
        text = f"its one output is the score of {labels[1]!r}, the second label (--positive-label)"
        draft.assume("positive_label", labels[1], text)
        return
    named = ", ".join(labels[:_LABELS_NAMED])
    if count == len(labels) + 1 and background == "none":
        raise ConfigError(
            f"{draft.path}: its output has {count} classes, but there are {len(labels)} labels ({named}, ...). If the "
            "extra class is a background class (TensorFlow's ImageNet models have it first), give --background first "
            "(or last) to leave it out; otherwise give a label file with its name"
        )
    raise ConfigError(
        f"{draft.path}: its output {scores.name!r} has {count} classes, but there are {len(labels)} labels ({named}, "
        f"...){' and a background class' if background != 'none' else ''}. Give a label file with a line for each "
        "class, in the order of the outputs"
    )

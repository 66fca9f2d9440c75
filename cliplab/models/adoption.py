"""`cliplab adopt`: a .tflite made elsewhere becomes a model that predicts here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.config import read_label_file
from adapters.errors import ConfigError
from adapters.system import whole_number
from cliplab.outputs import require_new

if TYPE_CHECKING:
    from adapters.models.tflite_classifier import Adoption

# What --range means: a pixel's level, from 0 to 255, becomes (level - mean) / scale.
RANGES = {"0:1": (0.0, 255.0), "-1:1": (127.5, 127.5), "0:255": (0.0, 1.0)}


def adopt(
    model: str | Path,
    output: str | Path,
    *,
    labels: str | Path | Sequence[str],
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    value_range: str | None = None,
    size: int | str | None = None,
    aspect: str | None = None,
    frames: int | None = None,
    fps: float | None = None,
    task: str | None = None,
    background: str | None = None,
    scores: str | None = None,
    activation: str | None = None,
    channel_order: str | None = None,
    positive_label: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    force: bool = False,
    on_note: Callable[[str], object] | None = None,
) -> Adoption:
    """Write a self-describing .tflite of a classifier made elsewhere, after checking its inputs and outputs.

    Args:
        model: The .tflite: of single frames, of clips, or of a stream with states such as MoViNet's.
        output: The .tflite to write.
        labels: A label file (``read_label_file``), or the labels, in the order of the outputs.
        mean: Subtracted from each pixel, one number or three for R, G, B: in levels of 0 to 255, or as fractions of 1
            where std is at most 1, as PyTorch has it.
        std: Divides it after that, in the same unit.
        value_range: What pixels become instead: "0:1", "-1:1" or "0:255".
        size: Height and width of a program that leaves them open: 224 or "224x320" (height x width).
        aspect: How a frame of another shape is fitted: "crop" (default), "pad" or "stretch".
        frames: Frames used of each window; for clips whose program leaves it open, frames per clip.
        fps: Frames per second that it was trained at; required for a stream.
        task: "single_label" or "multi_label"; default: by the program's last operator.
        background: "first" or "last" where the program has an output more than there are labels; it is left out.
        scores: The name of the output with the classes, where there are several.
        activation: What makes scores of the output: "softmax", "sigmoid" or "none"; default: by the last operator.
        channel_order: "rgb" (default) or "bgr".
        positive_label: For a program of one output: the label whose score it is; default: the second.
        overrides: Other config keys.
        force: Replace output if it exists.
        on_note: Receives a sentence about each label that was changed.

    Returns:
        What was written, what was read from the file, and what was assumed.

    Raises:
        BundleError: The file is damaged, or is not such a classifier.
        ConfigError: The labels do not fit its outputs, or an argument is not allowed.
        StorageError: The output exists, or cannot be written.
    """
    from adapters.models.tflite_classifier import adopt_tflite

    target = Path(output)
    if target.suffix.lower() != ".tflite":
        raise ConfigError(f"output must be a file whose name ends in .tflite, got {str(output)!r}")
    require_new(target, force)
    names = read_label_file(labels, on_note) if isinstance(labels, (str, Path)) else list(labels)
    given = {
        "n_frames": frames,
        "fps": fps,
        "task": task,
        "background": background,
        "scores_output": scores,
        "activation": activation,
        "channel_order": channel_order,
        "positive_label": positive_label,
        "aspect": aspect,
    }
    keys = {key: value for key, value in given.items() if value is not None}
    keys |= _levels(mean, std, value_range) | _frame_size(size) | dict(overrides or {})
    if positive_label is not None and positive_label not in names:
        raise ConfigError(f"positive_label is {positive_label!r}, which is not one of the {len(names)} labels")
    found = adopt_tflite(Path(model), names, target, keys)
    return replace(found, output_path=str(output))


def _levels(
    mean: float | Sequence[float] | None, std: float | Sequence[float] | None, value_range: str | None
) -> dict[str, Any]:
    """The config's mean and scale, in levels."""
    if value_range is not None:
        if mean is not None or std is not None:
            raise ConfigError(f"the range {value_range} replaces mean and std. Give only one of them")
        if value_range not in RANGES:
            raise ConfigError(f"the range must be one of {', '.join(RANGES)}, got {value_range!r}")
        return dict(zip(("mean", "scale"), RANGES[value_range], strict=True))
    if (mean is None) != (std is None):
        raise ConfigError("mean and std must be given together. Give both, or a range such as -1:1")
    if mean is None or std is None:
        return {}
    means, stds = ([float(value)] if isinstance(value, (int, float)) else [*map(float, value)] for value in (mean, std))
    if {len(means), len(stds)} - {1, 3} or min(stds) <= 0:
        raise ConfigError(f"mean and std must be one number or three, std above 0, got {mean} and {std}")
    unit = 255.0 if max(stds) <= 1 and max(map(abs, means)) <= 1 else 1.0
    values = [[value * unit for value in numbers] for numbers in (means, stds)]
    return {key: found[0] if len(found) == 1 else found for key, found in zip(("mean", "scale"), values, strict=True)}


def _frame_size(size: int | str | None) -> dict[str, Any]:
    if size is None:
        return {}
    parts = str(size).lower().split("x")
    if len(parts) > 2 or not all(map(whole_number, parts)):
        raise ConfigError(f"size must be a number of pixels or HEIGHTxWIDTH, e.g. 224 or 224x320, got {size!r}")
    height, width = int(parts[0]), int(parts[-1])
    return {"imgz": height, **({"input_width": width} if width != height else {})}

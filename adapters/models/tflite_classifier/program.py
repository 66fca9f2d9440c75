"""The program of an adopted .tflite: opened and checked against its config, described, and its outputs as scores."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.bundle import Golden, golden_to_bytes
from adapters.config import Config
from adapters.errors import AdapterError, BundleError
from adapters.litert import Program, StreamProgram
from adapters.records import Float32Array, expand_binary

PROGRAM_NAME = "adopted"
# Of frames [T, H, W, C], in the order in which a program of each layout takes them.
AXES = {"THWC": (0, 1, 2, 3), "TCHW": (0, 3, 1, 2), "CTHW": (3, 0, 1, 2)}


def describe(
    config: Config, labels: Sequence[str], golden: Golden | None, metrics: Mapping[str, Any]
) -> dict[str, Any]:
    """The description that an adopted .tflite carries.

    Args:
        config: The complete config.
        labels: The classes in order.
        golden: Its golden clip; None leaves its digest out.
        metrics: As in a bundle's metrics.json.
    """
    digest = {} if golden is None else {"golden_sha256": hashlib.sha256(golden_to_bytes(golden)).hexdigest()}
    figures = metrics.get("validation") or {}
    return {"config": dict(config), "labels": list(labels), "program": PROGRAM_NAME, "metrics": dict(figures), **digest}


def open_program(
    source: Path | bytes, config: Config, labels: Sequence[str], num_threads: int | None, name: str | None = None
) -> Program | StreamProgram:
    """Open a program and check that it is what a config says.

    Args:
        source: The .tflite's path or bytes.
        config: A complete config.
        labels: The classes in order.
        num_threads: Maximum number of cores to use; None for all.
        name: What messages call it; default: the path.

    Raises:
        BundleError: The program is damaged, or its input or outputs are not those that the config says.
    """
    height, width = config["imgz"], config["input_width"] or config["imgz"]
    program: Program | StreamProgram
    expected: tuple[int, ...]
    if config["input"] == "stream":
        program = StreamProgram(source, num_threads=num_threads, name=name)
        found, expected = program.image_shape, (1, 1, height, width, 3)
    else:
        sizes = (config["n_frames"] if config["input"] == "clips" else 1, height, width, 3)
        item = tuple(sizes[axis] for axis in AXES[config["layout"]])
        if config["input"] == "frames":
            item = tuple(size for size, axis in zip(item, config["layout"], strict=True) if axis != "T")
        program = Program(source, num_threads=num_threads, name=name, quantized=True, input_shape=(1, *item))
        found, expected = program.input_shape, (1, *item)
    if tuple(found) != expected:
        raise BundleError(
            f"{program.name}: takes {list(found)}, but its config says {list(expected)}. Run cliplab adopt again."
        )
    output = config["scores_output"]
    if output not in program.output_shapes:
        raise BundleError(
            f"{program.name}: has no output {output!r}; it has {', '.join(program.output_shapes)}. Run cliplab adopt "
            "again."
        )
    count, wanted = int(np.prod(program.output_shapes[output][1:])), output_count(config, labels)
    if count != wanted:
        raise BundleError(
            f"{program.name}: output {output!r} has {count} numbers, but its config's labels need {wanted}. Adopt it "
            "again."
        )
    return program


def output_count(config: Config, labels: Sequence[str]) -> int:
    """How many numbers the program gives for each item.

    Args:
        config: A complete config.
        labels: The classes in order.
    """
    return (1 if config["positive_label"] is not None else len(labels)) + int(config["background"] != "none")


def to_scores(outputs: Float32Array, config: Config, labels: tuple[str, ...]) -> Float32Array:
    """The scores of classes from the program's output.

    Args:
        outputs: float32 [items, ...].
        config: A complete config.
        labels: The classes in order.

    Returns:
        float32 [items, C] in 0..1.

    Raises:
        AdapterError: The program returned a number that is not finite.
    """
    values: Float32Array = np.asarray(outputs, np.float32).reshape(len(outputs), -1)
    if not np.isfinite(values).all():
        raise AdapterError(
            f"the program's output {config['scores_output']!r} is not finite for this clip. The model is damaged, or "
            "its input is not what it was adopted for (mean, std)"
        )
    if config["activation"] == "softmax":
        values = np.exp(values - values.max(axis=1, keepdims=True))
        values /= values.sum(axis=1, keepdims=True)
    elif config["activation"] == "sigmoid":
        values = np.asarray(1 / (1 + np.exp(-np.clip(values, -80, 80))), np.float32)
    kept = {"none": values, "first": values[:, 1:], "last": values[:, :-1]}[config["background"]]
    scores: Float32Array = np.clip(kept, 0, 1).astype(np.float32)
    if config["positive_label"] is not None:
        return expand_binary(scores, labels.index(config["positive_label"]))
    return scores

"""The signatures of a stream program: its frame, its states and its other outputs, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import BundleError
from adapters.litert.interpreter import not_run
from adapters.system import captured_stderr

STEP, INIT, IMAGE = "serving_default", "init", "image"

States = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a stream program.

    Attributes:
        index: Its index in the program's first graph.
        shape: Its shape.
        dtype: Its type.
    """

    index: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def step_signature(interpreter: Any, name: str) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
    """The step's inputs and outputs.

    Args:
        interpreter: An interpreter of the program.
        name: What messages call it.

    Returns:
        Inputs by name, and outputs by name.

    Raises:
        BundleError: It is not a stream program.
    """
    found = interpreter.get_signature_list().get(STEP, {})
    if IMAGE not in found.get("inputs", ()) or not set(found["inputs"]) - {IMAGE} <= set(found["outputs"]):
        raise BundleError(
            f"{name} is not a stream program: its signature {STEP!r} must take {IMAGE!r} and states, and return each "
            "updated state. Use a stream program that cliplab convert wrote."
        )
    runner = interpreter.get_signature_runner(STEP)
    inputs, outputs = _specs(runner.get_input_details()), _specs(runner.get_output_details())
    if {spec.index for spec in inputs.values()} != {item["index"] for item in interpreter.get_input_details()}:
        raise BundleError(f"{name}: its signature {STEP!r} is not its first graph. Convert it again.")
    image = inputs[IMAGE]
    if image.dtype != np.float32 or len(image.shape) != 5 or image.shape[:2] != (1, 1) or image.shape[4] != 3:
        raise BundleError(
            f"{name} takes {image.dtype} {list(image.shape)} as {IMAGE!r} and must take one frame at a time, float32 "
            "[1, 1, H, W, 3]. Convert it again."
        )
    for state in set(inputs) - {IMAGE}:
        if (inputs[state].shape, inputs[state].dtype) != (outputs[state].shape, outputs[state].dtype):
            raise BundleError(f"{name}: state {state!r} is returned with another shape or type. Convert it again.")
    return inputs, outputs


def _specs(details: Mapping[str, Mapping[str, Any]]) -> dict[str, TensorSpec]:
    return {
        key: TensorSpec(item["index"], tuple(int(size) for size in item["shape"]), np.dtype(item["dtype"]))
        for key, item in sorted(details.items())
    }


def read_initial_states(interpreter: Any, states: Mapping[str, TensorSpec], name: str) -> States:
    """The states that the program's ``init`` returns; zeros if it has no such signature, as published programs.

    Args:
        interpreter: An interpreter of the program.
        states: The states by name.
        name: What messages call it.

    Raises:
        BundleError: A state is missing or has another shape or type.
    """
    if INIT not in interpreter.get_signature_list():
        return {key: np.zeros(spec.shape, spec.dtype) for key, spec in states.items()}
    try:
        with captured_stderr():
            found = interpreter.get_signature_runner(INIT)()
    except (RuntimeError, ValueError) as error:
        raise not_run(name, error) from error
    for key, spec in states.items():
        if key not in found or found[key].shape != spec.shape or found[key].dtype != spec.dtype:
            raise BundleError(f"{name}: its signature {INIT!r} does not return state {key!r} as {list(spec.shape)}.")
    return {key: np.array(found[key]) for key in states}

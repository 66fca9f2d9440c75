"""LiteRT interpreters: opened without a risk to this process, and what their tensors are. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import BundleError
from adapters.litert.trial import require_tried
from adapters.system import captured_stderr, open_regular_file

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Quantization:
    """How 8-bit values represent numbers: value = (q - zero_point) * scale.

    Attributes:
        dtype: uint8 or int8.
        scale: Above 0.
        zero_point: The integer that represents 0.
    """

    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def quantize(self, values: Float32Array) -> Array:
        """The nearest 8-bit values."""
        limits = np.iinfo(self.dtype)
        levels = np.rint(values / self.scale) + self.zero_point
        return np.asarray(np.clip(levels, limits.min, limits.max), self.dtype)

    def dequantize(self, values: Array) -> Float32Array:
        """The numbers that 8-bit values represent, float32."""
        return ((values.astype(np.float32) - self.zero_point) * self.scale).astype(np.float32)


def read_program(path: Path, name: str) -> bytes:
    """The bytes of a program's file.

    Args:
        path: The .tflite.
        name: What messages call it.

    Raises:
        BundleError: The file cannot be read.
    """
    try:
        with open_regular_file(path, BundleError) as file:
            return file.read()
    except OSError as error:
        raise BundleError(
            f"program {name} could not be read ({error.strerror or error}). Give the path of a .tflite file."
        ) from error


def open_interpreter(
    model: bytes,
    name: str,
    threads: int = 1,
    input_shape: tuple[int, ...] | None = None,
    allocated: bool = True,
    tried: bool = False,
) -> Any:
    """A LiteRT interpreter.

    Args:
        model: The bytes of the .tflite.
        name: What messages call it.
        threads: The interpreter's threads.
        input_shape: What the only input is resized to; None for its own shape.
        allocated: Whether it is ready to run. If not, it tells what its tensors are at little cost, and ``allocate``
            packs the weights.
        tried: Whether these bytes were opened by this function before, so that nothing is asked of them again.

    Raises:
        BundleError: The bytes are not a program that can run here.
    """
    if not tried:
        require_tried(model, name, threads, input_shape)
    from ai_edge_litert.interpreter import Interpreter

    try:
        # LiteRT announces its delegate on stderr each time the process opens its first program.
        with captured_stderr():
            interpreter = Interpreter(model_content=model, num_threads=threads)
            if input_shape is not None:
                interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], list(input_shape))
    except (ValueError, RuntimeError) as error:
        raise _not_opened(name, error) from error
    if allocated:
        allocate(interpreter, name)
    return interpreter


def allocate(interpreter: Any, name: str) -> None:
    """Make an interpreter ready to run.

    Args:
        interpreter: The program's interpreter.
        name: What messages call it.

    Raises:
        BundleError: The program cannot run here.
    """
    try:
        with captured_stderr():
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _not_opened(name, error) from error


def _not_opened(name: str, error: Exception) -> BundleError:
    return BundleError(
        f"{name} is damaged or is not a LiteRT program that can run here ({first_line(error)}). Download it again, or "
        "write it again with cliplab convert."
    )


def not_run(name: str, error: Exception) -> BundleError:
    """The error of a program that was opened and failed while it ran.

    Args:
        name: What messages call the program.
        error: What LiteRT raised.
    """
    return BundleError(
        f"{name} could not be run ({first_line(error)}). Download it again, or write it again with cliplab convert."
    )


def first_line(error: Exception) -> str:
    """The first line of an error of LiteRT, which may have many.

    Args:
        error: What LiteRT raised.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def xnnpack_partitions(model: bytes, name: str = "the program") -> int | None:
    """Into how many parts XNNPACK cuts a program on this machine; 1 is best, since other kernels compute between parts.

    Args:
        model: The bytes of the .tflite.
        name: What messages call it.

    Returns:
        The number of parts; 0 if XNNPACK runs nothing of it; None if this LiteRT does not report it.

    Raises:
        BundleError: The program cannot be opened.
    """
    interpreter = open_interpreter(model, name)
    try:
        # Not a public method: LiteRT has no public one that tells. A delegate's piece is an operator named DELEGATE.
        nodes = interpreter._get_ops_details()
    except AttributeError:
        return None
    return len([node for node in nodes if node["op_name"] == "DELEGATE"])


def quantization_of(details: Mapping[str, Any]) -> Quantization | None:
    """How a tensor of 8 bits is quantised.

    Args:
        details: What the interpreter says of the tensor.

    Returns:
        None for a tensor of other values.
    """
    scale, zero_point = details["quantization"]
    if details["dtype"] not in (np.uint8, np.int8) or not scale:
        return None
    return Quantization(np.dtype(details["dtype"]), float(scale), int(zero_point))


def single_input(interpreter: Any, name: str, quantized: bool = False) -> tuple[int, tuple[int, ...]]:
    """The only input of a program.

    Args:
        interpreter: The program's interpreter.
        name: What messages call it.
        quantized: Whether an input of 8 bits is accepted beside float32.

    Returns:
        The index of its tensor, and its shape.

    Raises:
        BundleError: There are other inputs, or it has another type.
    """
    inputs = interpreter.get_input_details()
    known = len(inputs) == 1 and (
        inputs[0]["dtype"] is np.float32 or (quantized and quantization_of(inputs[0]) is not None)
    )
    if not known or len(inputs[0]["shape"]) < 1:
        listed = [f"{item['name']} {np.dtype(item['dtype'])} {item['shape'].tolist()}" for item in inputs]
        received = ", ".join(listed[:2]) + (f" and {len(inputs) - 2} more" if len(inputs) > 2 else "")
        raise BundleError(
            f"{name} takes {received or 'no input'}, but only programs with one float32 input can run. "
            "Use a program that cliplab convert wrote."
        )
    return inputs[0]["index"], tuple(int(size) for size in inputs[0]["shape"])


def outputs_by_name(interpreter: Any) -> dict[str, dict[str, Any]]:
    """Each output's details under the name that the signature gives it, or its tensor's name where there is none.

    Args:
        interpreter: The program's interpreter.
    """
    signatures = list(interpreter.get_signature_list())
    if len(signatures) == 1:
        runner = interpreter.get_signature_runner(signatures[0])
        details: dict[str, dict[str, Any]] = runner.get_output_details()
        # A signature of another graph than the first, or one that names other tensors, would be read where none ran.
        if {item["index"] for item in details.values()} <= {item["index"] for item in interpreter.get_output_details()}:
            return dict(sorted(details.items()))
    return {item["name"]: item for item in interpreter.get_output_details()}

"""What a .tflite takes and gives, found out in a child process.

A file from elsewhere may be damaged, or made to harm: the native code that opens it may crash, and its tables may be
larger than any memory. So it is first opened in a process of its own, with limits on memory and time, that reports what
it found as JSON: ``python -m adapters.models.tflite_classifier.inspection FILE``.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adapters.errors import AdapterError, BundleError

Activation = Literal["none", "softmax", "sigmoid"]
LIMIT_SECONDS = 60
# What the child may allocate: the largest program here takes 0.6 GB.
LIMIT_BYTES = 4 << 30
MAX_FILE_BYTES = 1 << 30
_SAME = ("DEQUANTIZE", "QUANTIZE", "RESHAPE", "CAST", "SQUEEZE", "EXPAND_DIMS")  # between the classes and their output
_APPLIED = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}


@dataclass(frozen=True)
class TensorFacts:
    """An input or output of a program.

    Attributes:
        name: By its signature, or its own where there is none.
        shape: With 1 for each size that the program leaves open.
        open_sizes: Which sizes it leaves open, by their place; the batch is not listed.
        dtype: As numpy spells it: "float32", "uint8", ...
        scale: Of quantised values; 0 for others.
        zero_point: Of quantised values.
        applied: The activation that the program itself applies last: "softmax", "sigmoid" or "none".
    """

    name: str
    shape: tuple[int, ...]
    open_sizes: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    applied: Activation = "none"

    @property
    def classes(self) -> int:
        """Numbers for one item."""
        return math.prod(self.shape[1:])

    @property
    def text(self) -> str:
        """For messages: name, type and shape."""
        sizes = ["?" if place in self.open_sizes else str(size) for place, size in enumerate(self.shape)]
        return f"{self.name} {self.dtype} [{', '.join(sizes)}]"


@dataclass(frozen=True)
class ProgramFacts:
    """What a program takes and gives.

    Attributes:
        inputs: In the program's order.
        outputs: In the program's order.
        signature: Whether the names are those of a signature.
    """

    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    signature: bool


def inspect_program(path: Path) -> ProgramFacts:
    """Look at a .tflite in a child process.

    Args:
        path: The file.

    Raises:
        BundleError: It is missing, not a .tflite, damaged, needs operators that are not available, or cannot be opened
            within the limits.
    """
    _require_tflite(path)
    command = [sys.executable, "-m", __name__, str(path.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=LIMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise BundleError(
            f"{path}: could not be opened within {LIMIT_SECONDS} s, so it is damaged or not a program. Download it "
            "again."
        ) from None
    try:
        found = json.loads(done.stdout.decode().splitlines()[-1])
    except (ValueError, IndexError):
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise BundleError(
            f"{path}: is damaged: LiteRT crashed on it ({how}), or needed more than {LIMIT_BYTES >> 30} GiB. Download "
            "it again, or convert the model again."
        ) from None
    if "error" in found:
        raise BundleError(f"{path}: {found['error']}")
    inputs, outputs = (tuple(_facts(item) for item in found[key]) for key in ("inputs", "outputs"))
    return ProgramFacts(inputs, outputs, bool(found["signature"]))


def _require_tflite(path: Path) -> None:
    try:
        if path.is_dir():
            raise BundleError(f"{path}: is a folder. Give a .tflite file; convert a SavedModel to one first.")
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "there is no such file"
            raise BundleError(f"{path}: {what}. Give a .tflite file.")
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}). Give a .tflite file.") from error
    if size > MAX_FILE_BYTES:
        raise BundleError(f"{path}: has {size} bytes; at most {MAX_FILE_BYTES} are allowed.")
    if head[4:8] != b"TFL3":
        from adapters.errors import WeightsError
        from adapters.models.weights.file_kinds import read_weights_bytes

        try:
            read_weights_bytes(path)
        except WeightsError as error:  # a web page, a pointer, an archive
            raise BundleError(str(error)) from None
        raise BundleError(
            f"{path}: is not a TFLite model (it starts with {head!r}; the file identifier 'TFL3' is missing). Convert "
            "the model to .tflite first."
        )


def _facts(item: dict[str, Any]) -> TensorFacts:
    return TensorFacts(**{**item, "shape": tuple(item["shape"]), "open_sizes": tuple(item["open_sizes"])})


# In the child ---------------------------------------------------------------------------------------------------------


def _limit_memory() -> None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))


def describe(path: Path) -> dict[str, Any]:
    """What ``inspect_program`` reports, as JSON values. Opens the program in this process.

    Args:
        path: The file.

    Raises:
        BundleError: It is damaged, or needs operators that are not available.
    """
    from adapters.litert import open_interpreter
    from adapters.litert.graph import operators, read_graph

    data, name = path.read_bytes(), path.name
    graph = read_graph(data, name)
    foreign = [operator for operator in operators(data, name) if operator.startswith(("custom:", "unknown:"))]
    if foreign:
        raise BundleError(
            f"it needs the operators {', '.join(foreign[:5])}, which LiteRT does not have. Convert the model with "
            "built-in operators only (without SELECT_TF_OPS)"
        )
    interpreter = open_interpreter(data, name)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    signatures = interpreter.get_signature_list()
    named = _signature_names(interpreter, signatures)
    return {
        "inputs": [_tensor(item, named[0]) for item in inputs],
        "outputs": [_tensor(item, named[1]) | {"applied": _applied(graph, item["index"])} for item in outputs],
        "signature": bool(named[0]),
    }


def _signature_names(interpreter: Any, signatures: dict[str, Any]) -> tuple[dict[int, str], dict[int, str]]:
    """The names of inputs and of outputs in the signature of the first graph, by their tensor."""
    key = "serving_default" if "serving_default" in signatures else next(iter(signatures), None)
    if key is None:
        return {}, {}
    runner = interpreter.get_signature_runner(key)
    return (
        {item["index"]: name for name, item in runner.get_input_details().items()},
        {item["index"]: name for name, item in runner.get_output_details().items()},
    )


def _tensor(item: dict[str, Any], names: dict[int, str]) -> dict[str, Any]:
    import numpy as np

    open_sizes = [place for place, size in enumerate(item["shape_signature"].tolist()) if size < 0 and place]
    return {
        "name": names.get(item["index"], item["name"]),
        "shape": item["shape"].tolist(),
        "open_sizes": open_sizes,
        "dtype": np.dtype(item["dtype"]).name,
        "scale": float(item["quantization"][0]),
        "zero_point": int(item["quantization"][1]),
    }


def _applied(graph: Any, tensor: int) -> str:
    """The activation that makes an output, behind what only changes its type or shape."""
    from adapters.litert import operator_name

    main = graph.subgraphs[0]
    makers = {int(output): operator for operator in main.operators or () for output in operator.outputs}
    for _ in range(len(makers)):
        operator = makers.get(tensor)
        if operator is None:
            break
        kind = operator_name(graph.operatorCodes[operator.opcodeIndex])
        if kind not in _SAME:
            return _APPLIED.get(kind, "none")
        tensor = int(operator.inputs[0])
    return "none"


def main(arguments: list[str]) -> None:
    """Print what a program takes and gives as one line of JSON."""
    _limit_memory()
    try:
        found = describe(Path(arguments[0]))
    except AdapterError as error:
        found = {"error": str(error)}
    except Exception as error:  # whatever a damaged file leads to
        found = {"error": f"is damaged ({type(error).__name__}: {str(error)[:200]}). Download it again."}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])

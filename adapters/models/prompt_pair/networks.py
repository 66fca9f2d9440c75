"""The two networks of a pair: pictures or texts in, one vector each out, in ONNX or TensorFlow Lite.

A file that is new here runs once in a process of its own with limits, as every other foreign model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from adapters.errors import BundleError, MissingExtraError
from adapters.litert import (
    Program,
    TrialRuntime,
    first_line,
    open_interpreter,
    outputs_by_name,
    require_tried,
)
from adapters.models.prompt_pair.onnx_parts import unsound_onnx, unsound_onnx_file
from adapters.records import Float32Array
from adapters.system import read_regular_bytes

Array = npt.NDArray[Any]
# Names of an output that is the picture's or the text's vector, by those who export such networks.
_VECTORS = ("image_embeds", "text_embeds", "image_features", "text_features", "embeddings", "embedding", "features")
_MOST_BYTES = (1 << 31) - 1
_ONNX = TrialRuntime(
    "onnxruntime",
    "an ONNX network",
    Path(__file__).with_name("onnx_trial_process.py"),
    unsound_onnx,
    "Download it again, or export it again as one file.",
)
_ONNX_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


class Network(Protocol):
    """A network that was opened.

    Attributes:
        name: What messages call it.
        inputs: Shape and type of each input; an open dimension is 0.
    """

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> Mapping[str, tuple[tuple[int, ...], Any]]: ...

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each output by name."""


class OnnxNetwork:
    """A network of ONNX. The attributes are those of ``Network``."""

    def __init__(self, path: Path, threads: int, sizes: tuple[int, ...]) -> None:
        """Read it, try it and open it.

        Args:
            path: The file.
            threads: How many compute one batch.
            sizes: What open dimensions behind the batch are.

        Raises:
            BundleError: It is damaged or needs more than is allowed.
            MissingExtraError: The ``prompt`` extra is not installed.
        """
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                error.name or "onnxruntime", "prompt", f"{path.name}", "Networks in TensorFlow Lite need no package"
            ) from error
        self.name = str(path)
        model = _read_onnx(path)
        require_tried(model, self.name, threads, sizes, _ONNX)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of classes of its own
            raise _not_opened(self.name, error) from error
        self.inputs = {
            item.name: (
                tuple(size if isinstance(size, int) and size > 0 else 0 for size in item.shape),
                _ONNX_TYPES.get(item.type),
            )
            for item in self._session.get_inputs()
        }
        self._outputs = [item.name for item in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each output by name."""
        try:
            return dict(zip(self._outputs, self._session.run(None, dict(feeds)), strict=True))
        except Exception as error:
            raise _not_run(self.name, error) from error


class TfliteNetwork:
    """A network of TensorFlow Lite with any inputs of numbers. The attributes are those of ``Network``."""

    def __init__(self, path: Path, threads: int) -> None:
        """Read it, try it and open it.

        Args:
            path: The file.
            threads: How many compute one batch.

        Raises:
            BundleError: It is damaged or needs more than is allowed.
        """
        self.name = str(path)
        self._interpreter = open_interpreter(_read(path), self.name, threads)
        self._lock = threading.Lock()
        self._details = {item["name"]: item for item in self._interpreter.get_input_details()}
        self.inputs = {
            name: (tuple(int(size) for size in item["shape"]), item["dtype"]) for name, item in self._details.items()
        }
        self._outputs = outputs_by_name(self._interpreter)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each output by name."""
        with self._lock:
            try:
                for name, value in feeds.items():
                    self._interpreter.set_tensor(self._details[name]["index"], value)
                self._interpreter.invoke()
                return {
                    name: np.array(self._interpreter.get_tensor(item["index"])) for name, item in self._outputs.items()
                }
            except (RuntimeError, ValueError) as error:
                raise _not_run(self.name, error) from error


class _ProgramNetwork:
    """A network of pictures in TensorFlow Lite, on all cores."""

    def __init__(self, path: Path, threads: int | None) -> None:
        self._program = Program(_read(path), threads, str(path))
        self.name = str(path)
        self.inputs = {"images": (self._program.input_shape, np.float32)}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self._program.run(feeds["images"])


def open_image_network(
    path: Path, threads: int, size: tuple[int, int] | None
) -> tuple[tuple[int, int], Callable[[Float32Array], Float32Array]]:
    """The network of pictures.

    Args:
        path: The file.
        threads: How many cores it may use.
        size: Height and width where the network leaves them open; None for 224.

    Returns:
        Height and width of its input, and a function from pictures float32 [N, H, W, 3] to vectors float32 [N, D].

    Raises:
        BundleError: It is not a network of pictures.
    """
    height, width = size or (224, 224)
    network: Network
    network = (
        OnnxNetwork(path, threads, (3, height, width)) if path.suffix == ".onnx" else _ProgramNetwork(path, threads)
    )
    if len(network.inputs) != 1:
        raise BundleError(
            f"{path}: has the inputs {', '.join(network.inputs)}; one input for pictures is expected. {_EXPORT}"
        )
    [(name, (shape, kind))] = network.inputs.items()
    channels_first = len(shape) == 4 and shape[1] == 3 and shape[3] != 3
    if len(shape) != 4 or kind is not np.float32 or 3 not in (shape[1], shape[3]):
        raise BundleError(
            f"{path}: takes {list(shape)}; pictures are float32 [N, 3, height, width] or [N, height, width, 3]. "
            f"{_EXPORT}"
        )
    sides = shape[2:4] if channels_first else shape[1:3]
    height, width = (sides[0] or height, sides[1] or width)
    if not 1 <= height <= 4096 or not 1 <= width <= 4096:
        raise BundleError(f"{path}: takes pictures of {width}x{height}; at most 4096 pixels per side are supported")
    open_batch = shape[0] == 0 or path.suffix == ".tflite"

    def embed(pictures: Float32Array) -> Float32Array:
        arranged = pictures.transpose(0, 3, 1, 2) if channels_first else pictures
        arranged = np.ascontiguousarray(arranged)
        step = len(arranged) if open_batch else max(shape[0], 1)
        rows = []
        for start in range(0, len(arranged), step):
            part = arranged[start : start + step]
            fed = part
            if not open_batch and len(part) < step:
                fed = np.concatenate([part, np.zeros((step - len(part), *part.shape[1:]), np.float32)])
            rows.append(_vectors(network.name, network.run({name: fed}))[: len(part)])
        return np.concatenate(rows)

    return (height, width), embed


def open_text_network(path: Path, threads: int) -> tuple[int, Callable[[Array, Array], Float32Array]]:
    """The network of texts.

    Args:
        path: The file.
        threads: How many cores it may use.

    Returns:
        How many tokens it takes, and a function from tokens and their mask, int64 [N, context], to vectors [N, D].

    Raises:
        BundleError: It is not a network of tokens.
    """
    usual = 77  # CLIP's
    network: Network
    network = OnnxNetwork(path, threads, (usual,)) if path.suffix == ".onnx" else TfliteNetwork(path, threads)
    roles = {name: _role(name, len(network.inputs)) for name in network.inputs}
    for name, (shape, kind) in network.inputs.items():
        if len(shape) != 2 or kind not in (np.int64, np.int32, np.bool_, np.float32) or roles[name] is None:
            raise BundleError(
                f"{path}: has the input {name} {list(shape)}; only tokens (input_ids) with their mask "
                f"(attention_mask), [N, tokens] each, are supported. {_EXPORT}"
            )
    if "tokens" not in roles.values():
        raise BundleError(f"{path}: has no input for tokens ({', '.join(network.inputs) or 'no input'}). {_EXPORT}")
    context = next((shape[1] for shape, _ in network.inputs.values() if shape[1]), usual)

    def embed(tokens: Array, mask: Array) -> Float32Array:
        given = {"tokens": tokens, "mask": mask, "zeros": np.zeros_like(tokens)}
        given["places"] = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        rows = []
        for number in range(len(tokens)):
            feeds = {}
            for name, (shape, kind) in network.inputs.items():
                row = given[roles[name] or "tokens"][number : number + 1].astype(kind)
                feeds[name] = np.ascontiguousarray(np.repeat(row, max(shape[0], 1), axis=0))
            rows.append(_vectors(network.name, network.run(feeds))[:1])
        return np.concatenate(rows)

    return context, embed


_EXPORT = "Export the image and the text network each by itself, with its projection"


def _role(name: str, inputs: int) -> str | None:
    """What an input takes, by its name; the only one takes tokens."""
    text = name.lower()
    for part, role in (("mask", "mask"), ("token_type", "zeros"), ("segment", "zeros"), ("position", "places")):
        if part in text:
            return role
    if inputs == 1 or any(part in text for part in ("input_ids", "tokens", "text", "ids")):
        return "tokens"
    return None


def _vectors(name: str, outputs: Mapping[str, Array]) -> Float32Array:
    """The output that is one vector of each row."""
    for wanted in _VECTORS:
        for output, values in outputs.items():
            if wanted in output.lower() and values.ndim == 2:
                return values.astype(np.float32)
    flat = [values for values in outputs.values() if values.ndim == 2]
    if len(flat) != 1:
        shapes = ", ".join(f"{output} {list(values.shape)}" for output, values in list(outputs.items())[:6])
        raise BundleError(
            f"{name}: has the outputs {shapes}; none of them is a known vector (image_embeds, text_embeds, [N, D]). "
            f"{_EXPORT}"
        )
    return flat[0].astype(np.float32)


def _read(path: Path) -> bytes:
    try:
        return read_regular_bytes(path, _MOST_BYTES, BundleError)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error}). Check the path") from error


def _read_onnx(path: Path) -> bytes:
    """The file, which is looked at before it takes memory."""
    try:
        reason = unsound_onnx_file(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error}). Check the path") from error
    if reason is not None:
        raise BundleError(f"{path} is damaged or is not {_ONNX.kind} that can run here ({reason}). {_ONNX.remedy}")
    return _read(path)


def _not_opened(name: str, error: Exception) -> BundleError:
    return BundleError(f"{name} is not an ONNX network that can run here ({first_line(error)}). Export it again")


def _not_run(name: str, error: Exception) -> BundleError:
    return BundleError(f"{name} could not be run ({first_line(error)}). Download it again, or export it again")

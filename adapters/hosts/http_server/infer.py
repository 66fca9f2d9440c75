"""Tensor requests by the Open Inference Protocol v2, in JSON and in its binary extension: frames in, scores out.

Sources: https://github.com/kserve/open-inference-protocol (REST); for the binary format and the best classes, Triton's
extension_binary_data.md and extension_classification.md.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.errors import AdapterError
from adapters.hosts.http_server.errors import RequestError, parse_json, to_request_error
from adapters.hosts.http_server.state import HttpHost, ServedModel
from adapters.records import Clip, Float32Array, UInt8Array

INPUT, SCORES, LABELS = "frames", "scores", "labels"
VERSION = "1"
HEADER_LENGTH = "Inference-Header-Content-Length"
# Parsed JSON uses many times its size in memory. The head of a binary request contains names and shapes only.
MAX_JSON_BYTES, MAX_HEAD_BYTES = 16_000_000, 100_000


@dataclass(frozen=True)
class RequestedOutput:
    """An output that a request asks for.

    Attributes:
        name: "scores" or "labels".
        binary: Whether it follows the JSON as bytes.
        classes: Number of best classes to return as "score:index:label" (BYTES); None for all scores.
    """

    name: str
    binary: bool
    classes: int | None = None


@dataclass(frozen=True, eq=False)
class InferRequest:
    """A tensor request.

    Attributes:
        id: The client's identifier, which the answer repeats; None if there is none.
        frames: uint8 [N, T, H, W, 3] RGB, N clips of T frames.
        outputs: Outputs that the request asks for.
    """

    id: str | None
    frames: UInt8Array
    outputs: tuple[RequestedOutput, ...]


def metadata(model: ServedModel) -> dict[str, Any]:
    """Return a model's metadata: its inputs, outputs and labels.

    A size of -1 is any size: frames are scaled to the model's.
    """
    return {
        "name": model.name,
        "versions": [VERSION],
        "platform": "cliplab",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, -1, 3]}],
        "outputs": [
            {"name": SCORES, "datatype": "FP32", "shape": [-1, len(model.labels)]},
            {"name": LABELS, "datatype": "BYTES", "shape": [len(model.labels)]},
        ],
        "parameters": {"labels": list(model.labels), "task": model.adapter.config.get("task")},
    }


def infer(
    host: HttpHost, model: ServedModel, body: bytearray, header_length: str | None
) -> tuple[bytes, dict[str, str]]:
    """Answer a tensor request.

    Args:
        host: State of the host, for its limits.
        model: The model that the request names.
        body: Body of the request.
        header_length: Value of the header ``Inference-Header-Content-Length``, for the binary form; None for JSON.

    Returns:
        Body and headers of the answer.

    Raises:
        RequestError: 400 if the request is wrong; otherwise see ``to_request_error``.
    """
    request = read_request(body, header_length, _TensorLimits.of(host, model))
    clips = [_clip(model, frames, number) for number, frames in enumerate(request.frames)]
    try:
        predictions = model.adapter.predict(clips)
    except AdapterError as error:
        raise to_request_error(error) from None
    return write_answer(model, request, np.stack([item.scores for item in predictions]))


def _clip(model: ServedModel, frames: UInt8Array, number: int) -> Clip:
    fps = model.adapter.input_spec.fps or 25.0
    return Clip(frames, np.arange(len(frames)) / fps, f"{INPUT}[{number}]", 0.0, len(frames) / fps)


@dataclass(frozen=True)
class _TensorLimits:
    """Limits on a tensor: on a frame as it is sent (host.frame_limits), and on all frames at the model's size."""

    host: HttpHost
    model_frame_bytes: int

    @classmethod
    def of(cls, host: HttpHost, model: ServedModel) -> _TensorLimits:
        spec = model.adapter.input_spec
        return cls(host, spec.height * spec.width * 3)

    def check(self, shape: Sequence[int]) -> None:
        clips, frames, height, width, _ = shape
        try:
            self.host.frame_limits.check_size(INPUT, width, height)
        except AdapterError as error:
            raise to_request_error(error) from None
        size, most = clips * frames * self.model_frame_bytes, self.host.options.tensor_bytes
        if size > most:
            raise RequestError(
                400,
                f"{INPUT}: {clips} clips of {frames} frames are {size} bytes at the model's frame size and at most "
                f"{most} are taken. Send fewer",
            )


# Request ------------------------------------------------------------------------------------------------------------


def read_request(body: bytearray, header_length: str | None, limits: _TensorLimits) -> InferRequest:
    """Read a request from its body. header_length: value of the header HEADER_LENGTH; None for JSON."""
    view, head = memoryview(body), len(body)
    if header_length is not None:
        head = int(header_length) if header_length.isascii() and header_length.isdigit() else -1
        if not 0 <= head <= len(body):
            raise RequestError(400, f"{HEADER_LENGTH} is {header_length!r}, and the body has {len(body)} bytes")
    most = MAX_HEAD_BYTES if len(body) > head else MAX_JSON_BYTES
    if head > most:
        raise RequestError(400, f"the JSON has {head} bytes and at most {most} are taken. Send tensors in binary form")
    fields = parse_json(view[:head], "the request")
    request_id = fields.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise RequestError(400, f"id must be a string, got {type(request_id).__name__}")
    tensor = _only_input(fields.get("inputs"))
    shape = _shape(tensor)
    limits.check(shape)
    size = tensor["parameters"].get("binary_data_size")
    if size is None:
        if len(body) > head:
            raise RequestError(400, f"{len(body) - head} bytes follow the JSON, and no input has binary_data_size")
        frames = _from_json(tensor.get("data"), shape)
    else:
        frames = _from_binary(view[head:], size, shape)
    return InferRequest(
        request_id, frames, _requested_outputs(fields.get("outputs"), _parameters(fields, "the request"))
    )


def _only_input(inputs: Any) -> dict[str, Any]:
    if not isinstance(inputs, list) or not all(isinstance(item, dict) for item in inputs):
        raise RequestError(400, f'inputs must be a list with one tensor, "{INPUT}"')
    names = [item.get("name") for item in inputs]
    if names != [INPUT]:
        raise RequestError(400, f'inputs must be one tensor, "{INPUT}", got {names[:5]}')
    tensor = dict(inputs[0])
    if tensor.get("datatype") != "UINT8":
        raise RequestError(400, f"{INPUT}: datatype must be UINT8 (RGB levels), got {tensor.get('datatype')!r}")
    tensor["parameters"] = _parameters(tensor, INPUT)
    return tensor


def _parameters(owner: dict[str, Any], what: str) -> dict[str, Any]:
    parameters = owner.get("parameters", {})
    if not isinstance(parameters, dict):
        raise RequestError(400, f"{what}: parameters must be an object, got {type(parameters).__name__}")
    return parameters


def _shape(tensor: dict[str, Any]) -> list[int]:
    shape = tensor.get("shape")
    good = isinstance(shape, list) and len(shape) == 5 and all(_whole(size) and size >= 1 for size in shape)
    if not good or shape[4] != 3:  # type: ignore[index] # good: it is a list
        raise RequestError(
            400, f"{INPUT}: shape must be [clips, frames, height, width, 3], each at least 1, got {shape!r}"
        )
    return list(shape)  # type: ignore[arg-type]


def _from_binary(data: memoryview, size: Any, shape: Sequence[int]) -> UInt8Array:
    expected = math.prod(shape)
    if not _whole(size) or size != expected:
        raise RequestError(
            400, f"{INPUT}: shape {list(shape)} of UINT8 has {expected} bytes, binary_data_size is {size!r}"
        )
    if len(data) != expected:
        raise RequestError(
            400, f"{INPUT}: {expected} bytes must follow the JSON, and {len(data)} did: was the body cut short?"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _from_json(data: Any, shape: Sequence[int]) -> UInt8Array:
    if not isinstance(data, list):
        raise RequestError(400, f"{INPUT}: needs data, a list of {math.prod(shape)} numbers, or binary_data_size")
    try:
        values = np.array(data)
    except (ValueError, OverflowError):  # ragged, or numbers that no integer type holds
        raise RequestError(
            400, f"{INPUT}: data must be whole numbers 0..255 in the shape {list(shape)}, or flat"
        ) from None
    if values.dtype.kind not in "iu" or values.size == 0 or values.min() < 0 or values.max() > 255:
        raise RequestError(400, f"{INPUT}: data must be whole numbers 0..255")
    if values.size != math.prod(shape) or values.shape not in ((values.size,), tuple(shape)):
        raise RequestError(400, f"{INPUT}: data has the shape {list(values.shape)}, must be {list(shape)} or flat")
    return values.astype(np.uint8).reshape(shape)


def _requested_outputs(outputs: Any, parameters: dict[str, Any]) -> tuple[RequestedOutput, ...]:
    """The requested outputs; all of them if none is named, as the protocol says."""
    binary = parameters.get("binary_data_output", False)
    if not isinstance(binary, bool):
        raise RequestError(400, f"binary_data_output must be true or false, got {binary!r}")
    if outputs is None or outputs == []:
        return RequestedOutput(SCORES, binary), RequestedOutput(LABELS, binary)
    if not isinstance(outputs, list) or not all(isinstance(item, dict) for item in outputs):
        raise RequestError(400, "outputs must be a list of objects with a name")
    wanted = tuple(_requested_output(item, binary) for item in outputs)
    if len({item.name for item in wanted}) < len(wanted):
        raise RequestError(400, "outputs names one twice")
    return wanted


def _requested_output(item: dict[str, Any], binary: bool) -> RequestedOutput:
    name, parameters = item.get("name"), _parameters(item, "an output")
    if name not in (SCORES, LABELS):
        raise RequestError(400, f"there is no output {name!r}; the outputs are: {SCORES}, {LABELS}")
    binary, classes = parameters.get("binary_data", binary), parameters.get("classification")
    if not isinstance(binary, bool):
        raise RequestError(400, f"{name}: binary_data must be true or false, got {binary!r}")
    if classes is not None and (not _whole(classes) or classes < 1 or name != SCORES):
        raise RequestError(
            400, f"{name}: classification must be a whole number of at least 1, and is for {SCORES} alone"
        )
    return RequestedOutput(name, binary, classes)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# Answer -------------------------------------------------------------------------------------------------------------


def write_answer(model: ServedModel, request: InferRequest, scores: Float32Array) -> tuple[bytes, dict[str, str]]:
    """Write an answer.

    Args:
        model: The model that predicted.
        request: The request, for its outputs and its identifier.
        scores: float32 [N, C], one row per clip.

    Returns:
        Body and headers of the answer.
    """
    outputs, parts = [], []
    for wanted in request.outputs:
        if wanted.name == SCORES and wanted.classes is None:
            output: dict[str, Any] = {"name": SCORES, "datatype": "FP32", "shape": list(scores.shape)}
            values, data = scores, scores.astype("<f4").tobytes() if wanted.binary else b""
        else:
            texts = np.array(model.labels) if wanted.name == LABELS else _best(model, scores, wanted.classes or 1)
            output = {"name": wanted.name, "datatype": "BYTES", "shape": list(texts.shape)}
            values, data = texts, _bytes_tensor(texts.ravel().tolist()) if wanted.binary else b""
        if wanted.binary:
            output["parameters"] = {"binary_data_size": len(data)}
            parts.append(data)
        else:
            output["data"] = values.ravel().tolist()
        outputs.append(output)
    answer: dict[str, Any] = {"model_name": model.name, "model_version": VERSION, "outputs": outputs}
    if request.id is not None:
        answer["id"] = request.id
    head = json.dumps(answer, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    if not parts:
        return head, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return b"".join([head, *parts]), headers


def _best(model: ServedModel, scores: Float32Array, count: int) -> np.ndarray[Any, Any]:
    """The best classes of each clip, [N, count], as Triton's classification extension writes them."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    rows = zip(scores, order, strict=True)
    return np.array([[f"{row[i]:.6f}:{i}:{model.labels[i]}" for i in best] for row, best in rows])


def _bytes_tensor(texts: Sequence[str]) -> bytes:
    """Each text as a 4-byte little-endian length and its UTF-8."""
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(data)) + data for data in encoded)

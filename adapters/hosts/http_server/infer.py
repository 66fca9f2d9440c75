"""Tensor requests by the Open Inference Protocol v2, in JSON and in its binary extension: frames in, scores out.

Sources: https://github.com/kserve/open-inference-protocol (REST); for the binary format and the best classes, Triton's
extension_binary_data.md and extension_classification.md.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np

from adapters.errors import AdapterError
from adapters.hosts.http_server.errors import RequestError, parse_json, to_request_error
from adapters.hosts.http_server.messages import (
    INPUT,
    LABELS,
    SCORES,
    InferRequest,
    OutputParameters,
    RequestedOutput,
    RequestParameters,
    read_message,
)
from adapters.hosts.http_server.state import HttpHost, ServedModel
from adapters.records import Clip, Float32Array, Prediction, UInt8Array
from adapters.system import whole_number

_Level = Annotated[int, msgspec.Meta(ge=0, le=255)]
_FlatLevels = list[_Level]
_NestedLevels = list[list[list[list[_FlatLevels]]]]

# Clips that are predicted before the work is asked whether it has to end.
_CLIPS_PER_STOP = 16
VERSION = "1"
_ALL_OUTPUTS = (RequestedOutput("scores"), RequestedOutput("labels"))
HEADER_LENGTH = "Inference-Header-Content-Length"
# Parsed JSON uses many times its size in memory. The head of a binary request contains names and shapes only.
MAX_JSON_BYTES, MAX_HEAD_BYTES = 16_000_000, 100_000


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
    host: HttpHost,
    model: ServedModel,
    body: bytearray,
    header_length: str | None,
    stop: Callable[[], str | None] = lambda: None,
) -> tuple[bytes, dict[str, str]]:
    """Answer a tensor request.

    Args:
        host: State of the host, for its limits.
        model: The model that the request names.
        body: Body of the request.
        header_length: Value of the header ``Inference-Header-Content-Length``, for the binary form; None for JSON.
        stop: Called between batches; a reason, in a sentence, ends the work.

    Returns:
        Body and headers of the answer.

    Raises:
        RequestError: 400 if the request is wrong, 504 if ``stop`` ended it; otherwise see ``to_request_error``.
    """
    request, tensor = read_request(body, header_length, _TensorLimits.of(host, model))
    size = max(_CLIPS_PER_STOP, int(model.adapter.config.get("batch_size", 1)))
    predictions: list[Prediction] = []
    try:
        for first in range(0, len(tensor), size):
            if reason := stop():
                raise RequestError(504, reason)
            batch = tensor[first : first + size]
            predictions += model.adapter.predict([_clip(model, item, first + n) for n, item in enumerate(batch)])
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
                f"{INPUT}: {clips} clips of {frames} frames are {size} bytes at the model's frame size; at most "
                f"{most} are allowed. Send fewer",
            )


# Request ------------------------------------------------------------------------------------------------------------


def read_request(body: bytearray, header_length: str | None, limits: _TensorLimits) -> tuple[InferRequest, UInt8Array]:
    """Read the body of a request.

    Args:
        body: JSON, and in the binary form the tensor's bytes after it.
        header_length: The value of HEADER_LENGTH; None is the JSON form.
        limits: On the tensor's shape.

    Returns:
        The request, and its frames: uint8 [N, T, H, W, 3] RGB.

    Raises:
        RequestError: 400, the body is not a request that this host answers.
    """
    view, head = memoryview(body), len(body)
    if header_length is not None:
        given = whole_number(header_length)
        head = -1 if given is None else given
        if not 0 <= head <= len(body):
            raise RequestError(400, f"{HEADER_LENGTH} is {header_length!r:.100}, but the body has {len(body)} bytes")
    most = MAX_HEAD_BYTES if len(body) > head else MAX_JSON_BYTES
    if head > most:
        raise RequestError(400, f"the JSON has {head} bytes; at most {most} are allowed. Send tensors in binary form")
    request = read_message(parse_json(view[:head], "the request"), InferRequest, "the request")
    _check_outputs(request.outputs or [])
    tensor = request.inputs[0]
    if tensor.datatype != "UINT8":
        raise RequestError(400, f"{INPUT}: datatype must be UINT8 (RGB levels), got {tensor.datatype!r}")
    limits.check(tensor.shape)
    size = None if tensor.parameters is None else tensor.parameters.binary_data_size
    if size is not None:
        return request, _from_binary(view[head:], size, tensor.shape)
    if len(body) > head:
        raise RequestError(400, f"{len(body) - head} bytes follow the JSON, but no input has binary_data_size")
    return request, _from_json(tensor.data, tensor.shape)


def _parameters(output: RequestedOutput) -> OutputParameters:
    return output.parameters or OutputParameters()


def _check_outputs(outputs: Sequence[RequestedOutput]) -> None:
    if len({output.name for output in outputs}) < len(outputs):
        raise RequestError(400, "outputs lists an output twice")
    if any(_parameters(output).classification is not None and output.name != SCORES for output in outputs):
        raise RequestError(400, f"classification is only for {SCORES}")


def _from_binary(data: memoryview, size: int, shape: Sequence[int]) -> UInt8Array:
    expected = math.prod(shape)
    if size != expected:
        raise RequestError(
            400, f"{INPUT}: shape {list(shape)} of UINT8 has {expected} bytes, binary_data_size is {size!r}"
        )
    if len(data) != expected:
        raise RequestError(
            400,
            f"{INPUT}: {expected} bytes must follow the JSON, but {len(data)} did. Check that the body was sent "
            "completely",
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _from_json(data: Any, shape: Sequence[int]) -> UInt8Array:
    if not isinstance(data, list):
        raise RequestError(400, f"{INPUT}: needs data, a list of {math.prod(shape)} numbers, or binary_data_size")
    # Before NumPy sees it, which would make room for the longest of any texts among them in each element.
    nested = bool(data) and isinstance(data[0], list)
    try:
        msgspec.convert(data, _NestedLevels if nested else _FlatLevels)
        values = np.array(data, np.uint8)
    except (msgspec.ValidationError, ValueError):  # the latter where lists have several lengths
        raise RequestError(
            400, f"{INPUT}: data must be whole numbers 0..255 in the shape {list(shape)}, or flat"
        ) from None
    if values.size != math.prod(shape) or values.shape not in ((values.size,), tuple(shape)):
        raise RequestError(400, f"{INPUT}: data has the shape {list(values.shape)}, must be {list(shape)} or flat")
    return values.reshape(shape)


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
    asked = request.parameters or RequestParameters()
    for wanted in request.outputs or _ALL_OUTPUTS:
        own, classes = _parameters(wanted).binary_data, _parameters(wanted).classification
        binary = asked.binary_data_output if own is None else own
        if wanted.name == SCORES and classes is None:
            output: dict[str, Any] = {"name": SCORES, "datatype": "FP32", "shape": list(scores.shape)}
            values, data = scores, scores.astype("<f4").tobytes() if binary else b""
        else:
            texts = np.array(model.labels) if wanted.name == LABELS else _best(model, scores, classes or 1)
            output = {"name": wanted.name, "datatype": "BYTES", "shape": list(texts.shape)}
            values, data = texts, _bytes_tensor(texts.ravel().tolist()) if binary else b""
        if binary:
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

"""The JSON bodies of the HTTP host as types: requests are checked against them, and the OpenAPI page describes them.

Further keys of tensor requests are ignored: clients of the Open Inference Protocol send keys of other extensions. What
is optional may be null, which is as if it were absent: some clients write all keys.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from adapters.hosts.http_server.errors import RequestError

INPUT, SCORES, LABELS = "frames", "scores", "labels"
M = TypeVar("M")

Size = Annotated[int, Meta(ge=1)]
Shape = Annotated[tuple[Size, Size, Size, Size, Literal[3]], Meta(description="Clips, frames, height, width, 3.")]
_LEVEL = {"oneOf": [{"type": "integer", "minimum": 0, "maximum": 255}, {"type": "array"}]}
Levels = Annotated[
    list[Any],
    Meta(description="RGB levels, row by row: flat, or nested as the shape is.", extra_json_schema={"items": _LEVEL}),
]


def read_message(value: object, message: type[M], what: str) -> M:
    """Check a parsed JSON value against a type of this module.

    Args:
        value: As ``parse_json`` returns it.
        message: The type of the result.
        what: What the value is called in the error.

    Raises:
        RequestError: 400, the value does not fit; the message has the path of the first key that does not.
    """
    try:
        return msgspec.convert(value, message)
    # MsgspecError: only newer versions derive it from ValueError, which characters that UTF-8 lacks raise too.
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise RequestError(
            400, f"{what}: {error}{_allowed(message, str(error))}. GET /openapi.json describes requests"
        ) from None


def _allowed(message: type, error: str) -> str:
    """The values that the key of an error may have, where they are listed; msgspec names only the one it received."""
    path = re.search(r"^Invalid enum value .* - at `\$(.*)`$", error)
    at: Any = _plain(msgspec.inspect.type_info(message)) if path else None
    for key, place in re.findall(r"\.(\w+)|\[(\d+)\]", path[1] if path else ""):
        if key:
            at = next((field.type for field in getattr(at, "fields", ()) if field.encode_name == key), None)
        elif isinstance(at, msgspec.inspect.TupleType):
            at = at.item_types[int(place)]
        else:
            at = getattr(at, "item_type", None)
        at = _plain(at)
    values = at.values if isinstance(at, msgspec.inspect.LiteralType) else ()
    return f"; allowed: {', '.join(map(str, values))}" if values else ""


def _plain(kind: Any) -> Any:
    """The type without its limits and without null, which every optional key may be."""
    while isinstance(kind, msgspec.inspect.Metadata | msgspec.inspect.UnionType):
        if isinstance(kind, msgspec.inspect.Metadata):
            kind = kind.type
        else:
            kind = next((item for item in kind.types if not isinstance(item, msgspec.inspect.NoneType)), None)
    return kind


# Requests -----------------------------------------------------------------------------------------------------------


class _Closed(Struct, forbid_unknown_fields=True):
    pass


class InputParameters(Struct, frozen=True):
    binary_data_size: int | None = None


class InputTensor(Struct):
    name: Literal["frames"]
    # Floats are the most likely mistake: read_request refuses them in its own words.
    datatype: Annotated[str, Meta(extra_json_schema={"const": "UINT8"})]
    shape: Shape
    data: Levels | UnsetType | None = UNSET
    parameters: InputParameters | None = None


class OutputParameters(Struct, frozen=True):
    binary_data: bool | None = None
    classification: Size | None = None


class RequestedOutput(Struct):
    name: Literal["scores", "labels"]
    parameters: OutputParameters | None = None


class RequestParameters(Struct, frozen=True):
    binary_data_output: bool | None = None


class InferRequest(Struct):
    inputs: Annotated[list[InputTensor], Meta(min_length=1, max_length=1)]
    id: str | None = None
    parameters: RequestParameters | None = None
    outputs: list[RequestedOutput] | None = None  # None and [] are all


class VideoFile(_Closed):
    path: Annotated[str, Meta(min_length=1)]


# Answers ------------------------------------------------------------------------------------------------------------


class OutputTensor(Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET


class InferAnswer(Struct):
    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | UnsetType = UNSET


class TensorMetadata(_Closed):
    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Struct):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: Annotated[dict[str, Any], Meta(description="labels, in the order of the scores, and task.")]


class Error(_Closed):
    error: str


class Server(_Closed):
    name: str
    version: str
    extensions: list[str]


class Ready(_Closed):
    ready: bool


class Live(_Closed):
    live: bool


class Label(_Closed):
    label: str
    score: Annotated[float, Meta(ge=0, le=1)]


class Window(_Closed):
    start: float
    end: float
    labels: list[Label]


class Row(_Closed):
    path: str
    predictions: list[Window]
    error: None
    warnings: list[str] | UnsetType = UNSET


Rows = Annotated[list[Row], Meta(description="Rows in the form that `cliplab predict --json` writes.")]
Pipeline = Annotated[
    list[Label], Meta(description="In the form that Hugging Face's video-classification pipeline returns.")
]

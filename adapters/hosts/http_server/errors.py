"""What a request is refused with: a status and one line, ``{"error": "..."}``, as the Open Inference Protocol has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.datastructures import QueryParams
from starlette.responses import Response

from adapters.errors import AdapterError, BundleError, StorageError, WeightsError
from adapters.system import strict_json

MAX_MESSAGE_CHARACTERS = 600  # characters; a message may quote what was sent
# What an adapter raises because of the server's own files, not of what was asked.
_SERVER_FAULTS = (BundleError, StorageError, WeightsError)


class RequestError(Exception):
    """A request that is not answered as asked. message: what, received, allowed, what to do; one line."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


class ClientDisconnectedError(Exception):
    """Nobody waits for the answer any more."""


def to_request_error(error: AdapterError, status: int = 400) -> RequestError:
    """An adapter's error as an answer: the caller's fault unless it tells of the server's own files."""
    return RequestError(500 if isinstance(error, _SERVER_FAULTS) else status, str(error))


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return json_response({"error": one_line(message)}, status, headers)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # What came in as a lone surrogate goes out as "?".
    return Response(body.encode("utf-8", "replace"), status, headers, media_type="application/json")


def one_line(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else text[: MAX_MESSAGE_CHARACTERS - 3] + "..."


def parse_json(data: bytes | bytearray | memoryview, what: str) -> dict[str, Any]:
    """A JSON object. RequestError (400) for anything else, also where numbers are NaN or nested without end."""
    try:
        value = strict_json.parse_json(bytes(data))
    except RecursionError:
        raise RequestError(400, f"{what} is nested too deeply") from None
    except ValueError as error:  # also what is no UTF-8, and numbers of thousands of digits
        raise RequestError(400, f"{what} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise RequestError(400, f"{what} must be a JSON object, got {type(value).__name__}")
    return value


def check_query(query: QueryParams, allowed: Iterable[str]) -> None:
    """RequestError (400) for a key that means nothing here, or is given twice."""
    for key in query:
        if key not in allowed or len(query.getlist(key)) > 1:
            raise RequestError(
                400, f"query: {key!r} is unknown or given twice; allowed once each are {', '.join(allowed)}"
            )

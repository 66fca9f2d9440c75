"""Errors of requests: a status and one line, ``{"error": "..."}``, as in the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.datastructures import QueryParams
from starlette.responses import Response

from adapters.errors import AdapterError, BundleError, ScoresError, StorageError, WeightsError
from adapters.system import strict_json

MAX_MESSAGE_CHARACTERS = 600  # characters; a message may quote what was sent
# Errors that an adapter raises because of the server's own files, not because of the request.
_SERVER_FAULTS = (BundleError, ScoresError, StorageError, WeightsError)


class RequestError(Exception):
    """A request that cannot be answered. The client receives the status and the message.

    Attributes:
        status: HTTP status, 400 or above.
        message: What is wrong, what was received, what is allowed, and what to do.
        headers: Further headers of the answer, for example ``Retry-After``.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


class ClientDisconnectedError(Exception):
    """The client closed the connection before it received an answer."""


def to_request_error(error: AdapterError, status: int = 400) -> RequestError:
    """Convert an adapter's error to a request's error.

    Args:
        error: The adapter's error.
        status: Status for errors that the request caused.

    Returns:
        An error with this status, or with 500 if the error is about the server's own files.
    """
    return RequestError(500 if isinstance(error, _SERVER_FAULTS) else status, str(error))


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with ``{"error": message}``, in one line of limited length."""
    return json_response({"error": one_line(message)}, status, headers)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with a value as compact JSON."""
    body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # What came in as a lone surrogate goes out as "?".
    return Response(body.encode("utf-8", "replace"), status, headers, media_type="application/json")


def one_line(message: str) -> str:
    """Return a message without line breaks, cut to ``MAX_MESSAGE_CHARACTERS``."""
    text = " ".join(message.split())
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else text[: MAX_MESSAGE_CHARACTERS - 3] + "..."


def parse_json(data: bytes | bytearray | memoryview, what: str) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        data: JSON in UTF-8.
        what: What messages call it, for example "the request".

    Returns:
        The object.

    Raises:
        RequestError: 400 if the data is not a JSON object, contains NaN, or is nested too deeply.
    """
    try:
        value = strict_json.parse_json(bytes(data))
    except RecursionError:
        raise RequestError(400, f"{what} is nested too deeply") from None
    except ValueError as error:  # also for invalid UTF-8, and for numbers of thousands of digits
        raise RequestError(400, f"{what} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise RequestError(400, f"{what} must be a JSON object, got {type(value).__name__}")
    return value


def check_query(query: QueryParams, allowed: Iterable[str]) -> None:
    """Check the keys of a query string.

    Args:
        query: The query of the request's URL.
        allowed: Keys that may appear, once each.

    Raises:
        RequestError: 400 if a key is unknown or appears twice.
    """
    for key in query:
        if key not in allowed or len(query.getlist(key)) > 1:
            raise RequestError(
                400, f"query: {key!r} is unknown or given twice; allowed, each once: {', '.join(allowed)}"
            )

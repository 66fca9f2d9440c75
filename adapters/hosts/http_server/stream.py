"""``/v1/stream``: a WebSocket for models that stream. Frames in, as JPEG or raw RGB; running predictions out.

A text message describes the frames that follow, and a binary message is a frame:

    -> {"time": 0.4}            time of the next frame in seconds; without it, frames follow one another at ``fps``
    -> {"width": 640, "height": 360}    the next frames are raw RGB of this size; {"width": null} for JPEG again
    -> {"reset": true}          another video begins: the model's state is cleared
    -> {"end": true}            send the last prediction and close the connection
    <- {"time": 0.4, "labels": [{"label": "...", "score": 0.9}, ...]}   as ``cliplab stream`` writes them
    <- {"note": "..."}          what happened in the source: a gap, another frame size
    <- {"error": "..."}         then the connection closes, with code 1008 (client's error) or 1011 (server's error)
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from starlette.datastructures import QueryParams
from starlette.websockets import WebSocket, WebSocketDisconnect

from adapters.errors import AdapterError
from adapters.hosts.http_server.errors import (
    RequestError,
    check_query,
    error_response,
    one_line,
    parse_json,
    to_request_error,
)
from adapters.hosts.http_server.state import HttpHost, ServedModel
from adapters.media import jpeg_size
from adapters.protocols import OpenStream
from adapters.records import Prediction, UInt8Array

QUERY = ("model", "fps", "every", "top_k")
POLICY_VIOLATION, GOING_AWAY, INTERNAL_ERROR = 1008, 1001, 1011
# Frames are small: a JPEG of 10 million pixels has some 5 MB.
MAX_MESSAGE_BYTES = 32_000_000
_log = logging.getLogger(__name__)


async def stream(socket: WebSocket) -> None:
    """Answer a WebSocket on ``/v1/stream``. A connection is one session, whose state ends with it."""
    host: HttpHost = socket.app.state.host
    try:
        session = _StreamSession.open(host, socket.query_params)
    except RequestError as refused:
        await socket.send_denial_response(error_response(refused.status, refused.message, refused.headers))
        return
    host.streams += 1
    try:
        await socket.accept()
        await _exchange_messages(host, socket, session)
    except WebSocketDisconnect:
        pass
    except RequestError as refused:
        await _end(socket, POLICY_VIOLATION if refused.status < 500 else INTERNAL_ERROR, refused.message)
    except Exception:
        _log.exception("a stream failed")
        await _end(socket, INTERNAL_ERROR, "internal error; the server's log has the details")
    finally:
        host.streams -= 1


async def _exchange_messages(host: HttpHost, socket: WebSocket, session: _StreamSession) -> None:
    while True:
        try:
            async with asyncio.timeout(host.options.timeout_seconds):
                message = await socket.receive()
        except TimeoutError:
            raise RequestError(408, f"no frame arrived for {host.options.timeout_seconds:g} s") from None
        if message["type"] == "websocket.disconnect":
            return
        if host.draining:
            await _end(socket, GOING_AWAY, "the server is shutting down; connect again")
            return
        if message.get("bytes") is not None:
            rows = await host.worker_pool.run_step(lambda data=message["bytes"]: session.push_frame(data))  # type: ignore[misc]
            host.metrics.frames.labels(session.model.name).inc()
        else:
            rows = session.handle_text(parse_json((message.get("text") or "").encode(), "a text message"))
        for row in rows:
            await socket.send_text(json.dumps(row, ensure_ascii=False))
        if session.ended:
            await socket.close()
            return


async def _end(socket: WebSocket, code: int, message: str) -> None:
    try:
        await socket.send_text(json.dumps({"error": one_line(message)}, ensure_ascii=False))
        await socket.close(code, one_line(message)[:40])
    except (WebSocketDisconnect, RuntimeError):  # gone already
        pass


@dataclass
class _StreamSession:
    """The state of one connection. time: when the next frame is shown; None to follow the previous one at ``fps``."""

    host: HttpHost
    model: ServedModel
    stream: OpenStream
    fps: float
    every: float | None
    top_k: int
    size: tuple[int, int] | None = None
    time: float | None = None
    last_time: float | None = None
    due: float = 0.0
    last: Prediction | None = None
    shown: Prediction | None = None
    ended: bool = False
    notes: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, host: HttpHost, query: QueryParams) -> _StreamSession:
        """Begin a session. RequestError: 404 or 400 for a wrong query, 429 if no further stream may be opened."""
        check_query(query, QUERY)
        model = host.model(query.get("model"))
        if not model.streams:
            raise RequestError(400, f"the model {model.name} does not support streams. Send whole videos or tensors")
        if host.streams >= host.options.max_streams:
            raise RequestError(
                429,
                f"{host.streams} streams are open, the maximum. Try again later",
                {"Retry-After": "5"},
            )
        every, fps = _positive(query, "every"), _positive(query, "fps")
        top_k = _positive(query, "top_k") or model.adapter.config["top_k"]
        notes: list[str] = []
        try:
            stream = model.adapter.open_stream(source="stream", on_note=notes.append)
        except AdapterError as error:
            raise to_request_error(error) from None
        return cls(host, model, stream, fps or stream.fps, every, max(1, int(top_k)), notes=notes)

    def handle_text(self, fields: dict[str, Any]) -> list[dict[str, Any]]:
        """Apply a text message; returns rows to answer with."""
        unknown = set(fields) - {"time", "width", "height", "reset", "end"}
        if unknown or not fields:
            raise RequestError(
                400, f"a text message may have time, width and height, reset or end, got {sorted(fields)[:5]}"
            )
        if "time" in fields:
            self.time = _seconds(fields["time"])
        if "width" in fields or "height" in fields:
            self.size = self._raw_size(fields.get("width"), fields.get("height"))
        if fields.get("reset"):
            self.stream.reset()
            self.time = self.last_time = self.last = self.shown = None
            self.due = 0.0
        if not fields.get("end"):
            return []
        self.ended = True
        return [self._row(self.last)] if self.last is not None and self.last is not self.shown else []

    def push_frame(self, data: bytes) -> list[dict[str, Any]]:
        """Predict on one frame; returns rows to answer with. RequestError (400) if the data is not a frame."""
        frame = self._raw(data) if self.size is not None else read_jpeg(data, self.host)
        following = 0.0 if self.last_time is None else self.last_time + 1 / self.fps
        seconds, self.time = following if self.time is None else self.time, None
        self.last_time = seconds
        before = self.last
        self.last = self.stream.push(frame, seconds)
        rows: list[dict[str, Any]] = [{"note": note} for note in self.notes]
        self.notes.clear()
        if self.last is before:
            return rows
        if self.every is None or seconds >= self.due - 1e-6 or seconds < self.due - self.every:
            self.shown, self.due = self.last, seconds + (self.every or 0.0)
            rows.append(self._row(self.last))
        return rows

    def _row(self, prediction: Prediction | None) -> dict[str, Any]:
        assert prediction is not None
        labels = [asdict(item) for item in prediction.top_k(self.top_k)]
        return {"time": round(prediction.end, 3), "labels": labels}

    def _raw_size(self, width: Any, height: Any) -> tuple[int, int] | None:
        if width is None and height is None:
            return None
        if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in (width, height)):
            raise RequestError(
                400, f"width and height must be whole numbers of at least 1, got {width!r} and {height!r}"
            )
        _check_size(self.host, width, height)
        return width, height

    def _raw(self, data: bytes) -> UInt8Array:
        assert self.size is not None
        width, height = self.size
        if len(data) != width * height * 3:
            raise RequestError(400, f"a raw frame of {width}x{height} has {width * height * 3} bytes, got {len(data)}")
        return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def read_jpeg(data: bytes, host: HttpHost) -> UInt8Array:
    """Decode a JPEG. Its size is checked before it is decoded.

    Args:
        data: The file's bytes.
        host: State of the host, for the limit on a frame's size.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        RequestError: 400 if it is not a complete JPEG, is too large, or cannot be decoded.
    """
    size = jpeg_size(data)
    if size is None or data[-64:].find(b"\xff\xd9") < 0:
        raise RequestError(
            400, f"a message of {len(data)} bytes is not a complete JPEG. Send width and height before raw frames"
        )
    _check_size(host, *size)
    try:
        picture = host.decode_picture(data)
    except AdapterError as error:
        raise to_request_error(error) from None
    if picture is None:
        raise RequestError(400, f"a JPEG of {size[0]}x{size[1]} cannot be decoded")
    return picture


def _check_size(host: HttpHost, width: int, height: int) -> None:
    try:
        host.frame_limits.check_size("a frame", width, height)
    except AdapterError as error:
        raise to_request_error(error) from None


def _seconds(value: Any) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
    if not good:
        raise RequestError(400, f"time must be seconds of at least 0, got {value!r}")
    return float(value)


def _positive(query: QueryParams, key: str) -> float | None:
    if key not in query:
        return None
    try:
        value = float(query[key])
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise RequestError(400, f"query: {key} must be a number above 0, got {query[key]!r}")
    return value

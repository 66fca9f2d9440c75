"""The HTTP host's WebSocket, asked of the ASGI app itself, with a session that tells what it was given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="pip install 'cliplab[http]'")

from tiny_adapter import TinyAdapter

from adapters.errors import ConfigError
from adapters.hosts.http_host import make_app
from adapters.hosts.http_server.options import HttpOptions
from adapters.hosts.http_server.state import HttpHost, ServedModel
from adapters.hosts.http_server.stream import jpeg_size
from adapters.records import Prediction

LABELS = ("a", "b", "c")
DROPPED = 0  # the level of frames between two ticks


class Session:
    """Consumes every frame whose level is not DROPPED. The best label's score is the level."""

    fps = 5.0

    def __init__(self, on_note: Callable[[str], object]) -> None:
        self.pushed: list[tuple[float, int, tuple[int, ...]]] = []
        self.resets, self.note, self.last = 0, on_note, None

    def reset(self) -> None:
        self.resets += 1
        self.last = None

    def push(self, frame: np.ndarray, seconds: float) -> Prediction:
        level = int(frame[0, 0, 0])
        self.pushed.append((round(seconds, 6), level, frame.shape))
        if level == 255:
            raise ZeroDivisionError("a fault of the model")
        if level == 77:
            self.note("something about the source")
        if level != DROPPED or self.last is None:
            scores = np.array([0.25, level / 255, 0.5], np.float32)
            self.last = Prediction(scores, LABELS, 0.0, seconds)
        return self.last


class Follower(TinyAdapter):
    """Streams at 5 frames per second."""

    @property
    def streams(self) -> bool:
        return True

    def open_stream(self, fps: float | None = None, *, source: str = "", on_note: Any = None) -> Session:
        if self.config["name"] == "broken":
            raise ConfigError("no stream today")
        self.session = Session(on_note)
        return self.session


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HttpHost]:
    still = TinyAdapter({"adapter": "tiny_adapter:TinyAdapter"})
    models = {name: ServedModel(name, Follower({"top_k": 2, "name": name}), LABELS) for name in ("moves", "broken")}
    models["still"] = ServedModel("still", still, still.labels)
    found = HttpHost(models, HttpOptions(workers=1, max_streams=1, timeout_seconds=30, max_megapixels=0.01), tmp_path)
    yield found
    found.close()


def frame(level: int, width: int = 4, height: int = 2) -> bytes:
    return np.full((height, width, 3), level, np.uint8).tobytes()


SIZE = {"width": 4, "height": 2}


def talk(
    host: HttpHost, *messages: Any, query: str = "model=moves", headers: Any = (), before: Any = None
) -> list[Any]:
    """A connection on which all of these are sent, dicts as JSON, and then nothing: what the app said, to its end.

    Rows as they are, then {"code": of the end} or {"refused": status}. before(number): called before each message.
    """
    sent: list[Any] = []

    async def run() -> None:
        left = [{"type": "websocket.connect"}]
        for message in messages:
            kind = "bytes" if isinstance(message, bytes) else "text"
            left.append({"type": "websocket.receive", kind: message if kind == "bytes" else json.dumps(message)})
        left.append({"type": "websocket.disconnect", "code": 1005})
        count = 0

        async def receive() -> Any:
            nonlocal count
            if before is not None and count:
                before(count)
            count += 1
            if not left:
                await asyncio.Event().wait()
            return left.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "websocket",
            "path": "/v1/stream",
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost"), *headers],
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
        }
        await make_app(host)(scope, receive, send)

    asyncio.run(run())
    found: list[Any] = []
    for message in sent:
        if message["type"] == "websocket.send":
            found.append(json.loads(message["text"]))
        elif message["type"] == "websocket.close":
            found.append({"code": message["code"]})
        elif message["type"] == "websocket.http.response.start":
            found.append({"refused": message["status"]})
    return found


def times(rows: list[Any]) -> list[float]:
    return [row["time"] for row in rows if "time" in row]


def session(host: HttpHost) -> Session:
    return host.models["moves"].adapter.session  # type: ignore[attr-defined,no-any-return]


# Frames and times -----------------------------------------------------------------------------------------------------


def test_frames_follow_one_another_at_the_models_rate_and_give_the_best_labels(host: HttpHost) -> None:
    rows = talk(host, SIZE, frame(10), frame(200), frame(30))
    assert session(host).pushed == [(0, 10, (2, 4, 3)), (0.2, 200, (2, 4, 3)), (0.4, 30, (2, 4, 3))]
    assert [[item["label"] for item in row["labels"]] for row in rows] == [["c", "a"], ["b", "c"], ["c", "a"]]
    assert rows[1]["labels"][0]["score"] == pytest.approx(200 / 255)
    assert times(rows) == [0, 0.2, 0.4]


def test_the_query_chooses_rate_and_number_of_labels(host: HttpHost) -> None:
    rows = talk(host, SIZE, frame(10), frame(20), query="model=moves&fps=4&top_k=3")
    assert times(rows) == [0, 0.25]
    assert [len(row["labels"]) for row in rows] == [3, 3]


def test_a_time_is_the_next_frames_and_later_ones_follow_it(host: HttpHost) -> None:
    rows = talk(host, SIZE, {"time": 7}, frame(10), frame(20), {"time": 9.5}, frame(30), frame(40))
    assert times(rows) == [7, 7.2, 9.5, 9.7]


def test_a_frame_that_is_not_consumed_gives_no_row(host: HttpHost) -> None:
    rows = talk(host, SIZE, frame(10), frame(DROPPED), frame(20), frame(DROPPED), {"end": True})
    assert times(rows) == [0, 0.4]
    assert rows[-1] == {"code": 1000}


def test_every_gives_a_row_for_each_stretch_and_the_last_at_the_end(host: HttpHost) -> None:
    messages = [SIZE, *(frame(10 + number) for number in range(9)), {"end": True}]
    rows = talk(host, *messages, query="model=moves&every=0.6")
    assert times(rows) == [0, 0.6, 1.2, 1.6]
    assert rows[-1] == {"code": 1000}
    rows = talk(host, *messages, query="model=moves&every=0.4")
    assert times(rows) == [0, 0.4, 0.8, 1.2, 1.6]


def test_where_time_goes_back_rows_go_on(host: HttpHost) -> None:
    """From the moment that it went back to."""
    moments = (10, 2, 1.8, 2.0, 2.2, 2.3)
    sent = [message for number, at in enumerate(moments) for message in ({"time": at}, frame(number + 1))]
    assert times(talk(host, SIZE, *sent, query="model=moves&every=0.5")) == [10, 2, 1.8, 2.3]


def test_a_reset_begins_at_0_again(host: HttpHost) -> None:
    rows = talk(host, SIZE, {"time": 5}, frame(10), {"reset": True}, frame(20), {"reset": True}, {"end": True})
    assert times(rows) == [5, 0]
    assert session(host).resets == 2
    rows = talk(host, SIZE, frame(10), {"reset": True}, frame(20), query="model=moves&every=9")
    assert times(rows) == [0, 0]
    assert times(talk(host, SIZE, {"time": 5}, {"reset": True}, frame(10))) == [0]
    rows = talk(host, SIZE, {"time": 5, "reset": False}, frame(10))
    assert times(rows) == [5]


def test_notes_come_before_the_row_and_once(host: HttpHost) -> None:
    rows = talk(host, SIZE, frame(77), frame(20))
    assert rows[0] == {"note": "something about the source"}
    assert [sorted(row) for row in rows] == [["note"], ["labels", "time"], ["labels", "time"]]


def test_times_are_told_to_the_millisecond(host: HttpHost) -> None:
    assert times(talk(host, SIZE, {"time": 1.23456}, frame(1))) == [1.235]


# Pictures -------------------------------------------------------------------------------------------------------------


def colored(progressive: bool) -> bytes:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:] = (20, 60, 200)  # BGR, as OpenCV writes it
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)])[1])


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_of_either_kind_is_read_as_rgb(host: HttpHost, progressive: bool) -> None:
    rows = talk(host, colored(progressive), SIZE, frame(30), {"width": None}, colored(progressive))
    assert len(rows) == 3
    pushed = session(host).pushed
    assert [item[2] for item in pushed] == [(48, 64, 3), (2, 4, 3), (48, 64, 3)]
    assert abs(pushed[0][1] - 200) < 8


def jpeg(*segments: tuple[int, bytes], filling: int = 0) -> bytes:
    parts = [b"\xff" * filling + bytes([0xFF, kind]) + (len(data) + 2).to_bytes(2) + data for kind, data in segments]
    return b"\xff\xd8" + b"".join(parts)


HEAD = b"\x08" + (300).to_bytes(2) + (500).to_bytes(2) + b"\x03"


@pytest.mark.parametrize("kind", [*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)])
def test_every_kind_of_frame_header_has_the_size(kind: int) -> None:
    tables = [
        (0xE1, b"exif" * 50),
        (0xC4, b"\x01" * 20),
        (0xC8, b"\x02" * 20),
        (0xCC, b"\x03" * 20),
        (0xDB, b"\0" * 65),
    ]
    for filling in (0, 3):
        data = jpeg(*tables, (kind, HEAD), filling=filling)
        assert jpeg_size(data) == (500, 300)
        assert jpeg_size(data[:-1]) == (500, 300)  # the size is whole, though the header is not
        assert jpeg_size(data[:-2]) is None
    assert jpeg_size(jpeg(*tables)) is None
    assert jpeg_size(b"\xff\xd9" + jpeg((kind, HEAD))[2:]) is None


# Ends -----------------------------------------------------------------------------------------------------------------


def ended(rows: list[Any], code: int, *words: str) -> None:
    assert rows[-1] == {"code": code}
    for word in words:
        assert word in rows[-2]["error"]


def test_what_was_wrong_with_what_was_sent_is_1008(host: HttpHost) -> None:
    ended(talk(host, SIZE, frame(1)[:-1]), 1008, "24 bytes, got 23")
    ended(talk(host, {"width": 4, "height": 0}), 1008, "at least 1")
    ended(talk(host, {"width": True, "height": 4}), 1008, "at least 1")
    ended(talk(host, {"width": 200, "height": 51}), 1008, "200x51")
    ended(talk(host, {"time": -0.1}), 1008, "at least 0")
    ended(talk(host, {"time": True}), 1008, "at least 0")
    ended(talk(host, {"times": 1}), 1008, "times")
    ended(talk(host, b"no picture"), 1008, "JPEG")
    assert len(talk(host, {"width": 200, "height": 50}, frame(1, 200, 50))) == 1
    assert host.streams == 0


def test_a_fault_of_the_server_is_1011(host: HttpHost, caplog: pytest.LogCaptureFixture) -> None:
    rows = talk(host, SIZE, frame(10), frame(255))
    ended(rows, 1011)
    assert "model" not in rows[-2]["error"]
    assert "a fault of the model" in caplog.text
    assert host.streams == 0


def test_a_server_that_shuts_down_is_1001(host: HttpHost) -> None:
    def drain(number: int) -> None:
        host.draining = number > 2

    rows = talk(host, SIZE, frame(10), frame(20), before=drain)
    ended(rows, 1001, "connect again")
    assert session(host).pushed == [(0, 10, (2, 4, 3))]


def test_silence_is_ended(host: HttpHost) -> None:
    host.options = HttpOptions(workers=1, timeout_seconds=0.05)
    sent: list[Any] = []

    async def run() -> None:
        left = [{"type": "websocket.connect"}]

        async def receive() -> Any:
            if not left:
                await asyncio.Event().wait()
            return left.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost")]
        scope = {"type": "websocket", "path": "/v1/stream", "query_string": b"model=moves", "headers": headers}
        await make_app(host)(scope, receive, send)

    asyncio.run(run())
    assert "0.05 s" in json.loads(sent[-2]["text"])["error"]
    assert sent[-1]["code"] == 1008
    assert host.streams == 0


# The handshake --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query, status",
    [
        ("model=still", 400),
        ("model=none", 404),
        ("", 400),
        ("model=moves&every=0", 400),
        ("model=moves&every=-1", 400),
        ("model=moves&fps=inf", 400),
        ("model=moves&fps=x", 400),
        ("model=moves&model=moves", 400),
        ("model=moves&size=3", 400),
        ("model=broken", 400),
    ],
)
def test_a_query_that_asks_for_what_there_is_not(host: HttpHost, query: str, status: int) -> None:
    assert talk(host, query=query) == [{"refused": status}]
    assert host.streams == 0


def test_no_more_streams_than_allowed(host: HttpHost) -> None:
    host.streams = 1
    assert talk(host) == [{"refused": 429}]
    host.streams = 0
    assert talk(host) == []


def test_pages_of_others_are_refused(host: HttpHost) -> None:
    assert talk(host, headers=[(b"origin", b"http://page.example")]) == [{"refused": 403}]
    assert talk(host, headers=[(b"origin", b"http://localhost")]) == []


def test_frames_are_counted(host: HttpHost) -> None:
    talk(host, SIZE, frame(1), frame(DROPPED), {"time": 3}, frame(2))
    assert 'cliplab_stream_frames_total{model="moves"} 3.0' in host.metrics.text().decode()

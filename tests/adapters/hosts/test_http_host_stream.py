"""The HTTP host's WebSocket, by the real websockets client: frames in, running predictions out, one session each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from http_server import PATIENT, Served, http_host
from waiting import until

from adapters.hosts.http_server.stream import jpeg_size
from adapters.inference import open_model

pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")
pytest.importorskip("websockets", reason="pip install 'cliplab[http]'")

from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.sync import client as websockets

CONFIG = {
    "adapter": "movinet_adapter:MoViNetAdapter",
    "model_mode": "stream",
    "weights": "random",
    "imgz": 64,
    "n_frames": 4,
    "top_k": 2,
}
FPS = 5.0


@pytest.fixture(scope="module")
def bundle(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "moves.bundle"
    open_model(CONFIG).save(path)
    return path


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    still = tmp_path_factory.mktemp("still") / "still.json"
    still.write_text(json.dumps({"adapter": "tiny_adapter:TinyAdapter"}))
    with http_host([bundle, still], "--max-streams", 3, "--max-megapixels", 0.2) as host:
        yield host


def connect(served: Served, query: str = "model=moves", **options: Any) -> Any:
    url = f"{served.url.replace('http', 'ws', 1)}/v1/stream?{query}"
    return websockets.connect(url, open_timeout=PATIENT, ping_timeout=PATIENT, **options)


def pictures(count: int, seed: int = 0, size: int = 64) -> list[np.ndarray]:
    """uint8 [size, size, 3], brighter and brighter."""
    noise = np.random.default_rng(seed).uniform(0, 1, (count, size, size, 3))
    return list((noise * np.linspace(60, 255, count)[:, None, None, None]).astype(np.uint8))


def raw(socket: Any, frames: list[np.ndarray], width: int = 64, height: int = 64) -> list[dict[str, Any]]:
    """Frames sent raw, and a row for each."""
    socket.send(json.dumps({"width": width, "height": height}))
    rows = []
    for frame in frames:
        socket.send(frame.tobytes())
        rows.append(json.loads(socket.recv()))
    return rows


def direct(bundle: Path, frames: list[np.ndarray], times: list[float]) -> list[dict[str, float]]:
    session = open_model(bundle).open_stream()  # type: ignore[attr-defined] # it streams
    predictions = [session.push(frame, seconds) for frame, seconds in zip(frames, times, strict=True)]
    return [{item.label: item.score for item in found.top_k(2)} for found in predictions]


def scores(rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    return [{item["label"]: item["score"] for item in row["labels"]} for row in rows]


def test_raw_frames_give_what_a_session_gives(served: Served, bundle: Path) -> None:
    frames = pictures(8)
    with connect(served) as socket:
        rows = raw(socket, frames)
    times = [index / FPS for index in range(8)]
    assert [row["time"] for row in rows] == pytest.approx(times)
    assert scores(rows) == [pytest.approx(item) for item in direct(bundle, frames, times)]


def test_jpegs_are_read_as_rgb(served: Served, bundle: Path) -> None:
    """Pictures of one colour, which a JPEG keeps: red would be blue where channels were swapped."""
    frames = [np.full((64, 64, 3), colour, np.uint8) for colour in ((250, 10, 10), (200, 40, 40))]
    with connect(served) as socket:
        found = []
        for frame in frames:
            socket.send(cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes())
            found.append(json.loads(socket.recv()))
    for row, expected in zip(scores(found), direct(bundle, frames, [0.0, 0.2]), strict=True):
        assert row == pytest.approx(expected, abs=2e-3)


def test_times_decide_which_frames_are_consumed(served: Served, bundle: Path) -> None:
    frames, times = pictures(6), [0.0, 0.05, 0.1, 0.2, 0.4, 0.6]
    with connect(served) as socket:
        socket.send(json.dumps({"width": 64, "height": 64}))
        for frame, seconds in zip(frames, times, strict=True):
            socket.send(json.dumps({"time": seconds}))
            socket.send(frame.tobytes())
        socket.send(json.dumps({"end": True}))
        rows = [json.loads(message) for message in socket]
    assert [row["time"] for row in rows] == pytest.approx([0.0, 0.2, 0.4, 0.6])
    assert scores(rows)[-1] == pytest.approx(direct(bundle, frames, times)[-1])


def test_fewer_rows_on_request_and_the_last_at_the_end(served: Served) -> None:
    with connect(served, "model=moves&every=1&top_k=1&fps=5") as socket:
        socket.send(json.dumps({"width": 64, "height": 64}))
        for frame in pictures(8):
            socket.send(frame.tobytes())
        socket.send(json.dumps({"end": True}))
        rows = [json.loads(message) for message in socket]
    assert [row["time"] for row in rows] == pytest.approx([0.0, 1.0, 1.4])
    assert all(len(row["labels"]) == 1 for row in rows)


def test_each_connection_has_a_state_of_its_own_and_a_reset_forgets_it(served: Served) -> None:
    first, second = pictures(6, 1), pictures(6, 2)
    with connect(served) as one:
        alone = raw(one, first)
    with connect(served) as one, connect(served) as two:
        for socket in (one, two):
            socket.send(json.dumps({"width": 64, "height": 64}))
        mixed = []
        for mine, other in zip(first, second, strict=True):
            two.send(other.tobytes())
            one.send(mine.tobytes())
            mixed.append(json.loads(one.recv()))
        assert mixed == alone
        one.send(json.dumps({"reset": True}))
        assert raw(one, first) == alone


def test_another_size_is_noted(served: Served) -> None:
    with connect(served) as socket:
        raw(socket, pictures(1))
        socket.send(json.dumps({"width": 32, "height": 32}))
        socket.send(pictures(1, size=32)[0].tobytes())
        assert "32x32" in json.loads(socket.recv())["note"]
        assert json.loads(socket.recv())["time"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    "query, status",
    [("model=still", 400), ("model=nobody", 404), ("", 400), ("model=moves&fps=0", 400), ("model=moves&size=3", 400)],
)
def test_what_cannot_be_streamed_is_refused_at_the_handshake(served: Served, query: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(served, query):
        pass
    assert caught.value.response.status_code == status
    assert json.loads(caught.value.response.body)["error"]


def test_pages_of_others_are_refused_at_the_handshake(served: Served) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(served, origin="http://page.example"):
        pass
    assert caught.value.response.status_code == 403


def huge_jpeg() -> bytes:
    """A JPEG whose header claims 60,000 x 60,000 pixels."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = (60_000).to_bytes(2) * 2
    return bytes(data)


JPEG = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    "messages, words",
    [
        ([b"no picture"], "is not a complete JPEG"),
        ([b""], "is not a complete JPEG"),
        ([JPEG[:-40]], "is not a complete JPEG"),
        ([huge_jpeg()], "60000x60000"),
        (['{"width": 64, "height": 64}', b"\0" * 12287], "has 12288 bytes, got 12287"),
        (['{"width": 100000, "height": 100000}'], "at most 0.2 million"),
        (['{"width": 0, "height": 4}'], "at least 1"),
        (['{"width": 64}'], "None"),
        (['{"time": -1}'], "at least 0"),
        (['{"time": "now"}'], "at least 0"),
        (['{"time": NaN}'], "NaN"),
        (["{}"], "a text message may have"),
        (['{"frame": 1}'], "a text message may have"),
        (["[1]"], "must be a JSON object"),
        (["hello"], "is not JSON"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bad_messages_end_the_stream_with_a_reason(served: Served, messages: list[Any], words: str) -> None:
    with connect(served) as socket:
        for message in messages:
            socket.send(message)
        assert words in json.loads(socket.recv())["error"]
        with pytest.raises(ConnectionClosedError) as caught:
            socket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1008


@pytest.mark.parametrize("times", [[0, 1e300, 0.2], [1e308, 1e308], [5, 0, 5], [0, 1e-300, 3e9]])
def test_times_that_jump_begin_anew_and_break_nothing(served: Served, times: list[float]) -> None:
    with connect(served) as socket:
        socket.send(json.dumps({"width": 64, "height": 64}))
        for seconds, frame in zip(times, pictures(3), strict=False):
            socket.send(json.dumps({"time": seconds}))
            socket.send(frame.tobytes())
        socket.send(json.dumps({"end": True}))
        rows = [json.loads(message) for message in socket]
    assert any("labels" in row for row in rows)
    assert not any("error" in row for row in rows)


def test_a_message_larger_than_any_frame_ends_the_stream(served: Served) -> None:
    with connect(served) as socket:
        with suppress(ConnectionClosed):  # while it is being sent
            socket.send(bytes(700_000))
        with pytest.raises(ConnectionClosed):
            socket.recv()


def test_streams_are_counted_and_no_more_than_allowed(served: Served) -> None:
    with connect(served), connect(served), connect(served):
        with pytest.raises(InvalidStatus) as caught, connect(served):
            pass
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"]
    until(lambda: "cliplab_streams 0.0" in httpx.get(f"{served.url}/metrics", timeout=PATIENT).text)
    with connect(served) as socket:
        assert len(raw(socket, pictures(2))) == 2


def test_a_stream_without_frames_is_ended(bundle: Path) -> None:
    with http_host([bundle], "--timeout-seconds", 1) as impatient, connect(impatient) as socket:
        assert "no frame arrived for 1 s" in json.loads(socket.recv(PATIENT))["error"]


def test_a_client_that_vanishes_leaves_no_stream(served: Served) -> None:
    with suppress(ConnectionClosed, OSError), connect(served) as socket:
        socket.send(json.dumps({"width": 64, "height": 64}))
        for frame in pictures(4):
            socket.send(frame.tobytes())
        socket.socket.shutdown(SHUT_RDWR)  # without a word
    until(lambda: "cliplab_streams 0.0" in httpx.get(f"{served.url}/metrics", timeout=PATIENT).text)


def test_a_signal_ends_streams_as_going_away(bundle: Path) -> None:
    with http_host([bundle]) as host, connect(host) as socket:
        assert len(raw(socket, pictures(2))) == 2
        host.terminate()
        ended: list[BaseException] = []

        def follow() -> None:
            try:
                while True:
                    raw(socket, pictures(1))
                    time.sleep(0.02)
            except (ConnectionClosed, KeyError) as error:
                ended.append(error)

        thread = threading.Thread(target=follow)
        thread.start()
        assert host.process.wait(PATIENT) == 0
        thread.join(PATIENT)
        assert ended


def test_a_jpegs_size_is_read_from_its_head_alone() -> None:
    for height, width in ((1, 1), (64, 48), (333, 1000)):
        data = cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))[1].tobytes()
        assert jpeg_size(data) == (width, height)
        progressive = cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]
        assert jpeg_size(progressive.tobytes()) == (width, height)
    for data in (
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\x89PNG",
        b"\xff\xd8\xff\xff\xff",
        b"\xff\xd8" + b"\xff\xe0\0\0" * 99,
    ):
        assert jpeg_size(data) is None

"""Tensors of the Open Inference Protocol, read and written to the byte, with a model that tells what it was given."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="pip install 'cliplab[http]'")

from tiny_adapter import TinyAdapter

from adapters.errors import BundleError, ConfigError
from adapters.hosts.http_server import infer as http_infer
from adapters.hosts.http_server.errors import RequestError
from adapters.hosts.http_server.options import HttpOptions
from adapters.hosts.http_server.state import HttpHost, ServedModel
from adapters.records import Clip, Prediction

LABELS = ("a", "bé", "c")
FRAMES = np.arange(2 * 2 * 2 * 4 * 3, dtype=np.uint8).reshape(2, 2, 2, 4, 3)
TENSOR = {"name": "frames", "shape": [2, 2, 2, 4, 3], "datatype": "UINT8"}


class Known(TinyAdapter):
    """Equal scores for the first two labels, by the first level of the clip."""

    clips: Sequence[Clip] = ()

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        self.clips = batch
        levels = [clip.frames[0, 0, 0, 0] / 255 for clip in batch]
        return [Prediction(np.array([x, x, 1 - x], np.float32), LABELS, 0.0, 1.0) for x in levels]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HttpHost]:
    model = ServedModel("known", Known({"imgz": 32, "fps": 4.0}), LABELS)
    options = HttpOptions(workers=1, max_megapixels=0.001, max_tensor_mb=0.012288)
    found = HttpHost({"known": model}, options, tmp_path)
    yield found
    found.close()


def ask(host: HttpHost, tensor: dict[str, Any] | None = None, tail: bytes | None = None, **more: Any) -> Any:
    """The answer: its JSON, and the bytes behind it."""
    given = {"data": FRAMES.ravel().tolist()} if tail is None else {"parameters": {"binary_data_size": len(tail)}}
    head = json.dumps({"inputs": [TENSOR | given if tensor is None else tensor], **more}).encode()
    length = None if tail is None else str(len(head))
    body, headers = http_infer.infer(host, host.models["known"], bytearray(head + (tail or b"")), length)
    end = int(headers.get(http_infer.HEADER_LENGTH, len(body)))
    expected = "application/json" if end == len(body) else "application/octet-stream"
    assert headers["Content-Type"] == expected
    return json.loads(body[:end]), body[end:]


EXPECTED = [[0, 0, 1], [48 / 255, 48 / 255, 207 / 255]]


@pytest.mark.parametrize("form", ["flat", "nested", "binary"])
def test_frames_reach_the_model_in_each_form(host: HttpHost, form: str) -> None:
    nested = {**TENSOR, "data": FRAMES.tolist()} if form == "nested" else None
    answer, rest = ask(host, nested, FRAMES.tobytes() if form == "binary" else None)
    clips = host.models["known"].adapter.clips  # type: ignore[attr-defined]
    np.testing.assert_array_equal([clip.frames for clip in clips], FRAMES)
    assert [clip.times.tolist() for clip in clips] == [[0.0, 0.25]] * 2
    assert [(clip.start, clip.end, clip.source) for clip in clips] == [(0, 0.5, "frames[0]"), (0, 0.5, "frames[1]")]
    scores, labels = answer["outputs"]
    assert (scores["name"], scores["datatype"], scores["shape"]) == ("scores", "FP32", [2, 3])
    np.testing.assert_allclose(np.reshape(scores["data"], (2, 3)), EXPECTED, rtol=1e-6)
    assert labels == {"name": "labels", "datatype": "BYTES", "shape": [3], "data": list(LABELS)}
    assert (answer["model_name"], answer["model_version"], rest) == ("known", "1", b"")
    assert "id" not in answer


def test_outputs_in_binary_form_follow_the_json_in_order(host: HttpHost) -> None:
    answer, rest = ask(host, parameters={"binary_data_output": True}, id="7")
    sizes = [item["parameters"]["binary_data_size"] for item in answer["outputs"]]
    assert sizes == [24, sum(4 + len(label.encode()) for label in LABELS)]
    np.testing.assert_allclose(np.frombuffer(rest[:24], "<f4").reshape(2, 3), EXPECTED, rtol=1e-6)
    assert rest[24:] == b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in LABELS)
    assert not any("data" in item for item in answer["outputs"])
    assert answer["id"] == "7"


def test_an_outputs_own_form_goes_before_the_requests(host: HttpHost) -> None:
    outputs = [{"name": "labels", "parameters": {"binary_data": True}}, {"name": "scores"}]
    answer, rest = ask(host, outputs=outputs)
    assert [item["name"] for item in answer["outputs"]] == ["labels", "scores"]
    assert ("data" in answer["outputs"][0], "data" in answer["outputs"][1]) == (False, True)
    assert rest.startswith(b"\1\0\0\0a")
    outputs = [{"name": "scores", "parameters": {"binary_data": False}}]
    answer, rest = ask(host, outputs=outputs, parameters={"binary_data_output": True})
    assert ("data" in answer["outputs"][0], rest) == (True, b"")


@pytest.mark.parametrize("count, shown", [(1, 1), (2, 2), (9, 3)])
def test_the_best_classes_are_written_as_triton_writes_them(host: HttpHost, count: int, shown: int) -> None:
    answer, _ = ask(host, outputs=[{"name": "scores", "parameters": {"classification": count}}])
    [output] = answer["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, shown])
    first = ["1.000000:2:c", "0.000000:0:a", "0.000000:1:bé"][:shown]
    second = ["0.811765:2:c", "0.188235:0:a", "0.188235:1:bé"][:shown]
    assert output["data"] == first + second


def test_as_much_as_the_limits_and_no_more(host: HttpHost) -> None:
    """At most 4 frames at the model's 32 x 32, and 1000 pixels as they are sent."""

    def sent(clips: int, frames: int, height: int, width: int) -> Any:
        shape = [clips, frames, height, width, 3]
        tensor = {**TENSOR, "shape": shape, "parameters": {"binary_data_size": int(np.prod(shape))}}
        return ask(host, tensor, bytes(int(np.prod(shape))))

    sent(2, 2, 25, 40)
    for shape, words in (((5, 1, 2, 2), "15360"), ((1, 5, 2, 2), "12288"), ((1, 1, 11, 91), "91x11")):
        with pytest.raises(RequestError, match=words) as caught:
            sent(*shape)
        assert caught.value.status == 400


@pytest.mark.parametrize("error, status", [(ConfigError("a key"), 400), (BundleError("a file"), 500)])
def test_what_the_model_refuses_is_told(host: HttpHost, error: Any, status: int) -> None:
    def refuse(batch: Any) -> Any:
        raise error

    host.models["known"].adapter.predict = refuse  # type: ignore[method-assign]
    with pytest.raises(RequestError, match=str(error)) as caught:
        ask(host)
    assert caught.value.status == status


def test_what_a_model_is_described_as(host: HttpHost) -> None:
    found = http_infer.metadata(host.models["known"])
    assert found["inputs"] == [{"name": "frames", "datatype": "UINT8", "shape": [-1, -1, -1, -1, 3]}]
    assert [item["shape"] for item in found["outputs"]] == [[-1, 3], [3]]
    assert found["parameters"] == {"labels": list(LABELS), "task": "single_label"}


@pytest.mark.parametrize(
    "keys",
    [
        {"port": -1},
        {"port": 65536},
        {"queue": -1},
        {"workers": 0},
        {"max_streams": -1},
        *(
            {name: value}
            for name in ("max_body_mb", "max_tensor_mb", "timeout_seconds", "max_megapixels")
            for value in (0, float("inf"))
        ),
        {"token": "x" * 15},
        {"token": "ü" * 16},
        {"root": Path("/no/such/folder")},
        {"host": "0.0.0.0"},
    ],
)
def test_options_that_cannot_be(keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="token" if "host" in keys else next(iter(keys))):
        HttpOptions(**keys)


def test_options_at_their_ends_and_their_units() -> None:
    options = HttpOptions(port=65535, queue=0, workers=1, max_streams=0, token="x" * 16, max_megapixels=0.5)
    assert HttpOptions(port=0).port == 0
    assert (options.worker_count, options.frame_pixels) == (1, 500_000)
    assert (options.body_bytes, options.tensor_bytes) == (500_000_000, 64_000_000)

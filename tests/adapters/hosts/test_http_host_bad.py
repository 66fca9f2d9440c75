"""What a stranger may send to the HTTP host: each is one line of a 4xx; nothing crashes, nothing outside is read."""

from __future__ import annotations

import gzip
import json
import os
import resource
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from flat_videos import flat_video
from http_server import PATIENT, Served, http_host, raw_request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_videos import render_video
from waiting import until

from adapters.hosts.http_server.errors import RequestError
from adapters.hosts.http_server.options import HttpOptions
from adapters.hosts.http_server.videos import resolve_under_root
from adapters.inference import open_model

SECRET = "a line that nobody outside may see"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one video, links out of it in each way, and what must not be read beside it."""
    base = tmp_path_factory.mktemp("bad")
    root = base / "root"
    (root / "sub").mkdir(parents=True)
    render_video(root / "good.mp4", "warm", 0)
    flat_video(root / "long.mp4", 64, 64, 90 * 8)
    render_video(base / "outside.mp4", "cold", 1)
    (base / "secret.txt").write_text(SECRET)
    (root / "file_link.mp4").symlink_to(base / "outside.mp4")
    (root / "relative_link.mp4").symlink_to("../outside.mp4")
    (root / "folder_link").symlink_to(base)
    (root / "chain.mp4").symlink_to("file_link.mp4")
    (root / "circle.mp4").symlink_to("circle.mp4")
    (root / "sub" / "notes.txt").write_text("no video")
    os.mkfifo(root / "pipe.mp4")
    return base


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    open_model({"adapter": "tiny_adapter:TinyAdapter"}).save(folder / "tiny.bundle")
    open_model({"adapter": "tiny_adapter:TinyAdapter", "n_frames": 64, "imgz": 128}).save(folder / "wide.bundle")
    limits = ("--max-body-mb", 3, "--max-tensor-mb", 1, "--max-megapixels", 0.5, "--max-windows", 8000)
    with http_host([folder / "tiny.bundle"], "--root", folder / "root", *limits) as host:
        yield host
        # After all that: it answers, holds nothing, and left no file.
        good = httpx.post(f"{host.url}/v1/videos", json={"path": "good.mp4"}, timeout=PATIENT)
        assert good.status_code == 200, good.text
        for gauge in ("cliplab_jobs_inside", "cliplab_tensor_bytes", "cliplab_upload_bytes"):
            until(lambda: f"{gauge} 0.0" in metrics(host))  # noqa: B023 # called before the next
        assert host.uploads() == []


@pytest.fixture(scope="module")
def impatient(folder: Path, served: Served) -> Iterator[Served]:
    """One that waits for a second, which is not a time where the machine stalls: only what must end is asked of it."""
    models = (folder / "tiny.bundle", folder / "wide.bundle")
    with http_host(models, "--root", folder / "root", "--timeout-seconds", 1) as host:
        yield host


def metrics(host: Served) -> str:
    return httpx.get(f"{host.url}/metrics", timeout=PATIENT).text


@pytest.fixture(scope="module")
def http(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=PATIENT) as found:
        yield found


def refused(answer: httpx.Response, status: int, *words: str) -> str:
    """The answer's one line, after a look at its form."""
    assert answer.status_code == status, answer.text
    message = answer.json()["error"]
    assert list(answer.json()) == ["error"]
    assert "\n" not in message
    assert len(message) <= 600
    for word in words:
        assert word in message, message
    return str(message)


# Paths --------------------------------------------------------------------------------------------------------------

OUTSIDE = [
    "../outside.mp4",
    "sub/../../outside.mp4",
    "/etc/passwd",
    "..",
    "//etc/passwd",
    "..\\outside.mp4",
    "file_link.mp4",
    "relative_link.mp4",
    "chain.mp4",
    "folder_link/outside.mp4",
    "good.mp4\0.txt",
]
ABSENT = [
    "%2e%2e/outside.mp4",
    "..%2foutside.mp4",
    "~/x.mp4",
    "pipe.mp4",
    "sub",
    ".",
    "circle.mp4",
    "a" * 400,
]
URLS = [
    "file:///etc/passwd",
    "http://127.0.0.1:1/x.mp4",
    "https://example.com/x.mp4",
    "FILE:/etc/passwd",
    "concat://a|b",
]


@pytest.mark.parametrize(
    "path, status",
    [*((path, 403) for path in OUTSIDE), *((path, 404) for path in ABSENT), *((path, 400) for path in URLS)],
)
def test_no_path_leads_out_of_the_root(http: httpx.Client, path: str, status: int) -> None:
    refused(http.post("/v1/videos", json={"path": path}), status)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.sampled_from(["..", ".", "", "sub", "folder_link", "chain.mp4", "good.mp4", "\\", "%2e", "/"]))
)
def test_what_is_found_is_always_a_file_under_the_root(folder: Path, parts: list[str]) -> None:
    root = folder / "root"
    with suppress(RequestError):
        found, _ = resolve_under_root(root, {"path": "/".join(parts)})
        assert found == root / "good.mp4"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"path": 3}', b'{"path": ""}', b'{"paths": "a"}', b"\xff"]
)
def test_a_request_that_is_no_path(http: httpx.Client, body: bytes) -> None:
    refused(http.post("/v1/videos", content=body, headers={"Content-Type": "application/json"}), 400)


def test_without_a_root_no_file_is_read(folder: Path) -> None:
    with pytest.raises(RequestError, match="started without --root") as caught:
        resolve_under_root(None, {"path": "good.mp4"})
    assert caught.value.status == 403


def test_a_file_of_the_root_that_is_no_video_is_told_by_its_name_alone(http: httpx.Client, folder: Path) -> None:
    message = refused(http.post("/v1/videos", json={"path": "sub/notes.txt"}), 422, "sub/notes.txt: ")
    assert str(folder) not in message


# Uploads ------------------------------------------------------------------------------------------------------------


def upload(http: httpx.Client, data: bytes, name: str = "clip.mp4") -> httpx.Response:
    return http.post("/v1/videos", files={"file": (name, data, "video/mp4")})


@pytest.mark.parametrize(
    "make",
    [
        lambda path: b"",
        lambda path: b"not a video at all",
        lambda path: path.read_bytes()[:200],
        lambda path: os.urandom(20_000),
        lambda path: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        lambda path: b"ffconcat version 1.0\nfile /etc/passwd\n",
        lambda path: gzip.compress(b"\0" * 10_000_000),
    ],
    ids=["empty", "text", "cut short", "noise", "a playlist", "a list of files", "a zip bomb"],
)
def test_an_upload_that_is_no_video(http: httpx.Client, folder: Path, make: Any) -> None:
    message = refused(upload(http, make(folder / "root" / "good.mp4")), 422, "clip.mp4: ")
    assert "upload-" not in message


def test_frames_that_a_header_claims_to_be_huge_are_refused_before_decoding(http: httpx.Client, tmp_path: Path) -> None:
    data = flat_video(tmp_path / "bomb.mp4", 4096, 2160).read_bytes()
    assert len(data) < 20_000
    refused(upload(http, data), 422, "4096x2160", "at most 0.5 million")
    refused(upload(http, flat_video(tmp_path / "line.mp4", 8192, 16).read_bytes()), 422, "20:1")


@pytest.mark.parametrize(
    "name", ["../../escape.mp4", "/etc/cron.d/x", "a\\..\\b.mp4", "", "x" * 300 + ".mp4", 'clip.\n\r"mp4']
)
def test_a_file_name_is_only_a_name(http: httpx.Client, folder: Path, name: str) -> None:
    answer = upload(http, (folder / "root" / "good.mp4").read_bytes(), name)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        assert "/" not in answer.json()[0]["path"]
        assert "\\" not in answer.json()[0]["path"]


def form(body: bytes, boundary: str = "b") -> dict[str, Any]:
    return {"content": body, "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"}}


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'


@pytest.mark.parametrize(
    "request_, words",
    [
        (form(b""), "sent completely"),
        (form(PART + b"data"), "sent completely"),
        (form(b"--b--\r\n"), 'no field "file"'),
        (form(b"no boundary"), "boundary"),
        (form(PART + b"x\r\n" + PART + b"y\r\n--b--\r\n"), "twice"),
        (form(b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n'), "'other'"),
        (form(b"--b\r\nX: " + b"y" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n"), "header"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "no boundary"),
    ],
)
def test_a_form_that_is_none(http: httpx.Client, request_: dict[str, Any], words: str) -> None:
    refused(http.post("/v1/videos", **request_), 400, words)


def test_other_types_and_encodings_are_not_taken(http: httpx.Client) -> None:
    refused(http.post("/v1/videos", content=b"x", headers={"Content-Type": "video/mp4"}), 415, "video/mp4")
    for encoding in ("br", "zstd", "gzip, gzip", "compress"):
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        refused(http.post("/v1/videos", content=b"x", headers=headers), 415, encoding)


# Compressed bodies --------------------------------------------------------------------------------------------------


def raw_deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return machine.compress(data) + machine.flush()


def two_members(data: bytes) -> bytes:
    return gzip.compress(data[:50]) + gzip.compress(data[50:])


COMPRESSIONS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZIP", two_members),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
]


@pytest.mark.parametrize("encoding, compress", COMPRESSIONS)
def test_compressed_bodies_are_as_others(
    http: httpx.Client, folder: Path, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    tensor = json.dumps({"inputs": [GOOD]}).encode()
    plain = http.post("/v2/models/tiny/infer", content=tensor)
    assert http.post("/v2/models/tiny/infer", content=compress(tensor), headers=headers).json() == plain.json()
    path = json.dumps({"path": "good.mp4"}).encode()
    assert http.post("/v1/videos", content=compress(path), headers=headers).status_code == 200
    request = httpx.Request("POST", "http://a", files={"file": ("a.mp4", (folder / "root/good.mp4").read_bytes())})
    body = compress(request.read())
    found = http.post("/v1/videos", content=body, headers={**headers, "Content-Type": request.headers["Content-Type"]})
    assert found.status_code == 200, found.text


@pytest.mark.parametrize("encoding, compress", COMPRESSIONS)
def test_the_limits_count_what_comes_out(
    http: httpx.Client, served: Served, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    bomb = compress(b"\0" * 50_000_000)
    refused(http.post("/v1/videos", content=bomb, headers=headers), 413)
    refused(http.post("/v2/models/tiny/infer", content=bomb, headers=headers), 413, "1000000")
    form = {**headers, "Content-Type": "multipart/form-data; boundary=b"}
    refused(http.post("/v1/videos", content=compress(PART + bytes(50_000_000)), headers=form), 413, "3000000")
    assert served.uploads() == []


# Without the time of day, which would be in the names of the tests.
GZIPPED = gzip.compress(b"{}", mtime=0)


@pytest.mark.parametrize(
    "encoding, body",
    [
        ("gzip", b"no gzip at all"),
        ("gzip", GZIPPED[:-9]),
        ("gzip", GZIPPED + b"more"),
        ("gzip", GZIPPED[:-8] + bytes(8)),
        ("gzip", b"\x1f"),
        ("deflate", b"\xff" * 40),
        ("deflate", b"x"),
        ("deflate", zlib.compress(b"{}") + b"more"),
        ("deflate", GZIPPED),
    ],
)
def test_a_body_that_is_not_compressed_as_it_says(http: httpx.Client, encoding: str, body: bytes) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "multipart/form-data; boundary=b"}
    refused(http.post("/v1/videos", content=body, headers=headers), 400)
    headers["Content-Type"] = "application/json"
    refused(http.post("/v1/videos", content=body, headers=headers), 400, "Content-Encoding")
    refused(http.post("/v2/models/tiny/infer", content=body, headers=headers), 400, "Content-Encoding")


QUERIES = {
    "model=no": ("'no'", "tiny"),
    "top_k=0": ('"top_k"', ">= 1", "got 0"),
    "top_k=x": ("top_k must be a whole number", "got 'x'"),
    "top_k=1.5": ("top_k must be a whole number", "got '1.5'"),
    "top_k=1&top_k=2": ("'top_k' is unknown or given twice", "model, window_seconds, stride_seconds, top_k, shape"),
    "windows=2": ("'windows' is unknown or given twice", "model, window_seconds, stride_seconds, top_k, shape"),
    "shape=csv": ("shape must be one of rows, hf", "got 'csv'"),
    "window_seconds=x": ("window_seconds must be a number", "got 'x'"),
    "window_seconds=0.00001": ('"window_seconds"', ">= 0.01"),
    "window_seconds=1&stride_seconds=0.00001": ('"stride_seconds"', ">= 0.01"),
    "stride_seconds=1": ('"stride_seconds" needs "window_seconds"',),
    "window_seconds=0": ('"window_seconds"', "got 0"),
    "window_seconds=nan": ("window_seconds must be above 0", "got nan"),
    "window_seconds=-1": ('"window_seconds"', "got -1"),
    "stride_seconds=inf": ('"stride_seconds"',),
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_that_asks_for_what_there_is_not(http: httpx.Client, query: str) -> None:
    answer = http.post(f"/v1/videos?{query}", json={"path": "good.mp4"})
    refused(answer, 404 if query == "model=no" else 400, *QUERIES[query])


def test_many_windows_are_ended_by_the_limit_on_time(impatient: Served) -> None:
    url = f"{impatient.url}/v1/videos?model=wide&window_seconds=0.01"
    refused(httpx.post(url, json={"path": "long.mp4"}, timeout=PATIENT), 504, "took longer than 1 s")
    until(lambda: "cliplab_jobs_inside 0.0" in metrics(impatient))


def test_windows_of_a_request_have_a_ceiling(http: httpx.Client) -> None:
    url = "/v1/videos?window_seconds=0.02&stride_seconds=0.01"
    message = refused(
        http.post(url, json={"path": "long.mp4"}), 422, "9,000 windows", "at most 8,000", "stride_seconds"
    )
    assert message.startswith("long.mp4: ")


def test_a_video_that_nobody_waits_for_any_more_is_not_read_on(folder: Path, served: Served) -> None:
    with http_host([folder / "wide.bundle"], "--root", folder / "root") as host:
        url = f"{host.url}/v1/videos?window_seconds=0.01"
        with pytest.raises(httpx.TimeoutException):
            httpx.post(url, json={"path": "long.mp4"}, timeout=0.5)
        until(lambda: "cliplab_jobs_inside 0.0" in metrics(host), HttpOptions().timeout_seconds / 3)


def test_a_full_disk_is_told_and_leaves_nothing(http: httpx.Client, served: Served) -> None:
    """A limit on the size of files stands in for it."""
    unlimited = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    try:
        refused(upload(http, bytes(1_000_000)), 507, "could not be written")
    finally:
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert served.uploads() == []


# Tensors ------------------------------------------------------------------------------------------------------------

GOOD = {"name": "frames", "shape": [1, 2, 4, 4, 3], "datatype": "UINT8", "data": [7] * 96}


def ask(http: httpx.Client, tensor: Any = None, **more: Any) -> httpx.Response:
    return http.post("/v2/models/tiny/infer", json={"inputs": [GOOD if tensor is None else tensor], **more})


TENSORS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"name": "video"}, "Invalid enum value 'video' - at `$.inputs[0].name`; allowed: frames"),
    ({"datatype": "FP32"}, "frames: datatype must be UINT8 (RGB levels), got 'FP32'"),
    ({"datatype": "uint8"}, "got 'uint8'"),
    ({"datatype": None}, "`$.inputs[0].datatype`"),
    ({"shape": [1, 2, 4, 4]}, "length 5, got 4 - at `$.inputs[0].shape`"),
    ({"shape": [1, 2, 4, 4, 4]}, "Invalid enum value 4 - at `$.inputs[0].shape[4]`; allowed: 3"),
    ({"shape": [0, 2, 4, 4, 3]}, "`int` >= 1 - at `$.inputs[0].shape[0]`"),
    ({"shape": [-1, 2, 4, 4, 3]}, "`int` >= 1 - at `$.inputs[0].shape[0]`"),
    ({"shape": [1, 2, 4, 4.0, 3]}, "got `float` - at `$.inputs[0].shape[3]`"),
    ({"shape": [True, 2, 4, 4, 3]}, "got `bool` - at `$.inputs[0].shape[0]`"),
    ({"shape": "1,2,4,4,3"}, "got `str` - at `$.inputs[0].shape`"),
    ({"shape": [2, 2, 4, 4, 3]}, "data has the shape [96], must be [2, 2, 4, 4, 3] or flat"),
    ({"shape": [1, 2**62, 2**62, 4, 3]}, "at most 0.5 million are allowed here"),
    ({"shape": [1, 1, 100_000, 1, 3]}, "1x100000, an aspect ratio above 20:1"),
    ({"shape": [1, 400_000, 1, 1, 3]}, "at most 1000000 are allowed"),
    ({"data": [7] * 95}, "data has the shape [95], must be [1, 2, 4, 4, 3] or flat"),
    ({"data": [256] * 96}, "data must be whole numbers 0..255 in the shape [1, 2, 4, 4, 3], or flat"),
    ({"data": [-1] * 96}, "data must be whole numbers 0..255 in the shape [1, 2, 4, 4, 3], or flat"),
    ({"data": [0.5] * 96}, "data must be whole numbers 0..255 in the shape [1, 2, 4, 4, 3], or flat"),
    ({"data": ["a"] * 96}, "data must be whole numbers 0..255 in the shape [1, 2, 4, 4, 3], or flat"),
    ({"data": [None] * 96}, "data must be whole numbers 0..255 in the shape [1, 2, 4, 4, 3], or flat"),
    ({"data": [[7] * 48, [7] * 47]}, "data must be whole numbers 0..255 in the shape [1, 2, 4, 4, 3], or flat"),
    ({"data": [10**30] * 96}, "data must be whole numbers 0..255 in the shape [1, 2, 4, 4, 3], or flat"),
    ({"data": {}}, "got `object` - at `$.inputs[0].data`"),
    ({"data": []}, "data has the shape [0]"),
    ({"parameters": []}, "got `array` - at `$.inputs[0].parameters`"),
    ({"parameters": {"binary_data_size": 96}}, "96 bytes must follow the JSON, but 0 did"),
    ({"parameters": {"binary_data_size": "96"}}, "at `$.inputs[0].parameters.binary_data_size`"),
)


@pytest.mark.parametrize(("change", "words"), TENSORS, ids=str)
def test_a_tensor_that_is_not_as_it_says(http: httpx.Client, change: dict[str, Any], words: str) -> None:
    refused(ask(http, {**GOOD, **change}), 400, words)


def test_an_output_that_there_is_not_lists_those_that_there_are(http: httpx.Client) -> None:
    answer = ask(http, outputs=[{"name": "scores"}, {"name": "best"}])
    refused(answer, 400, "Invalid enum value 'best' - at `$.outputs[1].name`; allowed: ", "scores", "labels")
    refused(ask(http, outputs=[{"name": "scores"}] * 2), 400, "outputs lists an output twice")
    parameters = {"classification": 1}
    refused(ask(http, outputs=[{"name": "labels", "parameters": parameters}]), 400, "classification is only for scores")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b"{}",
        b'{"inputs": {}}',
        b'{"inputs": []}',
        b'{"inputs": [1]}',
        json.dumps({"inputs": [GOOD, GOOD]}).encode(),
        json.dumps({"inputs": [GOOD], "id": 3}).encode(),
        json.dumps({"inputs": [GOOD], "outputs": [{"name": "logits"}]}).encode(),
        json.dumps({"inputs": [GOOD], "outputs": [{"name": "scores"}, {"name": "scores"}]}).encode(),
        json.dumps({"inputs": [GOOD], "outputs": [{"name": "scores", "parameters": {"classification": 0}}]}).encode(),
        json.dumps({"inputs": [GOOD], "outputs": [{"name": "scores", "parameters": {"binary_data": 1}}]}).encode(),
        json.dumps({"inputs": [GOOD], "parameters": {"binary_data_output": "yes"}}).encode(),
        b'{"inputs": [{"name": "frames", "data": [NaN]}]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"inputs": ' + b"9" * 10_000 + b"}",
    ],
)
def test_a_body_that_is_no_request(http: httpx.Client, body: bytes) -> None:
    refused(http.post("/v2/models/tiny/infer", content=body), 400)


@pytest.mark.parametrize(
    "size, sent, header",
    [
        (96, 95, None),
        (96, 97, None),
        (95, 95, None),
        (96, 0, None),
        (96, 96, 10**6),
        (96, 96, -1),
        (96, 96, "x"),
        (96, 96, 5),
    ],
)
def test_binary_tensors_of_another_length_than_declared(
    http: httpx.Client, size: int, sent: int, header: object
) -> None:
    tensor = {"name": "frames", "shape": [1, 2, 4, 4, 3], "datatype": "UINT8", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    length = {"Inference-Header-Content-Length": str(len(head) if header is None else header)}
    refused(http.post("/v2/models/tiny/infer", content=head + bytes(sent), headers=length), 400)


def test_too_much_is_413(http: httpx.Client, served: Served) -> None:
    refused(http.post("/v2/models/tiny/infer", content=bytes(1_100_000)), 413, "at most 1000000")
    refused(upload(http, bytes(3_100_000)), 413, "at most 3000000")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.binary(max_size=60), length=st.integers(-5, 80))
def test_no_bytes_crash_the_tensors(http: httpx.Client, head: bytes, length: int) -> None:
    headers = {"Inference-Header-Content-Length": str(length)}
    assert http.post("/v2/models/tiny/infer", content=head, headers=headers).status_code == 400


# Connections --------------------------------------------------------------------------------------------------------

HEAD = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"


def test_a_body_cut_short_is_told_so(served: Served) -> None:
    answer = raw_request(served.port, HEAD + b"only this", close=True)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"cut short" in answer


def test_a_body_that_comes_too_slowly_is_ended(impatient: Served) -> None:
    assert raw_request(impatient.port, HEAD + b"{").startswith(b"HTTP/1.1 408 ")


def test_what_is_no_http_is_400_in_the_same_form(served: Served) -> None:
    for data in (
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ):
        answer = raw_request(served.port, data + b"\r\n\r\n", close=True)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_chunks_of_unknown_length_are_not_taken(served: Served) -> None:
    head = b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert raw_request(served.port, head + b"1\r\nx\r\n0\r\n\r\n").startswith(b"HTTP/1.1 411 ")


def test_clients_that_leave_in_the_middle_leave_nothing(served: Served, folder: Path) -> None:
    data = (folder / "root" / "good.mp4").read_bytes()
    request = httpx.Request("POST", served.url, files={"file": ("a.mp4", data)})
    body = request.read()
    kind = request.headers["Content-Type"].encode()
    head = b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + kind + b"\r\n"
    for sent in (10, len(body) // 2, len(body) - 1, len(body)):
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:sent])
            if sent % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not close
    until(lambda: served.uploads() == [])


GET = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n"


def trickled(port: int, begun: bytes) -> tuple[float, bytes]:
    """Some bytes, then one each half second: how long the connection lasts, and what it answers."""
    start, answer = time.monotonic(), b""
    with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
        connection.sendall(begun)
        while time.monotonic() - start < 60:
            try:
                if not (more := connection.recv(1000)):
                    break
                answer += more
            except TimeoutError:
                if begun:
                    connection.sendall(b"x")
    return time.monotonic() - start, answer


@pytest.mark.slow(reason="waits for the limit on a request's head, 10 s")
def test_what_comes_byte_by_byte_is_ended(impatient: Served) -> None:
    """Nothing; a head; a second head on a connection that is kept; a body that nobody reads, since it was refused."""
    part = b"GET /v2 HTTP/1.1\r\nHost: loc"
    begun = [b"", part, GET + part, HEAD.replace(b"tiny", b"nobody")]
    with ThreadPoolExecutor(len(begun)) as pool:
        ended = list(pool.map(lambda data: trickled(impatient.port, data), begun))
    assert all(seconds < 60 for seconds, _ in ended), ended
    assert [answer.split(b"\r\n")[0] for _, answer in ended] == [
        b"",
        b"",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 404 Not Found",
    ]


def test_a_tensor_may_be_nested_as_its_shape_is(http: httpx.Client) -> None:
    """The good one among so many bad ones: else they could fail for a reason of their own."""
    flat = ask(http)
    nested = ask(http, {**GOOD, "data": np.full((1, 2, 4, 4, 3), 7).tolist()})
    assert flat.status_code == nested.status_code == 200
    assert flat.json() == nested.json()
    assert SECRET not in flat.text

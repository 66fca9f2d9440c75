"""Parts of the HTTP host alone: compressed bodies, options, names of models, budgets, addresses and its description."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("starlette", reason="pip install 'cliplab[http]'")

from adapters.errors import BundleError, ConfigError, MediaError, ScoresError, StorageError, WeightsError
from adapters.hosts.http_server.compression import Decompressor
from adapters.hosts.http_server.errors import RequestError, json_response, one_line, parse_json, to_request_error
from adapters.hosts.http_server.listening import listening, shown_url
from adapters.hosts.http_server.openapi import describe
from adapters.hosts.http_server.options import HttpOptions, is_loopback, read_token
from adapters.hosts.http_server.state import HttpHost, ServedModel, open_models
from adapters.hosts.http_server.worker_pool import RequestJob, WorkerPool
from adapters.litert import available_cores

TOKEN = "a-token-of-some-length"


# Compressed bodies


def raw_deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return machine.compress(data) + machine.flush()


PLAIN = bytes(range(256)) * 3000
BODIES = {
    "gzip": ("gzip", gzip.compress(PLAIN)),
    "x-gzip": ("x-gzip", gzip.compress(PLAIN)),
    "two members": ("gzip", gzip.compress(PLAIN[:1000]) + gzip.compress(PLAIN[1000:])),
    "zlib": ("deflate", zlib.compress(PLAIN)),
    "raw": ("deflate", raw_deflate(PLAIN)),
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_body_unfolds_in_whatever_pieces_it_comes(kind: str, step: int) -> None:
    encoding, body = BODIES[kind]
    machine = Decompressor(encoding)
    found = [piece for at in range(0, len(body), step) for piece in machine.feed(body[at : at + step])]
    machine.finish()
    assert b"".join(found) == PLAIN
    assert all(0 < len(piece) <= 1 << 18 for piece in found)
    assert len(found) > 1


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_that_is_cut_is_refused_at_its_end(kind: str) -> None:
    encoding, body = BODIES[kind]
    for cut in (1, len(body) // 2, len(body) - 1):
        machine = Decompressor(encoding)
        list(machine.feed(body[:cut]))
        with pytest.raises(RequestError, match="compressed data is incomplete") as caught:
            machine.finish()
        assert caught.value.status == 400


def test_a_body_of_nothing_is_whole() -> None:
    for encoding in ("gzip", "deflate"):
        machine = Decompressor(encoding)
        assert list(machine.feed(b"")) == []
        machine.finish()


def test_the_smallest_bodies_are_two_bytes_in_whatever_pieces() -> None:
    nothing = raw_deflate(b"")
    assert len(nothing) == 2
    for pieces in ([nothing], [nothing[:1], nothing[1:]], [nothing[:1], b"", nothing[1:]]):
        machine = Decompressor("deflate")
        assert [part for piece in pieces for part in machine.feed(piece)] == []
        machine.finish()
    machine = Decompressor("deflate")
    with pytest.raises(RequestError, match="1 extra bytes follow the compressed data"):
        [*machine.feed(nothing), *machine.feed(b"x")]


@pytest.mark.parametrize(
    "kind, rest, words", [("gzip", b"abc", "3 extra bytes follow"), ("zlib", b"\x1f\x8b", "2 extra bytes")]
)
def test_what_follows_a_body_is_refused(kind: str, rest: bytes, words: str) -> None:
    encoding, body = BODIES[kind]
    with pytest.raises(RequestError, match=words):
        list(Decompressor(encoding).feed(body + rest))


# Options


@pytest.mark.parametrize(
    "name, least", [("port", 0), ("queue", 0), ("workers", 1), ("max_streams", 0), ("max_windows", 1), ("decoders", 0)]
)
def test_whole_options_have_a_least_value(name: str, least: int) -> None:
    assert getattr(HttpOptions(**cast(Any, {name: least})), name) == least
    with pytest.raises(ConfigError, match=f"{name} is {least - 1} and must be a whole number of at least {least}"):
        HttpOptions(**cast(Any, {name: least - 1}))


@pytest.mark.parametrize(
    "name",
    ["max_body_mb", "max_tensor_mb", "timeout_seconds", "max_megapixels", "decoder_memory_mb", "decoder_seconds"],
)
def test_sizes_and_times_are_above_nothing_and_finite(name: str) -> None:
    assert getattr(HttpOptions(**cast(Any, {name: 0.001})), name) == 0.001
    for value in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match=f"{name} is .* must be a number above 0"):
            HttpOptions(**cast(Any, {name: value}))


def test_counts_and_times_that_are_not_given_follow_from_others() -> None:
    free = HttpOptions(timeout_seconds=7)
    assert (free.worker_count, free.decoder_count, free.decoding_seconds) == (available_cores(), free.worker_count, 7)
    given = HttpOptions(workers=3, decoders=0, timeout_seconds=7, decoder_seconds=2)
    assert (given.worker_count, given.decoder_count, given.decoding_seconds) == (3, 0, 2)
    assert HttpOptions(workers=3).decoder_count == 3
    sized = HttpOptions(max_body_mb=1.5, max_tensor_mb=2.5, max_megapixels=0.25)
    assert (sized.body_bytes, sized.tensor_bytes, sized.frame_pixels) == (1_500_000, 2_500_000, 250_000)


def test_ports_tokens_and_roots_at_their_bounds(tmp_path: Path) -> None:
    assert HttpOptions(port=65535).port == 65535
    with pytest.raises(ConfigError, match="port is 65536"):
        HttpOptions(port=65536)
    assert HttpOptions(token="x" * 16).token
    for token, words in (("x" * 15, "15 characters"), ("é" * 20, "20 characters"), ("", "0 characters")):
        with pytest.raises(ConfigError, match=f"the token has {words}"):
            HttpOptions(token=token)
    assert HttpOptions(root=tmp_path).root == tmp_path
    with pytest.raises(ConfigError, match=r"root is .*gone"):
        HttpOptions(root=tmp_path / "gone")


@pytest.mark.parametrize(
    "host, own",
    [("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("0.0.0.0", False),
     ("::", False), ("192.168.0.2", False), ("example.org", False), ("localhost.example.org", False), ("[::1", False)],
)  # fmt: skip
def test_without_a_token_only_addresses_of_this_machine_are_listened_on(host: str, own: bool) -> None:
    assert is_loopback(host) is own
    assert HttpOptions(host=host, token=TOKEN).host == host
    if not own:
        with pytest.raises(ConfigError, match="which other machines can reach"):
            HttpOptions(host=host)


def test_a_token_comes_from_its_file_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  from-the-file \n")
    assert read_token(file, "from-the-environment") == "from-the-file"
    assert read_token(None, "from-the-environment") == "from-the-environment"
    assert read_token(None, "") is read_token(None, None) is None
    file.write_text(" \n")
    with pytest.raises(ConfigError, match="is empty"):
        read_token(file, "other")
    file.write_bytes(b"\xff")
    for path in (file, tmp_path / "none"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_token(path, "other")


def test_an_address_is_bound_and_shown() -> None:
    with listening("127.0.0.1", 0) as one:
        port = one.getsockname()[1]
        assert port > 0
        assert shown_url("127.0.0.1", one) == f"http://127.0.0.1:{port}"
        assert shown_url("::1", one) == f"http://[::1]:{port}"
        one.listen()
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port}"), listening("127.0.0.1", port):
            pass
    assert one.fileno() == -1
    with pytest.raises(ConfigError, match="not an address of this machine"), listening("a..b", 0):
        pass


# Errors and JSON


@pytest.mark.parametrize("error", [BundleError, ScoresError, StorageError, WeightsError])
def test_faults_of_the_servers_files_are_the_servers(error: Callable[[str], Any]) -> None:
    assert to_request_error(error("x"), 422).status == 500


def test_other_faults_are_the_requests() -> None:
    assert (to_request_error(MediaError("x"), 422).status, to_request_error(ConfigError("x")).status) == (422, 400)
    assert to_request_error(MediaError("what is wrong")).message == "what is wrong"


def test_messages_are_one_line_of_at_most_six_hundred_characters() -> None:
    assert one_line("a\n b\t c ") == "a b c"
    assert one_line("x" * 600) == "x" * 600
    assert one_line("x" * 601) == "x" * 597 + "..."


@pytest.mark.parametrize(
    "data, words",
    [(b"[1]", "must be a JSON object, got list"), (b"{", "is not JSON"), (b'{"a": NaN}', "is not JSON"),
     (b"\xff", "is not JSON"), (b'{"a":' * 5000, "nested too deeply|is not JSON")],
)  # fmt: skip
def test_what_is_not_an_object_is_named(data: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=f"the body (?:{words})") as caught:
        parse_json(data, "the body")
    assert caught.value.status == 400


def test_answers_are_compact_json_in_utf8() -> None:
    answer = json_response({"é": ["\ud800", 1.5]}, 201, {"X-A": "b"})
    assert (answer.status_code, answer.headers["x-a"], answer.media_type) == (201, "b", "application/json")
    assert bytes(answer.body).decode() == '{"é":["?",1.5]}'


# Models and their names


def served(*names: str, streams: bool = False) -> dict[str, ServedModel]:
    adapter: Any = SimpleNamespace(streams=streams)
    return {name: ServedModel(name, adapter, ("x", "y")) for name in names}


def host_of(tmp_path: Path, *names: str, **options: Any) -> HttpHost:
    return HttpHost(served(*names), HttpOptions(workers=1, decoders=0, **options), tmp_path)


def test_bodies_in_progress_may_be_four_times_the_largest(tmp_path: Path) -> None:
    host = host_of(tmp_path, "a", max_body_mb=2, max_tensor_mb=3, max_windows=5, max_megapixels=0.5)
    assert (host.disk.limit_bytes, host.memory.limit_bytes) == (8_000_000, 12_000_000)
    with host.disk.share(1) as disk, host.memory.share(1) as memory:
        disk.grow(11)
        memory.grow(12)
        host.streams = 3
        text = host.metrics.text().decode()
    for name, value in (("upload_bytes", 11), ("tensor_bytes", 12), ("streams", 3), ("jobs_inside", 0)):
        assert f"cliplab_{name} {value}.0" in text
    limits = host.media_limits(lambda: "stop")
    assert (limits.windows, limits.frame_pixels, limits.stop()) == (5, 500_000, "stop")
    host.close()


@pytest.mark.parametrize("given, status", [(None, 400), ("c", 404)])
def test_a_model_that_is_not_named_or_not_there(tmp_path: Path, given: str | None, status: int) -> None:
    host = host_of(tmp_path, "a", "b")
    with pytest.raises(RequestError, match=r"one of a, b|served models: a, b") as caught:
        host.model(given)
    assert caught.value.status == status
    assert host.model("b").name == "b"
    assert host_of(tmp_path, "a").model(None).name == "a"


@pytest.mark.parametrize(
    "given, words",
    [("é=x", "got 'é'"), ("=x", "got ''"), ("a b=x", "got 'a b'"), ("-a=x", "got '-a'"), ("a" * 101 + "=x", "got 'a")],
)
def test_a_name_that_a_request_cannot_use_is_refused(given: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"a model's name has letters.*{words}"):
        open_models([given])


def test_a_model_is_called_by_its_file_or_by_the_name_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[Any, ...]] = []

    class Model:
        input_spec = SimpleNamespace(n_frames=2, height=3, width=4)

        def predict(self, clips: list[Any]) -> list[Any]:
            assert [clip.frames.shape for clip in clips] == [(2, 3, 4, 3)]
            return [SimpleNamespace(labels=("x", "y"))]

    def open_model(*given: Any) -> Model:
        opened.append(given)
        return Model()

    monkeypatch.setattr("adapters.hosts.http_server.state.open_model", open_model)
    names = ["m/a.tflite", "m/b.json", "m/c.yaml", "m/d.yml", "m/e.bundle", "f", "own=m/g.tflite"]
    found = open_models(names, {"top_k": 2}, ("module:Class",))
    assert list(found) == ["a", "b", "c", "d", "e", "f", "own"]
    assert found["own"].labels == ("x", "y")
    assert opened[-1] == ("m/g.tflite", {"top_k": 2}, ("module:Class",))
    with pytest.raises(ConfigError, match="two models are called a"):
        open_models(["m/a.tflite", "a=other"])
    with pytest.raises(ConfigError, match="no model is given"):
        open_models([])


# Its description


def test_the_model_of_a_query_is_needed_only_where_there_are_several(tmp_path: Path) -> None:
    def required(*names: str) -> dict[str, bool]:
        parameters = describe(host_of(tmp_path, *names))["paths"]["/v1/videos"]["post"]["parameters"]
        return {item["name"]: item["required"] for item in parameters}

    assert required("a") == dict.fromkeys(("model", "window_seconds", "stride_seconds", "top_k", "shape"), False)
    assert required("a", "b") == {**required("a"), "model": True}


@pytest.mark.parametrize(
    "path, method, more",
    [
        ("/v2/health/live", "get", ()),
        ("/v2/health/ready", "get", ()),
        ("/v2", "get", ()),
        ("/metrics", "get", ()),
        ("/v2/models/{model}", "get", ("404",)),
        ("/v2/models/{model}/versions/{version}/ready", "get", ("404",)),
        ("/v2/models/{model}/infer", "post", ("404", "408", "429", "504")),
        ("/v1/videos", "post", ("404", "408", "422", "429", "504", "507")),
    ],
)
def test_each_operation_lists_the_statuses_that_it_may_answer(
    tmp_path: Path, path: str, method: str, more: tuple[str, ...]
) -> None:
    operation = describe(host_of(tmp_path, "a"))["paths"][path][method]
    always = {"200", "400", "401", "403", "411", "413", "415", "503"}
    assert set(operation["responses"]) == always | set(more)
    assert all(answer["description"] for answer in operation["responses"].values())
    assert operation["summary"]
    assert ("security" in operation) is path.startswith("/v2/health")


def test_each_operation_has_a_name_of_its_own_and_its_parameters(tmp_path: Path) -> None:
    paths = describe(host_of(tmp_path, "a", "b"))["paths"]
    names = [operation["operationId"] for path in paths.values() for operation in path.values() if "operationId" in
             operation]  # fmt: skip
    assert len(names) == len(set(names)) == 12
    versioned = paths["/v2/models/{model}/versions/{version}/infer"]
    assert [item["name"] for item in versioned["parameters"]] == ["model", "version"]
    assert versioned["parameters"][0]["schema"] == {"enum": ["a", "b"]}
    assert all(item["required"] and item["in"] == "path" for item in versioned["parameters"])
    (header,) = versioned["post"]["parameters"]
    assert header["schema"] == {"type": "integer", "minimum": 2}
    assert set(versioned["post"]["responses"]["200"]["content"]) == {"application/json", "application/octet-stream"}
    assert set(paths["/metrics"]["get"]["responses"]["200"]["content"]) == {"text/plain"}
    content = paths["/v1/videos"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    upload = content["multipart/form-data"]["schema"]
    assert upload["required"] == ["file"]
    assert upload["properties"] == {"file": {"type": "string", "contentMediaType": "video/*", "format": "binary"}}, (
        "by which clients know that it is a file"
    )


def test_every_schema_that_is_referred_to_is_there(tmp_path: Path) -> None:
    described = describe(host_of(tmp_path, "a"))
    text = json.dumps(described)
    referred = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert referred <= set(described["components"]["schemas"])
    assert {"Error", "Server", "Ready", "Live", "ModelMetadata", "InferRequest", "InferAnswer", "VideoFile"} <= referred
    assert described["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}


# Work


def test_the_last_place_of_a_queue_is_taken_and_the_wait_is_that_of_the_jobs_before() -> None:
    async def run() -> None:
        work, held = WorkerPool(2, 1, 60), threading.Event()
        tasks = []
        for count in range(3):
            work.check_capacity()
            tasks.append(asyncio.ensure_future(work.run(lambda job: held.wait(60))))
            await asyncio.sleep(0)
            assert (work.unfinished, work.waiting) == (count + 1, max(0, count - 1))
        with pytest.raises(RequestError, match="2 requests are running and 1 are waiting") as caught:
            await work.run(lambda job: None)
        assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
        held.set()
        assert await asyncio.gather(*tasks) == [True] * 3
        work._seconds = 4.0
        work.unfinished = 3
        with pytest.raises(RequestError) as caught:
            work.check_capacity()
        assert caught.value.headers == {"Retry-After": "6"}
        work.close()

    asyncio.run(run())


def test_a_job_knows_why_it_has_to_end() -> None:
    job: RequestJob[int] = RequestJob(lambda own: 7, 60)
    assert (job.started, job.seconds, job.stop_reason()) == (False, None, None)
    assert job.run() == 7
    assert job.started
    assert job.seconds is not None
    assert job.seconds >= 0
    late: RequestJob[int] = RequestJob(lambda own: 7, -1)
    assert "took longer than -1 s" in str(late.stop_reason())
    late.abandon()
    assert "disconnected" in str(late.stop_reason())


def test_an_answer_of_a_worker_and_its_error_reach_the_request() -> None:
    async def run() -> None:
        work = WorkerPool(1, 0, 60)
        assert await work.run_step(lambda: 5) == 5
        with pytest.raises(ZeroDivisionError):
            await work.run(lambda job: 1 // 0)
        assert await work.run(lambda job: 6) == 6
        while work.unfinished:
            await asyncio.sleep(0.001)
        assert not work._jobs
        work.close()
        with pytest.raises(RuntimeError, match="closed"):
            await work.run(lambda job: 6)

    asyncio.run(run())

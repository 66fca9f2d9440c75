"""The HTTP host as its clients meet it: the real tritonclient, videos, tokens, full queues, its end."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from command_line import cli, python
from http_server import HELD, PATIENT, QUICK, RELEASED, SLOW, Served, http_host
from tiny_videos import render_video
from waiting import until

from adapters.errors import ConfigError, install_command
from adapters.hosts.http_server.options import HttpOptions, read_token
from adapters.inference import open_model, predict_videos
from adapters.records import Clip
from cliplab.models import predict

client = pytest.importorskip("tritonclient.http", reason="pip install 'cliplab[dev]'")

TINY = {"adapter": "tiny_adapter:TinyAdapter"}
TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.bundle"
    open_model(TINY).save(path)
    return path


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "slow.json"
    path.write_text(json.dumps(SLOW))
    return path


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a video in a folder, and one beside it."""
    folder = tmp_path_factory.mktemp("library") / "root"
    (folder / "fire").mkdir(parents=True)
    render_video(folder / "fire" / "warm one.mp4", "warm", 0, seconds=2)
    render_video(folder.parent / "outside.mp4", "cold", 1)
    return folder


@pytest.fixture(scope="module")
def served(bundle: Path, slow: Path, library: Path) -> Iterator[Served]:
    with http_host([bundle, f"other={slow}"], "--root", library, "--workers", 2) as host:
        yield host


@pytest.fixture(scope="module")
def http(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=PATIENT) as found:
        yield found


def frames(seed: int = 0, clips: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (clips, 5, 20, 30, 3), np.uint8)


def expected(bundle: Path, batch: np.ndarray) -> np.ndarray:
    model, times = open_model(bundle), np.arange(batch.shape[1]) / 5
    clips = [Clip(item, times, "clip", 0.0, 1.0) for item in batch]
    return np.stack([prediction.scores for prediction in model.predict(clips)])


def tensor(batch: np.ndarray, binary: bool = True) -> Any:
    found = client.InferInput("frames", list(batch.shape), "UINT8")
    found.set_data_from_numpy(batch, binary_data=binary)
    return found


# Tensors, by the real client ----------------------------------------------------------------------------------------


def test_health_and_metadata_by_tritonclient(served: Served) -> None:
    triton = client.InferenceServerClient(served.url.removeprefix("http://"))
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("tiny")
    assert triton.is_model_ready("tiny", "1")
    assert not triton.is_model_ready("tiny", "2")
    assert not triton.is_model_ready("nobody")
    about = triton.get_server_metadata()
    assert about["name"] == "cliplab"
    assert "binary_tensor_data" in about["extensions"]
    model = triton.get_model_metadata("tiny")
    assert model["inputs"] == [{"name": "frames", "datatype": "UINT8", "shape": [-1, -1, -1, -1, 3]}]
    assert [item["name"] for item in model["outputs"]] == ["scores", "labels"]
    assert model["parameters"]["labels"] == ["cold", "warm"]


@pytest.mark.parametrize("binary_in", [True, False], ids=["binary in", "JSON in"])
@pytest.mark.parametrize("binary_out", [True, False], ids=["binary out", "JSON out"])
def test_scores_are_those_of_a_direct_predict(served: Served, bundle: Path, binary_in: bool, binary_out: bool) -> None:
    triton, batch = client.InferenceServerClient(served.url.removeprefix("http://")), frames()
    names = ("scores", "labels")
    outputs = [client.InferRequestedOutput(name, binary_data=binary_out) for name in names]
    result = triton.infer("tiny", [tensor(batch, binary_in)], outputs=outputs, request_id="mine")
    assert np.array_equal(result.as_numpy("scores"), expected(bundle, batch))
    labels = result.as_numpy("labels").tolist()
    assert [item.decode() if isinstance(item, bytes) else item for item in labels] == ["cold", "warm"]
    assert result.get_response()["id"] == "mine"
    assert result.get_response()["model_name"] == "tiny"


def test_all_outputs_come_where_none_is_named_and_a_version_may_be(served: Served, bundle: Path) -> None:
    triton, batch = client.InferenceServerClient(served.url.removeprefix("http://")), frames(1)
    result = triton.infer("tiny", [tensor(batch)], model_version="1")
    assert np.array_equal(result.as_numpy("scores"), expected(bundle, batch))
    assert result.as_numpy("labels").tolist() == [b"cold", b"warm"]


def test_the_best_classes_as_tritons_classification_gives_them(served: Served, bundle: Path) -> None:
    triton, batch = client.InferenceServerClient(served.url.removeprefix("http://")), frames(2)
    result = triton.infer("tiny", [tensor(batch)], outputs=[client.InferRequestedOutput("scores", class_count=1)])
    for row, scores in zip(result.as_numpy("scores"), expected(bundle, batch), strict=True):
        best = int(scores.argmax())
        assert row[0].decode() == f"{scores[best]:.6f}:{best}:{('cold', 'warm')[best]}"


def test_errors_reach_tritonclient_as_errors(served: Served) -> None:
    triton = client.InferenceServerClient(served.url.removeprefix("http://"))
    with pytest.raises(client.InferenceServerException, match="there is no model 'nobody'; served models: tiny, other"):
        triton.infer("nobody", [tensor(frames())])
    wrong = client.InferInput("frames", [1, 1, 2, 2, 3], "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 1, 2, 2, 3), np.float32))
    with pytest.raises(client.InferenceServerException, match="datatype must be UINT8"):
        triton.infer("tiny", [wrong])


# Videos -------------------------------------------------------------------------------------------------------------


def test_an_upload_gives_the_rows_of_predict(http: httpx.Client, bundle: Path, library: Path, served: Served) -> None:
    path = library / "fire" / "warm one.mp4"
    rows = predict(bundle, [path]).to_json()
    with path.open("rb") as file:
        answer = http.post("/v1/videos", params={"model": "tiny"}, files={"file": (path.name, file, "video/mp4")})
    assert answer.status_code == 200, answer.text
    assert answer.json() == [{**rows[0], "path": path.name}]
    assert served.uploads() == []


def test_a_path_under_the_root_and_windows_and_top_k(http: httpx.Client, bundle: Path, library: Path) -> None:
    query = {"model": "tiny", "window_seconds": 1, "stride_seconds": 0.5, "top_k": 1}
    answer = http.post("/v1/videos", params=query, json={"path": "fire/warm one.mp4"})
    assert answer.status_code == 200, answer.text
    report = predict(bundle, [library / "fire/warm one.mp4"], window_seconds=1, stride_seconds=0.5, top_k=1)
    assert answer.json() == [{**report.to_json()[0], "path": "fire/warm one.mp4"}]
    assert len(answer.json()[0]["predictions"]) == 3


def test_the_pipeline_shape(http: httpx.Client, bundle: Path, library: Path) -> None:
    answer = http.post("/v1/videos?model=tiny&shape=hf", json={"path": "fire/warm one.mp4"})
    (result,) = predict_videos(open_model(bundle), [library / "fire/warm one.mp4"])
    assert answer.json() == [{"score": item.score, "label": item.label} for item in result.predictions[0].top_k(2)]


def test_a_video_in_pieces_of_any_size_arrives(http: httpx.Client, library: Path) -> None:
    """Boundaries and headers of the form fall on every side of the pieces that the network makes."""
    path = library / "fire" / "warm one.mp4"
    whole = httpx.Request("POST", "http://x", files={"file": (path.name, path.read_bytes())})
    body = whole.read()
    for size in (1_000, 4_999):
        pieces = (body[at : at + size] for at in range(0, len(body), size))
        headers = {"Content-Type": whole.headers["Content-Type"], "Content-Length": str(len(body))}
        assert http.post("/v1/videos?model=tiny", content=pieces, headers=headers).status_code == 200


def test_a_link_within_the_root_is_followed(http: httpx.Client, library: Path) -> None:
    (library / "link.mp4").symlink_to(library / "fire" / "warm one.mp4")
    assert http.post("/v1/videos?model=tiny", json={"path": "link.mp4"}).status_code == 200


# Who may ask --------------------------------------------------------------------------------------------------------


def test_other_machines_are_served_with_a_token_only() -> None:
    with pytest.raises(ConfigError, match=r"host is 0\.0\.0\.0, which other machines can reach, but no token is set"):
        HttpOptions(host="0.0.0.0")
    assert HttpOptions(host="0.0.0.0", token=TOKEN).token == TOKEN
    with pytest.raises(ConfigError, match="must have at least 16"):
        HttpOptions(token="short")


def test_a_token_is_asked_for_everywhere_but_by_probes(bundle: Path) -> None:
    with http_host([bundle], "--host", "0.0.0.0", token=TOKEN) as host:
        url = f"http://127.0.0.1:{host.port}"
        assert httpx.get(f"{url}/v2/health/ready", timeout=PATIENT).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer"}):
            for path in ("/v2", "/metrics", "/openapi.json", "/v2/models/tiny"):
                answer = httpx.get(f"{url}{path}", headers=headers, timeout=PATIENT)
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
        good = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{url}/v2", headers=good, timeout=PATIENT).status_code == 200
        triton = client.InferenceServerClient(f"127.0.0.1:{host.port}")
        assert triton.infer("tiny", [tensor(frames())], headers=good).as_numpy("scores").shape == (2, 2)


@pytest.mark.parametrize("headers", [{"Host": "rebound.example"}, {"Origin": "http://page.example"}])
def test_without_a_token_web_pages_are_turned_away(http: httpx.Client, headers: dict[str, str]) -> None:
    assert http.get("/v2", headers=headers).status_code == 403


# Many, slow, gone, the end ------------------------------------------------------------------------------------------


def infer(url: str, model: str, batch: np.ndarray, timeout: float = PATIENT) -> httpx.Response:
    inputs = {"name": "frames", "shape": list(batch.shape), "datatype": "UINT8", "data": batch.ravel().tolist()}
    return httpx.post(f"{url}/v2/models/{model}/infer", json={"inputs": [inputs]}, timeout=timeout)


def gauge(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics", timeout=PATIENT).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0].partition(" ")[0] == name)


@pytest.fixture(scope="module")
def narrow(slow: Path) -> Iterator[Served]:
    """One worker, and room for two that wait."""
    with http_host([slow], "--workers", 1, "--queue", 2) as host:
        yield host


def test_a_full_queue_says_when_to_come_again(narrow: Served) -> None:
    host = narrow
    host.hold()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        taken = [pool.submit(infer, host.url, "slow", HELD) for _ in range(3)]
        until(lambda: gauge(host.url, "cliplab_jobs_inside") == 3)
        refused = infer(host.url, "slow", QUICK)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        host.release()
        assert [answer.result().status_code for answer in taken] == [200] * 3
    until(lambda: gauge(host.url, "cliplab_jobs_inside") == 0)
    assert infer(host.url, "slow", QUICK).status_code == 200


def test_what_takes_too_long_is_told_so(slow: Path) -> None:
    with http_host([slow], "--workers", 1, "--timeout-seconds", 0.5) as host:
        assert infer(host.url, "slow", HELD).status_code == 504
        waiting = infer(host.url, "slow", QUICK)  # behind the one that nobody waits for any more
        assert waiting.status_code == 503
        host.release()
        until(lambda: infer(host.url, "slow", QUICK).status_code == 200)


def test_a_client_that_leaves_frees_its_place_in_the_queue(narrow: Served) -> None:
    host = narrow
    host.hold()
    before = gauge(host.url, "cliplab_model_seconds_count")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        first = pool.submit(infer, host.url, "slow", HELD)
        until(lambda: gauge(host.url, "cliplab_jobs_inside") == 1)
        left = [pool.submit(infer, host.url, "slow", HELD, 0.2) for _ in range(2)]
        for answer in left:
            assert isinstance(answer.exception(), httpx.TimeoutException)
        until(lambda: gauge(host.url, "cliplab_jobs_inside") == 1)
        host.release()
        assert first.result().status_code == 200
    assert infer(host.url, "slow", QUICK).status_code == 200
    assert gauge(host.url, "cliplab_model_seconds_count") == before + 2, "what was left was computed"


def test_a_signal_finishes_what_was_taken_and_turns_the_rest_away(slow: Path) -> None:
    with http_host([slow], "--workers", 1) as host, concurrent.futures.ThreadPoolExecutor(3) as pool:
        with httpx.Client(base_url=host.url, timeout=PATIENT) as kept:
            assert kept.get("/v2/health/ready").status_code == 200
            taken = [pool.submit(infer, host.url, "slow", HELD) for _ in range(2)]
            until(lambda: gauge(host.url, "cliplab_jobs_inside") == 2)
            host.terminate()
            until(lambda: kept.get("/v2/health/ready").status_code == 503)
            assert kept.get("/v2/health/live").status_code == 200
            refused = infer(host.url, "slow", QUICK)
            assert refused.status_code == 503
            assert "shutting down" in refused.json()["error"]
        host.release()
        assert [answer.result().status_code for answer in taken] == [200, 200]
        assert host.process.wait(PATIENT) == 0
        assert [path.name for path in host.folder.iterdir()] == [RELEASED]


def test_a_second_signal_ends_it_at_once(slow: Path) -> None:
    with http_host([slow], code=-signal.SIGTERM) as host, concurrent.futures.ThreadPoolExecutor(1) as pool:
        taken = pool.submit(infer, host.url, "slow", HELD)
        until(lambda: gauge(host.url, "cliplab_jobs_inside") == 1)
        host.terminate()
        until(lambda: httpx.get(f"{host.url}/v2/health/ready", timeout=PATIENT).status_code == 503)
        host.terminate()  # nobody releases what it holds
        assert host.process.wait(PATIENT) == -signal.SIGTERM
        assert isinstance(taken.exception(), httpx.TransportError)


def test_uploads_of_a_server_that_was_killed_are_removed_by_the_next(bundle: Path, tmp_path: Path) -> None:
    left = tmp_path / "cliplab-http-left"
    left.mkdir()
    (left / "lock").touch()
    (left / "upload-1").write_bytes(b"half a video")
    from adapters.hosts.http_host import uploads_folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path))
        with uploads_folder() as first, uploads_folder() as second:  # the second leaves the living first alone
            assert not left.exists()
            assert first.is_dir()
            assert second.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_it_too(slow: Path) -> None:
    with http_host([slow]) as host:
        os.kill(host.process.pid, signal.SIGINT)
        assert host.process.wait(PATIENT) == 0


def test_metrics_count_requests_and_tell_the_time_of_models(http: httpx.Client) -> None:
    infer(str(http.base_url).rstrip("/"), "tiny", frames())
    http.get("/v2/models/nobody")
    text = http.get("/metrics").text
    assert 'cliplab_requests_total{operation="infer",status="200"}' in text
    assert 'cliplab_requests_total{operation="model_metadata",status="404"}' in text
    assert 'cliplab_model_seconds_count{model="tiny",operation="infer"}' in text
    assert "process_resident_memory_bytes" in text


# The command --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--host", "0.0.0.0"], "no token is set"),
        (["--port", "99999"], "port is 99999"),
        (["--root", "/no/such/folder"], "is not a folder"),
        (["--token-file", "/no/such/file"], "token file /no/such/file cannot be read"),
        (["--queue", "-1"], "queue is -1"),
        (["--timeout-seconds", "0"], "timeout_seconds is 0"),
        (["--max-megapixels", "nan"], "max_megapixels is nan"),
        (["tiny={bundle}"], "two models are called tiny"),
        (["bad name={bundle}"], "a model's name has letters"),
        (["/no/such.bundle"], "there is no such file"),
    ],
)
def test_a_mistake_in_the_command_is_one_line(bundle: Path, arguments: list[str], words: str) -> None:
    given = [argument.replace("{bundle}", str(bundle)) for argument in arguments]
    result = cli("host", "http", bundle, *given)
    assert result.exit_code in (1, 2), result.output
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_port_in_use_is_told(served: Served, bundle: Path) -> None:
    result = cli("host", "http", bundle, "--port", served.port)
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1 port {served.port}" in result.stderr


def test_a_token_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert read_token(tmp_path / "token", "another") == TOKEN
    assert read_token(None, "another") == "another"
    assert read_token(None, "") is None
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigError, match="is empty"):
        read_token(tmp_path / "empty", None)


def test_without_the_extra_the_command_names_it() -> None:
    code = (
        "import sys\nsys.modules['starlette'] = None\n"
        "from adapters.errors import MissingExtraError\n"
        "try:\n    import adapters.hosts.http_host\nexcept MissingExtraError as error:\n    print(error)"
    )
    done = python(code)
    assert install_command("http") in done.stdout, done.stderr

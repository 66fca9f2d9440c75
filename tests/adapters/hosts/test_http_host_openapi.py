"""The host does what its OpenAPI description says: schemathesis makes requests from it, good and bad."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import jsonschema
import pytest
from http_server import PATIENT, http_host
from tiny_videos import render_video

from adapters.hosts.http_host import make_app
from adapters.hosts.http_server.openapi import describe
from adapters.hosts.http_server.options import HttpOptions
from adapters.hosts.http_server.state import HttpHost, open_models
from adapters.inference import open_model

pytest.importorskip("schemathesis", reason="pip install 'cliplab[dev]'")

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.bundle"
    open_model({"adapter": "tiny_adapter:TinyAdapter"}).save(path)
    return path


def test_schemathesis_finds_nothing(bundle: Path, tmp_path: Path) -> None:
    """All its checks but one: no schema can say which bytes are a video, or that data must fit its shape."""
    with http_host([bundle], "--root", tmp_path, token=TOKEN) as host:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{host.url}/openapi.json", "--no-color"]
        command += ["--header", f"Authorization: Bearer {TOKEN}", "--phases", "coverage,fuzzing", "--seed", "1"]
        command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--max-examples", "10"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        assert "11 selected / 11 total" in done.stdout
        assert httpx.get(f"{host.url}/v2/health/ready", timeout=PATIENT).status_code == 200
        assert host.uploads() == []


def test_every_route_is_described(bundle: Path, tmp_path: Path) -> None:
    host = HttpHost(open_models([str(bundle)]), HttpOptions(), tmp_path)
    routes = {route.path for route in make_app(host).routes}
    assert routes - {"/v1/stream"} == set(describe(host)["paths"])


def test_the_description_names_the_models_and_the_token_where_there_is_one(bundle: Path, tmp_path: Path) -> None:
    models = open_models([f"a={bundle}", f"b={bundle}"])
    free, guarded = HttpHost(models, HttpOptions(), tmp_path), HttpHost(models, HttpOptions(token=TOKEN), tmp_path)
    (model, *_) = describe(free)["paths"]["/v1/videos"]["post"]["parameters"]
    assert model == {"name": "model", "in": "query", "required": True, "schema": {"enum": ["a", "b"]}}
    assert describe(free)["security"] == []
    assert describe(guarded)["security"] == [{"token": []}]
    assert describe(guarded)["paths"]["/v2/health/live"]["get"]["security"] == []
    assert TOKEN not in str(describe(guarded))


def test_good_answers_are_as_described(bundle: Path, tmp_path: Path) -> None:
    """Those that schemathesis seldom comes upon: of a video that is one, and of a tensor that fits its shape."""
    render_video(tmp_path / "clip.mp4", "warm", 0)
    tensor = {"name": "frames", "shape": [1, 1, 2, 2, 3], "datatype": "UINT8", "data": [9] * 12}
    with http_host([bundle], "--root", tmp_path) as host, httpx.Client(base_url=host.url, timeout=PATIENT) as http:
        description = http.get("/openapi.json").json()
        answers = {
            ("/v1/videos", "post"): [
                http.post(f"/v1/videos{query}", json={"path": "clip.mp4"})
                for query in ("", "?shape=hf", "?window_seconds=0.5&top_k=1")
            ],
            ("/v2/models/{model}/infer", "post"): [http.post("/v2/models/tiny/infer", json={"inputs": [tensor]})],
            ("/v2/models/{model}", "get"): [http.get("/v2/models/tiny")],
        }
    for (path, method), found in answers.items():
        content = description["paths"][path][method]["responses"]["200"]["content"]["application/json"]
        schema = {**content["schema"], "components": description["components"]}
        for answer in found:
            assert answer.status_code == 200, answer.text
            jsonschema.validate(answer.json(), schema)

"""MLflow: a stored model saved, loaded and served by MLflow itself. Nothing leaves this machine, nothing is pickled."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from environment import environment
from tiny_adapter import TinyAdapter
from tiny_videos import render_video
from waiting import until

from adapters.errors import BundleError, ConfigError
from adapters.inference import open_model, predict_videos
from adapters.media import read_clip

# Before MLflow is imported: it sends usage figures otherwise.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
os.environ.update(QUIET)
mlflow_host = pytest.importorskip("adapters.hosts.mlflow_host")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, its MLflow model, two videos and a damaged one."""
    folder = tmp_path_factory.mktemp("mlflow")
    TinyAdapter({}).save(folder / "bundle")
    mlflow_host.save_model(folder / "bundle", folder / "model", root=folder)
    render_video(folder / "warm.mp4", "warm", 0)
    render_video(folder / "cold.mp4", "cold", 1)
    (folder / "damaged.mp4").write_bytes((folder / "warm.mp4").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Any:
    import mlflow

    return mlflow.pyfunc.load_model(str(folder / "model"))


def expected(folder: Path, name: str, **windows: float) -> list[dict[str, Any]]:
    """The predictions that the library gives for a file, as JSON."""
    result = next(iter(predict_videos(open_model(folder / "bundle"), [folder / name], **windows)))
    assert result.error is None
    found: list[dict[str, Any]] = result.to_json(2)["predictions"]
    return found


def test_frames_are_limited_in_size_where_callers_are_not_trusted_with_paths(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_host, "FRAME_PIXELS", 100)
    adapter, path = open_model(folder / "bundle"), folder / "warm.mp4"
    table = pd.DataFrame([{"path": str(path)}, {"video": path.read_bytes()}])
    [own, sent] = mlflow_host.VideoModel(adapter).predict(table)["error"]
    assert own is None, "without a root the caller has the files of this machine anyway"
    assert "pixels" in sent
    [below_root, _] = mlflow_host.VideoModel(adapter, folder).predict(table)["error"]
    assert "pixels" in below_root


def test_a_table_of_paths_gives_a_row_a_video_and_errors_are_rows(folder: Path, loaded: Any) -> None:
    names = ["warm.mp4", "damaged.mp4", "missing.mp4", "cold.mp4"]
    table = loaded.predict(pd.DataFrame({"path": names}))
    assert list(table.columns) == ["path", "predictions", "error", "warnings"]
    assert list(table["path"]) == names
    assert table["predictions"][0] == expected(folder, "warm.mp4")
    assert table["predictions"][3] == expected(folder, "cold.mp4")
    assert table["error"][0] is None
    assert table["error"][3] is None
    assert "damaged.mp4: an MP4 or MOV without a readable index" in table["error"][1]
    assert "missing.mp4: no such file" in table["error"][2]
    assert str(folder) not in table["error"][1]


def test_bytes_frames_and_paths_in_one_table(folder: Path, loaded: Any) -> None:
    clip = read_clip(folder / "warm.mp4", open_model(folder / "bundle").input_spec)
    data = pd.DataFrame(
        {
            "path": [None, None, "cold.mp4", None],
            "video": [(folder / "warm.mp4").read_bytes(), None, None, None],
            "frames": [None, clip.frames, None, None],
            "fps": [None, 4.0, None, None],
        }
    )
    table = loaded.predict(data)
    assert table["predictions"][0] == expected(folder, "warm.mp4")
    assert table["predictions"][1] == expected(folder, "warm.mp4")
    assert table["predictions"][2] == expected(folder, "cold.mp4")
    assert list(table["path"]) == ["row 0", "row 1", "cold.mp4", "row 3"]
    assert table["error"][3] == "a row needs one of path, video, frames, got none of them"


@pytest.mark.parametrize(
    "frames, fps, reason",
    [
        (np.zeros((4, 8, 8), np.uint8), 5.0, "must be whole numbers [T, H, W, 3]"),
        (np.zeros((4, 8, 8, 3)), 5.0, "got float64"),
        (np.full((4, 8, 8, 3), 300), 5.0, "levels of 0..255"),
        (np.zeros((4, 8, 8, 3), np.uint8), None, "need fps"),
        (np.zeros((4, 8, 8, 3), np.uint8), -1.0, "need fps"),
        ([[[[1, 2, 3]]], [[[1, 2, 3], [1, 2, 3]]]], 5.0, "must have the same size"),
    ],
)
def test_frames_that_are_none_are_an_error_of_their_row(loaded: Any, frames: Any, fps: float, reason: str) -> None:
    table = loaded.predict(pd.DataFrame({"frames": [frames], "fps": [fps]}))
    assert reason in table["error"][0]
    assert table["predictions"][0] == []


@pytest.mark.parametrize(
    "cell", [5, True, ["warm.mp4"], {"a": "warm.mp4"}, pd.Timestamp("2024-01-01"), 1.5, b"warm.mp4"]
)
def test_cells_that_are_no_paths_are_an_error_of_their_row(folder: Path, cell: object) -> None:
    model = mlflow_host.VideoModel(open_model(folder / "bundle"), folder)
    table = model.predict(pd.DataFrame({"path": pd.Series([cell, "warm.mp4"], dtype=object)}))
    assert "path must be the name of a file" in table["error"][0]
    assert table["error"][1] is None


@pytest.mark.parametrize("fps", ["x", [5.0], float("inf"), True, 0, {"a": 1}])
def test_rates_that_are_none_are_an_error_of_their_row(folder: Path, fps: object) -> None:
    model = mlflow_host.VideoModel(open_model(folder / "bundle"), folder)
    table = model.predict(pd.DataFrame({"frames": [[[[[1, 2, 3]]]]], "fps": pd.Series([fps], dtype=object)}))
    assert "frames need fps, frames per second above 0" in table["error"][0]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"top_k": "x"}, "top_k must be at least 1, a whole number; got 'x'"),
        ({"top_k": float("nan")}, "top_k must be at least 1"),
        ({"top_k": True}, "top_k must be at least 1"),
        ({"topk": 1}, "parameter 'topk' is not known; use shape, top_k"),
        ("x", "params must be a mapping"),
    ],
)
def test_parameters_of_other_kinds_are_named(folder: Path, params: Any, reason: str) -> None:
    model = mlflow_host.VideoModel(open_model(folder / "bundle"), folder)
    with pytest.raises(mlflow_host.MlflowException, match=reason):
        model.predict(pd.DataFrame({"path": ["warm.mp4"]}), params)


def test_a_column_that_is_there_twice_is_refused(folder: Path) -> None:
    model = mlflow_host.VideoModel(open_model(folder / "bundle"), folder)
    with pytest.raises(mlflow_host.MlflowException, match="the column path more than once"):
        model.predict(pd.DataFrame([["warm.mp4", "b.mp4"]], columns=["path", "path"]))


def test_parameters(folder: Path, loaded: Any) -> None:
    data = pd.DataFrame({"path": ["warm.mp4"]})
    windows = {"window_seconds": 0.5, "stride_seconds": 0.25}
    assert loaded.predict(data, params=windows)["predictions"][0] == expected(folder, "warm.mp4", **windows)
    (rows,) = loaded.predict(data, params={"shape": "hf", "top_k": 1})
    assert rows == [dict(reversed(label.items())) for label in expected(folder, "warm.mp4")[0]["labels"][:1]]
    for params, reason in (
        ({"shape": "table"}, "shape must be one of rows, hf"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"window_seconds": -1.0}, "window_seconds"),
    ):
        with pytest.raises(Exception, match=reason):
            loaded.predict(data, params=params)
    with pytest.raises(Exception, match=r"missing\.mp4: no such file"):
        loaded.predict(pd.DataFrame({"path": ["missing.mp4"]}), params={"shape": "hf"})
    with pytest.raises(Exception, match="a table with a column path, video or frames"):
        loaded.predict(pd.DataFrame({"url": ["warm.mp4"]}))


def test_nothing_outside_the_root_is_read(
    folder: Path, loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    outside = render_video(tmp_path / "outside.mp4", "warm", 0)
    (folder / "link.mp4").symlink_to(outside)
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    names = [
        str(outside),
        f"../{outside.parent.name}/outside.mp4",
        "link.mp4",
        "file:///etc/passwd",
        "http://127.0.0.1",
        "circle.mp4",
        "a\0.mp4",
    ]
    errors = loaded.predict(pd.DataFrame({"path": names}))["error"]
    assert all("is outside the folder" in error for error in errors[:3])
    assert all("no such file" in error for error in errors[3:5])
    assert "symbolic links" in errors[5]
    assert errors[6] == "'a\\x00.mp4': is not a file name. Give a file of the folder that this model may read"
    monkeypatch.setenv("CLIPLAB_ROOT", str(tmp_path))
    elsewhere = mlflow.pyfunc.load_model(str(folder / "model"))
    assert elsewhere.predict(pd.DataFrame({"path": ["outside.mp4"]}))["error"][0] is None


def test_the_model_says_what_it_needs_and_shows_an_input(folder: Path, loaded: Any) -> None:
    model = folder / "model"
    text = (model / "MLmodel").read_text()
    assert "loader_module: adapters.hosts.mlflow_host" in text
    assert not [path for path in model.rglob("*") if path.suffix in {".pkl", ".pickle"}]
    assert "cloudpickle" not in text + (model / "requirements.txt").read_text() + (model / "conda.yaml").read_text()
    assert "cliplab[registry]==" in (model / "requirements.txt").read_text()
    inputs = loaded.metadata.signature.inputs
    assert inputs.input_names() == ["path", "video", "frames", "fps"]
    assert inputs.required_input_names() == []
    table = loaded.predict(loaded.input_example)
    assert table["error"][0] is None
    assert table["predictions"][0][0]["end"] == 1.0


def test_what_is_no_model_is_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file"):
        mlflow_host.save_model(tmp_path / "none", tmp_path / "model")
    with pytest.raises(ConfigError, match="contrst"):
        mlflow_host.save_model(folder / "bundle", tmp_path / "model", overrides={"contrst": 1})
    assert not (tmp_path / "model").exists()
    mlflow_host.save_model(folder / "bundle", tmp_path / "model", overrides={"top_k": 1})
    import mlflow

    kept = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert len(kept.predict(kept.input_example)["predictions"][0][0]["labels"]) == 1


def test_logged_to_a_run_and_loaded_from_the_registry(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    # A database takes ten seconds to make its tables.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "tracking").as_uri())
    try:
        with mlflow.start_run():
            mlflow_host.log_model(folder / "bundle", "clips", root=folder, registered_model_name="clips")
        table = mlflow.pyfunc.load_model("models:/clips/1").predict(pd.DataFrame({"path": ["warm.mp4"]}))
    finally:
        mlflow.set_tracking_uri(None)
    assert table["predictions"][0] == expected(folder, "warm.mp4")


def test_served_by_mlflow(served: str, folder: Path) -> None:
    """A real POST to `mlflow models serve`."""
    video = base64.b64encode((folder / "warm.mp4").read_bytes()).decode()
    status, body = post(served, {"dataframe_records": [{"path": "cold.mp4"}, {"path": "/etc/passwd"}]})
    assert status == 200
    good, bad = body["predictions"]
    assert good == {"path": "cold.mp4", "predictions": expected(folder, "cold.mp4"), "error": None, "warnings": []}
    assert "is outside the folder" in bad["error"]
    status, body = post(served, {"dataframe_records": [{"video": video}]})
    assert status == 200
    assert body["predictions"][0]["predictions"] == expected(folder, "warm.mp4")
    status, body = post(served, {"dataframe_records": [{"video": video}], "params": {"shape": "hf", "top_k": 1}})
    assert status == 200
    assert body["predictions"][0][0]["label"] == expected(folder, "warm.mp4")[0]["labels"][0]["label"]
    status, body = post(served, {"dataframe_records": [{"video": video}], "params": {"shape": "none"}})
    assert status == 400
    assert "shape must be one of rows, hf" in body["message"]
    status, body = post(served, b"path,fps,note\ncold.mp4,,a\n/etc/passwd,,\n", "text/csv")
    assert status == 200
    good, bad = body["predictions"]
    assert good == {"path": "cold.mp4", "predictions": expected(folder, "cold.mp4"), "error": None, "warnings": []}
    assert "is outside the folder" in bad["error"]
    status, body = post(served, b"video\naGVsbG8=\n", "text/csv; charset=utf-8")
    assert "CSV can only name paths" in body["predictions"][0]["error"]
    for data in (b"", b"nothing\n1\n", b"\xff", b'"a\nb'):
        assert post(served, data, "text/csv")[0] == 400


def test_csv_is_read_as_by_the_command_line(folder: Path, loaded: Any) -> None:
    from mlflow.pyfunc.scoring_server import parse_csv_input

    text = "path,fps\nwarm.mp4,\n0012,\n"
    as_server = parse_csv_input(io.StringIO(text), loaded.metadata.get_input_schema())
    assert list(as_server["path"]) == ["warm.mp4", "0012"]
    as_command = parse_csv_input(io.StringIO(text.replace("0012", "x12")))
    assert loaded.predict(as_server)["predictions"][0] == loaded.predict(as_command)["predictions"][0]


@pytest.fixture
def served(folder: Path) -> Iterator[str]:
    """The address of `mlflow models serve`, which starts its own server process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # MLflow starts uvicorn by name.
    variables = {**QUIET, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    where = ("--model-uri", str(folder / "model"), "--env-manager", "local", "--host", "127.0.0.1", "--port", port)
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", *where, "--workers", "1"],
            env=environment(**variables),
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until_up(f"http://127.0.0.1:{port}/ping", server, folder / "server.log")
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(120)


def wait_until_up(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    def is_up() -> bool:
        try:
            with urllib.request.urlopen(address, timeout=30):
                return True
        except OSError:
            assert server.poll() is None, log.read_text()
            return False

    until(is_up)


def post(address: str, value: Any, kind: str = "application/json") -> tuple[int, Any]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    request = urllib.request.Request(address, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=600) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)

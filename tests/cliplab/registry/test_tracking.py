"""MLflow beside the registry: runs, figures, files and aliases that its own client reads."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("mlflow", reason="needs MLflow: pip install 'cliplab[registry]'")
pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")

from environment import environment
from registry_files import TRUSTED, upload, use_registry
from waiting import until

from adapters.errors import StorageError
from adapters.system import file_digest
from cliplab.registry import open_registry, registry_init, registry_promote, registry_show
from cliplab.registry.tracking import fetch_artifact

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
NAME = "base-general"


def test_mlflow_keeps_runs_files_figures_and_aliases(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    place = tmp_path / "r"
    registry_init(place, tracking="mlflow.db")
    (tmp_path / "metrics.json").write_text('{"precision": 0.9}')
    upload(place, NAME, "1.0.0", metrics=tmp_path / "metrics.json", description="the first")
    report = registry_promote(NAME, "1.0.0", "staging", registry=place, trust_adapters=TRUSTED)
    assert not report.notes
    stored = registry_show(NAME, registry=place).version
    uri = f"sqlite:///{place / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    assert stored.run_id is not None
    run = client.get_run(stored.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"precision": 0.9}
    assert run.data.params["name"] == NAME
    alias = client.get_model_version_by_alias(NAME, "staging")
    assert (alias.run_id, alias.tags["cliplab.version"]) == (stored.run_id, "1.0.0")
    with open_registry(place, read_only=True) as registry:
        assert registry.artifact(NAME, "1.0.0") == place / stored.file
    (place / "mlflow.db").unlink()
    with open_registry(place, read_only=True) as registry:
        assert registry.artifact(NAME, "1.0.0").is_file(), "MLflow is not needed to read"


def test_a_file_that_mlflow_keeps_elsewhere_is_fetched_once_and_again_where_it_was_damaged(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "r"
    registry_init(place, tracking="mlflow.db", keys=False)
    upload(place, NAME, "1.0.0")
    stored = registry_show(NAME, registry=place).version
    elsewhere = replace(stored, file="mlflow-artifacts:/1/model.tflite")
    fetched: list[str] = []

    def download(artifact_uri: str, dst_path: str, tracking_uri: str) -> None:
        fetched.append(artifact_uri)
        shutil.copyfile(place / stored.file, Path(dst_path, "model.tflite"))

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", download)
    with open_registry(place, read_only=True) as registry:
        paths = [fetch_artifact(registry.place, elsewhere) for _ in range(2)]
        assert (fetched, paths[0]) == ([elsewhere.file], paths[1])
        paths[0].write_bytes(b"damaged")
        assert file_digest(fetch_artifact(registry.place, elsewhere)) == stored.sha256
    assert len(fetched) == 2


@contextmanager
def mlflow_server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real server of MLflow on loopback, which keeps files itself."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--serve-artifacts"]
    words += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "files")]
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "mlflow", "server", *words]
        # Its jobs are processes of their own, which nothing here needs.
        own = environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=own, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/health"), 300, what="MLflow's server answers", every=0.5)
        yield url, process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_it_is_alike_with_a_server_of_mlflow_until_that_is_killed(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    home = tmp_path / "server"
    home.mkdir()
    with mlflow_server(home) as (url, process):
        registry_init(tmp_path / "r", tracking=url, keys=False)
        use_registry(tmp_path / "r", tmp_path)
        assert len(list((home / "files").rglob("*.tflite"))) == 2
        assert "http://" not in capfd.readouterr().out, "what --json writes must be alone there"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with pytest.raises(StorageError, match="MLflow at http"):
            upload(tmp_path / "r", NAME, "1.2.0")
        report = registry_promote(NAME, "1.1.0", "staging", registry=tmp_path / "r", trust_adapters=TRUSTED)
    assert report.written
    assert any("alias was not moved" in note for note in report.notes)
    with open_registry(tmp_path / "r", read_only=True) as registry:
        assert [item.version for item in registry.versions(NAME)] == ["1.0.0", "1.1.0"]
        registry.check()


def test_a_tracking_server_that_is_down_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry_init(tmp_path / "r", tracking="http://127.0.0.1:9", keys=False)
    with pytest.raises(StorageError, match=r"MLflow at http://127\.0\.0\.1:9"):
        upload(tmp_path / "r", NAME, "1.0.0")
    with open_registry(tmp_path / "r", read_only=True) as registry:
        assert not registry.versions(NAME)

"""MLflow beside the registry: runs, figures, files and aliases that its own client reads."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mlflow", reason="needs MLflow: pip install 'cliplab[registry]'")
pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")

from registry_files import TRUSTED, upload

from adapters.errors import StorageError
from cliplab.registry import open_registry, registry_init, registry_promote, registry_show

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


def test_a_tracking_server_that_is_down_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry_init(tmp_path / "r", tracking="http://127.0.0.1:9", keys=False)
    with pytest.raises(StorageError, match=r"MLflow at http://127\.0\.0\.1:9"):
        upload(tmp_path / "r", NAME, "1.0.0")
    with open_registry(tmp_path / "r", read_only=True) as registry:
        assert not registry.versions(NAME)

"""The versions of a registry on the Models page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs pip install '.[studio]'")
pytest.importorskip("jinja2", reason="needs pip install '.[studio]'")
pytest.importorskip("alembic", reason="needs pip install '.[registry]'")

from starlette.testclient import TestClient

from cliplab.registry import Event, open_registry, registry_init
from cliplab.studio.app import make_app
from cliplab.studio.options import StudioOptions
from cliplab.studio.services import open_studio

HOSTILE = "fewer <b>misses</b>\u202e"


def upload(name: str, version: str, kind: str, f1: float, reason: str = "") -> Event:
    full = f"{name}-v{version}"
    details = {
        "file": f"artifacts/{full}",
        "file_name": f"{full}.tflite" if kind == "tflite" else f"{full}.tar",
        "format": kind,
        "sha256": "0" * 64,
        "size_bytes": 4_200_000,
        "metrics": {"f1": f1},
    }
    return Event("upload", name, version, reason=reason, details=details, who="ann")


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    folder = tmp_path / "registry"
    registry_init(folder, tracking="none", keys=False)
    with open_registry(folder) as opened:
        opened.append(upload("base", "1.0.0", "bundle", 0.81))
        opened.append(upload("base", "1.1.0", "tflite", 0.84, HOSTILE))
        opened.append(upload("sport", "2.0.0", "tflite", 0.9))
        opened.append(Event("promote", "base", "1.0.0", "production", None, "1.0.0", "the first one", who="ann"))
    return folder


def client_of(folder: Path, registry: Path | None) -> Iterator[TestClient]:
    folder.mkdir(exist_ok=True)
    with open_studio(StudioOptions(folder, registry=registry)) as studio:
        yield TestClient(make_app(studio), base_url="http://127.0.0.1:8080")


@pytest.fixture
def client(registry: Path, tmp_path: Path) -> Iterator[TestClient]:
    yield from client_of(tmp_path / "data", registry)


def test_versions_are_listed_newest_first_with_where_they_are_used(client: TestClient) -> None:
    page = client.get("/models").text.partition("Versions in the registry")[2]
    places = [page.index(name) for name in ("sport@2.0.0", "base@1.1.0", "base@1.0.0")]
    assert places == sorted(places)
    assert "production" in page[places[2] :]
    assert "production" not in page[: places[2]]
    assert "f1 0.84" in page
    assert "4.2 MB" in page
    assert "<b>misses" not in page
    assert "\u202e" not in page
    assert "cliplab registry download sport@2.0.0 models/sport-v2.0.0.tflite" in page


def test_a_copy_of_a_bundle_is_named_as_a_folder_and_the_filter_holds_here_too(client: TestClient) -> None:
    page = client.get("/models?q=BASE").text
    assert "base@1.1.0" in page
    assert "sport@2.0.0" not in page
    with open_registry(client.app.state.studio.options.registry) as opened:  # type: ignore[attr-defined]
        opened.append(upload("base", "1.2.0", "bundle", 0.9))
    assert "cliplab registry download base@1.2.0 models/base-v1.2.0</code>" in client.get("/models").text


def test_a_registry_that_was_named_and_is_not_there_is_said_and_the_page_works(tmp_path: Path) -> None:
    for client in client_of(tmp_path / "data", tmp_path / "secret" / "gone"):
        page = client.get("/models")
        assert page.status_code == 200
        assert "versions cannot be listed" in page.text
        assert "secret" not in page.text


def test_without_a_registry_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPLAB_REGISTRY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    for client in client_of(tmp_path / "data", None):
        page = client.get("/models").text
        assert "registry" not in page.partition("ready configs")[2].partition("<table")[0]
        assert "Versions in the registry" not in page

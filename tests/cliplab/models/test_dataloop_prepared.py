"""The programs of the Dataloop app, made before a pod starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import cli

from adapters.errors import ConfigError
from adapters.inference import open_model
from cliplab.api import dataloop_programs
from cliplab.models.dataloop_app import make_manifest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_program_is_cached_for_the_configuration_of_the_app(cache: Path) -> None:
    seen: list[str] = []
    tiny = {"weights": "random", "imgz": 64}
    report = dataloop_programs(["resnet18"], overrides=tiny, on_program=lambda done: seen.append(done.name))
    assert seen == ["resnet18"]
    assert report.folder == str(cache)
    [config] = [m["configuration"] for m in make_manifest()["components"]["models"] if m["name"] == "resnet18"]
    before = sorted((cache / "programs").glob("*.tflite"))
    assert len(before) == 1
    assert not open_model({**config, **tiny}).needs_conversion
    assert open_model({**config, **tiny}).program() is not None
    assert sorted((cache / "programs").glob("*.tflite")) == before


def test_each_size_of_movinet_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, Any]] = []

    class Opened:
        needs_conversion = True

        def program(self) -> None:
            return None

    def remember(config: dict[str, Any]) -> Opened:
        opened.append(config)
        return Opened()

    monkeypatch.setattr("cliplab.models.dataloop_prepared.open_model", remember)
    report = dataloop_programs(model_ids=["a0", "a5"])
    assert [done.name for done in report.programs] == [
        "movinet-base a0",
        "movinet-base a5",
        "movinet-stream a0",
        "movinet-stream a5",
        "efficientnet-lite",
        "resnet18",
    ]
    assert [config.get("model_id") for config in opened[:2]] == ["a0", "a5"]
    assert all(done.converted for done in report.programs)


def test_the_command(tmp_path: Path) -> None:
    done = cli("dataloop", "programs", "resnet18", "--set", "weights=random", "--set", "imgz=64", "--json")
    assert done.exit_code == 0, done.stderr
    assert [entry["model"] for entry in json.loads(done.stdout)["programs"]] == ["resnet18"]
    assert "resnet18: ready" in done.stderr
    assert cli("dataloop", "programs", "resnet19").exit_code == 2


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'movinet-bas' is not a model of the app.*movinet-base"):
        dataloop_programs(["movinet-bas"])
    with pytest.raises(ConfigError, match="a0 to a5"):
        dataloop_programs(["movinet-base"], [])
    with pytest.raises(ConfigError, match="model_id"):
        dataloop_programs(["movinet-base"], ["a9"])

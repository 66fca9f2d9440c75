"""What a model's configuration on Dataloop does not name follows its weights, as it does everywhere else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

from adapters.errors import ConfigError
from adapters.hosts.dataloop.config import open_configured, own_config

NAME = "movinet_a0_stream_int8.tflite"


@pytest.fixture
def stream() -> dict[str, Any]:
    models = json.loads((ROOT / "dataloop.json").read_text())["components"]["models"]
    found = next(model["configuration"] for model in models if model["name"] == "movinet-stream")
    return dict(found)


@pytest.mark.parametrize("place", ["a path", "an artifact"])
def test_the_manifests_stream_model_takes_the_published_int8_file(
    stream: dict[str, Any], shared: Path, tmp_path: Path, place: str
) -> None:
    weights = shared / "weights" / NAME
    if place == "an artifact":
        shutil.copy(weights, tmp_path / NAME)
    given = {**stream, "top_k": 1, "weights": str(weights) if place == "a path" else NAME}
    adapter = open_configured(own_config(given, "configuration"), tmp_path, "artifacts", given)
    assert (adapter.config["variant"], adapter.config["top_k"], len(adapter.labels)) == ("int8", 1, 600)


def test_a_size_that_the_file_is_not_for_is_refused_when_the_model_is_loaded(
    stream: dict[str, Any], shared: Path, tmp_path: Path
) -> None:
    given = {**stream, "model_id": "a5", "weights": str(shared / "weights" / NAME)}
    with pytest.raises(ConfigError, match='requires model_id "a0"'):
        open_configured(own_config(given, "configuration"), tmp_path, "artifacts", given)


def test_the_keys_that_a_configuration_leaves_out_have_their_defaults(stream: dict[str, Any], tmp_path: Path) -> None:
    config = own_config(stream, "configuration")
    assert open_configured(config, tmp_path, "artifacts", stream).config == config

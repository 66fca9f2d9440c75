"""Configurations of Dataloop's earlier MoViNet app open, and it is said what was taken for what."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from adapters.config import check_config, migrate_config
from adapters.config.old_dataloop import say_once
from adapters.errors import ConfigError, WeightsError
from adapters.hosts.dataloop.config import open_configured, own_config
from adapters.inference import open_model

# As the app's own manifest has it, and what its training wrote back.
MANIFEST = {
    "hub_version": 3,
    "model_id": "a0",
    "model_mode": "base",
    "imgz": 224,
    "batch_size": 2,
    "num_epochs": 8,
    "n_frames": 13,
    "top_k": 3,
    "learning_rate": 0.001,
}
TRAINED = MANIFEST | {
    "weights_filename": "best.h5",
    "num_frames": 16,
    "resolution": 172,
    "id_to_label_map": {"0": "cat", "1": "dog", "2": "cow"},
    "include_background": False,
}


@pytest.fixture(autouse=True)
def notes(caplog: pytest.LogCaptureFixture) -> Any:
    say_once.cache_clear()
    caplog.set_level(logging.WARNING, "cliplab.config")
    return caplog


def test_the_manifests_own_configuration_is_a_movinet_with_published_weights(notes: Any) -> None:
    config = check_config(MANIFEST, "old.json")
    assert config["adapter"] == "movinet_adapter:MoViNetAdapter"
    assert {key: config[key] for key in MANIFEST} == MANIFEST
    assert config["weights"] == "kinetics-600"
    assert "old.json" in notes.text
    assert "movinet_adapter:MoViNetAdapter" in notes.text


def test_what_its_training_wrote_is_taken_for_our_keys_and_said(notes: Any) -> None:
    config = check_config(TRAINED)
    found = {key: config[key] for key in ("weights", "n_frames", "imgz", "labels")}
    assert found == {"weights": "best.h5", "n_frames": 16, "imgz": 172, "labels": ["cat", "dog", "cow"]}
    for old in ("weights_filename", "num_frames", "resolution", "id_to_label_map"):
        assert f'"{old}"' in notes.text
    check_config(TRAINED)
    assert len(notes.records) == 5  # each once


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"hub_version": "2"}, {"hub_version": 2}),
        ({"weights_filename": None}, {"weights": "kinetics-600", "labels": None}),
        ({"id_to_label_map": {"0": "a", "2": "b"}}, {"labels": None}),
        ({"id_to_label_map": {0: "a", 1: "b"}}, {"labels": ["a", "b"]}),
        ({"labels": ["x", "y"]}, {"labels": ["x", "y"]}),
        ({"weights_filename": "x.tflite", "model_mode": "stream"}, {"weights": "x.tflite"}),
    ],
)
def test_other_forms_of_it(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    config = check_config(TRAINED | changes)
    assert {key: config[key] for key in expected} == expected


def test_configs_that_name_an_adapter_or_a_version_are_not_taken_for_it() -> None:
    with pytest.raises(ConfigError, match='"num_frames" is the old name'):
        migrate_config({"adapter": "movinet_adapter:MoViNetAdapter", **TRAINED})
    with pytest.raises(ConfigError, match='"adapter" is required'):
        check_config({"imgz": 224})
    with pytest.raises(ConfigError, match='"wieghts" is not a key'):
        check_config(MANIFEST | {"wieghts": "x"})


def test_weights_lie_beside_the_config_or_among_the_artifacts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TRAINED))
    (tmp_path / "best.h5").write_bytes(b"<html>Sign in</html>")
    adapter: Any = open_model(tmp_path / "config.json")
    assert adapter.config["weights"] == str(tmp_path / "best.h5")
    with pytest.raises(WeightsError, match="web page"):
        adapter.pretrained()
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    (artifacts / "best.h5").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    adapter = open_configured(own_config(TRAINED, "model"), artifacts, "artifacts")
    with pytest.raises(WeightsError, match="Git LFS pointer"):
        adapter.pretrained()


def test_the_variant_follows_the_file(shared: Path) -> None:
    weights = shared / "weights" / "movinet_a0_stream_int8.tflite"
    old = {"weights_filename": str(weights), "model_id": "a0", "model_mode": "stream", "hub_version": 3}
    assert open_model(old).config["variant"] == "int8"

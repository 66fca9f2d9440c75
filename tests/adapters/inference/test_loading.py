"""A model is opened once: each file read once, its config checked once, nothing rendered."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tiny_adapter import TinyAdapter

from adapters.bundle import golden_file, read_bundle, render_clip, write_bundle
from adapters.errors import BundleError, ConfigError
from adapters.inference import open_model, read_config, read_stored
from adapters.models.efficientnet_lite import EfficientNetLiteAdapter
from adapters.models.resnet18 import ResNet18Adapter
from adapters.protocols import StoredModel

SMALL = {"weights": "random", "imgz": 32, "n_frames": 2}


@pytest.fixture(scope="module")
def bundle(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "model"
    open_model("efficientnet_lite0", SMALL).save(path)
    return path


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file is opened, a config is checked ("check") and a clip is rendered ("render")."""
    counts: Counter[str] = Counter()
    open_path, open_descriptor = Path.open, os.open
    problems, render = EfficientNetLiteAdapter.config_problems, golden_file.render_clip

    def counted_path(self: Path, *arguments: Any, **named: Any) -> Any:
        counts[self.name] += 1
        return open_path(self, *arguments, **named)

    def counted_descriptor(path: Any, *arguments: Any, **named: Any) -> int:
        counts[Path(path).name] += 1
        return open_descriptor(path, *arguments, **named)

    def counted_problems(config: dict[str, Any]) -> Iterable[str]:
        counts["check"] += 1
        return problems(config)

    def counted_render(*arguments: Any, **named: Any) -> Any:
        counts["render"] += 1
        return render(*arguments, **named)

    monkeypatch.setattr(Path, "open", counted_path)
    monkeypatch.setattr(os, "open", counted_descriptor)
    monkeypatch.setattr(EfficientNetLiteAdapter, "config_problems", counted_problems)
    monkeypatch.setattr(golden_file, "render_clip", counted_render)
    return counts


def test_a_bundle_is_read_and_checked_once(bundle: Path, counts: Counter[str]) -> None:
    model = open_model(bundle)
    assert model.config["imgz"] == 32
    assert (counts["config.json"], counts["weights.safetensors"], counts["golden.npz"]) == (1, 1, 1)
    assert (counts["check"], counts["render"]) == (1, 0)


def test_a_key_beside_it_is_checked_once_more(bundle: Path, counts: Counter[str]) -> None:
    assert open_model(bundle, {"top_k": 1}).config["top_k"] == 1
    assert (counts["config.json"], counts["check"], counts["render"]) == (1, 2, 0)


def test_the_golden_clip_is_there_when_it_is_asked_for(bundle: Path, counts: Counter[str], tmp_path: Path) -> None:
    open_model(bundle).save(tmp_path / "copy")
    assert counts["render"] == 1
    assert open_model(tmp_path / "copy").labels == open_model(bundle).labels


def test_a_changed_config_is_checked_again(bundle: Path) -> None:
    config = open_model(bundle).config
    config["imgz"] = "large"
    with pytest.raises(ConfigError, match="imgz"):
        EfficientNetLiteAdapter(config)


def test_an_adapter_that_knows_load_alone_is_given_the_path(tmp_path: Path) -> None:
    class Plain(TinyAdapter):
        loaded: Path

        def load(self, local_path: str | Path) -> None:
            self.loaded = Path(local_path)

    config = {"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter"}
    TinyAdapter(config).save(tmp_path / "tiny")
    stored: StoredModel = read_stored(tmp_path / "tiny")
    model = Plain(stored.config)
    model.load_stored(stored)
    assert model.loaded == tmp_path / "tiny"


def test_a_model_of_another_class_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match="EfficientNetLiteAdapter"):
        ResNet18Adapter({"schema_version": 2, "adapter": "adapters.models.resnet18:ResNet18Adapter"}).load(bundle)


def test_float32_by_its_older_name_is_the_same_model(bundle: Path, tmp_path: Path) -> None:
    """Models saved before have "none" in their config."""
    stored = read_bundle(bundle)
    old = {**stored.config, "quantize": "none"}
    programs = {name: path.read_bytes() for name, path in stored.programs.items()}
    parts = {"metrics": {}, "golden": stored.golden, "card": stored.card, "weights": stored.weights()}
    write_bundle(tmp_path / "old", config=old, programs=programs, **parts)
    clip = render_clip(open_model(bundle).input_spec)
    expected = open_model(bundle).predict([clip])[0].scores
    for overrides in ({}, {"quantize": "none"}, {"quantize": "float32"}):
        model = open_model(tmp_path / "old", overrides)
        assert model.config["quantize"] == "float32"
        assert (model.predict([clip])[0].scores == expected).all()


def test_a_label_file_lies_beside_the_config_or_is_named_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    config = tmp_path / "configs" / "tiny.json"
    config.write_text('{"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter", "labels": "labels.txt"}')
    (tmp_path / "labels.txt").write_text("here\nthere\n")
    monkeypatch.chdir(tmp_path)
    assert read_config(config)["labels"] == ["here", "there"]
    (tmp_path / "configs" / "labels.txt").write_text("warm\nbeside\n")
    assert read_config(config)["labels"] == ["warm", "beside"]
    assert open_model(config).labels == ("warm", "beside")
    with pytest.raises(ConfigError, match=r"gone\.txt"):
        open_model(config, {"labels": "gone.txt"})

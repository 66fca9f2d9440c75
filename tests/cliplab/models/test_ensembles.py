"""`cliplab ensemble`: the short form of a list of models, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_adapter import TinyAdapter

from adapters.bundle import read_bundle, render_clip
from adapters.errors import ConfigError, StorageError
from adapters.inference import open_model
from cliplab.api import ensemble

MODELS = ("base-general-v1.0.0", "sports-nfl-v1.0.0", "temporal-v1.0.0")
# As people write it, from a guide on training models for television.
TEXT = """\
ensemble:
  models:
    - base-general-v1.0.0
    - sports-nfl-v1.0.0
    - temporal-v1.0.0
  voting: weighted
  weights: [0.5, 0.3, 0.2]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(MODELS):
        TinyAdapter({"imgz": 32, "n_frames": 4, "contrast": 0.2 + 0.3 * number}).save(tmp_path / name)
    (tmp_path / "ensemble.yaml").write_text(TEXT)
    return tmp_path


def scores(model: Any) -> np.ndarray:
    return model.predict([render_clip(model.input_spec)])[0].scores


def test_the_short_form_becomes_a_bundle_that_votes(folder: Path, tmp_path: Path) -> None:
    report = ensemble(folder / "ensemble.yaml", tmp_path / "out")
    assert report.models == MODELS
    assert report.shares == pytest.approx((0.5, 0.3, 0.2))
    assert (report.voting, report.labels, report.written) == ("weighted", ("cold", "warm"), True)
    assert report.size_bytes == sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    each = np.stack([scores(open_model(folder / name)) for name in MODELS])
    np.testing.assert_allclose(scores(open_model(tmp_path / "out")), [0.5, 0.3, 0.2] @ each, atol=1e-6)
    assert read_bundle(tmp_path / "out").config["members"] == [
        *("members/base-general-v1_0", "members/sports-nfl-v1_0", "members/temporal-v1_0")
    ]


@pytest.mark.parametrize(
    "keys, voting, shares",
    [
        ({}, "mean", None),
        ({"voting": "average"}, "mean", None),
        ({"voting": "soft"}, "mean", None),
        ({"voting": "soft", "weights": [1, 1, 2]}, "weighted", (0.25, 0.25, 0.5)),
        ({"voting": "hard"}, "majority", None),
        ({"voting": "max"}, "max", None),
        ({"weights": [1, 0, 0]}, "weighted", (1.0, 0.0, 0.0)),
    ],
)
def test_other_words_for_voting_and_a_dry_run(
    folder: Path, tmp_path: Path, keys: dict[str, Any], voting: str, shares: Any
) -> None:
    models = [str(folder / name) for name in MODELS]
    report = ensemble({"ensemble": {"models": models, **keys}}, tmp_path / "out", dry_run=True)
    assert (report.voting, report.shares, report.written) == (voting, shares, False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "keys, expected",
    [
        ({"voting": "weighted"}, r'voting "weighted" needs "weights", a number for each model, e\.g\. \[1, 1, 1\]'),
        ({"voting": "max", "weights": [1, 1, 1]}, 'voting "max" does not use "weights"'),
        ({"weights": [0.5, 0.5]}, r'"weights" must have a number for each model, .*got 2 for 3 models'),
        ({"weights": [0.5, -0.1, 0.6]}, r'"weights\[1\]" must be a number of at least 0, got -0.1'),
        ({"weights": [0.5, float("nan"), 0.6]}, r'"weights\[1\]" must be a number'),
        ({"weights": [True, 1, 1]}, r'"weights\[0\]" must be a number'),
        ({"weights": [0, 0, 0]}, '"weights" add up to 0'),
        ({"weights": [1e308, 1e308, 1e308]}, '"weights" add up to inf'),
        ({"weights": 0.5}, '"weights" must be a list'),
        ({"voting": "weigthed"}, 'must be one of mean, .* Did you mean "weighted"'),
        ({"voting": ["mean"]}, '"voting" must be one of'),
        ({"models": ["a"]}, "at least two models, got 1"),
        ({"models": ["a", "a", "b"]}, "names 'a' twice"),
        ({"models": "a"}, '"models" must be a list'),
        ({"models": [{"name": "a"}, "b"]}, '"models" must be a list of names'),
        ({"threshhold": 0.4}, 'Did you mean "threshold"'),
        ({"members": ["a", "b"]}, '"models" and "members" mean the same'),
        ({"adapter": "adapters.models.resnet18:ResNet18Adapter"}, "not that of an ensemble"),
        ({"imgz": 64}, '"imgz" belongs to the members'),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_file(
    folder: Path, tmp_path: Path, keys: dict[str, Any], expected: str
) -> None:
    config = {"models": [str(folder / name) for name in MODELS], **keys}
    with pytest.raises(ConfigError, match=expected):
        ensemble({"ensemble": config}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_models_are_found_by_name_and_the_nearest_is_named(folder: Path, tmp_path: Path) -> None:
    text = (folder / "ensemble.yaml").read_text()
    (folder / "ensemble.yaml").write_text(text.replace("sports-nfl-v1", "sports-nfl-v2"))
    with pytest.raises(ConfigError, match=r"'sports-nfl-v2\.0\.0' .*does not exist: .*you mean .sports-nfl-v1\.0\.0"):
        ensemble(folder / "ensemble.yaml", tmp_path / "out")
    (folder / "ensemble.yaml").write_text(text.replace("temporal-v1.0.0", "../" * 3 + "\\0" + "x" * 300))
    with pytest.raises(ConfigError, match="does not exist"):
        ensemble(folder / "ensemble.yaml", tmp_path / "out")


def test_other_labels_a_full_output_and_keys_beside(folder: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    (folder / "ensemble.yaml").write_text(TEXT + "epochs: 5\n")
    ensemble(folder / "ensemble.yaml", tmp_path / "out", overrides={"threshold": 0.4}, on_note=notes.append)
    assert open_model(tmp_path / "out").config["threshold"] == 0.4
    assert notes == [f'{folder / "ensemble.yaml"}: only "ensemble" is used; epochs ignored']
    with pytest.raises(StorageError, match="--force"):
        ensemble(folder / "ensemble.yaml", tmp_path / "out")
    ensemble(folder / "ensemble.yaml", tmp_path / "out", overrides={"voting": "mean", "weights": None}, force=True)
    assert open_model(tmp_path / "out").config["voting"] == "mean"
    TinyAdapter({"imgz": 32, "n_frames": 4, "labels": ["dark", "light"], "positive_label": None}).save(
        folder / MODELS[0]
    )
    with pytest.raises(ConfigError, match="has other labels than"):
        ensemble(folder / "ensemble.yaml", tmp_path / "other")


def test_the_file_is_not_a_model_by_itself(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"lists the models of an ensemble.*cliplab ensemble"):
        open_model(folder / "ensemble.yaml")

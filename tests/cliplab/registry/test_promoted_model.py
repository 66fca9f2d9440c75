"""Stage 2 follows what a registry promotes, without a restart and whatever is wrong with a new version."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("alembic", reason="the registry needs its extra: pip install 'cliplab[registry]'")

from registry_files import TRUSTED, make_registry

from adapters.errors import AdapterError, BundleError, ConfigError, StorageError
from cliplab.detect import Stage2, stage2_model
from cliplab.registry import PromotedModel, open_registry, registry_promote, registry_rollback
from cliplab.registry import promoted_model as module

NAME = "base-general"
REFERENCE = f"registry:{NAME}@production"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setenv("CLIPLAB_REGISTRY", str(tmp_path / "r"))
    make_registry(tmp_path / "r", "1.0.0", "1.1.0").close()
    promote(tmp_path / "r", "1.0.0")
    return tmp_path / "r"


def promote(place: Path, version: str) -> None:
    registry_promote(NAME, version, "production", registry=place, trust_adapters=TRUSTED)


def test_stage_2_uses_what_was_promoted_and_what_was_rolled_back(place: Path) -> None:
    stage2 = Stage2(REFERENCE, trust_adapters=TRUSTED)
    assert stage2.apply("match.mp4", [])[1] == "base-general-v1.0.0"
    promote(place, "1.1.0")
    assert stage2.apply("match.mp4", [])[1] == "base-general-v1.1.0"
    registry_rollback(NAME, "production", registry=place)
    assert stage2.apply("match.mp4", [])[1] == "base-general-v1.0.0"


def test_the_variable_may_name_a_registry(tmp_path: Path) -> None:
    environment = {"DETECTION_USE_ML_STAGE2": "true", "DETECTION_STAGE2_MODEL": REFERENCE}
    assert stage2_model(environment, tmp_path) == REFERENCE


def test_a_version_that_cannot_be_loaded_leaves_the_one_before_in_use(place: Path) -> None:
    said = list[str]()
    model = PromotedModel(REFERENCE, trust_adapters=TRUSTED, on_warning=said.append)
    before = model.get_named()
    with open_registry(place) as opened:
        damaged = opened.artifact(NAME, "1.1.0")
    promote(place, "1.1.0")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])
    assert [model.get_named() for _ in range(3)] == [before] * 3
    assert len(said) == 1
    assert "base-general-v1.0.0 stays in use" in said[0]


def test_a_version_is_tried_again_after_a_while(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    model = PromotedModel(REFERENCE, trust_adapters=TRUSTED, on_warning=lambda _: None)
    model.get_named()
    with open_registry(place) as opened:
        damaged = opened.artifact(NAME, "1.1.0")
    promote(place, "1.1.0")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])
    assert model.get_named()[0] == "base-general-v1.0.0"
    damaged.write_bytes(whole)
    assert model.get_named()[0] == "base-general-v1.1.0"


def test_a_registry_that_is_away_for_a_moment_stops_nobody(place: Path) -> None:
    said = list[str]()
    model = PromotedModel(REFERENCE, trust_adapters=TRUSTED, on_warning=said.append)
    model.get_named()
    place.rename(place.with_name("away"))
    assert model.get_named()[0] == "base-general-v1.0.0"
    assert "there is no registry" in said[0]
    place.with_name("away").rename(place)
    promote(place, "1.1.0")
    assert model.get_named()[0] == "base-general-v1.1.0"


@pytest.mark.parametrize(
    ("reference", "error", "said"),
    [
        ("registry:base-genral@production", ConfigError, "base-genral"),
        (f"registry:{NAME}@staging", ConfigError, "staging has no version"),
        ("registry:", ConfigError, "name"),
    ],
)
def test_what_a_registry_does_not_have_is_said_at_once(
    place: Path, reference: str, error: type[AdapterError], said: str
) -> None:
    with pytest.raises(error, match=said):
        Stage2(reference, trust_adapters=TRUSTED)


def test_without_a_registry_and_with_a_damaged_first_version(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_registry(place) as opened:
        damaged = opened.artifact(NAME, "1.0.0")
    damaged.write_bytes(b"half")
    with pytest.raises(BundleError, match=r"1\.0\.0"):
        Stage2(REFERENCE, trust_adapters=TRUSTED)
    monkeypatch.setenv("CLIPLAB_REGISTRY", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no registry"):
        Stage2(REFERENCE, trust_adapters=TRUSTED)

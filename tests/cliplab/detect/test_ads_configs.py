"""The configs of ad breaks: their names, old and new, and that only what may differ does."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.errors import ConfigError
from adapters.inference import read_config
from cliplab.detect import read_break_profile
from cliplab.models import config_show

MAY_DIFFER = {
    "name",
    "break_profile",
    "smoothing_seconds",
    "min_segment_seconds",
    "fine_tune_layers",
    "fine_tune_epochs",
}


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("ad_efficientnet_lite0", "ads_base"),
        ("base_model", "ads_base"),
        ("base_model.yaml", "ads_base"),
        ("configs/sports_model.yaml", "ads_sports"),
        ("show_specific.yml", "ads_show"),
    ],
)
def test_other_names_lead_to_the_configs(alias: str, name: str) -> None:
    assert read_config(alias) == read_config(name)


def test_a_file_of_the_name_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "base_model.yaml"
    path.write_text("adapter: x\nname: mine\n")
    assert read_config(path)["name"] == "mine"
    with pytest.raises(ConfigError, match=r"other_model\.yaml"):
        read_config(tmp_path / "other_model.yaml")


@pytest.mark.parametrize("name", ["ads_sports", "ads_show", "ads_network"])
def test_they_are_the_base_but_for_what_breaks_are_like(name: str) -> None:
    base, found = config_show("ads_base"), config_show(name)
    assert {key for key in found if found[key] != base.get(key)} <= MAY_DIFFER
    assert found["break_profile"] != base["break_profile"]
    read_break_profile(found["break_profile"])


def test_the_gates_are_those_that_were_asked_for() -> None:
    base, temporal = config_show("ads_base"), config_show("ads_temporal")
    assert base["gates"] == {
        "min_precision": 0.95, "min_recall": 0.9, "min_f1": 0.92,
        "max_frame_latency_ms": 50, "max_size_bytes": 5_000_000,
    }  # fmt: skip
    assert temporal["gates"] == {
        "min_precision": 0.97, "min_recall": 0.95, "max_frame_latency_ms": 55, "max_size_bytes": 6_800_000,
    }  # fmt: skip
    assert base["shipped_precision"] == temporal["shipped_precision"] == "int8"


@pytest.mark.parametrize(
    "profile",
    [{"typical_brake_seconds": 3}, {"min_confidence": 2}, {"second_weights": {"smell": 1}}, {"adverts": {"half": 1}}],
)
def test_a_profile_is_checked_as_part_of_the_config(profile: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="break_profile"):
        config_show("ads_base", overrides={"break_profile": profile})


def test_gates_of_cost_judge_the_file_that_ships() -> None:
    from cliplab.models import evaluation

    class Model:
        config = config_show("ads_base")

    gates, notes = evaluation._judged_gates("folder", Model())  # type: ignore[arg-type]
    assert set(gates) == {"min_precision", "min_recall", "min_f1"}
    assert "max_size_bytes" in notes[0]
    assert "--quantize int8" in notes[0]
    assert evaluation._judged_gates("model.tflite", Model()) == (Model.config["gates"], [])  # type: ignore[arg-type]

"""Configs: defaults, suggestions, errors that name field, value and what is allowed, versions, overrides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from adapters.config import (
    check_config,
    merge,
    migrate,
    override,
    parse_assignments,
    properties,
    read_object,
    schema,
)
from adapters.errors import ConfigError
from adapters.inference.loading import open_model, read_config, ready_configs
from adapters.models.efficientnet_lite import EfficientNetLiteAdapter

LITE = "adapters.models.efficientnet_lite:EfficientNetLiteAdapter"
FORMS = Path(__file__).parent / "config_forms"


def lite(**keys: Any) -> dict[str, Any]:
    return {"schema_version": 2, "adapter": LITE, **keys}


def test_defaults_are_filled_in_depth() -> None:
    config = check_config(lite(augmentation={"flip": False}))
    assert config["n_frames"] == 8, "the adapter's own default wins over the common one"
    assert config["top_k"] == 3
    assert config["augmentation"] == {
        "flip": False,
        "rotation_degrees": 5.0,
        "crop": 0.85,
        "color_jitter": 0.2,
        "temporal_jitter": 0.5,
    }


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"n_frame": 5}, ['"n_frame" is not a key', 'Did you mean "n_frames"?']),
        ({"zzz": 5}, ['"zzz" is not a key', "cliplab config schema"]),
        ({"imgz": "big"}, ['"imgz" must be a whole number (>= 32, <= 1024)', '"big" (text)']),
        ({"imgz": 31}, ['"imgz" must be a whole number (>= 32', "got 31"]),
        ({"aspect": "squash"}, ['"aspect" must be one of "crop", "pad", "stretch"', '"squash"']),
        ({"labels": ["a", "a"]}, ['"labels" must be', "no entry twice"]),
        ({"labels": ["only"]}, ['"labels" must be', "at least 2 entries"]),
        ({"augmentation": {"flipp": True}}, ['"flipp" is not a key of "augmentation"', 'Did you mean "flip"?']),
        ({"augmentation": {"crop": 3}}, ['"augmentation.crop" must be a number (>= 0.1, <= 1)', "got 3"]),
        ({"head": [{"units": 0}]}, ['"head[0].units" must be a whole number (>= 1', "got 0"]),
        ({"gates": {"min_f1": 2}}, ['"gates.min_f1" must be a number (>= 0, <= 1)', "got 2"]),
        ({"positive_label": "c", "labels": ["a", "b"]}, ['"positive_label" must be one of two labels', "'c'"]),
        ({"positive_label": "a", "task": "multi_label"}, ['"positive_label" goes with task "single_label"']),
        ({"sampling": "rate"}, ['"fps" is required with sampling "rate"']),
        ({"stride_seconds": 1}, ['"stride_seconds" needs "window_seconds"']),
        ({"fine_tune_layers": 3, "freeze_layers": 3}, ['"fine_tune_layers" and "freeze_layers"', "give one"]),
        ({"split_fractions": [0.5, 0.1, 0.1]}, ['"split_fractions" must add up to 1']),
        ({"class_weights": {"a": 1}, "labels": ["a", "b"]}, ['"class_weights" must name each label once']),
        ({"num_threads": True}, ['"num_threads" must be a whole number (>= 1, <= 1024) or null', "true"]),
        ({"adapter": "no_such_module:Thing"}, ['"adapter" names', "cannot be imported", '"module:Class"']),
        ({"adapter": "json:JSONDecoder"}, ["is not a BaseModelAdapter"]),
        ({"schema_version": 99}, ['"schema_version" must be', "newer cliplab"]),
    ],
)
def test_errors_name_field_value_and_what_is_allowed(keys: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        check_config(lite(**keys), "my.json")
    for text in [*expected, "my.json: "]:
        assert text in str(error.value)


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        check_config(lite(imgz=1, top_k="x"))
    assert len(str(error.value).splitlines()) == 2


def test_missing_adapter() -> None:
    with pytest.raises(ConfigError, match='"adapter" is required'):
        check_config({"imgz": 224})


@pytest.mark.parametrize("path", sorted(FORMS.glob("*.json")), ids=lambda path: path.stem)
def test_every_released_form_still_reads(path: Path) -> None:
    form = read_object(path)
    before = json.dumps(form)
    config = check_config(form["config"])
    for key, value in form["expected"].items():
        assert config[key] == value
    assert json.dumps(form) == before, "migration is pure"


def test_old_and_new_name_together() -> None:
    with pytest.raises(ConfigError, match='"num_frames" is the old name of "n_frames"'):
        migrate({"num_frames": 3, "n_frames": 3})


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"learning_rate": 0.001, "labels": ["a", "b"], "augmentation": {"flip": false}}')
    (tmp_path / "a.yaml").write_text("learning_rate: 1e-3\nlabels: [a, b]\naugmentation:\n  flip: false\n")
    assert read_object(tmp_path / "a.json") == read_object(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", "{", "not valid JSON"),
        ("a.json", '{"a": 1, "a": 2}', '"a" is given twice'),
        ("a.json", '{"a": NaN}', "NaN"),
        ("a.json", "[1]", "got a list"),
        ("a.yaml", "a: 1\na: 2", '"a" is given twice'),
        ("a.yaml", "a: [", "not valid YAML"),
        ("a.yaml", "!!python/object/apply:os.system [ls]", "not valid YAML"),
        ("missing.json", None, "cannot be read"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, name: str, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=name) as error:
        read_object(tmp_path / name)
    assert expected in str(error.value)


def test_schema_accepts_what_check_accepts_and_refuses_unknown_keys() -> None:
    validator = Draft202012Validator(schema(LITE))
    Draft202012Validator.check_schema(schema(LITE))
    for path in ready_configs().values():
        config = check_config(read_object(path))
        assert list(Draft202012Validator(schema(config["adapter"])).iter_errors(config)) == []
    assert [e.validator for e in validator.iter_errors(lite(n_frame=3))] == ["unevaluatedProperties"]


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(properties(LITE))), st.none() | st.booleans() | st.integers() | st.text())
)
def test_any_value_is_accepted_or_explained(keys: dict[str, Any]) -> None:
    try:
        config = check_config({"adapter": LITE, **keys})
    except ConfigError:
        return
    assert check_config(config) == config


def test_assignments() -> None:
    found = parse_assignments(["imgz=160", "name=Tricks", 'labels=["a","b"]', "gates.min_f1=0.9", "fps=null"])
    assert found == {"imgz": 160, "name": "Tricks", "labels": ["a", "b"], "gates": {"min_f1": 0.9}, "fps": None}
    with pytest.raises(ConfigError, match="key=value"):
        parse_assignments(["imgz"])
    assert merge({"gates": {"min_f1": 0.5}, "head": [1]}, {"gates": {"min_recall": 1}, "head": []}) == {
        "gates": {"min_f1": 0.5, "min_recall": 1},
        "head": [],
    }


def test_override_follows_the_effect() -> None:
    stored = check_config(lite(labels=["a", "b"], imgz=160))
    config, programs = override(stored, {"top_k": 1})
    assert (config["top_k"], programs) == (1, [])
    config, programs = override(stored, {"imgz": 224})
    assert (config["imgz"], programs) == (224, ["imgz"])
    with pytest.raises(ConfigError, match=r'"mean" belongs to the model.*127.*got 0'):
        override(stored, {"mean": 0})
    with pytest.raises(ConfigError, match='Did you mean "top_k"'):
        override(stored, {"topk": 1})


def test_a_filled_in_config_beside_a_bundle_does_not_undo_it() -> None:
    stored = check_config(lite(labels=["a", "b"], imgz=160))
    page = check_config(lite(top_k=1))
    config, programs = override(stored, page, explicit=False)
    assert (config["imgz"], config["labels"], config["top_k"], programs) == (160, ["a", "b"], 1, [])
    with pytest.raises(ConfigError, match='"mean"'):
        override(stored, {**page, "mean": 3.0}, explicit=False)


def test_a_class_fills_in_its_own_name() -> None:
    assert (
        EfficientNetLiteAdapter({}).config["adapter"]
        == "adapters.models.efficientnet_lite.adapter:EfficientNetLiteAdapter"
    )


def test_ready_names_and_what_is_none(tmp_path: Path) -> None:
    assert read_config("efficientnet_lite0")["adapter"] == LITE
    with pytest.raises(ConfigError, match="efficientnet_lite0"):
        read_config("efficientnet_lite9")
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(ConfigError, match='"adapter" is required'):
        open_model(tmp_path / "empty.json")

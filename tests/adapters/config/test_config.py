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
    adapter_schema,
    check_config,
    config_problems,
    key_schemas,
    merge_config,
    migrate_config,
    override_config,
    parse_assignments,
    read_config_file,
)
from adapters.errors import ConfigError
from adapters.inference import open_model, read_config, ready_configs
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
        ({"labels": ["a", "a"]}, ['"labels" must be', "without duplicates"]),
        ({"labels": ["only"]}, ['"labels" must be', "at least 2 entries"]),
        ({"augmentation": {"flipp": True}}, ['"flipp" is not a key of "augmentation"', 'Did you mean "flip"?']),
        ({"augmentation": {"crop": 3}}, ['"augmentation.crop" must be a number (>= 0.1, <= 1)', "got 3"]),
        ({"head": [{"units": 0}]}, ['"head[0].units" must be a whole number (>= 1', "got 0"]),
        ({"gates": {"min_f1": 2}}, ['"gates.min_f1" must be a number (>= 0, <= 1)', "got 2"]),
        ({"positive_label": "c", "labels": ["a", "b"]}, ['"positive_label" must be one of two labels', "'c'"]),
        ({"positive_label": "a", "task": "multi_label"}, ['"positive_label" is only for task "single_label"']),
        ({"sampling": "rate"}, ['"fps" is required with sampling "rate"']),
        ({"stride_seconds": 1}, ['"stride_seconds" needs "window_seconds"']),
        ({"window_seconds": 0.001}, ['"window_seconds" must be a number (>= 0.01', "got 0.001"]),
        ({"stride_seconds": 1e-9, "window_seconds": 1}, ['"stride_seconds" must be a number (>= 0.01', "got 1e-09"]),
        ({"fine_tune_layers": 3, "freeze_layers": 3}, ['"fine_tune_layers" and "freeze_layers"', "only one"]),
        ({"split_fractions": [0.5, 0.1, 0.1]}, ['"split_fractions" must add up to 1']),
        ({"class_weights": {"a": 1}, "labels": ["a", "b"]}, ['"class_weights" must name each label once']),
        ({"num_threads": True}, ['"num_threads" must be a whole number (>= 1, <= 1024) or null', "true"]),
        (
            {"adapter": "no_such_module:Thing"},
            ['"adapter" names', "entry point", "--trust-adapter no_such_module:Thing"],
        ),
        ({"schema_version": 99}, ['"schema_version" must be', "newer cliplab"]),
    ],
)
def test_errors_name_field_value_and_what_is_allowed(keys: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        check_config(lite(**keys), "my.json")
    for text in [*expected, "my.json: "]:
        assert text in str(error.value)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"optimize": "precision@1.5"}, ["precision@1.5"]),
        ({"labels": ["a", "b"], "best_thresholds": {"c": 0.5}}, ["\"best_thresholds\" names 'c'", "['a', 'b']"]),
    ],
)
def test_thresholds_that_cannot_be_chosen_or_belong_to_no_label(keys: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        check_config(lite(**keys), "my.json")
    for text in [*expected, "my.json: "]:
        assert text in str(error.value)
    assert check_config(lite(labels=["a", "b"], best_thresholds={"b": 0.5}))["best_thresholds"] == {"b": 0.5}
    assert check_config(lite(optimize="recall@0.9"))["optimize"] == "recall@0.9"


def test_a_form_learns_the_place_of_every_problem() -> None:
    assert config_problems(lite()) == []
    both = config_problems(lite(imgz=31, head=[{"units": 0}], n_frame=5))
    assert {problem.path for problem in both} == {("imgz",), ("head", 0, "units"), ("n_frame",)}
    between = config_problems(lite(sampling="rate", fps=None, stride_seconds=None, split_fractions=[0.5, 0.1, 0.1]))
    assert [problem.path for problem in between] == [("fps",), ("split_fractions",)]
    assert "must add up to 1, got [0.5, 0.1, 0.1]" in between[1].message
    # Between keys is looked only where each key alone is right.
    assert [p.path for p in config_problems(lite(imgz=31, split_fractions=[0.5, 0.1, 0.1]))] == [("imgz",)]
    with pytest.raises(ConfigError):
        config_problems({"adapter": "no_such_module:Thing"})


PAIR, THREE = ["a", "b"], ["a", "b", "c"]


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"positive_label": "a", "labels": PAIR}, None),
        ({"positive_label": "a"}, None),
        ({"positive_label": "a", "labels": THREE}, '"positive_label"'),
        ({"positive_label": "c", "labels": PAIR}, '"positive_label"'),
        ({"positive_label": "a", "labels": PAIR, "task": "multi_label"}, '"positive_label"'),
        ({"sampling": "rate", "fps": 5}, None),
        ({"sampling": "every", "fps": 5}, None),
        ({"sampling": "rate", "fps": None}, '"fps"'),
        ({"sampling": "every", "fps": None}, '"fps"'),
        ({"sampling": "spread", "fps": None}, None),
        ({"stride_seconds": 1}, '"stride_seconds"'),
        ({"stride_seconds": 1, "window_seconds": 2}, None),
        ({"stride_seconds": 1, "sampling": "rate", "fps": 5}, None),
        ({"stride_seconds": 1, "sampling": "every", "fps": 5}, '"stride_seconds"'),
        ({"fine_tune_layers": 2, "freeze_layers": 2}, '"fine_tune_layers"'),
        ({"fine_tune_layers": 0, "freeze_layers": 0}, '"fine_tune_layers"'),
        ({"freeze_layers": 2}, None),
        ({"split_fractions": [0.7, 0.2, 0.1]}, None),
        ({"split_fractions": [1, 0, 0]}, None),
        ({"split_fractions": [0.7, 0.2, 0.15]}, '"split_fractions"'),
        ({"split_fractions": [0.7, 0.2, 0.0999]}, '"split_fractions"'),
        ({"labels": PAIR, "class_weights": {"a": 1, "b": 2}}, None),
        ({"labels": PAIR, "class_weights": {"a": 1, "b": 2, "c": 3}}, '"class_weights"'),
        ({"labels": PAIR, "class_weights": "balanced"}, None),
        ({"class_weights": {"x": 1}}, None),
    ],
)
def test_keys_that_must_go_together(keys: dict[str, Any], word: str | None) -> None:
    if word is None:
        config = check_config(lite(**keys))
        assert {key: config[key] for key in keys} == keys
        return
    with pytest.raises(ConfigError, match=f"{word}.*(must|requires|required|needs|two ways|is only for)"):
        check_config(lite(**keys))


@pytest.mark.parametrize("version", [-1, 3, True, "2", 2.0, None])
def test_a_version_that_is_none(version: object) -> None:
    with pytest.raises(ConfigError, match=r"x\.json: \"schema_version\" must be .* from 0 to 2"):
        migrate_config({"schema_version": version}, "x.json")


def test_old_names_become_new_ones_and_the_place_is_told() -> None:
    old = {"num_frames": 3, "resolution": 224, "top_k": 1}
    assert migrate_config(old) == {"n_frames": 3, "imgz": 224, "top_k": 1, "schema_version": 2}
    assert migrate_config({**old, "schema_version": 1}) == {**old, "schema_version": 2}
    assert old == {"num_frames": 3, "resolution": 224, "top_k": 1}
    with pytest.raises(ConfigError, match=r"^x\.json: \"resolution\" is the old name of \"imgz\""):
        migrate_config({"resolution": 1, "imgz": 2}, "x.json")


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        check_config(lite(imgz=1, top_k="x"))
    assert len(str(error.value).splitlines()) == 2


def test_missing_adapter() -> None:
    with pytest.raises(ConfigError, match='"adapter" is required'):
        check_config({"imgz": 224})


@pytest.mark.parametrize("path", sorted(FORMS.glob("*.json")), ids=lambda path: path.stem)
def test_every_released_form_still_reads(path: Path) -> None:
    form = read_config_file(path)
    before = json.dumps(form)
    config = check_config(form["config"])
    for key, value in form["expected"].items():
        assert config[key] == value
    assert json.dumps(form) == before, "migration is pure"


def test_old_and_new_name_together() -> None:
    with pytest.raises(ConfigError, match='"num_frames" is the old name of "n_frames"'):
        migrate_config({"num_frames": 3, "n_frames": 3})


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"learning_rate": 0.001, "labels": ["a", "b"], "augmentation": {"flip": false}}')
    (tmp_path / "a.yaml").write_text("learning_rate: 1e-3\nlabels: [a, b]\naugmentation:\n  flip: false\n")
    assert read_config_file(tmp_path / "a.json") == read_config_file(tmp_path / "a.yaml")
    for name in ("b.yml", "b.YAML"):
        (tmp_path / name).write_text(
            "a: .5e-2\nb: -1E+3\nc: 12\nd: 1.5\ne: e5\nf: '1e-3'\ng: größe\nh: .5e2\n", "utf-8"
        )
        expected = {"a": 0.005, "b": -1000.0, "c": 12, "d": 1.5, "e": "e5", "f": "1e-3", "g": "größe", "h": 50.0}
        found = read_config_file(tmp_path / name)
        assert found == expected
        assert isinstance(found["c"], int)


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
        ("a.yaml", "a: {b: 1, b: 2}", '"b" is given twice'),
        ("a.yml", "- a", "got a list"),
        ("a.yaml", 'a: !!int ""', "does not match its YAML tag"),
        ("a.yaml", "a: !!bool maybe", "does not match its YAML tag"),
        ("a.yaml", "a: 2001-01-01", "put it in quotes"),
        ("a.yaml", "a: !!set {b, c}", "'set'"),
        ("a.yaml", "a: !!binary aGFsbG8=", "'binary'"),
        ("a.yaml", "a: 0x" + "f" * 400_000, "characters is too large"),
        ("a.yaml", "a: 1" + ":59" * 150_000, "characters is too large"),
        ("a.json", '{"a": -Infinity}', "Infinity"),
        ("a.json", '{"a": {"b": 1, "b": 1}}', '"b" is given twice'),
        ("missing.json", None, "cannot be read"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, name: str, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=name) as error:
        read_config_file(tmp_path / name)
    assert expected in str(error.value)


def test_schema_accepts_what_check_accepts_and_refuses_unknown_keys() -> None:
    validator = Draft202012Validator(adapter_schema(LITE))
    Draft202012Validator.check_schema(adapter_schema(LITE))
    for path in ready_configs().values():
        config = check_config(read_config_file(path))
        assert list(Draft202012Validator(adapter_schema(config["adapter"])).iter_errors(config)) == []
    assert [e.validator for e in validator.iter_errors(lite(n_frame=3))] == ["unevaluatedProperties"]


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(key_schemas(LITE))), st.none() | st.booleans() | st.integers() | st.text())
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
    assert parse_assignments([" a.b.c = 1", "a.b.d=x=y", "a.e=", "f=1e3"]) == {
        "a": {"b": {"c": 1, "d": "x=y"}, "e": ""},
        "f": 1000,
    }
    assert parse_assignments(["a=1", "a=2"]) == {"a": 2}
    for wrong in ("imgz", "=3", ""):
        with pytest.raises(ConfigError, match="key=value"):
            parse_assignments([wrong])
    with pytest.raises(ConfigError, match='"a" was given a plain value'):
        parse_assignments(["a=1", "a.b=2"])
    assert merge_config({"gates": {"min_f1": 0.5}, "head": [1]}, {"gates": {"min_recall": 1}, "head": []}) == {
        "gates": {"min_f1": 0.5, "min_recall": 1},
        "head": [],
    }


@pytest.mark.parametrize("key", ["augmentation", "gates"])
def test_options_that_belong_together_are_merged_key_by_key(key: str) -> None:
    base = {key: {"a": 1, "b": 2}, "top_k": 5}
    changes = {key: {"b": 3, "c": 4}}
    assert merge_config(base, changes) == {key: {"a": 1, "b": 3, "c": 4}, "top_k": 5}
    assert (base, changes) == ({key: {"a": 1, "b": 2}, "top_k": 5}, {key: {"b": 3, "c": 4}})
    assert merge_config(base, {key: None}) == {key: None, "top_k": 5}
    assert merge_config({key: None}, changes) == changes


def test_a_mapping_that_is_one_value_is_replaced() -> None:
    """Weights of the classes that a user leaves out are not those of another dataset."""
    assert merge_config({"class_weights": {"a": 1, "b": 2}}, {"class_weights": {"c": 3}}) == {"class_weights": {"c": 3}}
    config = check_config(lite(labels=["a", "b"], class_weights={"a": 1, "b": 2}))
    changed = check_config(merge_config(config, {"labels": ["c", "d"], "class_weights": {"c": 3, "d": 4}}))
    assert changed["class_weights"] == {"c": 3, "d": 4}


def test_override_follows_the_effect() -> None:
    stored = check_config(lite(labels=["a", "b"], imgz=160))
    config, programs = override_config(stored, {"top_k": 1})
    assert (config["top_k"], programs) == (1, [])
    config, programs = override_config(stored, {"imgz": 224})
    assert (config["imgz"], programs) == (224, ["imgz"])
    with pytest.raises(ConfigError, match=r'"mean" belongs to the model.*127.*got 0'):
        override_config(stored, {"mean": 0})
    with pytest.raises(ConfigError, match='Did you mean "top_k"'):
        override_config(stored, {"topk": 1})


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match=r"a\.json: is not a text file"):
        read_config_file(tmp_path / "a.json")


def test_what_the_model_has_already_is_no_change() -> None:
    stored = check_config(lite(labels=["a", "b"], imgz=160))
    assert override_config(stored, {}) == (stored, [])
    assert override_config(stored, {"imgz": 160, "mean": stored["mean"], "top_k": stored["top_k"]}) == (stored, [])
    config, programs = override_config(stored, {"imgz": 192, "top_k": 2, "quantize": "float16"})
    assert (sorted(programs), config["top_k"], config["quantize"]) == (["imgz", "quantize"], 2, "float16")
    assert (stored["imgz"], stored["top_k"]) == (160, check_config(lite())["top_k"])  # it is not altered
    # What is said with explicit=False is said unless it is the default.
    assert override_config(stored, {"imgz": 192}, explicit=False)[1] == ["imgz"]
    default = check_config(lite())["imgz"]
    assert override_config(stored, {"imgz": default}, explicit=False) == (stored, [])
    assert override_config(stored, {"imgz": default})[1] == ["imgz"]


def test_a_filled_in_config_beside_a_bundle_does_not_undo_it() -> None:
    stored = check_config(lite(labels=["a", "b"], imgz=160))
    page = check_config(lite(top_k=1))
    config, programs = override_config(stored, page, explicit=False)
    assert (config["imgz"], config["labels"], config["top_k"], programs) == (160, ["a", "b"], 1, [])
    with pytest.raises(ConfigError, match='"mean"'):
        override_config(stored, {**page, "mean": 3.0}, explicit=False)


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


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(ConfigError, match="aspect") as caught:
        check_config(lite(aspect="x" * 10_000))
    assert "xxx..." in str(caught.value)
    assert len(str(caught.value)) < 500


# Other names of keys ------------------------------------------------------------------------------------------------


def test_a_key_under_its_other_name_means_the_same(tmp_path: Path) -> None:
    assert check_config(lite(model_id="lite1"))["variant"] == "lite1"
    assert merge_config(lite(variant="lite0"), {"model_id": "lite2"})["variant"] == "lite2"
    config, _ = override_config(check_config(lite(variant="lite1")), {"model_id": "lite1"})
    assert config["variant"] == "lite1"
    with pytest.raises(ConfigError, match=r'"variant" belongs to the model\'s weights'):
        override_config(check_config(lite(variant="lite1")), {"model_id": "lite2"})
    assert open_model("efficientnet_lite0", {"model_id": "lite2"}).config["variant"] == "lite2"
    assert open_model("movinet_a0_base", {"model_id": "a1"}).config["model_id"] == "a1", "a key of its own there"


def test_two_names_of_a_key_must_agree() -> None:
    assert check_config(lite(model_id="lite1", variant="lite1"))["variant"] == "lite1"
    with pytest.raises(ConfigError, match='"model_id" is another name for "variant", but their values differ'):
        check_config(lite(model_id="lite1", variant="lite2"))
    with pytest.raises(ConfigError, match='"variant" must be one of "lite0", "lite1", "lite2", got "lite9"'):
        check_config(lite(model_id="lite9"))
    schema = adapter_schema(LITE)
    assert Draft202012Validator(schema).is_valid(lite(model_id="lite1"))
    assert not Draft202012Validator(schema).is_valid(lite(model_id="lite9"))

"""Forms of configs: every key once, values that survive the form, and each kind of error at its field."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.config import check_config, key_schemas
from adapters.errors import ConfigError
from adapters.inference import read_config, ready_configs
from cliplab.studio.config_changes import config_changes
from cliplab.studio.form_values import from_text, same, to_text
from cliplab.studio.model_form import PREFIX, Field, Form, config_form, own_keys, posted_form

CONFIG = {"schema_version": 2, "adapter": "movinet_adapter:MoViNetAdapter", "labels": ["ad", "content"]}


def posted(form: Form) -> dict[str, str]:
    """What a browser would post of a form. A list of objects is its rows, or the checked box "no entries at all"."""
    return {
        field.name: field.value
        for field in form.fields()
        if field.control not in ("fixed", "rows") or (field.control == "rows" and field.value.strip() == "[]")
    }


def field(form: Form, key: str) -> Field:
    return next(item for item in form.fields() if item.name == PREFIX + key)


def all_errors(item: Field) -> list[str]:
    return [item.error, *(error for part in item.fields for error in all_errors(part))]


@pytest.mark.parametrize("name", ready_configs())
def test_each_key_of_a_ready_config_appears_once_and_its_values_survive(name: str) -> None:
    config = own_keys(read_config(name))
    form = config_form(config)
    assert form.valid
    shown = [item.key for section in form.sections for item in section.fields]
    assert sorted(shown) == sorted(key_schemas(config["adapter"]))
    names = [item.name for item in form.fields()]
    assert len(names) == len(set(names))
    for item in form.fields():
        assert item.title
        assert item.effect_words
    again = posted_form(config, posted(form))
    assert again.valid
    assert same(again.config, config)
    assert same(check_config(again.config), check_config(config))


@pytest.mark.parametrize("name", ready_configs())
def test_a_complete_config_survives_its_form(name: str) -> None:
    complete = dict(check_config(read_config(name)))
    again = posted_form(complete, posted(config_form(complete)))
    assert same(dict(check_config(again.config)), complete)


def test_an_empty_form_is_the_defaults() -> None:
    form = posted_form(CONFIG, {})
    assert form.config == {key: CONFIG[key] for key in ("schema_version", "adapter")}
    assert check_config(form.config)["top_k"] == 3
    assert field(form, "top_k").default == "3"


@pytest.mark.parametrize(
    "key, text, words",
    [
        ("threshold", "1.5", "<= 1"),
        ("threshold", "0,5", "Write a decimal point: 0.5"),
        ("threshold", "nan", "a number"),
        ("threshold", "1e999", "a number"),
        ("threshold", "٠٫٥", "a number"),
        ("threshold", "1_0", "a number"),
        ("top_k", "many", "whole number"),
        ("top_k", "2.5", "whole number"),
        ("top_k", "-1", ">= 1"),
        ("top_k", "9" * 5000, "whole number"),
        ("imgz", "nativ", "whole number"),
        ("sampling", "sprad", 'Did you mean "spread"?'),
        ("aspect", "<script>", "one of"),
        ("calibrate", "yes", "true or false"),
        ("mixed_precision", "1", "auto"),
        ("labels", "one", "at least 2 entries"),
        ("labels", "ad\nad", "without duplicates"),
        ("split_fractions", "0.8 0.2", "at least 3 entries"),
        ("split_fractions", "0.8 0.1 0.2", "add up to 1"),
        ("mean", "1 2", "3 entries"),
        ("best_thresholds", "ad: 2", "<= 1"),
        ("best_thresholds", "news: 0.5", "not one of the labels"),
        ("best_thresholds", "nothing", "an object"),
        ("class_weights", "ad: -1", "> 0"),
        ("class_weights", "balnced", '"balanced"'),
        ("gates.min_f1", "2", "<= 1"),
        ("augmentation.crop", "x", "a number"),
        ("head.0.units", "0", ">= 1"),
        ("head.1.activation", "rulu", "relu"),
        ("positive_label", "news", "one of two labels"),
        ("optimize", "precison@0.9", "precision"),
        ("stride_seconds", "1", "window_seconds"),
        ("name", "x" * 201, "200 characters"),
    ],
)
def test_each_error_is_at_its_field(key: str, text: str, words: str) -> None:
    values = posted(config_form(CONFIG)) | {PREFIX + key: text}
    form = posted_form(CONFIG, values)
    wrong = [item for section in form.sections for item in section.fields if item.wrong]
    assert [item.key for item in wrong] == [key.split(".")[0]]
    assert words in " ".join(all_errors(wrong[0]))
    assert not form.valid
    assert next(section for section in form.sections if wrong[0] in section.fields).open


def test_a_nested_error_is_at_the_nested_field() -> None:
    form = posted_form(CONFIG, {PREFIX + "gates.min_f1": "2", PREFIX + "head.0.units": "0"})
    assert "<= 1" in field(form, "gates.min_f1").error
    assert ">= 1" in field(form, "head.0.units").error


def test_what_is_no_key_is_reported_with_the_nearest_one() -> None:
    form = posted_form(CONFIG, {PREFIX + "top_kk": "3", "csrf": "x", PREFIX + "head.0.unit": "4"})
    assert any('Did you mean "top_k"?' in error for error in form.errors)
    assert not any("csrf" in error for error in form.errors)
    broken = config_form({**CONFIG, "n_frame": 5})
    assert any('Did you mean "n_frames"?' in error for error in broken.errors)


def test_a_post_cannot_change_the_adapter() -> None:
    form = posted_form(CONFIG, {PREFIX + "adapter": "os:system", PREFIX + "schema_version": "1"})
    assert form.config["adapter"] == CONFIG["adapter"]
    assert form.config["schema_version"] == 2


@pytest.mark.parametrize("config", [{**CONFIG, "schema_version": 99}, {"adapter": "os:system"}, {}])
def test_a_config_that_cannot_be_edited_says_why(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        config_form(config)


def test_a_config_of_an_older_version_and_under_other_names_is_edited_under_present_ones() -> None:
    old = {"adapter": "movinet_adapter:MoViNetAdapter", "num_frames": 8, "resolution": 172}
    assert field(config_form(old), "n_frames").value == "8"
    lite = read_config("efficientnet_lite1")
    lite["model_id"] = lite.pop("variant", "lite1")
    assert field(config_form(lite), "variant").value == "lite1"


HOSTILE = [
    "null",
    '"quoted"',
    " spaces ",
    "a: b",
    "two\nlines",
    "‮right",
    "[1]",
    "{}",
    "1e5",
    "true",
    "\u2028",
    "ü,;",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_survives(text: str) -> None:
    keys = key_schemas(CONFIG["adapter"])
    for key, value in (("labels", [text or "x", "other"]), ("best_thresholds", {text: 0.5}), ("positive_label", text)):
        assert same(from_text(keys[key], to_text(keys[key], value)), value), key


@pytest.mark.parametrize(
    "key, text, value",
    [
        ("mean", "1 2 3", [1, 2, 3]),
        ("mean", "1; 2; 3", [1, 2, 3]),
        ("mean", "[1, 2.5, 3]", [1, 2.5, 3]),
        ("mean", "7.5", 7.5),
        ("top_k", " 5 ", 5),
        ("top_k", "2e1", 20),
        ("top_k", "4.0", 4),
        ("imgz", "native", "native"),
        ("class_weights", "ad: 2\ncontent: 1", {"ad": 2, "content": 1}),
        ("class_weights", "none", "none"),
        ("early_stopping_patience", "null", None),
        ("mixed_precision", "true", True),
        ("labels", "ad\r\ncontent\r\n", ["ad", "content"]),
        ("top_k", "9" * 100, int("9" * 100)),
        ("top_k", "9" * 101, "9" * 101),  # int() of very long texts takes long, and of 4,301 digits raises
        ("top_k", "9" * 5000, "9" * 5000),
        ("mean", "1e999", ["1e999"]),
    ],
)
def test_texts_mean_values(key: str, text: str, value: Any) -> None:
    found = from_text(key_schemas(CONFIG["adapter"])[key], text)
    assert same(found, value)
    assert type(found) is type(value)


def test_changes_have_their_effects() -> None:
    before = check_config(CONFIG)
    after = check_config({**CONFIG, "top_k": 1, "n_frames": 8, "head": []})
    assert [(change.key, change.effect) for change in config_changes(before, after)] == [
        ("n_frames", "program"),
        ("top_k", "runtime"),
        ("head", "retrain"),
    ]


def test_a_list_of_many_objects_keeps_each_of_them_in_order() -> None:
    layers = [{"units": number, "activation": "tanh"} if number % 2 else {"dropout": 0.5} for number in range(1, 13)]
    many = {**CONFIG, "head": layers}
    assert posted_form(many, posted(config_form(many))).config["head"] == layers
    none = posted_form({**CONFIG, "head": []}, posted(config_form({**CONFIG, "head": []})))
    assert check_config(none.config)["head"] == []


def test_a_thousand_labels_make_one_field() -> None:
    many = {**CONFIG, "labels": [f"class {number}" for number in range(1000)]}
    form = config_form(many)
    assert posted_form(many, posted(form)).config["labels"] == many["labels"]

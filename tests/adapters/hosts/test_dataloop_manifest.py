"""dataloop.json: that it holds what the configs ask for, and that dtlpy's own entities take it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import cli
from dataloop_offline import dl
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT

from adapters.base import model_class
from adapters.config import check_config
from adapters.errors import ConfigError
from adapters.hosts.dataloop.config import PLATFORM_DEFAULTS, PLATFORM_KEYS, label_order, order_labels, own_config
from adapters.hosts.dataloop.pods import PODS, size_of
from adapters.inference import read_config, ready_configs
from cliplab.api import dataloop_manifest
from cliplab.models import dataloop_parts
from cliplab.models.dataloop_app import SCHEMA, check_manifest, make_manifest

CONFIG = {"schema_version": 2, "adapter": "adapters.models.efficientnet_lite:EfficientNetLiteAdapter"}


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return make_manifest()


@pytest.fixture(scope="module")
def models(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in manifest["components"]["models"]}


# The file -----------------------------------------------------------------------------------------------------------


def test_the_committed_file_is_what_the_configs_ask_for() -> None:
    report = dataloop_manifest(ROOT / "dataloop.json", check=True)
    assert report.current, "run: cliplab dataloop manifest --force\n" + "\n".join(report.difference)


def test_a_person_can_read_the_file() -> None:
    text = (ROOT / "dataloop.json").read_text(encoding="utf-8")
    assert len(text.encode()) < 120_000
    assert text.count("\n") < 2_000
    assert json.loads(text) == make_manifest()
    assert sum(line.lstrip().startswith('"labels": [') for line in text.splitlines()) == 4


def test_one_model_for_each_network(models: dict[str, Any]) -> None:
    assert set(models) == {"movinet-base", "movinet-stream", "efficientnet-lite", "resnet18"}


def test_configurations_hold_what_a_person_edits_and_are_complete_with_their_defaults(models: dict[str, Any]) -> None:
    seed = {"hub_version", "model_id", "model_mode", "imgz", "batch_size", "num_epochs", "n_frames", "top_k"}
    for name, model in models.items():
        config = own_config(model["configuration"], name)
        assert not PLATFORM_KEYS & set(model["configuration"])
        assert len(model["configuration"]) <= 17
        assert model["labels"] == list(model_class(config["adapter"])(config).labels)
        if name.startswith("movinet"):
            assert seed | {"learning_rate"} <= set(model["configuration"])
            ready = check_config(read_config(name.replace("-", "_a0_")))
            assert config == {**ready, "name": ""}


def test_the_page_has_every_key_with_its_default_and_the_nine_of_the_earlier_app(
    models: dict[str, Any], shared: Path
) -> None:
    page = (ROOT / "docs" / "dataloop.md").read_text(encoding="utf-8")
    table = {
        key: (there.strip(), here.strip())
        for keys, there, here in re.findall(r"^\| (`[^|]+) \|([^|]+)\|([^|]+)\|", page, re.MULTILINE)
        for key in re.findall(r"`(\w+)`", keys)
    }
    edited = {key for model in models.values() for key in model["configuration"]} - {"schema_version", "adapter"}
    assert edited <= set(table)
    base = models["movinet-base"]["configuration"]
    differs = [
        key
        for key in edited & set(base)
        if key != "model_mode" and not table[key][1].strip("`").startswith(str(base[key]).replace("None", "null"))
    ]
    assert not differs
    (seed,) = (shared / "seeds").glob("004_*.txt")
    earlier = re.findall(r"^\* ```(\w+)```:.*\(default: ```([^`]+)```\)", seed.read_text(), re.MULTILINE)
    assert len(earlier) == 9
    assert [key for key, default in earlier if table[key][0].strip("`") != default] == []


@pytest.mark.parametrize("model_id", [f"a{size}" for size in range(6)])
def test_every_size_is_an_edit_away(models: dict[str, Any], model_id: str) -> None:
    for mode in ("base", "stream"):
        given = {**models[f"movinet-{mode}"]["configuration"], "model_id": model_id}
        ready = check_config(read_config(f"movinet_{model_id}_{mode}"))
        assert own_config(given, "x") == {**ready, "name": ""}
        made = next(m for m in make_manifest(model_id=model_id)["components"]["models"] if m["name"].endswith(mode))
        assert made["configuration"] == given
        assert made["moduleName"] == f"cliplab-{size_of(given)}"


def test_a_config_that_somebody_added_becomes_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = {"movinet_tricks": read_config("movinet_a2_base") | {"name": "Tricks", "n_frames": 8}}
    monkeypatch.setattr(dataloop_parts, "ready_configs", lambda: [*ready_configs(), *configs])
    monkeypatch.setattr(dataloop_parts, "read_config", lambda name: configs.get(name) or read_config(name))
    added = make_manifest()["components"]["models"][-1]
    assert (added["name"], added["moduleName"], added["configuration"]["n_frames"]) == (
        "movinet-tricks",
        "cliplab-medium",
        8,
    )


def test_models_of_the_manifest_before_open_as_they_are(manifest: dict[str, Any]) -> None:
    """The 16 models of version 0.1.0, one for each size, with every key: as they lie on the platform."""
    stored = json.loads((ROOT / "tests/stored/dataloop_0_1/models.json").read_text(encoding="utf-8"))
    assert len(stored) == 16
    modules = {module["name"] for module in manifest["components"]["modules"]}
    for model in stored:
        assert model["moduleName"] in modules
        ready = check_config(read_config(model["name"].replace("-", "_")))
        config = own_config(model["configuration"], model["name"])
        assert config == ready
        assert len(model_class(config["adapter"])(config).labels) == model["labels"]


def test_a_clone_of_the_public_apps_model_opens() -> None:
    """Its nine keys, what the platform adds, and what its training wrote; no adapter is named."""
    nine = {"hub_version": 3, "model_id": "a0", "model_mode": "base", "imgz": 224, "batch_size": 2, "num_epochs": 8}
    nine |= {"n_frames": 13, "top_k": 3, "learning_rate": 0.001}
    clone = nine | PLATFORM_DEFAULTS | {"id_to_label_map": {"0": "kickflip", "1": "ollie"}}
    config = own_config(clone, "a clone")
    assert {key: config[key] for key in nine} == nine
    assert config["adapter"] == "movinet_adapter:MoViNetAdapter"


def test_kinetics_has_its_600_labels_in_order(models: dict[str, Any], shared: Path) -> None:
    published = (shared / "labels" / "kinetics600.txt").read_text(encoding="utf-8").splitlines()
    assert len(published) == 600
    for name, model in models.items():
        if name.startswith("movinet"):
            assert model["labels"] == published


def test_larger_models_have_larger_pods(manifest: dict[str, Any]) -> None:
    pods = {entry["name"]: entry["runtime"]["podType"] for entry in manifest["components"]["computeConfigs"]}
    modules = {entry["name"]: entry for entry in manifest["components"]["modules"]}
    of = {name: pods[module["computeConfig"]] for name, module in modules.items()}
    assert len(set(of.values())) == 3
    for module in modules.values():
        on = {f["name"]: f.get("computeConfig", module["computeConfig"]) for f in module["functions"]}
        assert on["train_model"] == on["evaluate_model"] != on["predict_items"]
        assert all(slot["description"] for f in module["functions"] for slot in (*f["input"], *f["output"]))


def test_trainings_are_not_cut_short_after_an_hour(manifest: dict[str, Any]) -> None:
    for config in manifest["components"]["computeConfigs"]:
        assert config["executionTimeout"] > (24 * 3600 if config["name"].endswith("train") else 3600)


@pytest.mark.parametrize("model_id, size", [("a2", "medium"), ("a5", "large")])
def test_a_size_that_is_edited_by_hand_needs_its_pod(manifest: dict[str, Any], model_id: str, size: str) -> None:
    edited = copy.deepcopy(manifest)
    model = edited["components"]["models"][0]
    model["configuration"]["model_id"] = model_id
    with pytest.raises(ConfigError, match=f'"moduleName" to "cliplab-{size}".*{PODS[size][0]}'):
        check_manifest(edited)
    model["moduleName"] = f"cliplab-{size}"
    check_manifest(edited)
    model["moduleName"] = "cliplab-small"
    edited["components"]["computeConfigs"][0]["runtime"]["podType"] = "gpu-t4"  # a person's own choice
    check_manifest(edited)


def within(value: Any, other: Any) -> bool:
    """Whether a JSON value is in another one, which may have more keys: dtlpy adds its defaults to what it reads."""
    if isinstance(value, dict) and isinstance(other, dict):
        return all(key in other and within(entry, other[key]) for key, entry in value.items())
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(within, value, other))
    return bool(value == other)


# dtlpy's side ---------------------------------------------------------------------------------------------------------


def test_dtlpy_reads_back_what_is_written(manifest: dict[str, Any]) -> None:
    dpk = dl.Dpk.from_json(copy.deepcopy(manifest), client_api=dl.client_api, project=None)
    assert within(manifest, dpk.to_json())
    parts = manifest["components"]
    assert [module.name for module in dpk.components.modules] == [module["name"] for module in parts["modules"]]
    assert [c.runtime["podType"] for c in dpk.components.compute_configs] == [
        c["runtime"]["podType"] for c in parts["computeConfigs"]
    ]
    for module, written in zip(dpk.components.modules, parts["modules"], strict=True):
        assert (ROOT / module.entry_point).is_file()
        assert module.unique_functions(module.functions)
        for function, own in zip(module.functions, written["functions"], strict=True):
            slots = [*function.inputs, *function.outputs]
            assert [slot.type for slot in slots] == [slot["type"] for slot in (*own["input"], *own["output"])]
            for slot in slots:
                slot.check_type(slot.type)


def test_dtlpy_knows_every_word(manifest: dict[str, Any], models: dict[str, Any]) -> None:
    assert {model["status"] for model in models.values()} <= set(dl.ModelStatus)
    assert {model["outputType"] for model in models.values()} == {dl.AnnotationType.CLASSIFICATION.value}
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    assert set(schema["model"]["properties"]["status"]["enum"]) == set(dl.ModelStatus)
    runtime = schema["computeConfig"]["properties"]["runtime"]["properties"]
    assert set(runtime["podType"]["enum"]) == set(dl.InstanceCatalog)
    assert set(schema["io"]["items"]["properties"]["type"]["enum"]) <= set(dl.PackageInputType)


def test_functions_are_those_that_dtlpys_base_class_declares(manifest: dict[str, Any]) -> None:
    """name, displayName, input and output; the entry point read as dtlpy reads it when a package is pushed."""
    declared = [f.__dtlpy__ for f in vars(dl.BaseModelAdapter).values() if hasattr(f, "__dtlpy__")]
    assert len(declared) == 6
    found = dl.PackageModule.from_entry_point(str(ROOT / manifest["components"]["modules"][0]["entryPoint"])).to_json()
    by_name = {function["name"]: function for function in declared}
    assert within(declared, sorted(found["functions"], key=lambda f: list(by_name).index(f["name"])))
    for module in manifest["components"]["modules"]:
        assert module["className"] == found["className"]
        assert module["initInputs"] == found["initInputs"]
        for function in module["functions"]:
            wanted = by_name[function["name"]]
            assert {key: function[key] for key in ("displayName", "name")} == {
                k: wanted[k] for k in ("displayName", "name")
            }
            for side in ("input", "output"):
                assert sorted(map(_in_order, function[side]), key=str) == sorted(map(_in_order, wanted[side]), key=str)


def _in_order(slot: dict[str, str]) -> dict[str, str]:
    return {"type": slot["type"], "name": slot["name"]}


def test_the_platforms_keys_are_those_that_dtlpy_reads() -> None:
    """An update of dtlpy that reads another key of the configuration fails here."""
    from dataclasses import fields

    from dtlpy.ml import base_model_adapter

    source = Path(base_model_adapter.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r"configuration\.get\(\s*['\"](\w+)['\"]", source))
    read |= set(re.findall(r"adapter_defaults\.(?:get|resolve)\(\s*['\"](\w+)['\"]", source))
    read |= {field.name for field in fields(base_model_adapter.AdapterDefaults)}
    assert read - {"batch_size"} <= PLATFORM_KEYS
    assert not PLATFORM_KEYS & set(check_config(CONFIG))


# Our schema -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda m: m.pop("version"), "'version' is a required property"),
        (lambda m: m.update(scop="project"), "'scop' was unexpected"),
        (lambda m: m["components"]["computeConfigs"][0]["runtime"].update(podType="huge"), "podType: 'huge'"),
        (lambda m: m["components"]["models"][0].update(status="ready"), "status: 'ready'"),
        (lambda m: m["components"]["models"][0].update(inputType="text"), "inputType: 'text'"),
        (lambda m: m["components"]["models"][0]["labels"].append("zumba"), "labels"),
        (lambda m: m["components"]["models"][0].update(moduleName="cliplab-tiny"), "moduleName 'cliplab-tiny' is not"),
        (
            lambda m: m["components"]["models"].append(m["components"]["models"][0]),
            "'movinet-base' occurs twice",
        ),
        (lambda m: m["components"]["modules"][0].update(computeConfig="none"), "computeConfig 'none' is not listed"),
        (
            lambda m: m["components"]["modules"][0]["functions"][2].update(computeConfig="no"),
            "computeConfig 'no' is not",
        ),
        (lambda m: m["components"]["modules"][0].update(entryPoint="/adapters/host.py"), "entryPoint"),
        (lambda m: m.update(codebase={"type": "git", "gitUrl": "file:///etc", "gitTag": "1"}), "codebase.gitUrl"),
    ],
)
def test_a_manifest_that_is_wrong_is_named(manifest: dict[str, Any], change: Any, message: str) -> None:
    wrong = copy.deepcopy(manifest)
    change(wrong)
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_manifest(wrong)


def test_a_repository_is_named_at_this_versions_tag() -> None:
    made = make_manifest("https://example.com/videos.git")
    assert made["codebase"] == {"type": "git", "gitUrl": "https://example.com/videos.git", "gitTag": made["version"]}
    with pytest.raises(ConfigError, match="gitUrl"):
        make_manifest("videos.git")


# The command ----------------------------------------------------------------------------------------------------------


def test_the_command_writes_and_checks(tmp_path: Path) -> None:
    path = tmp_path / "dataloop.json"
    assert cli("dataloop", "manifest", "--output", path, "--check").exit_code == 2
    assert cli("dataloop", "manifest", "--output", path).exit_code == 0
    done = cli("dataloop", "manifest", "--output", path, "--check", "--json")
    assert (done.exit_code, json.loads(done.stdout)["current"]) == (0, True)
    path.write_text(path.read_text().replace('"top_k": 3', '"top_k": 4', 1))
    done = cli("dataloop", "manifest", "--output", path, "--check")
    assert done.exit_code == 1
    assert '-          "top_k": 4' in done.stdout
    assert f"cliplab dataloop manifest -o {path} --force" in done.stdout
    changed = path.read_bytes()
    refused = cli("dataloop", "manifest", "--output", path, code=1).stderr
    assert "already exists; use --force" in refused
    assert path.read_bytes() == changed
    cli("dataloop", "manifest", "--output", path, "--force", code=0)
    cli("dataloop", "manifest", "--output", path, code=0)  # it says this already
    assert cli("dataloop", "manifest", "--output", path, "--check").exit_code == 0


# A model's configuration ----------------------------------------------------------------------------------------------


def test_a_wrong_key_is_named_and_the_platforms_keys_are_not() -> None:
    platform = {
        **PLATFORM_DEFAULTS,
        "embeddings_size": 256,
        "id_to_label_map": {"0": "a"},
        "include_model_annotations": True,
    }
    given = {**CONFIG, **platform, "top_k": 5}
    before = copy.deepcopy(given)
    own = own_config(given, "configuration of model 'x'")
    assert own["top_k"] == 5
    assert not PLATFORM_KEYS & set(own)
    own["augmentation"]["flip"] = not own["augmentation"]["flip"]
    assert given == before
    with pytest.raises(
        ConfigError, match=r"configuration of model 'x': \"topk\" is not a key of .* Did you mean \"top_k\""
    ):
        own_config({**given, "topk": 5}, "configuration of model 'x'")


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=12, unique=True), st.randoms())
def test_labels_keep_the_order_of_their_ids(labels: list[str], random: Any) -> None:
    pairs = [(str(index), label) for index, label in enumerate(labels)]
    random.shuffle(pairs)
    assert label_order({"id_to_label_map": dict(pairs)}, "x") == tuple(labels)
    shuffled = random.sample(labels, len(labels))
    assert order_labels(shuffled, labels) == tuple(labels)
    assert order_labels(shuffled, None) == tuple(shuffled)
    assert set(order_labels(shuffled, labels[: len(labels) // 2])) == set(labels)


@pytest.mark.parametrize("mapping", [{"1": "a"}, {"0": "a", "2": "b"}, {"0": "a", "1": "a"}, {"x": "a"}, ["a"]])
def test_a_map_that_is_no_order_is_refused(mapping: Any) -> None:
    with pytest.raises(ConfigError, match="id_to_label_map"):
        label_order({"id_to_label_map": mapping}, "x")
    assert label_order({"id_to_label_map": {}}, "x") is None

"""A model is data: which code it may name, whatever it is opened as, and what it cannot make the process import."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from command_line import Ran, cli, python
from places import SUPPORT
from tflite_adapter import make_tflite
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters import trusting
from adapters.bundle import write_sealed
from adapters.config import BUILT_IN_ADAPTERS, adapter_class, require_trusted, schemas
from adapters.errors import ConfigError
from adapters.hosts.dataloop.config import own_config
from adapters.inference import open_model, read_stored, ready_configs
from adapters.litert import read_description, with_description
from cliplab.models import config_check, config_schema, config_show
from cliplab.registry import CurrentModel, registry_manifest

EVIL = "evil_module:Evil"
NAMES = (EVIL, "os:system", "evil_module.deep:Evil", "adapters.testing:AdapterContract", "movinet_adapter:os", "a:B")


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists as soon as evil_module, which lies beside the models and on the import path, is imported."""
    (tmp_path / "evil_module.py").write_text(
        f"open({str(tmp_path / 'canary')!r}, 'w').close()\nfrom tiny_adapter import TinyAdapter as Evil\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "evil_module", raising=False)
    monkeypatch.delitem(schemas._in_use, EVIL, raising=False)
    return tmp_path / "canary"


def config_of(name: str) -> dict[str, object]:
    return {"schema_version": 2, "adapter": name}


def bundle_of(folder: Path, name: str) -> Path:
    """A whole, sealed bundle whose config names an adapter."""
    TinyAdapter({}).save(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "bundle.json"}
    config = {**json.loads(files["config.json"]), "adapter": name}
    write_sealed(folder, {**files, "config.json": json.dumps(config).encode()})
    return folder


def test_the_built_in_adapters_are_those_of_the_ready_configs_under_both_names() -> None:
    named = {json.loads(path.read_text())["adapter"] for path in ready_configs().values()}
    assert named <= BUILT_IN_ADAPTERS
    for name in BUILT_IN_ADAPTERS:
        cls = adapter_class(name)
        assert f"{cls.__module__}:{cls.__qualname__}" in BUILT_IN_ADAPTERS  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_that_is_not_trusted_is_refused_before_any_import(tmp_path: Path, canary: Path, name: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_of(name)))
    bundle = bundle_of(tmp_path / "bundle", name)
    with pytest.raises(ConfigError, match="--trust-adapter"):
        open_model(config_of(name))
    for source in (path, bundle):
        for act in (open_model, config_show):
            with pytest.raises(ConfigError, match=f"{source.name}.*{name}"):
                act(source)
    with pytest.raises(ConfigError, match=name):
        read_stored(bundle)
    with pytest.raises(ConfigError, match=name):
        config_schema(name)
    with pytest.raises(ConfigError, match=name):
        own_config(config_of(name), "configuration")
    with pytest.raises(ConfigError, match=name):
        open_model("efficientnet_lite0", {"adapter": name})
    assert name in (config_check([path])[0].error or "")
    assert not canary.exists()


def test_a_single_file_and_the_current_model_of_a_registry_are_held_to_the_same(tmp_path: Path, canary: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    make_tflite(folder / "a.tflite")
    description = read_description(folder / "a.tflite")
    description["config"]["adapter"] = EVIL
    (folder / "a.tflite").write_bytes(with_description((folder / "a.tflite").read_bytes(), description))
    registry_manifest(folder)
    for act in (lambda: open_model(folder / "a.tflite"), CurrentModel(folder).get):
        with pytest.raises(ConfigError, match=r"a\.tflite.*evil_module"):
            act()
    assert not canary.exists()


@pytest.mark.parametrize("name", [3, None, ["a:B"], {"a": 1}, "", "evil_module", ":", "evil_module:"])
def test_an_adapter_that_is_no_name_is_refused(canary: Path, name: object) -> None:
    with pytest.raises(ConfigError, match="adapter"):
        open_model({"schema_version": 2, "adapter": name})
    assert not canary.exists()


def test_a_member_of_an_ensemble_is_held_to_the_same(tmp_path: Path, canary: Path) -> None:
    members = [str(bundle_of(tmp_path / "evil", EVIL)), str(bundle_of(tmp_path / "good", "tiny_adapter:TinyAdapter"))]
    config = {"schema_version": 2, "adapter": "adapters.models.ensemble:EnsembleAdapter", "members": members}
    with pytest.raises(ConfigError, match=EVIL):
        _ = open_model(config).labels
    assert not canary.exists()
    assert open_model(config, trust_adapters=(EVIL,)).labels == ("cold", "warm")
    assert canary.exists()


def test_trust_is_of_one_name_and_for_one_opening(tmp_path: Path) -> None:
    (tmp_path / "own_a.py").write_text("from tiny_adapter import TinyAdapter\nclass A(TinyAdapter): pass\n")
    bundle = bundle_of(tmp_path / "bundle", "own_a:A")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        for wrong in ("own_a:B", "own_b:A"):
            with pytest.raises(ConfigError, match="own_a:A"):
                open_model(bundle, trust_adapters=(wrong,))
        model = open_model(bundle, trust_adapters=("own_a:A",))
        model.save(tmp_path / "copy")  # its class goes on working
        model.load(tmp_path / "copy")
        with pytest.raises(ConfigError, match="own_a:A"):
            open_model(bundle)
        with trusting(["own_a:A"]):
            open_model(tmp_path / "copy")
        with pytest.raises(ConfigError, match="own_a:A"):
            open_model(tmp_path / "copy")


@pytest.mark.parametrize("wrong", ["own_a", "a.b.c", "a:b:c", "a b:C", 7])
def test_a_name_to_trust_has_a_form(wrong: str) -> None:
    with pytest.raises(ConfigError, match="module:Class"):
        open_model("efficientnet_lite0", trust_adapters=(wrong,))


@pytest.mark.parametrize(
    "name, expected",
    [("no_such_module:Thing", "cannot be imported.*PYTHONPATH"), ("json:JSONDecoder", "is not a BaseModelAdapter")],
)
def test_a_trusted_name_that_is_no_adapter_is_named(name: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        open_model(config_of(name), trust_adapters=[name])


# Commands ------------------------------------------------------------------------------------------------------------


def run_in(folder: Path, *words: object, path: str | None = None) -> Ran:
    variables = {} if path is None else {"PYTHONPATH": os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])}
    return cli(*words, process=True, cwd=folder, env=variables)


def test_every_command_that_opens_a_model_refuses_and_trusts_alike(tmp_path: Path, canary: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", EVIL)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(config_of(EVIL)))
    (tmp_path / "videos").mkdir()
    video = render_video(tmp_path / "videos" / "a.mp4", "warm", 0)
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"path": "videos/a.mp4", "label": "warm"}) + "\n")
    port = ("--port", "0")
    refused = [
        ("predict", bundle, video),
        ("train", config, data, tmp_path / "out"),
        ("finetune", bundle, data, tmp_path / "out"),
        ("evaluate", bundle, data),
        ("convert", bundle, "--output", tmp_path / "x.tflite"),
        ("verify", bundle, bundle),
        ("bench", bundle),
        ("stream", bundle, video),
        ("scan", tmp_path / "videos", bundle),
        ("score", video, bundle, "--label", "warm"),
        ("config", "show", config),
        ("config", "check", config),
        ("config", "schema", config),
        ("host", "http", bundle, *port),
        ("host", "label-studio", bundle, *port),
    ]
    for words in refused:
        ran = cli(*words)
        assert ran.exit_code == 2, (words, ran.output)
        assert EVIL in ran.output, words
        assert "--trust-adapter" in cli(*words[: 2 if words[0] in ("config", "host") else 1], "--help").stdout, words
    assert not canary.exists()
    trust = ("--trust-adapter", EVIL)
    cli("predict", bundle, video, *trust, code=0)
    cli("score", video, bundle, "--label", "warm", *trust, code=0)
    cli("config", "check", config, *trust, code=0)
    cli("config", "schema", EVIL, *trust, code=0)
    assert canary.exists()


@pytest.mark.parametrize("name", ["adapters", "numpy", "typer", "yaml"])
def test_no_module_in_the_current_folder_of_a_command_is_imported(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("open('canary', 'w').close()\n")
    (tmp_path / "own.yaml").write_text("schema_version: 2\nadapter: movinet_adapter:MoViNetAdapter\n")
    ran = run_in(tmp_path, "config", "check", "own.yaml")
    assert ran.exit_code == 0, ran.output
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["movinet_adapter", "configs", "evil_module"])
def test_a_module_in_the_current_folder_is_not_imported(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("open('canary', 'w').close()\nclass Evil: pass\n")
    (tmp_path / "own.json").write_text(json.dumps(config_of(EVIL)))
    named = "own.json" if name == "evil_module" else "movinet_a0_base"
    ran = run_in(tmp_path, "config", "check", named)
    assert ran.exit_code == (2 if name == "evil_module" else 0), ran.output
    code = (
        "import sys; sys.path.insert(0, '.')\nfrom cliplab.models import config_check\n"
        f"(check,) = config_check([{named!r}])\nprint(check.error)"
    )
    ran = python(code, cwd=tmp_path)
    assert ("None" in ran.stdout) == (name != "evil_module"), ran.output
    assert not (tmp_path / "canary").exists()


def install(folder: Path, name: str = EVIL) -> Path:
    """A package as pip installs it, that registers an adapter."""
    info = folder / "evil-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cliplab.adapters]\nany = {name}\n")
    (folder / "evil_module.py").write_text("from tiny_adapter import TinyAdapter\nclass Evil(TinyAdapter): pass\n")
    return folder


def test_an_installed_package_registers_its_adapter(tmp_path: Path) -> None:
    site = install(tmp_path / "site")
    work = tmp_path / "work"
    work.mkdir()
    (work / "evil_module.py").write_text("open('canary', 'w').close()\n")  # of the same name, where the command runs
    (work / "own.json").write_text(json.dumps(config_of(EVIL)))
    path = os.pathsep.join([str(site), str(SUPPORT)])
    ran = run_in(work, "config", "check", "own.json", path=path)
    assert ran.exit_code == 0, ran.output
    code = "import sys; sys.path.insert(0, '')\nfrom adapters import open_model\nprint(type(open_model('own.json')))"
    ran = python(code, cwd=work, env={"PYTHONPATH": os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])})
    assert "evil_module.Evil" in ran.stdout, ran.output
    assert not (work / "canary").exists()


def test_metadata_in_the_current_folder_registers_nothing(tmp_path: Path) -> None:
    install(tmp_path)
    (tmp_path / "own.json").write_text(json.dumps(config_of(EVIL)))
    ran = run_in(tmp_path, "config", "check", "own.json")
    assert ran.exit_code == 2, ran.output
    ran = python("import sys; sys.path.insert(0, '.')\nimport adapters; adapters.open_model('own.json')", cwd=tmp_path)
    assert "ConfigError" in ran.stderr
    shutil.rmtree(tmp_path / "evil-1.0.dist-info")
    with pytest.raises(ConfigError, match=EVIL):
        require_trusted(EVIL)

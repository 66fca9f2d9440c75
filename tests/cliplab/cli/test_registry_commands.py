"""`cliplab registry` as people and scripts use it: options, tables, JSON, exit codes, dry runs, the zoo page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("alembic", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")

from command_line import cli
from tflite_adapter import make_tflite

from cliplab.registry import Event, open_registry

TRUST = ("--trust-adapter", "tflite_adapter:TfliteAdapter")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of two versions, one in production."""
    folder = tmp_path_factory.mktemp("registry")
    place = folder / "r"
    cli("registry", "init", "--registry", place, "--tracking", "none", code=0)
    for number, figure in (("1.0.0", 0.91), ("1.0.1", 0.93)):
        model = make_tflite(folder / "model.tflite", contrast=0.1 + figure / 100)
        (folder / "metrics.json").write_text(
            json.dumps({"precision": figure, "latency_ms": 12.5, "size_bytes": 4_287_216})
        )
        words = [
            "--model",
            model,
            "--name",
            "base-ad-detector",
            "--version",
            number,
            "--metrics",
            folder / "metrics.json",
        ]
        cli(
            "registry",
            "upload",
            *words,
            "--description",
            "Base <b>ad</b> | detector",
            "--registry",
            place,
            *TRUST,
            code=0,
        )
    words = ["--model-id", "base-ad-detector", "--version", "1.0.0", "--environment", "production"]
    ran = cli("registry", "promote", *words, "--registry", place, "--reason", "the first", *TRUST, code=0)
    assert "production has base-ad-detector 1.0.0 (before: none)" in ran.stdout
    return place


def test_the_seeds_commands_with_their_tables(place: Path) -> None:
    env = {"CLIPLAB_REGISTRY": str(place)}
    listed = cli("registry", "list", env=env, code=0).stdout
    assert "base-ad-detector" in listed
    assert "production" in listed
    shown = cli("registry", "show", "base-ad-detector@production", env=env, code=0).stdout
    assert "base-ad-detector-v1.0.0" in shown
    compared = cli("registry", "compare", "base-ad-detector@1.0.0", "base-ad-detector@1.0.1", env=env, code=0).stdout
    assert "+0.02" in compared
    assert compared.count("4,287,216") == 2
    assert "size_bytes 4,287,216" in " ".join(shown.split())
    history = cli("registry", "history", env=env, code=0).stdout
    assert "the first" in history
    lineage = cli("registry", "lineage", "base-ad-detector", env=env, code=0).stdout
    assert "follows: 1.0.0" in lineage
    assert "1 of 1 keys sign" in cli("registry", "keys", env=env, code=0).stdout
    assert "nothing changes" in cli("registry", "publish", env=env, code=0).stdout
    recovered = cli("registry", "publish", "--recover", "--reason", "a backup", env=env, code=0).stdout
    assert "devices follow again at their next request" in recovered
    assert "nothing changes" not in recovered


def test_a_model_of_many_labels_is_shown_in_a_few_lines(tmp_path: Path) -> None:
    place = tmp_path / "r"
    cli("registry", "init", "--registry", place, "--tracking", "none", "--no-keys", code=0)
    interface = {"adapter": "a:A", "task": None, "labels": [f"label {i:03d}" for i in range(400)], "input": {}}
    file = {"file": "x", "file_name": "x.tflite", "format": "tflite", "sha256": "0" * 64, "size_bytes": 1}
    with open_registry(place) as registry:
        registry.append(Event("upload", "base-x", "1.0.0", details={**file, "interface": interface}, who="ann"))
    shown = " ".join(cli("registry", "show", "base-x", "--registry", place, code=0).stdout.split())
    assert "label 019 and 380 more (--json: all)" in shown
    assert "label 020" not in shown
    everything = json.loads(cli("registry", "show", "base-x", "--registry", place, "--json", code=0).stdout)
    assert len(everything["interface"]["labels"]) == 400
    assert cli("registry", "zoo", "--registry", place, code=0).stdout.splitlines()[-1] == "1 model"


@pytest.mark.parametrize(
    "words",
    [
        ("list",), ("show", "base-ad-detector"), ("history",), ("lineage", "base-ad-detector"), ("keys",), ("zoo",),
        ("compare", "base-ad-detector@1.0.0", "base-ad-detector@1.0.1"),
    ],
)  # fmt: skip
def test_each_reading_command_writes_json(place: Path, words: tuple[str, ...]) -> None:
    assert json.loads(cli("registry", *words, "--registry", place, "--json", code=0).stdout)


def test_exit_codes_say_what_went_wrong(place: Path, tmp_path: Path) -> None:
    model = make_tflite(tmp_path / "model.tflite")
    upload = ("registry", "upload", "--model", model, "--registry", place, *TRUST)
    assert "exists" in cli(*upload, "--name", "base-ad-detector", "--version", "1.0.1", code=1).stderr
    assert "TYPE-VARIANT" in cli(*upload, "--name", "Base", "--version", "1.0.1", code=2).stderr
    assert "would store" in cli(*upload, "--name", "base-x", "--version", "1.0.0", "--dry-run", code=0).stdout
    assert "has no model" in cli("registry", "show", "base-x", "--registry", place, code=2).stderr
    promote = ("registry", "promote", "--model-id", "base-ad-detector", "--registry", place, *TRUST)
    assert "would have" in cli(*promote, "--version", "1.0.1", "--dry-run", code=0).stdout
    assert "is missing" in cli(*promote, code=2).stderr
    assert "root=2" in cli("registry", "rotate", "root", "--threshold", "2", "--registry", place, code=2).stderr


def test_the_zoo_page_escapes_what_people_wrote(place: Path, tmp_path: Path) -> None:
    for suffix in ("html", "md", "json"):
        cli("registry", "zoo", tmp_path / f"zoo.{suffix}", "--registry", place, code=0)
    page = (tmp_path / "zoo.html").read_text()
    assert "&lt;b&gt;ad&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "base-ad-detector 1.0.0" in page, "the version in use"
    text = (tmp_path / "zoo.md").read_text()
    assert "precision 0.910" in text
    assert "12.5 ms" in text
    assert r"\| detector" in text
    assert cli("registry", "zoo", tmp_path / "zoo.html", "--registry", place).exit_code == 1
    assert cli("registry", "zoo", tmp_path / "zoo.txt", "--registry", place).exit_code == 2


def test_every_command_says_where_a_registry_is_missing(tmp_path: Path) -> None:
    """A misspelt folder is named, and no empty registry is made there."""
    model, folder = make_tflite(tmp_path / "model.tflite"), tmp_path / "folder"
    cli("registry", "manifest", folder, "--add", model, code=None)
    before = sorted(tmp_path.rglob("*"))
    of_model = ("--model-id", "base-x", "--version", "1.0.0")
    every = (
        ("list",), ("show", "base-x"), ("history",), ("keys",), ("zoo",), ("lineage", "base-x"),
        ("compare", "base-x@1.0.0", "base-x@1.0.1"), ("download", "base-x", "out.tflite"),
        ("export", "base-x", "out.tflite"),
        ("upload", "--model", model, "--name", "base-x", "--version", "1.0.0", *TRUST),
        ("upload", "--model", model, "--name", "base-x", "--version", "1.0.0", "--dry-run", *TRUST),
        ("promote", *of_model), ("rollback", *of_model, "--environment", "staging"), ("publish",), ("rotate",),
        ("to-folder", "base-x", folder), ("device", "add", "kitchen"), ("device", "list"),
        ("device", "remove", "kitchen"), ("serve", "--port", "0"),
    )  # fmt: skip
    commands = [("registry", *words) for words in every]
    commands += [("rollout", "start", *of_model), ("rollout", "status"), ("rollout", "history", "base-x")]
    commands += [("rollout", word, "base-x", "--reason", "test") for word in ("widen", "pause", "halt", "resume")]
    for words in commands:
        said = cli(*words, "--registry", tmp_path / "reigstry", code=1).stderr
        assert "reigstry: there is no registry. Correct the path or URL (--registry, CLIPLAB_REGISTRY)" in said, words
        assert f"cliplab registry init --registry {tmp_path / 'reigstry'}" in said, words
        assert sorted(tmp_path.rglob("*")) == before, words


def test_a_misspelt_variable_makes_no_registry_but_ones_own_needs_no_preparation(tmp_path: Path) -> None:
    model = make_tflite(tmp_path / "model.tflite")
    upload = ("registry", "upload", "--model", model, "--name", "base-x", "--version", "1.0.0", *TRUST)
    said = cli(*upload, env={"CLIPLAB_REGISTRY": str(tmp_path / "x")}, code=1).stderr
    assert "x: there is no registry" in said
    assert not (tmp_path / "x").exists()
    own = {"XDG_DATA_HOME": str(tmp_path / "data"), "CLIPLAB_REGISTRY": ""}
    assert "there is no registry" in cli("rollout", "status", env=own, code=1).stderr
    assert not (tmp_path / "data").exists()
    cli(*upload, env=own, code=0)
    assert "base-x" in cli("registry", "list", env=own, code=0).stdout


@pytest.mark.parametrize("left", ["tuf", "artifacts"])
def test_a_history_that_was_lost_is_not_begun_anew(tmp_path: Path, left: str) -> None:
    place, model = tmp_path / "r", make_tflite(tmp_path / "model.tflite")
    keys = "--keys" if left == "tuf" else "--no-keys"
    cli("registry", "init", "--registry", place, "--tracking", "none", keys, code=0)
    upload = ("registry", "upload", "--model", model, "--name", "base-x", "--registry", place, *TRUST)
    if left == "artifacts":
        cli(*upload, "--version", "1.0.0", code=0)
    for file in place.glob("registry.db*"):
        file.unlink()
    for words in ((*upload, "--version", "1.1.0"), ("registry", "init", "--registry", place)):
        said = cli(*words, code=1).stderr
        assert f"has {left}/, but the tables of its history are missing" in said
        assert "Restore them from a backup" in said
        assert not (place / "registry.db").exists()

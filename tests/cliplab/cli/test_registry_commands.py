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

TRUST = ("--trust-adapter", "tflite_adapter:TfliteAdapter")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of two versions, one in production."""
    folder = tmp_path_factory.mktemp("registry")
    place = folder / "r"
    cli("registry", "init", "--registry", place, "--tracking", "none", code=0)
    for number, figure in (("1.0.0", 0.91), ("1.0.1", 0.93)):
        model = make_tflite(folder / "model.tflite", contrast=0.1 + figure / 100)
        (folder / "metrics.json").write_text(json.dumps({"precision": figure, "latency_ms": 12.5}))
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
    history = cli("registry", "history", env=env, code=0).stdout
    assert "the first" in history
    lineage = cli("registry", "lineage", "base-ad-detector", env=env, code=0).stdout
    assert "follows: 1.0.0" in lineage
    assert "1 of 1 keys sign" in cli("registry", "keys", env=env, code=0).stdout
    assert "nothing changes" in cli("registry", "publish", env=env, code=0).stdout


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
    for words in (("list",), ("show", "base-x"), ("history",), ("keys",), ("zoo",)):
        assert "there is no registry" in cli("registry", *words, "--registry", tmp_path / "x", code=1).stderr

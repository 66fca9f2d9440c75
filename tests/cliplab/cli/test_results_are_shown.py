"""What a command's function returns is what the command says: whole as JSON, and its facts as text.

A made-up report, in which every value is another one, takes the place of the function's. HIDDEN has what the text
leaves to the JSON.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from made_reports import maker, told
from test_options_arrive import EMPTY, LEAVES, _functions, _modules, _needed

from cliplab import clips
from cliplab.cli import verbosity

# Commands that print lines as they work, that return nothing, or whose report needs more than made-up values.
ELSEWHERE = {
    "predict", "evaluate", "train", "finetune", "convert", "verify", "adopt", "explain", "compare", "stream", "scan",
    "score", "ads", "ads-learn", "detect", "worker", "reel", "config show", "config check", "config schema", "demo",
    "bench", "dataset advise", "dataset import", "dataset split", "dataset export", "dataset stats", "clips list",
    "clips rate", "clips stats", "clips train", "clips ab-start", "device run", "device status", "host http",
    "host label-studio", "studio", "label launch", "label server", "registry serve", "registry device list",
    "rollout start", "rollout status", "rollout widen", "rollout pause", "rollout halt", "rollout resume",
    "clips reset", "rollout promote", "doctor",
    "registry show", "registry lineage", "generate", "registry list", "dataloop manifest",
    *EMPTY,
}  # fmt: skip
COMMANDS = sorted(set(LEAVES) - ELSEWHERE)
# Commands whose JSON is not that of the report: the key and what it holds.
OWN_JSON: dict[str, Any] = {
    "clips tag": lambda value: {"id": 71, "tags": value},
    "clips ab-stop": lambda value: {"ended": value, "keep": None},
    "clips export": lambda value: {"path": "given output", "ratings": value},
    "clips cleanup": lambda value: {"missing": value, "removed": value},
    "clips backup": lambda value: {"path": str(value)},
    "cache clear": lambda value: {"dry_run": False, "folders": told(value)},
    "registry download": lambda value: {"path": str(value)},
    "registry export": lambda value: {"path": str(value[0]), "signature": str(value[1])},
    "registry rotate": lambda value: {"keys": told(value[0]), "published": told(value[1])},
    "registry device add": lambda value: {"name": "given name", "token": value},
    "registry device remove": lambda value: {"name": "given name", "removed": True},
    "label rename": lambda value: {"data_dir": "given data_dir", "old": "given old", "new": "given new"},
    "label auto": lambda value: told(value.to_json()) | {"output": value.output},
}
# Fields of a report that the text leaves to the JSON.
# What return annotations name that their modules import for type checkers only.
LATE = ("AbReport", "FeaturesReport", "ImportReport")
HIDDEN: dict[str, set[str]] = {
    "clips extend": {"clip_id", "old_path"},
    "clips import": {"path"},
    "dataloop programs": {"model", "model_id"},
    "dataset from-db": {"query"},
    "dataset prepare": {"clips"},
    "ensemble": {"size_bytes"},
    "registry from-folder": {"folder"},
    "registry manifest": {"added", "next_name"},
    "registry to-folder": {"folder"},
}
# Commands whose text reads a report's parts by the names in other parts, which made-up names do not fit.
TEXT_ELSEWHERE = {
    "clips ab-status", "clips reset", "label auto", "registry compare", "registry history", "registry init",
    "registry keys", "registry promote", "registry publish", "registry rollback", "registry rotate", "registry upload",
    "registry zoo", "rollout history",
}  # fmt: skip


def made(command: str) -> Any:
    function = _functions(command)[-1]
    kind = typing.get_type_hints(function, localns={name: getattr(clips, name) for name in LATE})["return"]
    return None if kind in (None, type(None)) else maker().value(kind, "made")


def run(command: str, value: Any, *more: str, patch: pytest.MonkeyPatch) -> int:
    words, _ = _needed(command)
    function = _functions(command)[-1]
    verbosity.reset()
    with patch.context() as here:
        for place in _modules():
            if getattr(place, function.__name__, None) is function:
                here.setattr(place, function.__name__, lambda *_, **__: value)
        return int(LEAVES[command].main([*words, *more], standalone_mode=False) or 0)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_json_of_a_command_is_that_of_its_report(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value = made(command)
    run(command, value, "--json", patch=monkeypatch)
    expected = OWN_JSON[command](value) if command in OWN_JSON else told(value)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(expected))


def facts(value: Any, name: str = "made") -> Iterator[tuple[str, str]]:
    """The texts and whole numbers of a report, with the fields that hold them."""
    if isinstance(value, (str, Path)) or (isinstance(value, int) and not isinstance(value, bool)):
        yield name, str(value)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from facts(getattr(value, field.name), field.name)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from facts(key, name)
            yield from facts(one, name)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from facts(one, name)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - TEXT_ELSEWHERE))
def test_the_text_of_a_command_has_the_facts_of_its_report(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value = made(command)
    monkeypatch.setenv("COLUMNS", "1000")
    run(command, value, patch=monkeypatch)
    shown = re.sub(r"\s+", " ", "".join(capsys.readouterr()))
    missing = {name for name, text in facts(value) if not re.search(rf"(?<!\d){re.escape(text)}(?!\d)", shown)}
    assert missing == HIDDEN.get(command, set())


def run_with(command: str, patch: pytest.MonkeyPatch, **changed: Any) -> int:
    """The exit code of a command whose report has these values."""
    value = made(command)
    return run(command, dataclasses.replace(value, **changed) if changed else value, "--json", patch=patch)


# A command, what its report has where all went well, and what where some of it failed.
CODES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("extract", {"errors": ()}, {"errors": ("x",)}),
    ("dataset prepare", {"skipped": ()}, {"skipped": ("x",)}),
    ("dataset from-db", {"missing": ()}, {"missing": ("x",)}),
    ("clips features", {"problems": ()}, {"problems": ((1, "x"),)}),
    ("clips import", {"problems": ()}, {"problems": ("x",)}),
    ("label auto", {"failed": ()}, {"failed": (("a", "x"),)}),
    ("active collect", {"failed": ()}, {"failed": ("x",)}),
    ("registry manifest", {"problems": ()}, {"problems": ("x",)}),
]


@pytest.mark.parametrize(("command", "good", "bad"), CODES)
def test_a_command_fails_where_its_report_says_so(
    command: str, good: dict[str, Any], bad: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_with(command, monkeypatch, **good) == 0
    assert run_with(command, monkeypatch, **bad) == 1


def test_a_promotion_that_was_only_tried_fails_with_its_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    value = made("registry promote")
    failed = dataclasses.replace(value, checks=tuple(dataclasses.replace(one, passed=False) for one in value.checks))
    assert run("registry promote", value, "--json", "--dry-run", patch=monkeypatch) == 0
    assert run("registry promote", failed, "--json", "--dry-run", patch=monkeypatch) == 1
    assert run("registry promote", failed, "--json", patch=monkeypatch) == 0, "it was forced"


@pytest.mark.parametrize(("command", "value", "code"), [("clips ab-stop", True, 0), ("clips ab-stop", False, 1)])
def test_ending_what_does_not_run_fails(command: str, value: Any, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(command, value, "--json", patch=monkeypatch) == code
    assert run("clips ab-status", None, "--json", patch=monkeypatch) == 1


def test_a_dry_run_says_would(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for command, value in (("clips extend", made("clips extend")), ("clips features", made("clips features"))):
        run(command, value, "--dry-run", patch=monkeypatch)
        assert "would" in capsys.readouterr().out
        run(command, value, patch=monkeypatch)
        assert "would" not in capsys.readouterr().out
    run("clips cleanup", 7, "--dry-run", "--json", patch=monkeypatch)
    assert json.loads(capsys.readouterr().out) == {"missing": 7, "removed": 0}
    run("cache clear", made("cache clear"), "--dry-run", "--json", patch=monkeypatch)
    assert json.loads(capsys.readouterr().out)["dry_run"] is True

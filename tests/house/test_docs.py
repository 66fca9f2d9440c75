"""The documents say what the code does: generated references are fresh, and commands in them exist."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import make_references as docs
import pytest
from places import ROOT

from adapters.config import key_schemas
from adapters.errors import MissingExtraError
from adapters.inference import read_config, ready_configs
from cliplab import api

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
COMMANDS = dict(docs.commands())
# What a command takes for showing its result, and the function behind it does not.
# Options that say what another says: `--output X` for OUTPUT, `--multi-gpu` for `--devices all`, `--epochs` for --set.
SECOND_SPELLINGS: dict[Any, str] = {
    "output_option": "output",
    "multi_gpu": "devices",
    "video_source": "sources",
    "leave_one_group_out": "cross_validate",
    **dict.fromkeys(("epochs", "batch_size", "learning_rate", "freeze_layers", "optimize"), "overrides"),
    **dict.fromkeys(("device_option", "threads_option"), "overrides"),
}
SHOWING = {"as_json"}


def test_the_references_are_fresh() -> None:
    for name, text in docs.references().items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, f"docs/{name}: run make docs"
    assert {f"api/{path.name}" for path in (ROOT / "docs" / "api").iterdir()} <= set(docs.references())


def test_every_command_and_option_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for name, command in COMMANDS.items():
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in command.params:
            shown = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.metavar
            assert f"`{shown}" in section, f"{name} {shown}"
            for spelling in parameter.opts if shown.startswith("-") else ():
                assert re.search(rf"[` ]{spelling}[`, ]", section), f"{name} {spelling}"
            assert parameter.help, f"{name} {shown}"


def test_every_config_key_is_documented() -> None:
    text = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    for path in ready_configs().values():
        for key in key_schemas(read_config(path)["adapter"]):
            assert f"| `{key}` |" in text, key


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not getattr(command, "commands", None)])
def test_each_command_is_a_function_of_the_same_name_and_arguments(name: str) -> None:
    function: Any = getattr(api, name.removeprefix("cliplab ").replace(" ", "_").replace("-", "_"))
    assert inspect.getdoc(function)
    given = {SECOND_SPELLINGS.get(parameter.name, parameter.name) for parameter in COMMANDS[name].params} - SHOWING
    assert given <= set(inspect.signature(function).parameters)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_documents_import_is_there(page: Path) -> None:
    """From the folders, which export what is taught, except in the file that the page of hosts writes."""
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        for module, names in re.findall(r"^from ((?:adapters|cliplab)[\w.]*) import ([\w, ]+)$", block, re.M):
            if module == "adapters.hosts.lines_host":  # which the page of hosts writes
                continue
            try:
                found = importlib.import_module(module)
            except MissingExtraError as error:  # it names the command that installs what is missing
                pytest.skip(str(error))
            for name in names.split(","):
                assert hasattr(found, name.strip()), f"{module} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target

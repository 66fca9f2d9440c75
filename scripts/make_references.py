"""The generated references: docs/cli.md from the commands, docs/config.md from the schemas, docs/api/ from the exports,
docs/from-your-script.md from a table, docs/images/architecture.svg from the layers in pyproject.toml.

``python scripts/make_references.py`` writes them; with ``--check`` it changes nothing and exits with 1 where they are
out of date.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from architecture_picture import architecture_svg
from script_map import script_map

from adapters.config import COMMON_SCHEMA, adapter_class, key_schemas
from adapters.inference import read_config, ready_configs
from adapters.system import parse_json, write_text_atomic

FOLDER = Path(__file__).resolve().parent.parent / "docs"
# The folders whose exports are the library's Python interface, and the commands as functions.
FOLDERS = ("config", "media", "data", "litert", "bundle", "inference", "evaluation", "training", "models")
API_PACKAGES = ("adapters", *(f"adapters.{name}" for name in FOLDERS), "cliplab.api")
EFFECTS = {
    "runtime": "takes effect at once, also on a stored model",
    "program": "needs another LiteRT program: made from the weights and cached, or an error names the command",
    "retrain": "belongs to the weights: on a stored model it must stay what it was",
}


def cli_reference() -> str:
    """Every command with its arguments and options, as Markdown."""
    parts = [
        "# Command line",
        "Written by `make docs` from the commands themselves; `cliplab COMMAND --help` shows the same. Each command is "
        "one call of the function of its name in `cliplab.api`, with arguments of the same names; "
        "`cliplab config show` is `config_show`.",
    ]
    for name, command in commands():
        arguments = [p for p in command.params if not p.opts[0].startswith("-")]
        options = [p for p in command.params if p.opts[0].startswith("-")]
        usage = [name, *(_argument(p) for p in arguments)]
        usage += ["COMMAND"] if getattr(command, "commands", None) else []
        parts += [
            f"## {name}",
            command.help.strip(),
            f"```text\n{' '.join(usage)}{' [OPTIONS]' if options else ''}\n```",
        ]
        if command.params:
            rows = [_parameter(p) for p in (*arguments, *options)]
            parts.append("\n".join(["| | default | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """(full name, command) of the program, each group and each command that --help shows, in its order."""
    from typer.main import get_command

    from cliplab.cli.app import app

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for child, found in getattr(command, "commands", {}).items():
            if not found.hidden:  # older spellings
                yield from walk(f"{name} {child}", found)

    yield from walk("cliplab", get_command(app))


def _argument(parameter: Any) -> str:
    """MODEL, [OUTPUT] where it may be left out, VIDEO... where there may be several."""
    name = parameter.metavar.removesuffix("...") + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _parameter(parameter: Any) -> str:
    option = parameter.opts[0].startswith("-")
    name = ", ".join((*parameter.opts, *parameter.secondary_opts)) if option else parameter.metavar
    value = f" {parameter.metavar}" if option and not parameter.is_flag else ""
    default = parameter.default
    if parameter.required:
        shown = "required"
    elif option and parameter.is_flag:
        shown = f"`{parameter.opts[0]}`" if default is True else ""
    elif default in (None, "", []):
        shown = ""
    else:
        shown = f"`{' '.join(map(str, default)) if isinstance(default, (tuple, list)) else default}`"
    return f"| `{name}{value}` | {shown} | {parameter.help} |"


def config_reference() -> str:
    """Every key of every adapter that a ready config names, as Markdown."""
    adapters = sorted({read_config(path)["adapter"] for path in ready_configs().values()})
    common = parse_json(COMMON_SCHEMA.read_text(encoding="utf-8"))["properties"]
    parts = [
        "# Config keys",
        "Written by `make docs` from the schemas. A config is a JSON object, or the same in YAML. Every host and "
        "command takes the same one: as a file, by a ready config's name, or inside a bundle.",
        "What a change of a key asks for:",
        "\n".join(f"- `{name}`: {text}." for name, text in EFFECTS.items()),
        "Ready configs: " + ", ".join(f"`{name}`" for name in ready_configs()) + ".",
        "## Keys of every adapter",
        _table(common),
    ]
    for name in adapters:
        title = parse_json(adapter_class(name).schema_path.read_text(encoding="utf-8"))["title"]
        own = {key: value for key, value in key_schemas(name).items() if value != common.get(key)}
        parts += [f"## {title}", f"`{name}`: its own keys, and those of above that it sets otherwise.", _table(own)]
    return "\n\n".join(parts) + "\n"


def _table(keys: Mapping[str, Any]) -> str:
    rows = ["| key | value | default | effect | meaning |", "|---|---|---|---|---|"]
    for name, key in _flat(keys):
        default = f"`{json.dumps(key['default'], ensure_ascii=False)}`" if "default" in key else ""
        cells = (f"`{name}`", _allowed(key), default, key["x-effect"], f"**{key['title']}.** {key['description']}")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _flat(keys: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys in depth: gates.min_f1 after gates."""
    for name, key in keys.items():
        yield prefix + name, key
        yield from _flat(key.get("properties", {}), f"{prefix}{name}.")


def _allowed(key: Mapping[str, Any]) -> str:
    """Type and range in a few words."""
    if "const" in key:
        return f"`{json.dumps(key['const'])}`"
    if "enum" in key:
        return ", ".join(f"`{json.dumps(value)}`" for value in key["enum"])
    if "oneOf" in key:
        return " or ".join(_allowed(option) for option in key["oneOf"])
    kinds = [key["type"]] if isinstance(key.get("type"), str) else list(key.get("type", ()))
    bounds = [
        f"{sign} {key[name]}"
        for name, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if name in key
    ]
    of = f" of {_allowed(key['items'])}" if "items" in key else ""
    return " or ".join(kinds) + of + (f" {', '.join(bounds)}" if bounds else "")


def api_reference() -> dict[str, str]:
    """The pages of docs/api/: each public folder's exported names; mkdocstrings puts their docstrings there.

    What two packages export is documented once, on the page of the package that defines it; the other page links to it.
    """
    pages = {}
    modules = {package: importlib.import_module(package) for package in API_PACKAGES}
    owners: dict[tuple[str, str], str] = {}
    for package in sorted(API_PACKAGES, key=len):  # the longer name, which is the nearer package, comes last and wins
        for home, name in _exports(modules[package]):
            if (home, name) not in owners or home.startswith(f"{package}."):
                owners[home, name] = package
    for package, module in modules.items():
        title = (module.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")
        parts = [f"# {package}", title, "Written by `make docs` from what the package exports."]
        for home, name in _exports(module):
            owner = owners[home, name]
            page = f"{'index' if owner == 'adapters' else owner}.md"
            parts.append(f"::: {home}.{name}" if owner == package else f"`{name}`: see [{owner}]({page}).")
        pages[f"api/{'index' if package == 'adapters' else package}.md"] = "\n\n".join(parts) + "\n"
    return pages


def _exports(module: Any) -> Iterator[tuple[str, str]]:
    """Classes and functions that a package exports, with the modules that define them. Plain values have no page."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield value.__module__, value.__name__  # an export may be renamed


def references() -> dict[str, str]:
    """Every generated page of docs/: its path there -> its text."""
    written = {"cli.md": cli_reference(), "config.md": config_reference(), "from-your-script.md": script_map()}
    written["images/architecture.svg"] = architecture_svg()
    return written | api_reference()


def main(arguments: list[str]) -> int:
    """Write the references, or with --check compare; 1 where a file differs."""
    check, stale = "--check" in arguments, []
    for name, text in references().items():
        path = FOLDER / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            write_text_atomic(path, text)
    for name in stale:
        print(f"docs/{name} {'is out of date: run make docs' if check else 'written'}")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

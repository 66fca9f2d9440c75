"""The program is made as far as a command line needs it, and behaves as the whole program does."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from command_line import python
from typer.main import get_command

from cliplab.cli.app import MODULES, make_app, program
from cliplab.cli.plain_values import convert_plainly

WORDS = (
    "x",
    "",
    " ",
    "3",
    "-3",
    "+3",
    "007",
    "1_000",
    "1.5",
    ".5",
    "1e3",
    "nan",
    "inf",
    "99999999999999999999",
    "true",
)
WORDS += ("rows", "ROWS", "all", "cpu", "mean", "int8", "./a/../b", "~", "\u0663", "a\nb", "3\n", "-")


def test_each_command_is_listed_under_its_module() -> None:
    for module, names in MODULES.items():
        app = typer.Typer()
        importlib.import_module(f"cliplab.cli.{module}").register(app)
        app.callback()(lambda: None)
        assert set(get_command(app).commands) == set(names), module  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], "scan"),
        (["--help"], "scan"),
        (["predict", "MODEL"], "evaluate"),
        (["batch-classify", "X"], "scan"),
        (["predikt"], "predict"),
        (["--unknown", "3", "stream"], "stream"),
    ],
)
def test_what_is_needed_is_there(words: list[str], found: str) -> None:
    assert found in program(words).commands


def test_a_command_brings_no_other_module() -> None:
    assert set(program(["stream", "a", "b"]).commands) == {"stream"}


def test_the_page_of_the_program_is_that_of_the_whole_program() -> None:
    whole, quick = get_command(make_app()), program(["--help"])
    assert [(name, one.get_short_help_str(200), one.hidden) for name, one in whole.commands.items()] == [  # type: ignore[attr-defined]
        (name, one.get_short_help_str(200), one.hidden) for name, one in quick.commands.items()
    ]


def loaded_by(words: list[str]) -> set[str]:
    code = (
        "import json, sys\nfrom cliplab.cli.app import program\n"
        "try:\n    program(sys.argv[1:])(sys.argv[1:], 'cliplab')\nexcept SystemExit:\n    pass\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = python(code, *words)
    assert done.exit_code == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "--help"], ["predict", "/no/model", "/no/video", "--top-k", "3"]]
)
def test_a_page_of_help_and_a_refusal_load_nothing_heavy(words: list[str]) -> None:
    heavy = {"pydantic", "rich", "jsonschema", "referencing", "cv2", "av", "ai_edge_litert", "sqlite3", "http"}
    heavy |= {"numpy", "cliplab.models"} if "--help" in words else set()
    assert not loaded_by(words) & heavy


def parameters(command: Any, parent: Any = None) -> Iterator[tuple[Any, Any]]:
    context = command.context_class(command, info_name=command.name, parent=parent, **command.context_settings)
    yield from ((context, parameter) for parameter in command.get_params(context) if parameter.name != "help")
    for child in getattr(command, "commands", {}).values():
        yield from parameters(child, context)


def outcome(parameter: Any, context: Any, value: Any) -> Any:
    try:
        found = parameter.process_value(context, value)
    except Exception as error:
        return type(error).__name__, str(getattr(error, "message", error))
    return type(found).__name__, repr(found)


def test_values_are_those_of_typer() -> None:
    """Every option of the program with words that may be right or wrong for it."""
    ours, typers = get_command(make_app()), get_command(make_app())
    convert_plainly(ours)
    pairs = {}
    for (context, own), (_, other) in zip(parameters(ours), parameters(typers), strict=True):
        described = getattr(own, "type_descriptor", None)  # not in older versions of Typer, which are left alone
        key = (repr(getattr(described, "annotation", None)), own.required, own.multiple, own.nargs, own.is_eager)
        pairs[key] = (context, own, other)  # one for each kind
    for context, own, other in pairs.values():
        if own.is_eager:  # prints the version
            continue
        for word in (*WORDS, None, own.default):
            several = (own.multiple or own.nargs == -1) and isinstance(word, str)
            value = (word, "b") if several else word
            assert outcome(own, context, value) == outcome(other, context, value), (own.name, value)

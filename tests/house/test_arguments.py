"""Every function uses what it is given: an argument that is read nowhere is taken and changes nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from places import ROOT
from signatures import Function, functions

# Arguments that a signature asks for and the function does not need, such as those of callbacks and of overrides.
KNOWN = Path(__file__).with_name("unused_arguments.txt")


def does_nothing(function: Function) -> bool:
    """Whether it has a signature only: that of a protocol, or of a default that does nothing or refuses."""
    return all(isinstance(part, (ast.Pass, ast.Raise)) or _is_constant(part) for part in function.body)


def _is_constant(part: ast.stmt) -> bool:
    value = part.value if isinstance(part, (ast.Expr, ast.Return)) else part
    return value is None or isinstance(value, ast.Constant)


def unused_arguments() -> Iterator[str]:
    for folder in ("adapters", "cliplab", "movinet_adapter"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name, function in functions(ast.parse(path.read_text(encoding="utf-8"))):
                if does_nothing(function) or function.name == "__exit__":
                    continue
                given = function.args
                taken = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
                used = {one.id for part in function.body for one in ast.walk(part) if isinstance(one, ast.Name)}
                used |= {"self", "cls", "mcs"}
                for argument in taken:
                    if argument is not None and argument.arg not in used and not argument.arg.startswith("_"):
                        yield f"{path.relative_to(ROOT).as_posix()}: {name}: {argument.arg}"


def test_an_argument_is_used_or_known_to_be_of_no_use() -> None:
    assert list(unused_arguments()) == KNOWN.read_text(encoding="utf-8").splitlines()

"""The functions of the packages and the calls among them, as their source has them."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from places import ROOT

PACKAGES = ("adapters", "cliplab", "movinet_adapter")
Function = ast.FunctionDef | ast.AsyncFunctionDef
# Methods that other packages' values have too: a call of one says nothing about whose it is.
COMMON = {
    *("add", "all", "append", "close", "copy", "count", "format", "get", "index", "items", "join", "load", "max"),
    *("mean", "min", "open", "pop", "put", "read", "reshape", "run", "save", "set", "sort", "split", "start"),
    *("update", "write"),
}


@dataclass(frozen=True)
class Signature:
    """What a function or the making of a dataclass takes.

    module: its file. positional: names in order, without self. defaults: by name, as written in the source.
    """

    module: str
    positional: tuple[str, ...]
    defaults: dict[str, str]

    def given(self, call: ast.Call) -> dict[str, ast.expr]:
        """The expressions of a call by the names of parameters."""
        found = dict(zip(self.positional, call.args, strict=False))
        return found | {word.arg: word.value for word in call.keywords if word.arg is not None}


@dataclass(frozen=True)
class Call:
    """A call of a function of ours from a function of ours.

    place: file and function. signatures: of all functions that it may be; most often one.
    """

    place: str
    caller: Function
    node: ast.Call
    signatures: tuple[Signature, ...]

    @property
    def name(self) -> str:
        """What is called, as written."""
        return ast.unparse(self.node.func)


def signature_of(function: Function, module: str, method: bool = False) -> Signature:
    """What a function takes."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args)]
    defaults = dict(zip(names[len(names) - len(given.defaults) :], map(ast.unparse, given.defaults), strict=True))
    for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        defaults |= {} if value is None else {one.arg: ast.unparse(value)}
    static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in function.decorator_list)
    return Signature(module, tuple(names[1:] if method and not static else names), defaults)


def _signatures_of_class(node: ast.ClassDef, module: str) -> Iterator[tuple[str, Signature]]:
    functions = {one.name: one for one in node.body if isinstance(one, Function)}
    if "__init__" in functions:
        yield node.name, signature_of(functions["__init__"], module, method=True)
    elif any("dataclass" in ast.unparse(one) for one in node.decorator_list):
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
        fields = [one for one in fields if "ClassVar" not in ast.unparse(one.annotation)]
        defaults = {ast.unparse(one.target): ast.unparse(one.value) for one in fields if one.value}
        yield node.name, Signature(module, tuple(ast.unparse(one.target) for one in fields), defaults)
    for name, function in functions.items():
        if not name.startswith("__"):
            yield f".{name}", signature_of(function, module, method=True)


@cache
def modules() -> dict[str, ast.Module]:
    """Each module's source by its path from the root."""
    paths = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
    paths = [path for path in paths if "migrations" not in path.parts]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@cache
def known() -> dict[str, list[Signature]]:
    """The signatures of all functions by name, of methods by a dot and the name."""
    found: defaultdict[str, list[Signature]] = defaultdict(list)
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, Function):
                found[node.name].append(signature_of(node, module))
            elif isinstance(node, ast.ClassDef):
                for name, signature in _signatures_of_class(node, module):
                    found[name].append(signature)
    return found


def _imports(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Where names of a module come from: the path of the package or module, and the name there."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            for one in node.names:
                found[one.asname or one.name] = (node.module.replace(".", "/"), one.name)
    return found


def _resolved(called: ast.expr, module: str, imports: dict[str, tuple[str, str]]) -> list[Signature]:
    if isinstance(called, ast.Name):
        own = [one for one in known().get(called.id, []) if one.module == module]
        folder, name = imports.get(called.id, ("-", ""))
        return own or [one for one in known().get(name, []) if one.module.startswith(folder)]
    if not isinstance(called, ast.Attribute):
        return []
    if isinstance(called.value, ast.Name) and called.value.id in imports:
        folder = "/".join(imports[called.value.id])
        return [one for one in known().get(called.attr, []) if one.module.startswith(folder)]
    return [] if called.attr in COMMON else known().get(f".{called.attr}", [])


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Each function and method below a node, with its dotted name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
        inner = f"{prefix}{child.name}." if isinstance(child, (ast.ClassDef, *Function.__args__)) else prefix
        yield from functions(child, inner)


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """What a function's body consists of, without the functions in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        yield (node := waiting.pop())
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, Function)]


@cache
def calls() -> tuple[Call, ...]:
    """Each call of a function of the packages in one of theirs, except those with * or **."""
    return tuple(_calls())


def _calls() -> Iterator[Call]:
    for module, tree in modules().items():
        imports = _imports(tree)
        for name, function in functions(tree):
            for node in own_nodes(function):
                if not isinstance(node, ast.Call) or any(isinstance(one, ast.Starred) for one in node.args):
                    continue
                found = () if any(one.arg is None for one in node.keywords) else _resolved(node.func, module, imports)
                if found:
                    yield Call(f"{module}: {name}", function, node, tuple(found))


def described(path: Path) -> list[str]:
    """The lines of a list of exceptions, without remarks."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]

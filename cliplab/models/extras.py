"""What cliplab's extras need, and what of it is installed here."""

from __future__ import annotations

import ast
import contextlib
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)(?:;(.*))?")
_SETUP = Path(__file__).resolve().parents[2] / "setup.py"
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")
# Those that are for working on cliplab itself.
_FOR_DEVELOPERS = ("all", "dev", "lock", "test", "test-all")


@dataclass(frozen=True, kw_only=True)
class Extra:
    """What one ``pip install 'cliplab[NAME]'`` would add.

    Attributes:
        name: The extra's name.
        missing: The requirements that are not installed, or only in another version, as pip writes them.
    """

    name: str
    missing: tuple[str, ...]


def requirements() -> tuple[list[tuple[str, str]], tuple[Extra, ...]]:
    """(core packages as (name, bounds), the extras and what they lack).

    A checkout's own setup.py says what this code needs; what was installed from it may be older. Elsewhere the
    installed package's metadata say so.
    """
    declared = declared_requirements(_SETUP)
    if declared is None:
        try:
            declared = metadata.requires("cliplab") or []
        except metadata.PackageNotFoundError:
            return [], ()
    core: list[tuple[str, str]] = []
    lacking: dict[str, list[str]] = {}
    for line in declared:
        match = _REQUIREMENT.match(line)
        if match is None:
            continue
        name, bounds, marker = match[1], match[2].strip(), match[3] or ""
        extra = _EXTRA.search(marker)
        if extra is None:
            core.append((name, bounds))
        elif extra[1] not in _FOR_DEVELOPERS:
            missing = lacking.setdefault(extra[1], [])
            if not _fits(name, bounds):
                missing.append(f"{name}{bounds}")
    return core, tuple(Extra(name=name, missing=tuple(missing)) for name, missing in sorted(lacking.items()))


def declared_requirements(setup: Path) -> list[str] | None:
    """What a setup.py of literal lists requires, as an installed package's metadata write it. It is read, never run.

    Args:
        setup: The file.

    Returns:
        Requirements such as "tuf>=6.0; extra == 'device'"; None where there is no such file, or of another form.
    """
    try:
        tree = ast.parse(setup.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    lists: dict[str, list[str]] = {}
    try:
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                with contextlib.suppress(ValueError, KeyError):  # a list of something else
                    lists[node.targets[0].id] = _entries(node.value, lists)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        keywords = {
            word.arg: word.value for call in calls for word in call.keywords if getattr(call.func, "id", "") == "setup"
        }
        extras = keywords["extras_require"]
        if not isinstance(extras, ast.Dict) or _text(keywords["name"]) != "cliplab":
            return None
        found = list(_entries(keywords["install_requires"], lists))
        for name, value in zip(extras.keys, extras.values, strict=True):
            found += [_of_extra(one, _text(name)) for one in _entries(value, lists)]
    except (ValueError, KeyError):
        return None
    return found


def _entries(value: ast.expr, lists: dict[str, list[str]]) -> list[str]:
    """A list of texts, a list's name, or both joined by ``*NAME``. ValueError or KeyError for anything else."""
    if isinstance(value, ast.Name):
        return lists[value.id]
    if not isinstance(value, ast.List):
        raise ValueError("not a list")
    found: list[str] = []
    for item in value.elts:
        found += _entries(item.value, lists) if isinstance(item, ast.Starred) else [_text(item)]
    return found


def _text(value: ast.expr | None) -> str:
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        raise ValueError("not a text")
    return value.value


def _of_extra(requirement: str, extra: str) -> str:
    package, mark, marker = requirement.partition(";")
    return f"{package}; {f'({marker.strip()}) and ' if mark else ''}extra == '{extra}'"


def installed_version(name: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(name: str, bounds: str) -> bool:
    """Whether a package is installed and not older than its lower bound."""
    version = installed_version(name)
    least = re.search(r">=\s*([\d.]+)", bounds)
    return version is not None and (least is None or _numbers(version) >= _numbers(least[1]))


def _numbers(version: str) -> list[int]:
    """The leading numbers of a version: 1.2.0rc1 is [1, 2, 0], and zeros at the end do not count."""
    numbers = [int(part) for part in re.split(r"[^\d.]", version)[0].split(".") if part]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers

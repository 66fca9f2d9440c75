"""constraints/floors.txt names the lower bounds of setup.py, and what `make test-floors-core` leaves out exists."""

from __future__ import annotations

import ast

import pytest
from needs_extras import NEEDS_EXTRAS
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from places import ROOT

# What users install. Of the packages for tests only s3fs is held down, as it asks for the fsspec of its version.
LISTS = (
    "CORE",
    "LEARN",
    "TRAIN",
    "DATALOOP",
    "HTTP",
    "STUDIO",
    "REGISTRY",
    "DEVICE",
    "SIGNING",
    "SCALE",
    "REEL",
    "ADS",
    "CLIPS",
    "PROMPT",
)


def declared() -> dict[str, list[Requirement]]:
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    return {
        node.targets[0].id: [Requirement(line) for line in ast.literal_eval(node.value)]
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if node.targets[0].id in (*LISTS, "TEST_ALL")
    }


def bounds(requirements: list[Requirement], operator: str) -> dict[str, Version]:
    return {
        canonicalize_name(requirement.name): Version(specifier.version)
        for requirement in requirements
        for specifier in requirement.specifier
        if specifier.operator == operator
    }


def test_the_constraints_are_the_lower_bounds() -> None:
    lines = (ROOT / "constraints" / "floors.txt").read_text(encoding="utf-8").splitlines()
    pinned = bounds([Requirement(line) for line in lines if not line.startswith("#")], "==")
    lists = declared()
    users = [requirement for name in LISTS for requirement in lists[name]]
    storage = [requirement for requirement in lists["TEST_ALL"] if requirement.name == "s3fs"]
    assert pinned == bounds([*users, *storage], ">=")
    assert {canonicalize_name(requirement.name) for requirement in users} <= set(pinned), "a package has no lower bound"


@pytest.mark.parametrize("name", NEEDS_EXTRAS)
def test_the_files_that_are_left_out_exist(name: str) -> None:
    assert list((ROOT / "tests").rglob(f"{name}.py"))

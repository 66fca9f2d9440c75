"""The mutation run: what it names exists, and its sample depends on the seed alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from command_line import python
from places import ROOT

mutants = pytest.importorskip("mutants", reason="pip install 'cliplab[dev]'", exc_type=ImportError)


def test_modules_and_their_tests_exist() -> None:
    for module, tests in mutants.MODULES.items():
        assert (ROOT / module).is_file()
        for test in tests:
            assert (ROOT / "tests" / test).is_file()
    formats = {path.stem for path in (ROOT / "adapters" / "data" / "formats").glob("*.py")}
    named = {Path(module).stem for module in mutants.MODULES if "/formats/" in module}
    assert formats - named == {"__init__", "format", "text"}


def test_every_folder_that_decides_results_is_named() -> None:
    folders = {path.parent for root in ("adapters", "cliplab") for path in (ROOT / root).glob("*/*.py")}
    folders |= {ROOT / "movinet_adapter"}
    # What the tests of other folders use throughout, what only words commands, and what shows the rest.
    folders -= {ROOT / "adapters/system", ROOT / "cliplab/cli", ROOT / "cliplab/demo"}
    named = {ROOT / module for module in mutants.MODULES}
    assert not [folder for folder in folders if not any(module.is_relative_to(folder) for module in named)]


def test_a_sample_depends_on_the_seed_alone_and_takes_the_modules_in_turn() -> None:
    modules = ["adapters/data/splits.py", "adapters/media/clock.py"]
    first = mutants.sample(modules, 10, 0)
    assert first == mutants.sample(modules, 10, 0)
    assert first != mutants.sample(modules, 10, 1)
    assert [mutant.module for mutant in first] == modules * 5
    for mutant in first:
        removed, added = mutant.difference().splitlines()
        assert (removed[0], added[0]) == ("-", "+")
        assert removed[1:] != added[1:]


def test_a_change_that_no_test_notices_survives_and_one_that_fails_dies(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    (root / "tests").mkdir(parents=True)
    (root / "module.py").write_text("def larger(one, other):\n    return one < other\n")
    (root / "tests" / "test_it.py").write_text("from module import larger\ndef test_it():\n    assert larger(1, 2)\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    code = (
        "import sys, mutants\nfrom pathlib import Path\n"
        "mutants.ROOT = Path(sys.argv.pop(1))\nmutants.MODULES = {'module.py': ('test_it.py',)}\nmutants.main()\n"
    )
    ran = python(code, root, "--jobs", 1, env={"PYTHONPATH": str(ROOT / "scripts")})
    assert "SURVIVED  module.py  ReplaceComparisonOperator_Lt_LtE" in ran.stdout, ran.stderr
    assert "died  module.py  ReplaceComparisonOperator_Lt_GtE" in ran.stdout
    assert "1 of   2 mutants died: 50% (seed 0)" in ran.stdout

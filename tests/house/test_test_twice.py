"""What continuous integration does with a test that fails: it runs once more, alone, and is named where it passes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from environment import environment
from places import ROOT

# Fails where another test ran before it, as one does that depends on what others leave behind.
CHANCE = "import os\ndef test_chance():\n    failed = os.path.exists('ran')\n    open('ran', 'w')\n    assert failed\n"
FAULT = "def test_fault():\n    assert False\n"
MANY = "import pytest\n@pytest.mark.parametrize('number', range(6))\ndef test_many(number):\n    assert False\n"
SETUP = "import pytest\n@pytest.fixture\ndef broken():\n    raise OSError\ndef test_setup(broken):\n    pass\n"
IMPORT = "import no_such_module\n"
PASSES = "def test_passes():\n    pass\n"


def run(folder: Path, *arguments: str, **files: str) -> tuple[int, str, str]:
    """The exit status, the output and the names of tests that passed when run again."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "test_twice.py"), "-q", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(PYTEST_XDIST_WORKER=None, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
    )
    named = folder / ".pytest_cache" / "passed_again.txt"
    return done.returncode, done.stdout, named.read_text() if named.exists() else ""


def test_a_test_that_passes_alone_is_named_and_stops_nothing(tmp_path: Path) -> None:
    status, output, named = run(tmp_path, "-p", "xdist", "-n", "1", chance=CHANCE, passes=PASSES)
    assert (status, named) == (0, "test_chance.py::test_chance\n")
    assert "passed only when run again:\n  test_chance.py::test_chance" in output
    assert "FAILED test_chance.py::test_chance" in output, "the first failure is shown"
    status, output, named = run(tmp_path)
    assert (status, named) == (0, "test_chance.py::test_chance\n"), "tests that pass run once and add no name"
    assert "once more" not in output


def test_a_second_failure_fails(tmp_path: Path) -> None:
    status, output, named = run(tmp_path, chance=CHANCE, fault=FAULT, setup=SETUP)
    assert (status, named) == (1, "")
    assert "Running the 3 failed tests once more" in output
    assert "passed only" not in output


@pytest.mark.parametrize(("files", "expected"), [({"many": MANY}, 1), ({"broken": IMPORT}, 2)], ids=["many", "import"])
def test_what_is_no_chance_runs_once(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    status, output, _ = run(tmp_path, **files)
    assert status == expected
    assert "once more, alone" not in output

"""The contract for the configs that are much like others, each in a process of its own."""

from __future__ import annotations

import os

import pytest
import test_contract
from command_line import python
from places import ROOT

ALIKE = [name for name in sorted(test_contract.CONFIGS) if test_contract.ALIKE.match(name)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ALIKE)
def test_the_contract_holds(name: str) -> None:
    variables = {key: None for key in os.environ if key.startswith("PYTEST_")} | {"CLIPLAB_CONTRACT_CONFIG": name}
    code = "import sys, pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *sys.argv[1:]]))"
    done = python(code, test_contract.__file__, env=variables, cwd=ROOT, timeout=None)
    assert done.exit_code == 0, done.stdout[-5000:]

"""The contract for the configs that are much like others, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import test_contract
from places import ROOT

ALIKE = [name for name in sorted(test_contract.CONFIGS) if test_contract.ALIKE.match(name)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ALIKE)
def test_the_contract_holds(name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["CLIPLAB_CONTRACT_CONFIG"] = name
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test_contract.__file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-5000:]

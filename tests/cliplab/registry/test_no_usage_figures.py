"""MLflow sends no usage figures from cliplab, unless the user asks for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("mlflow")

ASK = """
import importlib, sys
importlib.import_module(sys.argv[1])
from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY
print(MLFLOW_DISABLE_TELEMETRY.get())
"""


@pytest.mark.parametrize(
    ("module", "choice", "disabled"),
    [
        ("cliplab.registry.tracking", None, "True"),
        ("adapters.hosts.mlflow_host", None, "True"),
        ("cliplab.registry.tracking", "false", "False"),
    ],
)
def test_mlflow_sends_nothing_unless_the_user_chose_it(module: str, choice: str | None, disabled: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_DISABLE_TELEMETRY"}
    if choice is not None:
        environment["MLFLOW_DISABLE_TELEMETRY"] = choice
    done = subprocess.run(
        [sys.executable, "-c", ASK, module], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == disabled, done.stderr

"""The pipeline from a trained model to staging: the script with a real registry, and what the workflow runs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT

pytest.importorskip("sqlalchemy", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("alembic", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")

from environment import environment
from registry_files import make_registry, upload

from cliplab.cli.app import app
from cliplab.registry import open_registry

# Converts and measures in a moment; the registry is the real one.
STAND_IN = """
import json, sys
from pathlib import Path
words = sys.argv[1:]
output = Path(words[words.index("--output") + 1]) if "--output" in words else None
if words[0] == "convert":
    from tflite_adapter import make_tflite
    make_tflite(output, gates={"min_precision": 0.9})
elif words[0] == "train":
    Path(words[3]).mkdir(parents=True)
    Path(words[3], "precision").write_text("0.95")
elif words[0] == "dataset":
    pass
elif words[0] == "evaluate":
    precision = float(Path(words[1]).with_suffix("").joinpath("precision").read_text())
    figures = {"precision": precision, "recall": 0.9, "f1": 0.9, "accuracy": 0.9, "log_loss": 0.1}
    figures |= {"calibration_error": 0.1, "average_precision": None, "roc_auc": None}
    figures |= {"confusion_matrix": [[1, 0], [0, 1]]}
    figures |= {"task": "single_label", "labels": ["not warm", "warm"], "positive_label": "warm", "average": "positive"}
    output.write_text(json.dumps(figures | {"clips": 40, "threshold": None, "per_class": []}))
    sys.exit(precision < 0.9)
else:
    from cliplab.cli.app import main
    main()
"""


def test_the_script_converts_measures_uploads_and_promotes(tmp_path: Path) -> None:
    make_registry(tmp_path / "r").close()
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    env = environment(
        CLIPLAB=shlex.join([sys.executable, str(tmp_path / "stand_in.py")]), CLIPLAB_REGISTRY=str(tmp_path / "r")
    )
    model = tmp_path / "model"
    model.mkdir()
    script = [str(ROOT / "scripts" / "convert_and_deploy.sh")]

    def deploy(precision: str, version: str) -> subprocess.CompletedProcess[str]:
        (model / "precision").write_text(precision)
        words = [*script, str(model), "data.jsonl", "base-ad-detector", version, "--description", "a run"]
        return subprocess.run(words, env=env, capture_output=True, text=True)

    first = deploy("0.95", "minor")
    assert first.returncode == 0, first.stderr
    assert "staging has base-ad-detector 1.0.0" in first.stdout
    missed = deploy("0.5", "minor")
    assert missed.returncode == 1, "a gate that is missed ends the script"
    with open_registry(tmp_path / "r", read_only=True) as registry:
        assert [item.version for item in registry.versions("base-ad-detector")] == ["1.0.0"]
        placed = registry.current("base-ad-detector", "staging")
    assert placed is not None
    assert placed.version == "1.0.0"
    assert subprocess.run(script, capture_output=True, env=os.environ).returncode == 2


def test_the_workflow_promotes_what_it_trained_and_not_the_highest_version(tmp_path: Path) -> None:
    make_registry(tmp_path / "r").close()
    for version in ("1.0.0", "1.2.0"):
        upload(tmp_path / "r", "base-ad-detector", version)
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    (tmp_path / "cliplab").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {tmp_path}/stand_in.py "$@"\n')
    (tmp_path / "cliplab").chmod(0o755)
    (tmp_path / "data.jsonl").write_text("{}")
    env = environment(
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        CLIPLAB_REGISTRY=str(tmp_path / "r"),
        CONFIG="ads_base",
        DATA="data.jsonl",
        NAME="base-ad-detector",
        VERSION="1.0.1",
    )
    for step in workflow_steps():
        if not step["run"].startswith("pip"):
            # As GitHub runs a step without "shell".
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]], env=env, cwd=tmp_path, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
    with open_registry(tmp_path / "r", read_only=True) as registry:
        placed = registry.current("base-ad-detector", "staging")
    assert placed is not None
    assert placed.version == "1.0.1"


def workflow_steps() -> list[dict[str, Any]]:
    """The steps of the workflow that run commands."""
    text = (ROOT / ".github" / "workflows" / "train-model.yml").read_text(encoding="utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    assert workflow[True]["push"]["paths"] == ["data/**", "configs/**"]  # YAML 1.1 reads "on" as true
    return [step for step in workflow["jobs"]["train"]["steps"] if "run" in step]


def test_each_step_of_the_workflow_is_one_command_that_exists() -> None:
    commands = [step["run"] for step in workflow_steps()]
    assert [shlex.split(line)[:3][-1] for line in commands if "registry" in line and "pip" not in line] == [
        "upload",
        "promote",
    ]
    for line in commands[1:]:
        assert "\n" not in line.strip()
        words = shlex.split(line)
        assert words[0] == "cliplab"
        check_options(words[1:])


def check_options(words: list[str]) -> None:
    """Every option of the line is one of its command."""
    from typer.main import get_command

    command: Any = get_command(app)
    while getattr(command, "commands", None):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, json.dumps(sorted(known))

"""The scripts that train models of ad breaks: the commands that they give, and what they say without arguments."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from places import ROOT


@pytest.mark.parametrize(("script", "config"), [("train_base_model", "ads_base"), ("train_sports_model", "ads_sports")])
def test_they_train_convert_and_measure(tmp_path: Path, script: str, config: str) -> None:
    log = tmp_path / "log"
    stand_in = tmp_path / "cliplab"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> "{log}"\n')
    stand_in.chmod(0o755)
    command = [str(ROOT / "scripts" / f"{script}.sh"), "data.jsonl", str(tmp_path / "out"), "--epochs", "1"]
    subprocess.run(command, check=True, env={**os.environ, "CLIPLAB": str(stand_in)})
    train, convert, evaluate = log.read_text().splitlines()
    assert train == f"train {config} data.jsonl {tmp_path}/out/model --epochs 1"
    assert "--quantize int8" in convert
    assert evaluate.startswith(f"evaluate {tmp_path}/out/model.tflite")
    assert subprocess.run(command[:1], capture_output=True).returncode == 2

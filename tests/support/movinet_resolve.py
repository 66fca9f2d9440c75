"""Resolving MoViNet weights in tests: own caches, and what must be so afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import closed_port_url
from movinet_files import Values
from places import ROOT

from movinet_adapter.weights.cache import content_digest
from movinet_adapter.weights.sources import Weights, resolve_weights

INSTALL = "pip install 'cliplab[train]'"


def isolate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches under a folder, and no source that could be reached."""
    monkeypatch.setenv("CLIPLAB_CACHE", str(folder / "cache"))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(folder / "hub_cache"))
    monkeypatch.setenv("CLIPLAB_TFHUB_URL", closed_port_url())
    monkeypatch.setenv("CLIPLAB_MOVINET_CHECKPOINTS_URL", closed_port_url())
    monkeypatch.delenv("TFHUB_MODEL_LOAD_FORMAT", raising=False)


def resolve(weights: str | Path = "kinetics-600", **keys: Any) -> Weights:
    config = {"weights": str(weights), "model_id": "a0", "model_mode": "base", "hub_version": 3} | keys
    return resolve_weights(config)


def assert_same(found: Weights, values: Values) -> None:
    assert list(found.variables) == list(values)
    for name, value in values.items():
        assert found.variables[name].dtype == np.float32
        assert np.array_equal(found.variables[name], value), name
    assert found.digest == content_digest(values)


def files_under(variable: str) -> list[Path]:
    return [path for path in Path(os.environ[variable]).rglob("*") if path.is_file()]


def assert_nothing_kept() -> None:
    assert files_under("CLIPLAB_CACHE") == []
    assert files_under("TFHUB_CACHE_DIR") == []


def in_new_process(config: dict[str, Any]) -> dict[str, Any]:
    """What a fresh process resolves, and which heavy modules it imported for it."""
    code = (
        "import json, sys\n"
        "from movinet_adapter.weights.sources import resolve_weights\n"
        f"found = resolve_weights({config!r})\n"
        "heavy = [name for name in ('tensorflow', 'tensorflow_hub', 'tf_keras') if name in sys.modules]\n"
        "print(json.dumps({'digest': found.digest, 'source': found.source, 'heavy': heavy}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))

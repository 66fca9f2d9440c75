"""Whose scores an upload is compared with: those of its bundle, of the bundle beside it, or its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the registry needs its extra: pip install 'cliplab[registry]'")

import numpy as np
import tiny_adapter
from registry_files import TRUSTED
from tflite_adapter import make_tflite

from adapters.bundle import make_golden
from adapters.errors import BundleError
from adapters.inference import open_model
from cliplab.registry.inspection import inspect_model

TINY = "tiny_adapter:TinyAdapter"


def test_a_bundle_is_compared_with_its_own_golden_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = open_model({"adapter": TINY})
    made = make_golden(adapter.input_spec, adapter.predict)
    kept = replace(made, scores=made.scores * np.float32(0.5))
    write = tiny_adapter.write_bundle
    monkeypatch.setattr(tiny_adapter, "write_bundle", lambda path, **keys: write(path, **{**keys, "golden": kept}))
    adapter.save(tmp_path / "m.bundle")
    found = inspect_model(tmp_path / "m.bundle", [TINY])
    assert found.golden is not None
    assert (found.golden["source"], found.golden["variant"]) == ("bundle", kept.variant)
    assert found.golden["scores"] == pytest.approx(kept.scores.tolist()), "as it was stored, not as it is now"
    assert found.golden["labels"] == list(adapter.labels)
    assert not any("the golden scores come from this file" in note for note in found.notes)


def test_a_file_alone_has_scores_of_its_own_and_says_so(tmp_path: Path) -> None:
    found = inspect_model(make_tflite(tmp_path / "m.tflite", "v001"), TRUSTED)
    assert found.golden is not None
    assert found.golden["source"] == "upload"
    assert any("the golden scores come from this file" in note for note in found.notes)
    with pytest.raises(BundleError, match=r"gone\.tflite"):
        inspect_model(tmp_path / "gone.tflite", TRUSTED)

"""The notebook for Colab runs outside of it, on other clips and with another model than those of its outputs."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from places import ROOT
from tiny_videos import render_dataset

CONFIG = {
    "schema_version": 2, "adapter": "tiny_adapter:TinyAdapter", "labels": ["cold", "warm"], "imgz": 32, "n_frames": 2,
}  # fmt: skip


def test_it_trains_measures_and_packs(tmp_path: Path, own_cache: Path, monkeypatch: Any, capsys: Any) -> None:
    data = render_dataset(tmp_path / "data", test=2)
    (tmp_path / "tiny.json").write_text(json.dumps(CONFIG))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPLAB_CONFIG", str(tmp_path / "tiny.json"))
    monkeypatch.setenv("CLIPLAB_DATA", str(data))
    notebook = json.loads((ROOT / "docs" / "notebooks" / "colab.ipynb").read_text(encoding="utf-8"))
    known: dict[str, Any] = {}
    for number, cell in enumerate(cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        exec(compile("".join(cell["source"]), f"colab {number}", "exec"), known)
    assert known["COLAB"] is False
    shown = capsys.readouterr().out
    assert "accuracy" in shown
    assert "95% interval" in shown
    with tarfile.open(tmp_path / "model.tar.gz") as packed:
        assert "model/bundle.json" in packed.getnames()


@pytest.mark.parametrize("word", ["google.colab", "training.tar.gz", "cliplab.tar.gz", "model.tar.gz"])
def test_its_page_and_it_name_the_same_files(word: str) -> None:
    notebook = (ROOT / "docs" / "notebooks" / "colab.ipynb").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "how" / "colab.md").read_text(encoding="utf-8")
    assert word in notebook
    assert word == "google.colab" or word in page

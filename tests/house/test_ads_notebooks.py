"""The notebooks about ad breaks run on other data and another model than those of their outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from places import ROOT
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

COLORS = {"content": "cold", "ad": "warm"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips of two labels, and a recording with a break."""
    folder = tmp_path_factory.mktemp("ads_data")
    rows = []
    for number in range(8):
        label = ("content", "ad")[number % 2]
        render_video(folder / f"{number}.mp4", COLORS[label], number, seconds=0.6)
        split = ("train", "train", "test", "test")[number // 2]
        rows.append({"path": f"{number}.mp4", "label": label, "split": split, "group": f"g{number}"})
    (folder / "dataset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    render_video(folder / "broadcast.mp4", "warm", 1, seconds=12.0)
    note = {"segments": [{"label": "ad", "start_seconds": 0.0, "end_seconds": 12.0}]}
    (folder / "broadcast.json").write_text(json.dumps(note))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls red an ad."""
    path = tmp_path_factory.mktemp("ads_model") / "model"
    config = {
        "schema_version": 2, "adapter": "tiny_adapter:TinyAdapter", "name": "red is an ad",
        "labels": ["content", "ad"], "positive_label": "ad", "imgz": 32, "n_frames": 2,
    }  # fmt: skip
    TinyAdapter(config).save(path)
    return path


@pytest.mark.parametrize("name", ["data_exploration", "model_analysis", "error_analysis"])
def test_it_runs(name: str, data: Path, model: Path, own_cache: Path, monkeypatch: Any, capsys: Any) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    monkeypatch.setenv("CLIPLAB_DATA", str(data / "dataset.jsonl"))
    monkeypatch.setenv("CLIPLAB_MODEL", str(model))
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    notebook = json.loads((ROOT / "docs" / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    known: dict[str, Any] = {}
    for number, cell in enumerate(cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        exec(compile("".join(cell["source"]), f"{name} {number}", "exec"), known)
    import matplotlib.pyplot

    matplotlib.pyplot.close("all")
    assert "content, ad" in capsys.readouterr().out

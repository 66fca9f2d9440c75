"""The notebooks run from top to bottom, and what is kept in them are outputs of such a run.

``CLIPLAB_UPDATE_NOTEBOOKS=1`` writes the outputs of the test's run into the notebook.
"""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import nbformat
import pytest
from dataloop_gateway.client import logged_in
from dataloop_gateway.server import gateway
from dataloop_gateway.videos import World, make_world, render_scenes
from nbclient import NotebookClient
from places import ROOT

FOLDER = ROOT / "docs" / "notebooks"


def outputs(notebook: Any) -> list[str]:
    """The text that each code cell printed."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream") for cell in cells]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_holds_outputs_of_a_whole_run_and_nothing_of_the_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run it again from top to bottom"
    found = [output for cell in code for output in cell.outputs]
    assert [output for output in found if output.get("name") == "stderr"] == []
    for output in found:
        output.get("data", {}).pop("image/png", None)
    private = rf"127\.0\.0\.1|localhost|/tmp/|/home/|/root|site-packages|\b{re.escape(socket.gethostname())}\b"
    assert re.findall(private, json.dumps(notebook)) == []


def test_the_dataloop_notebook(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel of its own, against the imitated service, as a user who is logged in runs it."""
    path = FOLDER / "dataloop.ipynb"
    notebook = nbformat.read(path, as_version=4)
    (tmp_path / "cwd").mkdir()
    monkeypatch.setenv("DATALOOP_PATH", str(tmp_path / "dataloop"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    with gateway() as served:
        with logged_in(served, tmp_path / "dataloop") as dl:  # what it leaves on disk is the login
            world = make_world(served, dl, tmp_path)
        add_app(world, tmp_path)
        place = {"metadata": {"path": str(tmp_path / "cwd")}}
        NotebookClient(notebook, timeout=600, startup_timeout=600, resources=place).execute()
        (model,) = [m for m in served.state.models.values() if m["name"] == "warm-or-cold"]
        assert model["status"] == "trained"
        assert {a["label"] for a in served.state.annotations_of(world.items["/long.mp4"])} == {"warm", "cold"}
    assert list((tmp_path / "cwd").iterdir()) == []
    if os.environ.get("CLIPLAB_UPDATE_NOTEBOOKS") == "1":
        nbformat.write(tidy(notebook), path)
    for now, kept in zip(outputs(notebook), outputs(nbformat.read(path, as_version=4)), strict=True):
        assert without_numbers(now) == without_numbers(kept)
    pictures = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == 1


def add_app(world: World, folder: Path) -> None:
    """What installing the app leaves: its models; and a video to predict."""
    for entry in json.loads((ROOT / "dataloop.json").read_text(encoding="utf-8"))["components"]["models"]:
        fields = {key: entry[key] for key in ("labels", "status", "inputType", "outputType")}
        world.state.add_model(world.project, entry["name"], entry["configuration"], **fields)
    video = render_scenes(folder / "long.mp4", ["warm", "cold", "warm", "warm", "cold"])
    world.items["/long.mp4"] = world.state.add_item(world.dataset, "/long.mp4", video, {"fps": 8})["id"]


def without_numbers(text: str) -> str:
    """Scores differ in their last digits from one processor to another."""
    return re.sub(r"\d+\.\d+", "#", text)


def tidy(notebook: Any) -> Any:
    """Times of the run say nothing to a reader."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook

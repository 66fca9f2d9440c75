"""Paths as pages show them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from cliplab.studio.app import make_app
from cliplab.studio.context import shown_place, without_folders
from cliplab.studio.items import fill_items
from cliplab.studio.options import StudioOptions
from cliplab.studio.services import open_studio


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("clips/a.mp4", "clips/a.mp4"),
        ("deep/er/than/this/a.mp4", "deep/er/than/this/a.mp4"),
        ("/home/anna/secret/footage/a.mp4", "…/footage/a.mp4"),
        ("/a.mp4", "/a.mp4"),
        ("", ""),
        ("/home/anna/films/\u202ea\n.mp4", "…/films/\\u202ea\\n.mp4"),
    ],
)
def test_folders_above_the_data_folder_stay_on_the_machine(path: str, shown: str) -> None:
    assert shown_place(path) == shown


def test_no_answer_and_no_page_names_folders_above_the_studio(tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    data, other = tmp_path / "home" / "anna" / "data", tmp_path / "home" / "anna" / "films"
    for folder in (data, other):
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / f"{folder.name}.png"), np.zeros((24, 32, 3), np.uint8))
    options = StudioOptions(data, labels=("ad",), host="0.0.0.0", token="t" * 24, models_dir=tmp_path / "models")
    with open_studio(options) as studio:
        fill_items(studio.store, [other])
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        client.post("/token", json={"token": "t" * 24})
        (data / "data.png").unlink()
        (other / "films.png").write_bytes(b"another picture")
        pages = [
            "/label",
            "/models",
            "/models/m/ready-efficientnet_lite0/train",
            "/items?ids=1,2",
            "/items/1/frame?t=0",
            "/items/2/frame?t=0",
            "/state/9",
            "/progress",
        ]
        answers = [client.get(page) for page in pages]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 410, 409, 404, 200]
        assert not any(str(tmp_path) in answer.text for answer in answers)
        assert "…/films/films.png: has other content" in answers[5].json()["error"]
        # Models that are damaged, and a folder of models that cannot be written.
        (tmp_path / "models" / "cut").mkdir(parents=True)
        (tmp_path / "models" / "cut" / "bundle.json").write_text("{")
        (tmp_path / "models" / "half.tflite").write_bytes(b"TFL3 is not a model")
        listed = client.get("/models").text
        assert "bundle.json" in listed
        own = [client.get(address) for address in set(re.findall(r'"(/models/m/(?!ready)[^"/]+)"', listed))]
        assert len(own) == 2
        shutil.rmtree(tmp_path / "models")
        (tmp_path / "models").write_text("a file")
        form = {"X-CSRF-Token": studio.csrf}
        values = {"version": "mine", "c-threshold": "0.7"}
        saved = client.post("/models/m/ready-efficientnet_lite0/save", data=values, headers=form)
        assert saved.status_code in (422, 507)
        assert not any(str(tmp_path) in answer.text for answer in [*own, saved])
        assert "models" in saved.text.partition('id="form-problem"')[2].partition("</p>")[0]
        (tmp_path / "models").unlink()
        (tmp_path / "models").mkdir()
        sentence = without_folders(studio, f"{data}/a.mp4 and {data}: no, {tmp_path}/models/m.tflite")
        assert sentence == "a.mp4 and the studio's folder: no, …/models/m.tflite"

"""The Models page without a browser: what is listed, saved and refused, also of models that are damaged or hostile."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from starlette.testclient import TestClient
from waiting import until

from adapters.bundle import write_bundle
from adapters.config import check_config
from adapters.errors import DatasetError
from adapters.evaluation import separate_difference
from cliplab.studio import Job, Jobs
from cliplab.studio.app import make_app
from cliplab.studio.context import Studio
from cliplab.studio.model_list import ModelLibrary
from cliplab.studio.options import StudioOptions
from cliplab.studio.uploads import find_upload, keep_upload, uploads_folder

CONFIG = {"schema_version": 2, "adapter": "movinet_adapter:MoViNetAdapter", "labels": ["ad", "content"]}
VALIDATION = {
    "task": "single_label",
    "clips": 40,
    "groups": 12,
    "accuracy": 0.9,
    "f1": 0.875,
    "confusion_matrix": [[18, 2], [2, 18]],
    "per_class": [{"label": "ad", "support": 20, "precision": 0.9, "recall": None, "f1": 0.9, "intervals": {}}],
    "intervals": {"f1": [0.75, 0.95], "accuracy": None},
    "notes": ["Few groups."],
}


def bundle(folder: Path, file_name: str, validation: Any = None, **keys: Any) -> Path:
    metrics = {"validation": VALIDATION if validation is None else validation}
    config = check_config({**CONFIG, **keys})
    write_bundle(
        folder / file_name, config=config, programs={}, weights=None, metrics=metrics, golden=None, card="# Card"
    )
    return folder / file_name


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/ads.json").write_text(json.dumps(CONFIG))
    return Studio(StudioOptions(tmp_path), store=None, frames=None, jobs=Jobs(tmp_path / ".studio"))  # type: ignore[arg-type]


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return TestClient(make_app(studio), base_url="http://127.0.0.1:8080", headers={"X-CSRF-Token": studio.csrf})


def model_id(studio: Studio, name: str) -> str:
    return next(ref.id for ref in ModelLibrary(studio.options.models_folder).refs() if ref.name == name)


def save(client: TestClient, address: str, **values: str) -> Any:
    return client.post(f"{address}/save", data=values, follow_redirects=False)


def test_a_damaged_model_is_listed_with_its_error_and_the_others_work(client: TestClient, studio: Studio) -> None:
    folder = studio.options.models_folder
    bundle(folder, "good")
    (bundle(folder, "cut") / "metrics.json").write_text("{")
    (bundle(folder, "changed") / "card.md").write_text("# Wald")
    (folder / "half.tflite").write_bytes(b"TFL3 is not a model")
    (folder / "later.json").write_text(json.dumps({**CONFIG, "schema_version": 99}))
    (folder / "broken.yaml").write_text("adapter: [")
    (folder / "model_manifest.json").write_text("{")
    shown = client.get("/models").text
    for name in ("good", "cut", "half.tflite", "later.json", "broken.yaml", "ads.json"):
        assert name in shown
    assert "metrics.json is missing or damaged" in shown
    assert "newer cliplab" in shown
    assert "model_manifest.json" in shown
    assert "F1 0.88 (95% 0.75 to 0.95), 40 clips" in shown
    for name, words in (
        ("cut", "metrics.json"),
        ("changed", "card.md"),
        ("later.json", "newer"),
        ("broken.yaml", "YAML"),
    ):
        page = client.get(f"/models/m/{model_id(studio, name)}")
        assert (page.status_code, words in page.text) == (200, True)
        assert client.get(f"/models/m/{model_id(studio, name)}/edit").status_code == 200
    page = client.get(f"/models/m/{model_id(studio, 'good')}").text
    assert "0.88 (95% 0.75 to 0.95)" in page
    assert "Few groups." in page


@pytest.mark.parametrize(
    "validation",
    [
        {"f1": 1e300, "intervals": []},
        {"per_class": [3, {}], "curves": {"roc": []}},
        {"confusion_matrix": [[1]], "task": "single_label"},
        {"confusion_matrix": [[1, 2, 3]] * 3, "task": "single_label"},
        {"notes": None, "per_class": "x", "intervals": {"f1": "ab"}, "accuracy": True, "curves": 3},
        {"clips": [], "f1": "1", "notes": 3},
        [{"f1": 0.5}],
        "0.5",
    ],
)
def test_metrics_of_any_form_are_shown(client: TestClient, studio: Studio, validation: Any) -> None:
    bundle(studio.options.models_folder, "odd", validation)
    address = f"/models/m/{model_id(studio, 'odd')}"
    assert client.get("/models").status_code == 200
    assert client.get(address).status_code == 200
    assert client.get(f"{address}/charts").status_code == 200


@pytest.mark.skipif(os.name == "nt", reason="names of Linux")
def test_hostile_names_are_listed_and_harmless(client: TestClient, studio: Studio) -> None:
    folder = studio.options.models_folder
    names = [b"<script>alert(1)<", b"a\nb", b"\xff\xfe", "‮evil".encode(), b"%2e%2e%2f", b"' onload='x", b"x" * 200]
    for name in names:
        bundle(folder, os.fsdecode(name), name=os.fsdecode(name).encode("utf-8", "replace").decode())
    (folder / "outside").symlink_to("/etc")
    (folder / "outside.json").symlink_to("/etc/hostname")
    shown = client.get("/models").text
    assert "<script>alert" not in shown
    assert "onload='x" not in shown
    assert "‮" not in shown
    refs = [ref for ref in ModelLibrary(folder).refs() if not ref.ready]
    assert len(refs) == len(names) + 1
    for ref in refs:
        page = client.get(f"/models/m/{ref.id}")
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert client.get(f"/models/m/{ref.id}/edit").status_code == 200


@pytest.mark.parametrize("name", ["../../etc/passwd", "%2e%2e", "ads.json", "ready-nothing", "", "a" * 5000, "%00"])
def test_only_listed_models_can_be_named(client: TestClient, name: str) -> None:
    answer = client.get(f"/models/m/{name}", headers={"Accept": "text/html"})
    assert answer.status_code in (400, 404)
    assert "passwd:" not in answer.text


def test_five_hundred_models_are_shown_in_pages(client: TestClient, studio: Studio) -> None:
    folder = studio.options.models_folder
    first = bundle(folder, "model_0000")
    for number in range(1, 100):
        shutil.copytree(first, folder / f"model_{number:04d}")
    for number in range(100, 500):
        (folder / f"model_{number:04d}.json").write_text(json.dumps(CONFIG))
    client.get("/models")
    started = time.process_time()
    shown = client.get("/models?page=2").text
    assert time.process_time() - started < 5
    assert "Page 2 of" in shown
    assert "model_0050" in shown
    assert "model_0048" not in shown
    assert client.get("/models?q=model_0499").text.count('scope="row"') == 1
    assert client.get("/models?page=99999999999").status_code == 200


def test_an_edit_is_saved_as_a_new_config(client: TestClient, studio: Studio) -> None:
    address = f"/models/m/{model_id(studio, 'ads.json')}"
    saved = save(client, address, version="ads-v2", **{"c.labels": "ad\ncontent", "c.top_k": "1"})
    assert saved.status_code == 303
    folder = studio.options.models_folder
    assert json.loads((folder / "ads-v2.json").read_text()) == {**CONFIG, "top_k": 1}
    assert json.loads((folder / "ads.json").read_text()) == CONFIG
    audit = (studio.options.data_dir / "studio_audit.jsonl").read_text()
    assert "model version saved" in audit
    assert "ads-v3" in client.get(f"{address}/edit").text


def test_the_second_of_two_edits_is_told_and_keeps_its_values(client: TestClient, studio: Studio) -> None:
    address = f"/models/m/{model_id(studio, 'ads.json')}"
    base = re.search(r'name="base" value="([^"]+)"', client.get(f"{address}/edit").text)
    assert base is not None
    assert save(client, address, version="ads-v2", **{"c.top_k": "1"}).status_code == 303
    second = save(client, address, version="ads-v2", **{"c.top_k": "2"})
    assert second.status_code == 409
    assert "another edit was saved under this name" in second.text
    assert 'value="ads-v3"' in second.text
    assert 'name="c.top_k" value="2"' in second.text
    (studio.options.models_folder / "ads.json").write_text(json.dumps({**CONFIG, "top_k": 7}))
    third = save(client, address, version="ads-v3", base=base[1], **{"c.top_k": "2"})
    assert third.status_code == 409
    assert "Another program changed it" in third.text


def test_a_config_that_was_removed_meanwhile_gives_the_values_back(client: TestClient, studio: Studio) -> None:
    address = f"/models/m/{model_id(studio, 'ads.json')}"
    (studio.options.models_folder / "ads.json").unlink()
    answer = save(client, address, version="ads-v2", **{"c.top_k": "2"})
    assert answer.status_code == 409
    assert "removed" in answer.text
    assert "top_k" in answer.text


def test_an_edit_without_changes_is_refused_and_a_bundle_becomes_a_config(client: TestClient, studio: Studio) -> None:
    folder = studio.options.models_folder
    bundle(folder, "one")
    address = f"/models/m/{model_id(studio, 'one')}"
    before = sorted(folder.iterdir())
    same = save(client, address, version="two", **{"c.labels": "ad\ncontent"})
    assert same.status_code == 422
    assert "Nothing was changed, so there is nothing to save" in same.text
    assert sorted(folder.iterdir()) == before
    assert save(client, address, version="two", **{"c.labels": "ad\ncontent", "as": "config"}).status_code == 303
    assert (
        json.loads((folder / "two.json").read_text())["labels"]
        == json.loads((folder / "one" / "config.json").read_text())["labels"]
    )


def test_the_form_of_a_training_is_shown_as_what_it_is(client: TestClient, studio: Studio) -> None:
    shown = client.get(f"/models/m/{model_id(studio, 'ads.json')}/train?data=tapes&version=ads-v7")
    assert shown.status_code == 200
    assert 'value="ads-v7"' in shown.text
    assert "tapes" in shown.text


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x.json", "CON\x00", "ü", "a" * 101, "ads"])
def test_names_of_versions_are_checked(client: TestClient, studio: Studio, name: str) -> None:
    address = f"/models/m/{model_id(studio, 'ads.json')}"
    before = sorted(studio.options.models_folder.iterdir())
    assert save(client, address, version=name, **{"c.top_k": "2"}).status_code in (409, 422)
    assert sorted(studio.options.models_folder.iterdir()) == before


def test_a_wrong_value_is_not_saved_and_stands_in_its_field(client: TestClient, studio: Studio) -> None:
    address = f"/models/m/{model_id(studio, 'ads.json')}"
    answer = save(client, address, version="ads-v2", **{"c.threshold": "<b>7", "c.adapter": "os:system"})
    assert answer.status_code == 422
    assert "&lt;b&gt;7" in answer.text
    assert "<b>7" not in answer.text
    assert not (studio.options.models_folder / "ads-v2.json").exists()
    checked = client.post(f"{address}/check", data={"c.threshold": "7"}).text
    assert re.search(r'id="error-c-threshold"[^>]*>[^<]*&lt;= 1', checked)


def test_a_key_of_the_weights_is_not_changed_in_a_saved_model(client: TestClient, studio: Studio) -> None:
    bundle(studio.options.models_folder, "ads_v1")
    address = f"/models/m/{model_id(studio, 'ads_v1')}"
    answer = save(client, address, version="x", **{"c.labels": "ad\nother"})
    assert answer.status_code == 422
    assert "does not fit the trained weights" in answer.text
    as_config = save(client, address, version="x", **{"c.labels": "ad\nother", "as": "config"})
    assert as_config.status_code == 303
    assert json.loads((studio.options.models_folder / "x.json").read_text())["labels"] == ["ad", "other"]


def test_forms_without_the_token_and_of_other_kinds_are_refused(client: TestClient, studio: Studio) -> None:
    address = f"/models/m/{model_id(studio, 'ads.json')}/save"
    plain = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
    assert plain.post(address, data={"version": "x"}).status_code == 403
    assert plain.post(f"{address}?csrf=wrong", data={"version": "x"}).status_code == 403
    assert plain.post(f"{address}?csrf={studio.csrf}", json={"version": "x"}).status_code == 403
    given = plain.post(f"{address}?csrf={studio.csrf}", data={"version": "x1"}, follow_redirects=False)
    assert given.status_code == 303
    assert client.post(address, json={}).status_code == 415
    assert client.post(address, data={f"c.x{number}": "1" for number in range(4000)}).status_code == 400


def test_two_models_are_compared_with_intervals(client: TestClient, studio: Studio) -> None:
    folder = studio.options.models_folder
    bundle(folder, "one")
    bundle(folder, "two", {**VALIDATION, "clips": 41, "f1": 0.2, "intervals": {"f1": [0.1, 0.3]}}, top_k=1)
    address = f"/models/compare?m={model_id(studio, 'one')}&m={model_id(studio, 'two')}"
    shown = client.get(address).text
    assert "the first is better" in shown
    assert "different clips: 40 and 41" in shown
    assert "top_k" in shown
    assert client.get(f"/models/compare?m={model_id(studio, 'one')}").status_code == 400


def test_a_difference_of_separate_figures() -> None:
    # Newcombe (1998), Statistics in Medicine 17:873-890, table II, example (a): 56/70 and 48/80, method 10.
    low, high = separate_difference(0.8, (0.6918, 0.8770), 0.6, (0.4904, 0.7005))
    np.testing.assert_allclose((low, high), (0.0524, 0.3339), atol=5e-4)


@pytest.mark.parametrize("data", ["../", "/etc", "nothing", "a\x00b"])
def test_a_training_is_only_started_on_clips_of_the_data_folder(client: TestClient, studio: Studio, data: str) -> None:
    address = f"/models/m/{model_id(studio, 'ads.json')}/train"
    answer = client.post(address, data={"data": data, "version": "ads-v2"}, follow_redirects=False)
    assert answer.status_code == 422
    assert studio.jobs.all() == []


def test_uploads_are_few_and_their_ids_are_checked(tmp_path: Path) -> None:
    kept = []
    for number in range(5):
        path = uploads_folder(tmp_path) / f"upload-{number}.mp4"
        path.write_bytes(b"x")
        os.utime(path, (time.time() + number, time.time() + number))
        kept.append(keep_upload(tmp_path, path))
    assert len(list(uploads_folder(tmp_path).iterdir())) == 3
    assert find_upload(tmp_path, kept[-1]).suffix == ".mp4"
    for wrong in (kept[0], "../x", "*", ""):
        with pytest.raises(Exception, match="deleted"):
            find_upload(tmp_path, wrong)


def fail(job: Job) -> None:
    job.line("reading <b>clips")
    raise DatasetError("clips.csv: row 3 has no label <i>.\nAdd one")


def test_a_failed_training_says_why_and_how_to_start_it_again(client: TestClient, studio: Studio) -> None:
    job = studio.jobs.start("train", "Train <b>v2", fail, "/models/m/x/train?version=v2")
    until(lambda: job.state == "failed")
    page = client.get(f"/models/jobs/{job.id}").text
    assert "row 3 has no label &lt;i&gt;.<br>Add one" in page
    assert "reading &lt;b&gt;clips" in page
    assert "/models/m/x/train?version=v2" in page
    assert "<b>v2" not in page
    assert client.get("/models").text.count("Train &lt;b&gt;v2") == 1
    assert client.get(f"/models/jobs/{job.id}/state").json()["error"].startswith("clips.csv")
    assert client.get("/models/jobs/unknown").status_code == 404


def test_only_one_training_runs_and_the_page_says_so(client: TestClient, studio: Studio) -> None:
    job = studio.jobs.start("train", "Train v2", lambda job: {"stopped": job.wait_for_stop(60)})
    address = f"/models/m/{model_id(studio, 'ads.json')}/train"
    answer = client.post(address, data={"data": ".", "version": "ads-v3"}, follow_redirects=False)
    assert answer.status_code == 422
    assert "Train v2" in answer.text
    client.post(f"/models/jobs/{job.id}/stop")
    until(lambda: job.state == "done")


@pytest.mark.parametrize(
    "result", [None, {}, {"model": None}, {"labels": ["a"], "scores": []}, {"clips": 3, "sentence": "done"}]
)
@pytest.mark.parametrize("kind", ["train", "explain", "convert", "prelabel"])
def test_jobs_of_every_kind_have_a_page(client: TestClient, studio: Studio, kind: str, result: Any) -> None:
    job = studio.jobs.start(kind, "Work", lambda job: result)
    until(lambda: job.state == "done")
    assert client.get(f"/models/jobs/{job.id}").status_code == 200


def test_large_results_are_kept_for_a_while(studio: Studio) -> None:
    started = [studio.jobs.start("try", str(number), lambda job: {"scores": ["x" * 50_000]}) for number in range(7)]
    until(lambda: all(job.state == "done" for job in started))
    assert sum(job.result is not None for job in started) == 5
    assert Jobs(studio.options.data_dir / ".studio").all()[0].result is None


def test_versions_of_the_manifest_are_listed_also_those_whose_file_is_gone(studio: Studio) -> None:
    folder = studio.options.models_folder
    assert ModelLibrary(folder).versions() == []
    models = [
        {"name": "ads_v001.tflite", "created": "2025-01-08T10:00:00Z", "metrics": {"f1": 0.81, "note": "<b>"}},
        {"name": "ads_v002.tflite", "created": "2025-02-08T10:00:00Z"},
    ]
    (folder / "ads_v002.tflite").write_bytes(b"not whole")
    (folder / "model_manifest.json").write_text(json.dumps({"current": "ads_v002.tflite", "models": models}))
    new, old = ModelLibrary(folder).versions()
    assert (new.name, new.current, new.model_id is not None) == ("ads_v002.tflite", True, True)
    assert (old.name, old.current, old.model_id, old.metrics["f1"]) == ("ads_v001.tflite", False, None, 0.81)
    page = TestClient(make_app(studio), base_url="http://127.0.0.1:8080").get("/models").text
    assert "the file is gone" in page
    assert "f1 0.81" in page

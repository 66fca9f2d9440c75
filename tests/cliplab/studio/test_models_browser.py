"""The Models page in a browser: a training, an edit, a video that is tried and explained, and what axe finds."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")
pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from small_network import SMALL_NETWORK
from studio_page import browser, running_studio
from tiny_videos import render_dataset
from waiting import until

PATIENT = 300_000  # ms: the machine may stall
PICTURES = os.environ.get("CLIPLAB_STUDIO_PICTURES")  # a folder; makes the pictures of the docs


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Iterator[tuple[str, Any]]:
    folder = tmp_path_factory.mktemp("studio")
    render_dataset(folder / "clips", 4, 3, 0)
    models = folder / "models"
    models.mkdir()
    config = json.loads(Path(SMALL_NETWORK).read_text())
    (models / "tricks.json").write_text(json.dumps({**config, "head_solver": "adam", "num_epochs": 4}))
    with running_studio(folder, labels=("warm", "cold")) as found:
        yield found


@pytest.fixture(scope="module")
def window() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(window: Any, studio: tuple[str, Any]) -> Iterator[Any]:
    opened = window.new_page(viewport={"width": 1280, "height": 720}, color_scheme="dark", base_url=studio[0])
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    opened.set_default_timeout(PATIENT)
    yield opened
    opened.close()
    assert [fault for fault in faults if "409" not in fault and "422" not in fault] == []


def check_page(page: Any, picture: str) -> None:
    """axe finds nothing, and the page's picture is made where it is asked for."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pip install axe-playwright-python")
    found = axe.Axe().run(page).response["violations"]
    assert [(item["id"], [node["html"] for node in item["nodes"]][:3]) for item in found] == []
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"models_{picture}.png")


@pytest.fixture(scope="module")
def trained(window: Any, studio: tuple[str, Any]) -> str:
    """The address of a model that was trained from the page."""
    page = window.new_page(viewport={"width": 1280, "height": 720}, color_scheme="dark", base_url=studio[0])
    page.set_default_timeout(PATIENT)
    page.goto("/models")
    page.get_by_role("link", name="tricks.json", exact=True).click()
    page.get_by_role("link", name="Train", exact=True).click()
    check_page(page, "train")
    page.get_by_label("Clips").fill("clips/dataset.jsonl")
    page.get_by_label("Name of the new model").fill("tricks-v2")
    page.get_by_role("button", name="Start the training").click()
    page.wait_for_url(re.compile("/models/jobs/"))
    page.wait_for_selector("#job-charts canvas")
    check_page(page, "training")
    page.wait_for_selector("#job-result")
    assert re.search(r"Accuracy [01]\.\d\d \(95% .*\), 6 clips in 6 groups", page.inner_text("#job-result"))
    assert "epoch 4/4" in page.locator("#job-log").text_content()
    page.get_by_role("link", name="Open tricks-v2").click()
    page.wait_for_selector("#charts canvas >> nth=3")
    check_page(page, "one")
    address = page.url
    page.close()
    return str(address)


def test_a_threshold_is_edited_as_a_new_version(page: Any, trained: str, studio: tuple[str, Any]) -> None:
    page.goto(trained + "/edit")
    page.get_by_label("Threshold", exact=False).first.fill("1,5")
    page.wait_for_selector("#error-c-threshold:not(:empty)")
    assert "Write a decimal point: 1.5" in page.inner_text("#error-c-threshold")
    assert page.get_attribute("#c-threshold", "aria-invalid") == "true"
    check_page(page, "edit_wrong")
    page.get_by_role("button", name="Save as a new version").click()
    page.wait_for_selector("text=Nothing was saved")
    assert page.input_value("#c-threshold") == "1,5"
    page.fill("#c-threshold", "0.7")
    page.wait_for_selector("#form-state >> text=takes effect at once")
    assert page.get_attribute("#c-threshold", "aria-invalid") is None
    check_page(page, "edit")
    page.get_by_role("button", name="Save as a new version").click()
    page.wait_for_selector("h1:has-text('tricks-v3')")
    folder = studio[1].options.models_folder
    assert json.loads((folder / "tricks-v3/config.json").read_text())["threshold"] == 0.7
    assert json.loads((folder / "tricks-v2/config.json").read_text())["threshold"] == 0.5
    page.goto("/models")
    for name in ("tricks-v2", "tricks-v3"):
        page.get_by_label(f"Compare {name}").check()
    check_page(page, "list")
    page.get_by_role("button", name="Compare the two").click()
    page.wait_for_selector("text=may be chance")
    assert "0.7" in page.inner_text("main")
    check_page(page, "compare")


def test_the_form_works_without_javascript(window: Any, studio: tuple[str, Any], trained: str) -> None:
    context = window.new_context(java_script_enabled=False, base_url=studio[0])
    page = context.new_page()
    page.goto(trained + "/edit")
    page.fill("#c-top-k", "many")
    page.fill("#version", "without-script")
    page.get_by_role("button", name="Save as a new version").click()
    assert "whole number" in page.inner_text("#error-c-top-k")
    page.fill("#c-top-k", "1")
    page.get_by_role("button", name="Save as a new version").click()
    assert page.inner_text("h1") == "without-script"
    context.close()


def test_a_video_is_dropped_tried_and_explained(page: Any, trained: str, studio: tuple[str, Any]) -> None:
    page.goto(trained + "/try")
    check_page(page, "try")
    page.set_input_files("#file", studio[1].options.data_dir / "clips/warm0.mp4")
    page.fill("#window", "0.5")
    page.get_by_role("button", name="Try this file").click()
    page.wait_for_selector("#try-timeline canvas")
    assert "warm" in page.inner_text("main")
    check_page(page, "tried")
    page.get_by_role("button", name="Explain").click()
    page.wait_for_selector("img.explanation")
    until(lambda: page.evaluate("document.querySelector('img.explanation').naturalWidth") > 500)
    check_page(page, "explained")
    full = page.locator("a:has(img.explanation)").get_attribute("href")
    assert page.request.get(full).headers["content-type"] == "image/png"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_a_phone(window: Any, trained: str, studio: tuple[str, Any], scheme: Any) -> None:
    page = window.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme, base_url=studio[0])
    for place in ("/models", trained, trained + "/edit", trained + "/train", trained + "/try"):
        page.goto(place)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, place
    page.goto(trained)
    heads = page.eval_on_selector_all("th.number", "all => all.map(one => getComputedStyle(one).textAlign)")
    assert set(heads) == {"right"}, "a heading stands over its numbers"
    page.close()


def test_a_file_that_is_no_video_says_so(page: Any, trained: str, tmp_path: Path) -> None:
    path = tmp_path / "<b>notes.mp4"
    path.write_text("not a video")
    page.goto(trained + "/try")
    page.set_input_files("#file", path)
    page.get_by_role("button", name="Try this file").click()
    page.wait_for_selector("#job-error")
    assert "notes.mp4" in page.inner_text("#job-error")
    assert "uploads" not in page.inner_text("#job-error")

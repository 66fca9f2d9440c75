"""Take the pictures of the studio's Models, Review and Annotators pages in docs/images.

    python scripts/studio_work_pictures.py [OUTPUT_DIR]

Needs `cliplab[studio,train]`, playwright and chromium, and a minute. All that is shown is drawn or rendered.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from studio_pictures import ROOT, extract, ready

sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from small_network import SMALL_NETWORK  # noqa: E402
from studio_page import browser, running_studio  # noqa: E402
from tiny_videos import render_dataset, render_video  # noqa: E402

from cliplab.studio import LabelEvent  # noqa: E402

PATIENT_MS = 300_000  # a training of a minute, on a busy machine


def take(page: Any, path: Path, *, whole: bool = False) -> None:
    page.screenshot(path=str(path), full_page=whole)
    print(f"{path} written")


def dark_page(opened: Any) -> Any:
    page = opened.new_context(viewport={"width": 1280, "height": 720}, color_scheme="dark").new_page()
    page.set_default_timeout(PATIENT_MS)
    return page


def models_pages(opened: Any, folder: Path, output: Path) -> None:
    """A training, its model, a wrong value in the form, the list, and a video that was tried."""
    render_dataset(folder / "clips", 12, 8, 4)
    render_video(folder / "session.mp4", "warm", 3, seconds=6.0)
    models = folder / "models"
    models.mkdir()
    config = json.loads(Path(SMALL_NETWORK).read_text(encoding="utf-8"))
    config |= {"head_solver": "adam", "num_epochs": 6, "sampling": "spread"}
    (models / "tricks.json").write_text(json.dumps(config), encoding="utf-8")
    with running_studio(folder, labels=("warm", "cold"), annotator="Ada") as (url, _):
        page = dark_page(opened)
        page.goto(f"{url}/models")
        page.get_by_role("link", name="tricks.json", exact=True).click()
        page.get_by_role("link", name="Train", exact=True).click()
        page.get_by_label("Clips").fill("clips/dataset.jsonl")
        page.get_by_label("Name of the new model").fill("tricks-v2")
        page.get_by_role("button", name="Start the training").click()
        page.wait_for_url(re.compile("/models/jobs/"))
        page.wait_for_selector("#job-charts canvas")
        page.wait_for_selector("#job-result")
        ready(page)
        take(page, output / "models_training.png")
        page.get_by_role("link", name="Open tricks-v2").click()
        page.wait_for_selector("#charts canvas >> nth=3")
        ready(page)
        address = page.url
        take(page, output / "models_one.png", whole=True)
        page.goto(address + "/edit")
        page.get_by_label("Threshold", exact=False).first.fill("1,5")
        page.wait_for_selector("#error-c-threshold:not(:empty)")
        take(page, output / "models_edit_wrong.png")
        page.fill("#c-threshold", "0.7")
        page.wait_for_selector("#form-state >> text=takes effect at once")
        page.get_by_role("button", name="Save as a new version").click()
        page.wait_for_selector("h1:has-text('tricks-v3')")
        page.goto(f"{url}/models")
        for name in ("tricks-v2", "tricks-v3"):
            page.get_by_label(f"Compare {name}").check()
        take(page, output / "models_list.png")
        page.goto(address + "/try")
        page.set_input_files("#file", folder / "session.mp4")
        page.fill("#window", "0.5")
        page.get_by_role("button", name="Try this file").click()
        page.wait_for_selector("#try-timeline canvas")
        ready(page)
        take(page, output / "models_tried.png")


def people_pages(opened: Any, folder: Path, output: Path) -> None:
    """The Review page after a retraining on twenty labels of two people, and what their agreement is."""
    classes = extract(folder)
    with running_studio(folder, labels=("ad", "content"), annotator="Ada") as (url, studio):
        items = studio.store.items(limit=500)
        given = [(item, classes[Path(item.path).name]) for item in items[::3]]
        other = {"ad": "content", "content": "ad"}
        studio.store.append(
            LabelEvent("ada", number, "Ada", item.id, "label", {"label": label}, time.time())
            for number, (item, label) in enumerate(given)
        )
        studio.store.append(
            LabelEvent(
                "ben", number, "Ben", item.id, "label", {"label": label if number % 6 else other[label]}, time.time()
            )
            for number, (item, label) in enumerate(given[:12])
        )
        page = dark_page(opened)
        page.goto(f"{url}/review")
        page.get_by_role("button", name="Retrain now").click()
        page.wait_for_selector("text=Learned from")
        ready(page)
        page.reload()
        ready(page)
        take(page, output / "studio_review.png")
        page.goto(f"{url}/annotators")
        page.wait_for_selector("text=Krippendorff")
        ready(page)
        take(page, output / "studio_annotators.png")


def main() -> None:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images"
    with tempfile.TemporaryDirectory() as name, browser() as opened:
        for number, pages in enumerate((people_pages, models_pages)):
            folder = Path(name) / str(number)
            folder.mkdir()
            pages(opened, folder, output)


if __name__ == "__main__":
    main()

"""Take the pictures of the studio's pages in docs/images. Needs `cliplab[studio]`, playwright and chromium.

    python scripts/studio_pictures.py [OUTPUT_DIR]

What is shown is drawn: frames of the clips in samples/ whose source is "drawn".
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from studio_page import browser, running_studio  # noqa: E402

FRAMES_PER_CLIP = 4


def extract(folder: Path) -> dict[str, str]:
    """Frames of the drawn clips, in an order in which the classes are mixed; and the class of each."""
    rows = [json.loads(line) for line in (ROOT / "samples/dataset.jsonl").read_text(encoding="utf-8").splitlines()]
    drawn = sorted((row for row in rows if row["source"] == "drawn"), key=lambda row: row["group"])
    classes = {}
    for number, row in enumerate(drawn):
        capture = cv2.VideoCapture(str(ROOT / "samples" / row["path"]))
        for frame in range(FRAMES_PER_CLIP):
            capture.set(cv2.CAP_PROP_POS_FRAMES, 8 * frame)
            found, picture = capture.read()
            if found:
                name = f"evening_{number:02d}_{frame}.jpg"
                cv2.imwrite(str(folder / name), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
                classes[name] = row["label"]
        capture.release()
    return classes


def ready(page: Any) -> None:
    """Wait until nothing is loading."""
    page.wait_for_load_state("load")
    time.sleep(1.5)


def take(page: Any, path: Path) -> None:
    page.screenshot(path=str(path), type="jpeg", quality=85)
    print(f"{path} written")


def label_pages(opened: Any, url: str, classes: dict[str, str], output: Path) -> None:
    """The Label page with labels given by keys, dark; its grid, light."""
    page = opened.new_context(viewport={"width": 1280, "height": 720}, color_scheme="dark").new_page()
    page.goto(f"{url}/label")
    ready(page)
    for name in sorted(classes)[:30]:
        page.keyboard.press(classes[name][0])
        time.sleep(0.05)
    ready(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press(classes[sorted(classes)[31]][0])
    time.sleep(0.5)
    take(page, output / "studio_label.jpg")
    page.keyboard.press("?")
    time.sleep(0.5)
    take(page, output / "studio_keys.jpg")
    page.keyboard.press("Escape")
    page.emulate_media(color_scheme="light")
    page.keyboard.press("Enter")
    ready(page)
    page.keyboard.press("Shift+a")
    ready(page)
    take(page, output / "studio_grid.jpg")


def main() -> None:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images"
    with tempfile.TemporaryDirectory() as name, browser() as opened:
        folder = Path(name) / "evening"
        folder.mkdir()
        classes = extract(folder)
        with running_studio(folder, labels=("ad", "content"), annotator="Ada") as (url, _):
            label_pages(opened, url, classes, output)


if __name__ == "__main__":
    main()

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

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from fleets import MODEL, NEW, OLD, Fleet  # noqa: E402
from studio_page import browser, running_studio  # noqa: E402

from adapters.media import open_video  # noqa: E402
from cliplab.registry import Event, open_registry, registry_init  # noqa: E402
from cliplab.rollout import RolloutSettings, make_tables, start_rollout  # noqa: E402

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


def write_evening(path: Path) -> list[tuple[str, float, float]]:
    """The drawn clips one after the other, with a tone during the ads; and the stretches of each class."""
    rows = [json.loads(line) for line in (ROOT / "samples/dataset.jsonl").read_text(encoding="utf-8").splitlines()]
    drawn = sorted((row for row in rows if row["source"] == "drawn"), key=lambda row: row["group"])
    ads, contents = ([row for row in drawn if row["label"] == label][:5] for label in ("ad", "content"))
    drawn = [row for pair in zip(ads, contents, strict=False) for row in pair]
    spans: list[tuple[str, float, float]] = []
    with av.open(str(path), "w") as container:
        pictures, sound = (
            container.add_stream("libx264", rate=10),
            container.add_stream("aac", rate=8000, layout="mono"),
        )
        pictures.width, pictures.height, pictures.pix_fmt = 640, 360, "yuv420p"
        count = 0
        for row in drawn:
            with open_video(ROOT / "samples" / row["path"]) as video:
                frames = [picture for _, picture in video.frames(width=640, height=360, aspect="crop", fps=10)]
            spans.append((row["label"], count / 10, (count + len(frames)) / 10))
            for picture in frames:
                shown = cv2.resize(picture, (640, 360))
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(shown, "rgb24")))
                loud = (9000 if row["label"] == "ad" else 2500) * (0.6 + 0.4 * np.sin(count / 2))
                tone = np.sin(np.arange(800) * (0.3 + count % 5 / 20)) * loud
                heard = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], "s16", "mono")
                heard.sample_rate, heard.pts = 8000, count * 800
                container.mux(sound.encode(heard))
                count += 1
        container.mux(pictures.encode())
        container.mux(sound.encode())
    return spans


def video_page(opened: Any, url: str, spans: list[tuple[str, float, float]], output: Path) -> None:
    """The Label page of a video in which intervals were painted."""
    page = opened.new_context(viewport={"width": 1280, "height": 720}, color_scheme="dark").new_page()
    page.goto(f"{url}/label/video/1")
    page.wait_for_selector("#intervals[data-ready]")
    for label, start, end in spans[:7]:
        page.evaluate("([label, start, end]) => intervalsPage.paint(label, start, end)", [label, start, end])
    page.keyboard.press("n")
    ready(page)
    page.evaluate("(to) => intervalsPage.player.seek(to)", spans[5][1] + 0.4)
    page.locator("#interval-list button").nth(1).click()
    ready(page)
    time.sleep(2)
    take(page, output / "studio_intervals.jpg")


def fleet_page(opened: Any, folder: Path, output: Path) -> None:
    """The Fleet page of a simulated fleet of 200 devices, in the second stage of a rollout."""
    registry_init(folder / "registry", tracking="none", keys=False)
    with open_registry(folder / "registry") as registry:
        make_tables(registry.engine)
        registry.append(Event("promote", MODEL, OLD, "production", None, OLD, "first version", who="Ada"))
        fleet = Fleet(registry.engine, devices=200)
        fleet.now = time.time() - 11 * 600.0 - 60.0
        fleet.report()
        settings = RolloutSettings(stages=(5.0, 25.0, 100.0), stage_minutes=30.0)
        rollout = start_rollout(
            registry.engine, MODEL, OLD, NEW, settings=settings, who="Ada", now=fleet.now, reason="fewer missed ads"
        )
        own = {"disk_free_bytes": 21_300_000_000, "temperature_celsius": 54.0}
        fleet.run(rollout, 10, errors=0.016, slower=1.03, own=lambda name, has: own)
    with running_studio(folder, registry=folder / "registry") as (url, _):
        page = opened.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark").new_page()
        page.goto(f"{url}/fleet")
        ready(page)
        take(page, output / "studio_fleet.jpg")


def main() -> None:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images"
    with tempfile.TemporaryDirectory() as name, browser() as opened:
        folder = Path(name) / "evening"
        folder.mkdir()
        classes = extract(folder)
        with running_studio(folder, labels=("ad", "content"), annotator="Ada") as (url, _):
            label_pages(opened, url, classes, output)
        videos = Path(name) / "videos"
        videos.mkdir()
        spans = write_evening(videos / "evening.mp4")
        with running_studio(videos, labels=("ad", "content"), annotator="Ada") as (url, _):
            video_page(opened, url, spans, output)
        fleet_page(opened, Path(name), output)


if __name__ == "__main__":
    main()

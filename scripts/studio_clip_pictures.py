"""Take the pictures of the studio's Generate, Rate, Compare and Browse pages in docs/images.

    python scripts/studio_clip_pictures.py [OUTPUT_DIR]

Needs `cliplab[studio,clips]`, playwright and chromium, and some minutes. The recording is made of the clips in samples/
whose source is "drawn", with synthesised sound: a murmur, roars and bangs, and stretches whose picture runs fast.
Its highlights are detected and cut as any other's. The ratings are made from scores, with chance.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from studio_pictures import ROOT, ready

sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from studio_page import browser, running_studio  # noqa: E402

from adapters.media import open_video  # noqa: E402
from cliplab.clips import ClipManager, RatingBasedTrainer  # noqa: E402
from cliplab.detect import HighlightOptions, find_highlights, generate_clips  # noqa: E402

MINUTES, FPS, RATE, WIDTH, HEIGHT = 12, 15, 16_000, 320, 180
SCENE_SECONDS = 30
ROAR_SECONDS, RUSH_SECONDS = 4.0, 5.0
OPTIONS = HighlightOptions(clip_seconds=8.0, min_gap_seconds=9.0, min_score=0.05)
PATIENT_MS = 300_000


def events() -> list[tuple[float, str]]:
    """What happens when: every 15 to 30 seconds a roar, a bang or a rush."""
    rng, found, moment = random.Random(7), list[tuple[float, str]](), 12.0
    while moment < MINUTES * 60 - 15:
        found.append((moment, rng.choice(("roar", "bang", "rush"))))
        moment += rng.uniform(15.0, 30.0)
    return found


def scenes() -> list[list[np.ndarray]]:
    """The drawn clips without advertising, each as uint8 [H, W, 3] frames."""
    rows = [json.loads(line) for line in (ROOT / "samples/dataset.jsonl").read_text(encoding="utf-8").splitlines()]
    found = []
    for row in rows:
        if (row["source"], row["label"]) == ("drawn", "content"):
            with open_video(ROOT / "samples" / row["path"]) as video:
                frames = video.frames(width=WIDTH, height=HEIGHT, aspect="crop", fps=FPS)
                found.append([picture for _, picture in frames])
    return found


def sound(happened: list[tuple[float, str]]) -> np.ndarray:
    """float32 [N] at 16 kHz."""
    rng = np.random.default_rng(7)
    count = MINUTES * 60 * RATE
    swell = np.repeat(rng.uniform(0.4, 1.0, MINUTES * 120), RATE // 2)
    heard = 0.02 * swell * rng.standard_normal(count)
    for moment, kind in happened:
        length = {"roar": ROAR_SECONDS, "bang": 0.2}.get(kind)
        if length is not None:
            first, size = round(moment * RATE), round(length * RATE)
            shape = np.hanning(size) if kind == "roar" else np.exp(-np.arange(size) / 800)
            heard[first : first + size] += rng.uniform(0.12, 0.3) * shape * rng.standard_normal(size)
    return heard.clip(-1, 1).astype(np.float32)


def pictures(happened: list[tuple[float, str]]) -> Iterator[np.ndarray]:
    """Each scene to and fro, so that it does not jump; in a rush five times as fast."""
    drawn, place = scenes(), 0
    for number in range(MINUTES * 60 * FPS):
        moment = number / FPS
        scene = drawn[number // (SCENE_SECONDS * FPS) % len(drawn)]
        rushes = any(kind == "rush" and at <= moment < at + RUSH_SECONDS for at, kind in happened)
        place += 5 if rushes else 1
        turn = place % (2 * len(scene) - 2)
        yield scene[turn] if turn < len(scene) else scene[2 * len(scene) - 2 - turn]


def write_match(path: Path) -> None:
    """The recording."""
    happened = events()
    heard, place = sound(happened), 0
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"preset": "superfast", "g": "45"}
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        for number, picture in enumerate(pictures(happened)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
            while place < len(heard) and place / RATE <= (number + 1) / FPS:
                piece = av.AudioFrame.from_ndarray(heard[None, place : place + 1024], "fltp", "mono")
                piece.sample_rate, piece.pts = RATE, place
                container.mux(audio.encode(piece))
                place += 1024
        for stream in (video, audio):
            container.mux(stream.encode())


def rate_clips(folder: Path) -> None:
    """Clips of the recording, ratings of two people, tags, and a training."""
    with ClipManager(folder / "clips.db") as manager:
        found = find_highlights(folder / "match.mp4", OPTIONS)
        generate_clips(found, folder / "output_clips", database=manager)
        rng, clips = random.Random(3), manager.list_clips(200)
        print(f"{len(clips)} clips")
        for clip in rng.sample(clips, len(clips) * 3 // 4):
            stars = 1 + 4 * clip.score + rng.gauss(0, 0.6)
            for rater, share in (("Ada", 1.0), ("Ben", 0.4)):
                if rng.random() < share:
                    manager.rate_clip(clip.id, round(min(max(stars + rng.gauss(0, 0.5), 1), 5)), rater=rater)
        for clip in clips[1:9:3]:
            manager.tag(clip.id, "opening", *(["crowd"] if clip.clip_type == "audio" else []))
        RatingBasedTrainer(manager, folder / "models" / "highlight_model.skops").train_from_ratings()


def take(page: Any, path: Path) -> None:
    ready(page)
    page.screenshot(path=str(path), type="jpeg", quality=85)
    print(f"{path} written")


def generate_page(page: Any, url: str, output: Path) -> None:
    """The highlights of the recording, one of them deselected, and clips written of the others."""
    page.goto(f"{url}/generate")
    page.get_by_label("Stream URL or video").fill("match.mp4")
    for name in ("Clip duration (s)", "Minimum gap (s)"):
        page.get_by_label(name).fill("20")
    page.get_by_role("button", name="Analyze Stream").click()
    page.wait_for_selector("#highlights li")
    ready(page)
    page.locator("body").click(position={"x": 5, "y": 130})
    page.keyboard.press("x")
    page.get_by_role("button", name="Generate Clips").click()
    page.wait_for_selector("#made >> text=clips written")
    take(page, output / "studio_generate.jpg")


def main() -> None:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images"
    with tempfile.TemporaryDirectory() as name, browser() as opened:
        folder = Path(name)
        write_match(folder / "match.mp4")
        rate_clips(folder)
        with running_studio(folder, annotator="Ada") as (url, _):
            page = opened.new_context(viewport={"width": 1280, "height": 720}, color_scheme="dark").new_page()
            page.set_default_timeout(PATIENT_MS)
            page.goto(f"{url}/rate")
            page.wait_for_selector("#stage video")
            ready(page)
            page.keyboard.press("4")
            ready(page)
            page.keyboard.press("ArrowLeft")
            take(page, output / "studio_rate.jpg")
            page.goto(f"{url}/compare")
            page.wait_for_selector("#pair video")
            take(page, output / "studio_compare.jpg")
            page.goto(f"{url}/browse")
            for box in page.locator(".take input").all()[:3]:
                box.check()
            take(page, output / "studio_browse.jpg")
            generate_page(page, url, output)


if __name__ == "__main__":
    main()

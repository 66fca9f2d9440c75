"""What a model of stage 2 adds to the precision of highlights, on composed streams of sources that it has not seen.

    python benchmarks/bench_stage2.py MEDIA [--streams 4] [--minutes 10] [--folder DIR] [--model movinet_a0_stream]

What is looked for are skateboard tricks. The streams are composed, no broadcasts: footage in a loop with a murmur and
speech, tricks at known moments, and beside them what stage 1 takes for highlights as well: crowds, shouts, other videos
for some seconds. A model learns tricks from other clips: those of the streams are of other groups, the footage is of
other videos. Printed are precision and recall at 1.5 proposals per trick, by stage 1 alone and with stage 2, and the
difference, with 95% intervals over streams and proposals resampled together.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
from bench_detect import FPS, LOUD, OPTIONS, RATE, pictures, sound, write

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Videos that a model learns "no trick" from, and others that the streams are made of.
SEEN = ("vtest.avi", "g1.avi", "lebiniou-2021-06-10_12-17-47.mp4", "lebiniou-2021-06-10_12-23-00.mp4", "cube.mpeg")
UNSEEN = ("tree.avi", "balle-jbart.mp4", "lebiniou-2021-06-10_12-28-28.mp4", "lebiniou-2021-06-10_12-32-58.mp4")
INSERTS = ("g2.avi", "lebiniou-2021-06-10_12-24-29.mp4", "Principe_inertie.avi")
LEAST_SPACING, MOST_SPACING = 20.0, 45.0
SHOWN = 3.0


def tricks_of(media: Path) -> tuple[list[Path], list[Path]]:
    """Clips to learn from and clips of the streams; groups of nearly the same picture are on one side."""
    with (media / "real.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["set"] in ("skate_tricks", "skate_small")]
    groups = sorted({row["group"] for row in rows})
    held = set(np.random.default_rng(0).permutation(groups)[: len(groups) // 3].tolist())
    sides = [[media / "real" / row["file"] for row in rows if (row["group"] in held) == side] for side in (False, True)]
    return sides[0], sides[1]


def write_lessons(media: Path, tricks: list[Path], folder: Path) -> None:
    """A folder of clips for each class; groups by their file names' folders."""
    for number, path in enumerate(tricks):
        target = folder / "trick" / f"g{number % 40}"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / f"{number}{path.suffix}")
    for name in SEEN:
        frames = pictures(media / "footage" / name)
        target = folder / "non-trick" / Path(name).stem
        target.mkdir(parents=True, exist_ok=True)
        step = max(len(frames) // 20, 1)
        for place in range(0, max(len(frames) - 2 * FPS, 1), step):
            _write_clip(target / f"{place}.mp4", frames[place : place + 2 * FPS])


def _write_clip(path: Path, frames: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.height, video.width, _ = frames[0].shape
        video.pix_fmt, video.options = "yuv420p", {"preset": "superfast"}
        for picture in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))


def compose(media: Path, tricks: list[Path], number: int, minutes: float, path: Path) -> list[float]:
    """Write a stream; returns when its tricks begin."""
    random = np.random.default_rng(2000 + number)
    count, real = round(minutes * 60 * RATE), media / "real"
    speech = [sound(one) for one in sorted((real / "sound" / "speech").glob("*.ogg"))]
    murmur = sound(real / "sound" / "crowd" / "tuxfootball_ingame.ogg")
    track = 0.15 * np.resize(murmur, count) + 0.003 * random.standard_normal(count).astype(np.float32)
    place = 0
    while place < count:
        said = speech[random.integers(len(speech))] * random.uniform(0.15, 0.5)
        track[place : place + len(said)] += said[: count - place]
        place += round(random.uniform(0.8, 4.0) * RATE)
    truth, shown, moment = list[float](), dict[int, list[np.ndarray]](), random.uniform(LEAST_SPACING, MOST_SPACING)
    while moment < minutes * 60 - 20:
        kind = ("trick", "crowd", "insert")[random.integers(3)]
        if kind == "trick":
            truth.append(moment)
            frames = pictures(tricks[random.integers(len(tricks))])
            shown[round(moment * FPS)] = (frames * 4)[: round(SHOWN * FPS)]
        elif kind == "insert":
            frames = pictures(media / "footage" / INSERTS[random.integers(len(INSERTS))])
            first = int(random.integers(max(len(frames) - SHOWN * FPS, 1)))
            shown[round(moment * FPS)] = frames[first : first + round(SHOWN * FPS)]
        if kind == "crowd" or random.random() < 0.3:
            loud = sound(real / "sound" / LOUD[random.integers(len(LOUD))])
            first = round((moment + 0.5) * RATE)
            loud = loud / np.abs(loud).max() * random.uniform(0.3, 0.8)
            track[first : first + len(loud)] += loud[: count - first]
        moment += random.uniform(LEAST_SPACING, MOST_SPACING)
    scenes = [pictures(media / "footage" / name) for name in np.roll(UNSEEN, number)[:2]]
    write(path, track.clip(-1, 1), scenes, shown, minutes)
    return truth


def judged(truth: list[float], report: Any) -> tuple[list[bool], list[bool]]:
    """Of the best 1.5 proposals per trick, which hold one; and which tricks are in one."""
    proposals = report.ranked[: math.ceil(1.5 * len(truth))]
    right = [any(one.start <= moment + 1.0 <= one.end for moment in truth) for one in proposals]
    return right, [any(one.start <= moment + 1.0 <= one.end for one in proposals) for moment in truth]


def interval(rows: list[tuple[list[bool], list[bool]]]) -> tuple[float, float]:
    """95% of the difference of two shares: streams are resampled, and what is in each."""
    random, drawn = np.random.default_rng(0), []
    for _ in range(2000):
        both: tuple[list[bool], list[bool]] = ([], [])
        for number in random.integers(0, len(rows), len(rows)):
            for into, values in zip(both, rows[number], strict=True):
                into += list(random.choice(values, len(values))) if values else []
        if both[0] and both[1]:
            drawn.append(np.mean(both[1]) - np.mean(both[0]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Learn, compose, detect, print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--weights", default=None, help="of the model, such as a movinet_a0_stream_int8.tflite")
    parser.add_argument("--folder", type=Path, help="where streams and the model are kept for another run")
    given = parser.parse_args()
    from cliplab.api import train
    from cliplab.detect import Stage2, find_highlights

    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        learn, held = tricks_of(given.media)
        bundle = folder / given.model
        if not bundle.exists():
            if not (folder / "lessons").exists():
                write_lessons(given.media, learn, folder / "lessons")
            weights = None if given.weights is None else {"weights": given.weights}
            train(given.model, folder / "lessons", bundle, overrides=weights)
        stage2, rows = Stage2(bundle, label="trick", least=0.0), []
        for number in range(given.streams):
            path = folder / f"tricks{number}_{given.minutes:g}.mp4"
            known = path.with_suffix(".events")
            if not known.exists():
                known.write_text(json.dumps(compose(given.media, held, number, given.minutes, path)))
            truth = json.loads(known.read_text())
            rows.append([judged(truth, find_highlights(path, OPTIONS, stage2=model)) for model in (None, stage2)])
    for name, what in (("precision", 0), ("recall", 1)):
        pairs = [(row[0][what], row[1][what]) for row in rows]
        values = [[hit for pair in pairs for hit in pair[stage]] for stage in (0, 1)]
        low, high = interval(pairs)
        print(
            json.dumps(
                {
                    "what": name,
                    "stage 1": f"{np.mean(values[0]):.2f} of {len(values[0])}",
                    "with stage 2": f"{np.mean(values[1]):.2f} of {len(values[1])}",
                    "difference": f"{np.mean(values[1]) - np.mean(values[0]):+.2f} ({low:+.2f} to {high:+.2f})",
                }
            )
        )


if __name__ == "__main__":
    main()

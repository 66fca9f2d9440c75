"""Highlights of composed streams: recall at 1.5 proposals per event, and speed.

    python benchmarks/bench_detect.py MEDIA [--streams N] [--first N] [--minutes M] [--folder DIR]

The streams are composed, no broadcasts: footage in a loop with a murmur, speech and quiet music, and at known moments a
crowd, a shout or a skateboard trick, alone or together. MEDIA has footage/ and real/sound, real/skate.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cliplab.detect import HighlightOptions, find_highlights

RATE, WIDTH, HEIGHT, FPS = 16_000, 320, 180, 15
FOOTAGE = ("vtest.avi", "tree.avi", "lebiniou-2021-06-10_12-28-28.mp4", "balle-jbart.mp4")
LOUD = (
    "crowd/tuxfootball_crowdcheer.ogg",
    "crowd/tuxfootball_crowdooh.ogg",
    "crowd/tuxfootball_crowdboo.ogg",
    "effects/Human/Scream-female.ogg",
    "effects/Human/Laugh-male1.ogg",
)
MOST_SPACING, LEAST_SPACING = 150.0, 60.0
OPTIONS = HighlightOptions(clip_seconds=20.0, min_gap_seconds=20.0, min_score=0.05)


@lru_cache(64)
def sound(path: Path) -> np.ndarray:
    """float32 [N], mono at 16 kHz."""
    resampler, pieces = av.AudioResampler("flt", "mono", RATE), []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            frame.pts = None
            pieces += [piece.to_ndarray().reshape(-1) for piece in resampler.resample(frame)]
    return np.concatenate(pieces).astype(np.float32)


@lru_cache(24)
def pictures(path: Path) -> list[np.ndarray]:
    """Frames of a video at 15 per second, uint8 [180, 320, 3], at most 40 s."""
    found, due = [], 0.0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            while frame.time is not None and frame.time >= due and due < 40:
                found.append(cv2.resize(frame.to_ndarray(format="rgb24"), (WIDTH, HEIGHT)))
                due += 1 / FPS
    return found


def compose(media: Path, number: int, minutes: float, path: Path) -> list[tuple[float, str]]:
    """Write a stream; returns (seconds, kind) of its events."""
    random = np.random.default_rng(1000 + number)
    count = round(minutes * 60 * RATE)
    real = media / "real"
    speech = [sound(one) for one in sorted((real / "sound" / "speech").glob("*.ogg"))]
    music = sound(real / "sound" / "crowd" / "tuxfootball_titlemusic.ogg")
    murmur = sound(real / "sound" / "crowd" / "tuxfootball_ingame.ogg")
    track = 0.15 * np.resize(murmur, count) + 0.003 * random.standard_normal(count).astype(np.float32)
    place = 0
    while place < count:  # somebody speaks a third of the time, louder and quieter
        said = speech[random.integers(len(speech))] * random.uniform(0.15, 0.5)
        track[place : place + len(said)] += said[: count - place]
        place += round(random.uniform(0.8, 4.0) * RATE)
    if number % 2:
        track += 0.05 * np.resize(music, count)
    events, moment = list[tuple[float, str]](), random.uniform(LEAST_SPACING, MOST_SPACING)
    while moment < minutes * 60 - 30:
        events.append((moment, ("crowd", "trick", "both")[random.integers(3)]))
        moment += random.uniform(LEAST_SPACING, MOST_SPACING)
    tricks = sorted((real / "skate").glob("*/*.mp4"))
    shown = dict[int, list[np.ndarray]]()
    for moment, kind in events:
        if kind in ("crowd", "both"):
            loud = sound(real / "sound" / LOUD[random.integers(len(LOUD))])
            loud = loud / np.abs(loud).max() * random.uniform(0.3, 0.8)
            first = round((moment + (1.0 if kind == "both" else 0.0)) * RATE)
            track[first : first + len(loud)] += loud[: count - first]
        if kind in ("trick", "both"):
            frames = pictures(tricks[random.integers(len(tricks))])
            shown[round(moment * FPS)] = (frames * 4)[: 3 * FPS]
    scenes = [pictures(media / "footage" / name) for name in np.roll(FOOTAGE, number)[:2]]
    write(path, track.clip(-1, 1), scenes, shown, minutes)
    return events


def composed(media: Path, number: int, minutes: float, folder: Path) -> tuple[Path, list[tuple[float, str]]]:
    """A stream and its events; one that lies in the folder complete is taken from there."""
    path = folder / f"stream{number}_{minutes:g}.mp4"
    truth = path.with_suffix(".events")
    if not truth.exists():
        truth.write_text(json.dumps(compose(media, number, minutes, path)))
    return path, [(float(moment), str(kind)) for moment, kind in json.loads(truth.read_text())]


def write(
    path: Path, track: np.ndarray, scenes: list[list[np.ndarray]], shown: dict[int, list[np.ndarray]], minutes: float
) -> None:
    """Encode a stream; the scene changes every two minutes."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"preset": "superfast", "g": "60"}
        audio = container.add_stream("aac", rate=RATE)
        audio.layout = "mono"
        insert, place = list[np.ndarray](), 0
        for number in range(round(minutes * 60 * FPS)):
            insert = list(shown.get(number, insert))
            scene = scenes[number // (120 * FPS) % len(scenes)]
            picture = insert.pop(0) if insert else scene[number % len(scene)]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
            while place < len(track) and place / RATE <= (number + 1) / FPS:
                piece = av.AudioFrame.from_ndarray(track[None, place : place + 1024], format="fltp", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = RATE, place, Fraction(1, RATE)
                container.mux(audio.encode(piece))
                place += 1024
        for stream in (video, audio):
            container.mux(stream.encode(None))


def found_events(events: list[tuple[float, str]], report: Any) -> tuple[list[bool], int, int]:
    """Which events are in one of the best 1.5 proposals per event; proposals; and those of them with an event."""
    proposals = report.ranked[: math.ceil(1.5 * len(events))]
    hits = [any(one.start <= moment + 1.0 <= one.end for one in proposals) for moment, _ in events]
    right = sum(any(one.start <= moment + 1.0 <= one.end for moment, _ in events) for one in proposals)
    return hits, len(proposals), right


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927)."""
    share, z = right / count, 1.96
    middle, width = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    return (middle - width) / (1 + z * z / count), (middle + width) / (1 + z * z / count)


def main() -> None:
    """Compose, detect, print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("media", type=Path)
    parser.add_argument("--streams", type=int, default=6)
    parser.add_argument("--first", type=int, default=0, help="number of the first stream")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--folder", type=Path, help="where streams are kept for another run")
    given = parser.parse_args()
    by_kind: dict[str, list[bool]] = {}
    made = right = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        seconds = watched = 0.0
        for number in range(given.first, given.first + given.streams):
            path, events = composed(given.media, number, given.minutes, folder)
            begun = time.perf_counter()
            report = find_highlights(path, OPTIONS)
            seconds, watched = seconds + time.perf_counter() - begun, watched + report.duration_seconds
            hits, proposals, good = found_events(events, report)
            made, right = made + proposals, right + good
            for (_, kind), hit in zip(events, hits, strict=True):
                by_kind.setdefault(kind, []).append(hit)
            print(f"stream {number}: {sum(hits)} of {len(hits)}, {good} of {proposals}", file=sys.stderr, flush=True)
            if given.folder is None:
                path.unlink()  # a day of them would fill the disk
    everything = [hit for hits in by_kind.values() for hit in hits]
    for kind, hits in [*sorted(by_kind.items()), ("all", everything)]:
        low, high = wilson(sum(hits), len(hits))
        row = {"events": kind, "count": len(hits), "recall at 1.5 per event": round(sum(hits) / len(hits), 3)}
        print(json.dumps({**row, "95% interval": f"{low:.2f} to {high:.2f}"}))
    print(
        json.dumps(
            {
                "events": "precision of the proposals",
                "count": made,
                "recall at 1.5 per event": round(right / made, 3),
                "95% interval": "{:.2f} to {:.2f}".format(*wilson(right, made)),
            }
        )
    )
    print(f"{watched / 60:.0f} min of composed streams, {watched / seconds:.0f} times real time", file=sys.stderr)


if __name__ == "__main__":
    main()

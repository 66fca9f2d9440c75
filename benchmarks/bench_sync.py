"""Sound and picture of clips from the end of a recording of hours, at a fixed and at a variable frame rate.

    python benchmarks/bench_sync.py [--hours 2] [--container mp4] [--folder DIR]

A recording is rendered with a flash and a click at the same moment every minute. Clips are cut near its beginning, its
middle and its end; printed are how far the click is from the flash in them (aim: 20 ms), how far the flash is from
where it should be, processor time, and the memory that cutting took at most.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

WIDTH, HEIGHT, RATE, FPS = 96, 64, 16_000, 10
EVERY = 60.0  # seconds from one mark to the next
STEP = 1024


def frame_times(seconds: float, variable: bool) -> np.ndarray:
    """When frames are shown, in milliseconds; each mark is one of them."""
    marks = np.arange(EVERY / 2, seconds, EVERY) * 1000
    if not variable:
        return np.arange(0, seconds * 1000, 1000 / FPS).round().astype(np.int64)
    random = np.random.default_rng(3)
    times = np.cumsum(random.uniform(50, 180, round(seconds * 9)))
    return np.unique(np.concatenate([[0], times[times < seconds * 1000 - 500], marks]).round().astype(np.int64))


def render(path: Path, seconds: float, variable: bool) -> None:
    """Write the recording, a piece at a time."""
    marks = np.arange(EVERY / 2, seconds, EVERY)
    lit = {round(mark * 1000) for mark in marks}
    dark = [np.full((HEIGHT, WIDTH, 3), 30 + number, np.uint8) for number in range(7)]
    light = np.full((HEIGHT, WIDTH, 3), 235, np.uint8)
    clicks = {round(mark * RATE) // STEP: round(mark * RATE) % STEP for mark in marks}
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        video.options = {"preset": "ultrafast", "g": "80"}
        audio = container.add_stream("aac", rate=RATE)
        audio.layout = "mono"
        place = 0
        for moment in frame_times(seconds, variable).tolist():
            while place * STEP / RATE <= moment / 1000:
                samples = np.zeros((1, STEP), np.float32)
                if place in clicks:
                    samples[0, clicks[place] : clicks[place] + 40] = 0.9
                piece = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = RATE, place * STEP, Fraction(1, RATE)
                container.mux(audio.encode(piece))
                place += 1
            picture = light if moment in lit else dark[moment // 1000 % 7]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            container.mux(video.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode(None))


def flash_and_click(clip: Path) -> tuple[float, float]:
    """When the first flash is seen and the first click is heard, in seconds since the first frame."""
    from adapters.media import open_video

    with open_video(clip) as video:
        origin = video.info.start_seconds
        seen = next(seconds for seconds, picture in video.frames() if picture.mean() > 130)
    with av.open(str(clip)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.3)
            if len(loud):
                return seen, float(frame.time) + loud[0] / frame.sample_rate - origin
    raise SystemExit(f"{clip}: no click is heard")


def cut(path: Path, seconds: float, folder: Path) -> None:
    """Cut clips and print what they are; alone in a process, so that its memory is theirs."""
    from cliplab.detect import generate_clips

    marks = np.arange(EVERY / 2, seconds, EVERY)
    chosen = [marks[0], marks[len(marks) // 2], marks[-1]]
    rows = [{"start": mark - 7.37, "end": mark + 5.11, "kind": "audio", "score": 0.5, "cues": {}} for mark in chosen]
    (folder / "found.json").write_text(json.dumps({"source": str(path), "candidates": rows}))
    begin = time.process_time()
    report = generate_clips(folder / "found.json", folder / "clips", database=None)
    took = time.process_time() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for one, mark in zip(report.clips, chosen, strict=True):
        if one.error is not None:
            raise SystemExit(one.error)
        seen, heard = flash_and_click(Path(one.path))
        off = 1000 * (seen - (mark - one.start))
        print(f"| {mark:.0f} | {1000 * (heard - seen):+.1f} | {off:+.1f} |")
    print(f"\n3 clips in {took:.2f} s of processor time, {memory:.0f} MB at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--container", default="mp4", choices=("mp4", "mkv", "ts"))
    parser.add_argument("--folder", type=Path, help="where recordings are kept for another run")
    parser.add_argument("--cut", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    seconds = given.hours * 3600
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if given.cut is not None:
            cut(given.cut, seconds, Path(temporary))
            return
        for variable in (False, True):
            path = folder / f"{'variable' if variable else 'fixed'}-{given.hours:g}.{given.container}"
            if not path.is_file():
                render(path, seconds, variable)
            print(f"\n{given.hours:g} h, {'variable' if variable else 'fixed'} rate, {given.container}\n", flush=True)
            print("| mark at s | click less flash, ms | flash less where it should be, ms |\n|---|---|---|", flush=True)
            subprocess.run([sys.executable, __file__, "--hours", str(given.hours), "--cut", str(path)], check=True)


if __name__ == "__main__":
    main()
